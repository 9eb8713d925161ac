// The program killed at random and resumed.
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "sim/core/random.h"

namespace foretoken {
namespace {

namespace fs = std::filesystem;

class Resume : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "foretoken-plan-XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string path(const std::string& name) const { return (folder_ / name).string(); }

  // Starts the program; its output goes to `name`.json.
  pid_t start(const std::string& name, bool resume) const {
    std::vector<std::string> words{FORETOKEN_PROGRAM,
                                   "plan",
                                   "scenarios/plan-70b.yaml",
                                   "--set",
                                   "workload.requests=300",
                                   "--set",
                                   "plan.kv_cache=[fp8]",
                                   "--set",
                                   "plan.max_num_seqs=[64]",
                                   "--replications",
                                   "2",
                                   "--jobs",
                                   "2",
                                   "--db",
                                   path(name + ".db"),
                                   "--json",
                                   path(name + ".json")};
    if (resume) {
      words.emplace_back("--resume");
    }
    const pid_t child = fork();
    if (child == 0) {
      std::vector<char*> arguments;
      for (std::string& word : words) {
        arguments.push_back(word.data());
      }
      arguments.push_back(nullptr);
      (void)!freopen("/dev/null", "w", stdout);
      execv(arguments.front(), arguments.data());
      _exit(127);
    }
    return child;
  }

  static int wait_for(pid_t child) {
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  std::string read(const std::string& name) const {
    std::ifstream stream(path(name), std::ios::binary);
    std::ostringstream text;
    text << stream.rdbuf();
    return text.str();
  }

  // The whole table as text, in the order of the key.
  std::string table(const std::string& name) const {
    sqlite3* db = nullptr;
    EXPECT_EQ(sqlite3_open(path(name).c_str(), &db), SQLITE_OK);
    std::string rows;
    sqlite3_exec(
        db, "SELECT * FROM outcome ORDER BY kind, configuration, failure, replication",
        [](void* out, int count, char** values, char**) {
          for (int i = 0; i < count; ++i) {
            *static_cast<std::string*>(out) +=
                std::string(values[i]) + (i + 1 < count ? "," : "\n");
          }
          return 0;
        },
        &rows, nullptr);
    sqlite3_close(db);
    return rows;
  }

  fs::path folder_;
};

TEST_F(Resume, Twenty_kills_lose_nothing_and_double_nothing) {
  ASSERT_EQ(wait_for(start("whole", false)), 0);
  const std::string whole = table("whole.db");
  ASSERT_GT(std::count(whole.begin(), whole.end(), '\n'), 50);
  RandomStream random(11, "kills");
  int killed = 0, most = 0;
  std::size_t rows = 0;
  for (int round = 0; round < 20; ++round) {
    const pid_t child = start("killed", round > 0);
    usleep(static_cast<useconds_t>(random.uniform_int(1'000, 250'000)));
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    killed += WIFSIGNALED(status) ? 1 : 0;
    const std::size_t now = table("killed.db").size();
    EXPECT_GE(now, rows);  // nothing that was written is lost
    most += now > rows ? 1 : 0;
    rows = now;
  }
  EXPECT_GE(killed, 5);
  EXPECT_GE(most, 1);
  ASSERT_EQ(wait_for(start("killed", true)), 0);
  EXPECT_EQ(table("killed.db"), whole);
  EXPECT_EQ(read("killed.json"), read("whole.json"));
}

TEST_F(Resume, A_database_is_neither_overwritten_nor_mixed_up) {
  ASSERT_EQ(wait_for(start("whole", false)), 0);
  const std::string whole = table("whole.db");
  EXPECT_EQ(wait_for(start("whole", false)), 2);
  const std::string other = std::string(FORETOKEN_PROGRAM) +
                            " plan scenarios/plan-70b.yaml --resume --db " + path("whole.db") +
                            " 2>/dev/null";
  const int status = std::system(other.c_str());
  EXPECT_EQ(WEXITSTATUS(status), 2);
  EXPECT_EQ(table("whole.db"), whole);
}

}  // namespace
}  // namespace foretoken
