// The program as a user meets it: runs it, with a folder of its own for each test.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace foretoken {

namespace fs = std::filesystem;

struct Outcome {
  int status = -1;
  std::string out, err;
};

// `err` stays empty: the command says where its errors go.
inline Outcome run_shell(const std::string& command) {
  Outcome outcome;
  FILE* pipe = popen(command.c_str(), "r");
  std::array<char, 4096> buffer;
  std::size_t count = 0;
  while ((count = fread(buffer.data(), 1, buffer.size(), pipe)) > 0) {
    outcome.out.append(buffer.data(), count);
  }
  const int status = pclose(pipe);
  outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return outcome;
}

class Cli : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "foretoken-XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string path(const std::string& name) const { return (folder_ / name).string(); }

  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(path(name)) << text;
    return path(name);
  }

  Outcome run(const std::string& arguments) const {
    const std::string error_file = path("stderr");
    Outcome outcome =
        run_shell(std::string(FORETOKEN_PROGRAM) + " " + arguments + " 2>" + error_file);
    outcome.err = read(error_file);
    return outcome;
  }

  static std::string read(const std::string& file) {
    std::ifstream stream(file, std::ios::binary);
    std::ostringstream text;
    text << stream.rdbuf();
    return text.str();
  }

  nlohmann::json simulate(const std::string& arguments) const {
    const Outcome outcome = run("simulate " + arguments + " --json " + path("out.json"));
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    return nlohmann::json::parse(read(path("out.json")), nullptr, false);
  }

  fs::path folder_;
};

inline std::size_t longest_line(const std::string& text) {
  std::istringstream lines(text);
  std::string line;
  std::size_t longest = 0;
  while (std::getline(lines, line)) {
    longest = std::max(longest, line.size());
  }
  return longest;
}

}  // namespace foretoken
