#include "calibrate/commands.h"

#include <unistd.h>

#include <iostream>
#include <memory>

#include "calibrate/calibrate.h"

namespace foretoken::calibrate {

void add_calibrate(CLI::App& app, std::function<int()>& action) {
  auto options = std::make_shared<CalibrateOptions>();
  CLI::App* command = app.add_subcommand(
      "calibrate", "Measure the kernels of this machine and write a profile with their errors");
  command->add_option("--backend", options->backend, "cpu (one core is one device)")
      ->capture_default_str();
  command->add_flag("--quick", options->quick, "at most a minute; otherwise a few");
  command->add_option("--out", options->out, "the profile; samples are written beside it")
      ->capture_default_str();
  command
      ->add_option("--topology", options->topology,
                   "whose link between the first two devices the all-reduce is related to")
      ->capture_default_str();
  command->callback([options, &action] {
    action = [options] {
      options->show_progress = isatty(STDERR_FILENO) == 1;
      return run_calibrate(*options, std::cout, std::cerr);
    };
  });
}

}  // namespace foretoken::calibrate
