#include "sim/cli/completion.h"

#include <fmt/format.h>

#include <cstdio>
#include <functional>
#include <memory>
#include <vector>

#include "sim/cli/help.h"
#include "sim/config/paths.h"

namespace foretoken::cli {
namespace {

std::vector<const CLI::App*> commands_of(const CLI::App& command) {
  return command.get_subcommands([](const CLI::App* c) { return !c->get_name().empty(); });
}

std::vector<const CLI::Option*> named_options(const CLI::App& command) {
  return command.get_options([](const CLI::Option* option) { return !option->get_positional(); });
}

// Every command of the tree, the program first.
void visit(const CLI::App& command, const std::function<void(const CLI::App&)>& see) {
  see(command);
  for (const CLI::App* sub : commands_of(command)) {
    visit(*sub, see);
  }
}

std::string long_name(const CLI::Option& option) {
  return option.get_lnames().empty() ? "-" + option.get_snames().front()
                                     : "--" + option.get_lnames().front();
}

// What stands after an option, where it is one of some words.
std::string shipped_words(const std::string& option) {
  const std::string folder = option == "--topology"  ? "topologies"
                             : option == "--profile" ? "calibrate/profiles"
                                                     : "";
  return folder.empty() ? "" : fmt::format("{}", fmt::join(config::shipped_names(folder), " "));
}

// The branches that follow the words typed so far down the tree.
std::string descent(const CLI::App& app) {
  std::string out;
  visit(app, [&](const CLI::App& command) {
    if (command.get_parent() != nullptr) {
      out += fmt::format("      \"{} {}\") at=\"{}\" ;;\n", command_path(*command.get_parent()),
                         command.get_name(), command_path(command));
    }
  });
  return out;
}

// For a word in single quotes of zsh's _describe.
std::string described(const std::string& name, const std::string& description) {
  std::string out = "'";
  for (const char c : fmt::format("{}:{}", name, description)) {
    out += c == '\'' ? "'\\''" : std::string(1, c);
  }
  return out + "'";
}

}  // namespace

std::string bash_completion(const CLI::App& app) {
  std::string words, values;
  visit(app, [&](const CLI::App& command) {
    std::string options, commands;
    for (const CLI::Option* option : named_options(command)) {
      options += (options.empty() ? "" : " ") + long_name(*option);
      if (const std::string shipped = shipped_words(long_name(*option)); !shipped.empty()) {
        values += fmt::format(
            "    \"{} {}\") COMPREPLY=($(compgen -f -W \"{}\" -- \"$cur\")); return ;;\n",
            command_path(command), long_name(*option), shipped);
      }
    }
    for (const CLI::App* sub : commands_of(command)) {
      commands += (commands.empty() ? "" : " ") + sub->get_name();
    }
    words += fmt::format("    \"{}\") options=\"{}\"; commands=\"{}\" ;;\n", command_path(command),
                         options, commands);
  });
  return fmt::format(R"(# bash completion of foretoken: source <(foretoken completion bash)
_foretoken() {{
  local cur="${{COMP_WORDS[COMP_CWORD]}}" at=foretoken options="" commands="" i
  for ((i = 1; i < COMP_CWORD; ++i)); do
    case "$at ${{COMP_WORDS[i]}}" in
{}    esac
  done
  case "$at" in
{}  esac
  case "$at ${{COMP_WORDS[COMP_CWORD-1]}}" in
{}  esac
  if [[ $cur == -* ]]; then
    COMPREPLY=($(compgen -W "$options" -- "$cur"))
  elif [[ -n $commands ]]; then
    COMPREPLY=($(compgen -W "$commands" -- "$cur"))
  else
    COMPREPLY=($(compgen -f -- "$cur"))
  fi
}}
complete -o filenames -F _foretoken foretoken
)",
                     descent(app), words, values);
}

std::string zsh_completion(const CLI::App& app) {
  std::string words;
  visit(app, [&](const CLI::App& command) {
    std::string options, commands;
    for (const CLI::Option* option : named_options(command)) {
      options += " " + described(long_name(*option), option->get_description());
    }
    for (const CLI::App* sub : commands_of(command)) {
      commands += " " + described(sub->get_name(), sub->get_description());
    }
    words += fmt::format("    \"{}\") options=({}); commands=({}) ;;\n", command_path(command),
                         options, commands);
  });
  return fmt::format(R"(#compdef foretoken
# zsh completion of foretoken: foretoken completion zsh > _foretoken, in a folder of $fpath
_foretoken() {{
  local at=foretoken word
  local -a options commands
  for word in ${{words[2,CURRENT-1]}}; do
    case "$at $word" in
{}    esac
  done
  case "$at" in
{}  esac
  if [[ $words[CURRENT] == -* ]]; then
    _describe -o option options
  elif (( $#commands )); then
    _describe command commands
  else
    _files
  fi
}}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
  _foretoken "$@"
else
  compdef _foretoken foretoken
fi
)",
                     descent(app), words);
}

void add_completion(CLI::App& app, std::function<int()>& action) {
  auto* command = app.add_subcommand("completion", "A script that completes commands in a shell");
  const auto shell = std::make_shared<std::string>();
  command->add_option("shell", *shell, "bash or zsh")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh"}));
  command->callback([&app, shell, &action] {
    action = [&app, shell] {
      const std::string text = *shell == "bash" ? bash_completion(app) : zsh_completion(app);
      std::fwrite(text.data(), 1, text.size(), stdout);
      return 0;
    };
  });
}

}  // namespace foretoken::cli
