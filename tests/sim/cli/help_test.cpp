// Manual pages and completion, which are made from the tree of commands.
#include <set>

#include "tests/sim/cli/program.h"

namespace foretoken {
namespace {

// Names below COMMANDS in a manual page.
std::vector<std::string> commands_in(const std::string& page) {
  std::istringstream lines(page);
  std::vector<std::string> names;
  bool inside = false;
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with(" ")) {
      inside = line == "COMMANDS";
    } else if (inside && line[2] != ' ') {
      names.push_back(line.substr(2, line.find(' ', 2) - 2));
    }
  }
  return names;
}

class Help : public Cli {
 protected:
  // The page of every command, by its path below the program.
  void collect(const std::string& path, std::map<std::string, std::string>& pages) const {
    const Outcome outcome = run(path + " --help");
    ASSERT_EQ(outcome.status, 0) << path;
    pages[path] = outcome.out;
    for (const std::string& name : commands_in(outcome.out)) {
      std::string deeper = path;
      deeper.append(path.empty() ? "" : " ").append(name);
      collect(deeper, pages);
    }
  }
};

TEST_F(Help, Every_command_has_a_page_with_all_sections) {
  std::map<std::string, std::string> pages;
  collect("", pages);
  EXPECT_GE(pages.size(), 15u);
  for (const auto& [path, page] : pages) {
    SCOPED_TRACE(path);
    for (const std::string section :
         {"NAME\n", "SYNOPSIS\n", "DESCRIPTION\n", "OPTIONS\n", "EXAMPLES\n", "EXIT STATUS\n"}) {
      EXPECT_NE(page.find(section), std::string::npos) << section;
    }
    EXPECT_LE(longest_line(page), 100u);
  }
  EXPECT_NE(pages["compare"].find("0 to 1024. Default: 0."), std::string::npos);
  EXPECT_NE(pages["collective"].find("Default: 64KiB..512MiB."), std::string::npos);
}

TEST_F(Help, Options_in_examples_are_options_of_the_command) {
  std::map<std::string, std::string> pages;
  collect("", pages);
  int options = 0;
  for (const auto& [path, page] : pages) {
    const auto begin = page.find("EXAMPLES\n");
    ASSERT_NE(begin, std::string::npos) << path;
    const std::string examples = page.substr(begin, page.find("EXIT STATUS\n") - begin);
    const std::string known = page.substr(page.find("OPTIONS\n"), begin - page.find("OPTIONS\n"));
    std::istringstream words(examples);
    for (std::string word; words >> word;) {
      if (word.starts_with("--")) {
        ++options;
        EXPECT_NE(known.find("\n  " + word), std::string::npos) << path << ": " << word;
      }
    }
  }
  EXPECT_GT(options, 5);
}

TEST_F(Help, Help_prints_the_page_of_a_command_and_names_the_nearest) {
  EXPECT_EQ(run("help topology show").out, run("topology show --help").out);
  EXPECT_EQ(run("help").out, run("--help").out);
  const Outcome wrong = run("help topology shov");
  EXPECT_EQ(wrong.status, 2);
  EXPECT_NE(wrong.err.find("did you mean \"show\""), std::string::npos) << wrong.err;
}

// Runs the completion function in a real shell, as a key press would.
TEST_F(Help, Bash_completes_commands_options_and_shipped_names) {
  const Outcome script = run("completion bash");
  ASSERT_EQ(script.status, 0);
  const std::string file = write("completion.bash", script.out);
  const auto complete = [&](const std::string& words, int position) {
    const std::string command = "bash -c 'source " + file + "; COMP_WORDS=(" + words +
                                "); COMP_CWORD=" + std::to_string(position) +
                                "; _foretoken; echo \"${COMPREPLY[@]}\"'";
    return run_shell(command).out;
  };
  EXPECT_EQ(complete("foretoken com", 1), "compare completion\n");
  EXPECT_EQ(complete("foretoken topology sh", 2), "show\n");
  EXPECT_EQ(complete("foretoken topology show --d", 3), "--dot\n");
  EXPECT_EQ(complete("foretoken compare --va", 2), "--vary\n");
  EXPECT_NE(complete("foretoken collective --topology hgx-h1", 3).find("hgx-h100-8"),
            std::string::npos);
}

TEST_F(Help, The_zsh_script_is_valid_where_zsh_is_there_to_say_so) {
  const Outcome script = run("completion zsh");
  ASSERT_EQ(script.status, 0);
  EXPECT_EQ(script.out.rfind("#compdef foretoken\n", 0), 0u);
  for (const std::string word : {"'--vary:", "'compare:", "\"foretoken topology show\")"}) {
    EXPECT_NE(script.out.find(word), std::string::npos) << word;
  }
  if (std::system("command -v zsh >/dev/null") != 0) {
    GTEST_SKIP() << "no zsh on this machine";
  }
  const std::string file = write("_foretoken", script.out);
  EXPECT_EQ(std::system(("zsh -n " + file).c_str()), 0);
}

TEST_F(Help, An_unknown_shell_is_refused) {
  const Outcome outcome = run("completion fish");
  EXPECT_EQ(outcome.status, 2);
  EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1);
}

}  // namespace
}  // namespace foretoken
