#include "calibrate/detect/detect_command.h"

#include <fmt/format.h>

#include <memory>

#include "calibrate/detect/detect.h"
#include "sim/config/cluster_writer.h"
#include "sim/config/output.h"
#include "sim/core/error.h"
#include "sim/core/quantity.h"
#include "sim/topology/describe.h"
#include "sim/topology/topology.h"

namespace foretoken::calibrate {
namespace {

struct DetectCommand {
  std::string gpu, out;
  std::string socket_link = "40GB/s";
};

int run_detect(const DetectCommand& command) {
  const ParsedQuantity socket_link = parse_quantity(command.socket_link, Unit::bandwidth);
  if (!socket_link.value || !(*socket_link.value > 0)) {
    throw InputError(fmt::format("--socket-link: {}", socket_link.value
                                                          ? "must be more than 0 (try 40GB/s)"
                                                          : socket_link.error));
  }
  DetectOptions options;
  options.gpu = command.gpu;
  options.socket_link = *socket_link.value;
  const MachineTree machine = read_machine();
  const NvmlReport nvml = read_nvml();
  ClusterSpec spec = detect_cluster(machine, nvml, options);
  const std::string yaml = config::write_cluster(spec);
  const bool gpus = !spec.vertices.empty() && spec.vertices.front().kind == VertexKind::gpu;
  if (command.out != "-") {
    fmt::print("{}", describe(machine));
    fmt::print("{}", nvml.missing.empty() ? "" : nvml.missing + "\n");
    if (gpus) {
      fmt::print("\n{}", describe(Topology(std::move(spec))));
    } else {
      fmt::print(
          "No GPU here. A cluster needs some: {}. To predict on the CPU's cores take --topology "
          "cpu-2core.\n",
          command.out.empty() ? "--out FILE writes sockets, memory and NICs to add them to"
                              : fmt::format("add vertices of kind gpu to {}", command.out));
    }
  }
  if (!command.out.empty()) {
    config::write_output(command.out, yaml);
  }
  return 0;
}

}  // namespace

void add_detect(CLI::App& app, std::function<int()>& action) {
  auto* command = app.get_subcommand("topology")
                      ->add_subcommand("detect", "This machine, as hwloc and NVML see it");
  const auto options = std::make_shared<DetectCommand>();
  command->add_option("--out", options->out, "Topology file to write (- for standard output)")
      ->type_name("FILE");
  command->add_option("--gpu", options->gpu,
                      "Which GPU it is, where NVML's name does not tell its NVLinks' rate");
  command
      ->add_option("--socket-link", options->socket_link,
                   "Bandwidth between two sockets, which nothing on the machine says")
      ->capture_default_str();
  command->callback([options, &action] { action = [options] { return run_detect(*options); }; });
}

}  // namespace foretoken::calibrate
