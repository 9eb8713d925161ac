#include <fmt/format.h>

#include <array>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "sim/cli/commands.h"
#include "sim/cli/load.h"
#include "sim/config/cluster_reader.h"
#include "sim/config/model_reader.h"
#include "sim/config/output.h"
#include "sim/config/paths.h"
#include "sim/config/profile_reader.h"
#include "sim/config/sample_file.h"
#include "sim/config/scenario_reader.h"
#include "sim/network/algorithms/algorithm.h"
#include "sim/scheduler/schedulers.h"
#include "sim/topology/describe.h"

namespace foretoken::cli {
namespace {

std::string shipped_path(const std::string& folder, const std::string& name) {
  return config::find_file(name, {}, folder).string();
}

void list_models() {
  fmt::print("{:<24}{:>7}{:>8}{:>7}{:>9}{:>14}{:>9}  {}\n", "model", "layers", "hidden", "heads",
             "kv heads", "intermediate", "vocab", "kind");
  for (const std::string& name : config::shipped_names("scenarios/models")) {
    const ModelSpec m = config::read_model(shipped_path("scenarios/models", name));
    fmt::print("{:<24}{:>7}{:>8}{:>7}{:>9}{:>14}{:>9}  {}\n", name, m.layers, m.hidden, m.heads,
               m.kv_heads, m.intermediate, m.vocab,
               m.is_mla()   ? "MLA, mixture of experts"
               : m.is_moe() ? "mixture of experts"
                            : "dense");
  }
}

void list_topologies() {
  fmt::print("{:<24}{:>6}  {}\n", "topology", "GPUs", "default profile");
  for (const std::string& name : config::shipped_names("topologies")) {
    const ClusterSpec cluster = config::read_cluster(shipped_path("topologies", name));
    int gpus = 0;
    for (const VertexSpec& vertex : cluster.vertices) {
      gpus += vertex.kind == VertexKind::gpu ? 1 : 0;
    }
    fmt::print("{:<24}{:>6}  {}\n", name, gpus, cluster.profile);
  }
}

// "gemm: bf16 w8a8 (423), codec.reduce: int8/g128 (14)": tables by family, rows in all.
std::string sample_summary(const Profile& profile) {
  std::map<std::string_view, std::pair<std::string, std::size_t>> families;
  for (const auto& [key, table] : profile.samples) {
    const config::SampleFamily* const family = config::family_of_key(key);
    auto& [formats, rows] = families[family != nullptr ? family->name : key];
    const std::size_t prefix = family != nullptr ? family->name.size() : key.size();
    formats += key.size() > prefix ? " " + key.substr(prefix + 1) : "";
    rows += table.samples.size();
  }
  std::string text;
  for (const auto& [family, summary] : families) {
    text += fmt::format("{}{}:{} ({})", text.empty() ? "" : ", ", family, summary.first,
                        summary.second);
  }
  return text;
}

void list_profiles() {
  fmt::print("{:<24}{:<26}{:>10}{:>10}{:>10}{:>9}{:>9}  {}\n", "profile", "device", "measured",
             "imported", "published", "derived", "assumed", "sample tables");
  for (const std::string& name : config::shipped_names("calibrate/profiles")) {
    const Profile profile = config::read_profile(shipped_path("calibrate/profiles", name));
    std::array<int, kProvenanceCount> count{};
    for (const auto& [key, parameter] : profile.parameters) {
      ++count[static_cast<std::size_t>(parameter.provenance)];
    }
    fmt::print("{:<24}{:<26}{:>10}{:>10}{:>10}{:>9}{:>9}  {}\n", name, profile.device, count[0],
               count[1], count[2], count[3], count[4], sample_summary(profile));
  }
}

void list_schedulers() {
  fmt::print("{:<10}{:<15}{}\n", "preset", "batching", "what it does");
  for (const config::EnginePreset& preset : config::engine_presets()) {
    fmt::print("{:<10}{:<15}{}\n", preset.name, scheduler_kind(preset.engine.batching).name,
               preset.meaning);
  }
}

void list_collectives() {
  for (const CollectiveAlgorithm& algorithm : collective_algorithms()) {
    fmt::print("{:<13} {}\n", algorithm.name, algorithm.formula);
  }
}

void list_formats() {
  fmt::print(
      "weights      fp32 bf16 fp16 fp8[/gG] fp4[/gG] int2..int8[/gG][/integer-scale]\n"
      "activations  fp32 bf16 fp16 fp8 int8\n"
      "kv_cache     bf16 fp16 fp8 int8 int4\n"
      "wire         fp32 bf16 fp16 fp8[/gG] int2..int8[/gG][/spike][/affine|/sym|/log8]\n"
      "G is 32, 64 or 128; on the wire it defaults to 128 from 5 bits and to 32 below\n");
}

struct ListKind {
  std::string_view name;
  std::string_view meaning;
  void (*print)();
};
constexpr std::array kKinds{
    ListKind{"models", "Shipped model descriptions", list_models},
    ListKind{"topologies", "Shipped clusters", list_topologies},
    ListKind{"profiles", "Shipped profiles and what each number rests on", list_profiles},
    ListKind{"schedulers", "Engine presets", list_schedulers},
    ListKind{"collectives", "Algorithms of collectives", list_collectives},
    ListKind{"formats", "Number formats and where each may stand", list_formats}};

struct TopologyOptions {
  std::string name, dot;
};

int show_topology(const TopologyOptions& options) {
  const Topology topology = load_topology(options.name);
  if (options.dot != "-") {
    fmt::print("{}", describe(topology));
  }
  if (!options.dot.empty()) {
    config::write_output(options.dot, to_dot(topology));
  }
  return 0;
}

}  // namespace

void add_list(CLI::App& app, Action& action) {
  auto* command = app.add_subcommand("list", "What this program knows");
  command->require_subcommand(1);
  for (const ListKind& kind : kKinds) {
    command->add_subcommand(std::string(kind.name), std::string(kind.meaning))
        ->callback([&action, print = kind.print] {
          action = [print] {
            print();
            return 0;
          };
        });
  }
}

void add_topology(CLI::App& app, Action& action) {
  auto* command = app.add_subcommand("topology", "Look at a cluster");
  command->require_subcommand(1);
  auto* show = command->add_subcommand("show", "Print it as a tree");
  const auto options = std::make_shared<TopologyOptions>();
  show->add_option("topology", options->name, "File or shipped name")->required();
  show->add_option("--dot", options->dot, "Write it for Graphviz (- for standard output)")
      ->type_name("FILE");
  show->callback([options, &action] { action = [options] { return show_topology(*options); }; });
}

}  // namespace foretoken::cli
