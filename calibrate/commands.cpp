#include "calibrate/commands.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <iostream>
#include <memory>
#include <optional>

#include "calibrate/agreement.h"
#include "calibrate/backend.h"
#include "calibrate/calibrate.h"
#include "sim/config/profile_reader.h"
#include "sim/core/error.h"
#include "sim/core/quantity.h"

namespace foretoken::calibrate {
namespace {

std::atomic<bool> interrupted{false};
static_assert(std::atomic<bool>::is_always_lock_free, "set by a signal handler");

// The first Ctrl-C ends the pass at hand; a second one ends the program.
void on_interrupt(int signal) {
  interrupted = true;
  std::signal(signal, SIG_DFL);
}

struct Text {
  std::string only, formats, budget;
  std::vector<std::string> compared;
};

std::set<std::string> words(const std::string& option, const std::string& text,
                            const std::vector<std::string>& known) {
  std::set<std::string> found;
  for (std::size_t begin = 0; !text.empty() && begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const std::string word = text.substr(begin, end - begin);
    if (std::find(known.begin(), known.end(), word) == known.end()) {
      throw InputError(fmt::format("{} {}: unknown \"{}\" (known: {})", option, text, word,
                                   fmt::join(known, ", ")));
    }
    found.insert(word);
    begin = end + 1;
  }
  return found;
}

double seconds_of(const std::string& text) {
  const ParsedQuantity parsed = parse_quantity(text, Unit::time);
  if (!parsed.value || *parsed.value <= 0) {
    throw InputError(fmt::format("--budget {}: {} (try 5min)", text,
                                 parsed.value ? "must be positive" : parsed.error));
  }
  return *parsed.value;
}

int compare(const std::vector<std::string>& paths) {
  const Profile first = config::read_profile(paths[0]);
  const Profile second = config::read_profile(paths[1]);
  std::cout << describe(agreement(first, second));
  return 0;
}

int run(CalibrateOptions options, const Text& text) {
  options.suite.only = words("--only", text.only, {kSuiteParts.begin(), kSuiteParts.end()});
  options.suite.formats = words("--formats", text.formats, find_backend(options.backend).formats());
  options.budget = text.budget.empty() ? 0 : seconds_of(text.budget);
  options.show_progress = isatty(STDERR_FILENO) == 1;
  options.stop = &interrupted;
  std::signal(SIGINT, on_interrupt);
  std::signal(SIGTERM, on_interrupt);
  return run_calibrate(options, std::cout, std::cerr);
}

}  // namespace

void add_calibrate(CLI::App& app, std::function<int()>& action) {
  auto options = std::make_shared<CalibrateOptions>();
  auto text = std::make_shared<Text>();
  CLI::App* command = app.add_subcommand(
      "calibrate", "Measure the kernels of this machine and write a profile with their errors");
  command->add_option("--backend", options->backend, "cpu (one core is one device) or cuda")
      ->capture_default_str();
  command->add_flag("--quick", options->suite.quick, "at most a minute; otherwise eight");
  command->add_option(
      "--only", text->only,
      fmt::format("of {}; the rest of a profile that is there stays", fmt::join(kSuiteParts, ",")));
  command->add_option("--formats", text->formats, "GEMM formats, such as bf16,w8a8");
  command->add_option("--budget", text->budget, "how long to measure, such as 5min");
  command->add_option("--out", options->out, "the profile; samples are written beside it")
      ->capture_default_str();
  command->add_flag("--restart", options->restart, "forget what an interrupted run has measured");
  command->add_option("--page", options->page, "HTML page: predicted against measured");
  command->add_option("--benchmark-json", options->benchmark_json,
                      "every pass in Google Benchmark's JSON");
  command
      ->add_option("--topology", options->topology,
                   "whose link between the first two devices the all-reduce is related to")
      ->capture_default_str();
  command
      ->add_option("--compare", text->compared,
                   "measure nothing; say how far two profiles of one device differ in what they "
                   "predict, beside the intervals they state")
      ->expected(2);
  command->callback([options, text, &action] {
    action = [options, text] {
      return text->compared.empty() ? run(*options, *text) : compare(text->compared);
    };
  });
}

}  // namespace foretoken::calibrate
