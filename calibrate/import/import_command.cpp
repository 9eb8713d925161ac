#include "calibrate/import/import_command.h"

#include <fmt/format.h>

#include <cstdio>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>

#include "calibrate/import/table_commands.h"
#include "calibrate/import/topo_matrix.h"
#include "sim/config/cluster_writer.h"
#include "sim/config/document.h"
#include "sim/core/error.h"
#include "sim/core/quantity.h"
#include "sim/topology/describe.h"
#include "sim/topology/topology.h"

namespace foretoken::importer {
namespace {

struct MatrixCommand {
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

void write(const std::string& path, const std::string& text) {
  if (path == "-") {
    fmt::print("{}", text);
    return;
  }
  std::ofstream file(path);
  file << text;
  if (!file.flush()) {
    throw InputError(fmt::format("cannot write {}", path));
  }
}

int run_matrix(const MatrixCommand& command) {
  TopoMatrixOptions options;
  options.gpu = command.gpu;
  options.socket_link = read_bandwidth(command.socket_link, "--socket-link");
  options.file = command.input;
  ClusterSpec spec = import_topo_matrix(config::read_text_file(command.input), options);
  write(command.out, config::write_cluster(spec));
  if (command.out != "-") {
    fmt::print("{}", describe(Topology(std::move(spec))));
  }
  return 0;
}

}  // namespace

void add_import(CLI::App& app, std::function<int()>& action) {
  auto* command = app.add_subcommand("import", "Other people's dumps into our files");
  command->require_subcommand(1);
  auto* matrix = command->add_subcommand("nvidia-smi-topo",
                                         "What `nvidia-smi topo -m` printed, into a topology file");
  const auto options = std::make_shared<MatrixCommand>();
  matrix->add_option("input", options->input, "The text as printed")->required();
  matrix->add_option("--gpu", options->gpu, "Which GPU it is, such as h100-sxm or l40s")
      ->required();
  matrix->add_option("--out", options->out, "Topology file to write (- for standard output)")
      ->required();
  matrix
      ->add_option("--socket-link", options->socket_link,
                   "Bandwidth between two sockets, which the matrix does not say")
      ->capture_default_str();
  importer::add_table_imports(*command, action);
  matrix->callback([options, &action] { action = [options] { return run_matrix(*options); }; });
}

}  // namespace foretoken::importer
