#include "calibrate/import/import_command.h"

#include <fmt/format.h>

#include <cstdio>
#include <iterator>
#include <memory>
#include <string>

#include "calibrate/import/nccl_topo_xml.h"
#include "calibrate/import/table_commands.h"
#include "calibrate/import/topo_matrix.h"
#include "sim/config/cluster_writer.h"
#include "sim/config/document.h"
#include "sim/config/output.h"
#include "sim/core/error.h"
#include "sim/core/quantity.h"
#include "sim/topology/describe.h"
#include "sim/topology/topology.h"

namespace foretoken::importer {
namespace {

// A dump of one machine's topology.
struct DumpCommand {
  std::string input, gpu, out;
  std::string socket_link = "40GB/s";
};

double read_bandwidth(const std::string& text, const char* option) {
  const ParsedQuantity parsed = parse_quantity(text, Unit::bandwidth);
  if (!parsed.value || !(*parsed.value > 0)) {
    throw InputError(fmt::format("{}: {}", option,
                                 parsed.value ? "must be more than 0 (try 40GB/s)" : parsed.error));
  }
  return *parsed.value;
}

int write_cluster(const DumpCommand& command, ClusterSpec spec) {
  config::write_output(command.out, config::write_cluster(spec));
  if (command.out != "-") {
    fmt::print("{}", describe(Topology(std::move(spec))));
  }
  return 0;
}

int run_matrix(const DumpCommand& command) {
  const TopoMatrixOptions options{command.gpu, read_bandwidth(command.socket_link, "--socket-link"),
                                  command.input};
  return write_cluster(command, import_topo_matrix(config::read_text_file(command.input), options));
}

int run_xml(const DumpCommand& command) {
  const TopoXmlOptions options{command.gpu, read_bandwidth(command.socket_link, "--socket-link"),
                               command.input};
  return write_cluster(command, import_topo_xml(config::read_text_file(command.input), options));
}

void add_dump(CLI::App& command, std::function<int()>& action, const char* name,
              const char* meaning, const char* input, int (*run)(const DumpCommand&)) {
  auto* dump = command.add_subcommand(name, meaning);
  const auto options = std::make_shared<DumpCommand>();
  dump->add_option("input", options->input, input)->required();
  dump->add_option("--gpu", options->gpu, "Which GPU it is, such as h100-sxm or l40s")->required();
  dump->add_option("--out", options->out, "Topology file to write (- for standard output)")
      ->required();
  dump->add_option("--socket-link", options->socket_link,
                   "Bandwidth between two sockets, which the dump does not say")
      ->capture_default_str();
  dump->callback([options, run, &action] { action = [options, run] { return run(*options); }; });
}

}  // namespace

void add_import(CLI::App& app, std::function<int()>& action) {
  auto* command = app.add_subcommand("import", "Other people's dumps into our files");
  command->require_subcommand(1);
  add_dump(*command, action, "nvidia-smi-topo",
           "What `nvidia-smi topo -m` printed, into a topology file", "The text as printed",
           run_matrix);
  add_dump(*command, action, "nccl-topo-xml",
           "What NCCL wrote to NCCL_TOPO_DUMP_FILE, into a topology file", "The XML file", run_xml);
  add_table_imports(*command, action);
}

}  // namespace foretoken::importer
