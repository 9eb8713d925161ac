// The program. Exit status: 0 done, 1 a fault of ours, 2 the user's input is wrong, 3 a plan has no
// feasible answer.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "sim/cli/commands.h"
#include "sim/cli/completion.h"
#include "sim/cli/help.h"
#include "sim/core/error.h"
#include "sim/core/quantity.h"
#if FORETOKEN_HAVE_CALIBRATE
#include "calibrate/commands.h"
#endif
#if FORETOKEN_HAVE_IMPORT
#include "calibrate/detect/detect_command.h"
#include "calibrate/import/import_command.h"
#include "calibrate/quality/kernel_error_probe.h"
#include "calibrate/runtime/verify_command.h"
#endif

namespace {

void complain(std::string_view message) { fmt::print(stderr, "foretoken: {}\n", message); }

// Empty when the word is a command or an option.
std::string unknown_command(const CLI::App& app, const std::string& word) {
  if (word.empty() || word.front() == '-') {
    return "";
  }
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    names.push_back(command->get_name());
  }
  if (std::find(names.begin(), names.end(), word) != names.end()) {
    return "";
  }
  const std::string_view near = foretoken::nearest(word, names);
  return near.empty() ? fmt::format("unknown command \"{}\"; see foretoken --help", word)
                      : fmt::format("unknown command \"{}\" (did you mean \"{}\"?)", word, near);
}

foretoken::MakeErrorProbe error_probe() {
#if FORETOKEN_HAVE_IMPORT
  return foretoken::quality::make_kernel_error_probe;
#else
  return {};
#endif
}

int parse_and_run(int argc, char** argv) {
  CLI::App app{
      "foretoken predicts how fast a language model will serve: time to first token, time "
      "per token and throughput, on any cluster, at any bit width."};
  app.set_version_flag("--version", "foretoken " FORETOKEN_VERSION);
  app.require_subcommand(1);
  foretoken::cli::use_manual(app);
  foretoken::cli::Action action;
  foretoken::cli::add_simulate(app, action);
  foretoken::cli::add_compare(app, action, error_probe());
  foretoken::cli::add_plan(app, action);
  foretoken::cli::add_explain(app, action);
  foretoken::cli::add_collective(app, action);
  foretoken::cli::add_topology(app, action);
  foretoken::cli::add_list(app, action);
#if FORETOKEN_HAVE_CALIBRATE
  foretoken::calibrate::add_calibrate(app, action);
#endif
#if FORETOKEN_HAVE_IMPORT
  foretoken::calibrate::add_detect(app, action);
  foretoken::importer::add_import(app, action);
  foretoken::runtime::add_verify(app, action);
#endif
  foretoken::cli::add_completion(app, action);
  foretoken::cli::add_help(app, action);
#if FORETOKEN_HAVE_IMPORT
#elif FORETOKEN_HAVE_CALIBRATE
  app.footer("Portable build: the commands `import`, `verify` and `topology detect` are absent.");
#else
  app.footer(
      "Built without calibrate/: the commands `calibrate`, `verify`, `import` and `topology "
      "detect` are "
      "absent.");
#endif
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp& request) {
    return app.exit(request);
  } catch (const CLI::CallForAllHelp& request) {
    return app.exit(request);
  } catch (const CLI::CallForVersion& request) {
    return app.exit(request);
  } catch (const CLI::ParseError& error) {
    if (const std::string unknown = argc > 1 ? unknown_command(app, argv[1]) : "";
        !unknown.empty()) {
      complain(unknown);
      return 2;
    }
    complain(fmt::format("{}; see foretoken --help", error.what()));
    return 2;
  }
  return action ? action() : 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return parse_and_run(argc, argv);
  } catch (const foretoken::InputError& error) {
    complain(error.what());
    return 2;
  } catch (const std::exception& error) {
    complain(fmt::format("{} (this is a fault of the program; please report it)", error.what()));
    return 1;
  }
}
