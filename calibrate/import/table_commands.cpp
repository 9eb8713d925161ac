#include "calibrate/import/table_commands.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <utility>

#include "calibrate/fit/transfer.h"
#include "calibrate/import/aiconfigurator.h"
#include "calibrate/import/llmservingsim.h"
#include "calibrate/import/nccl_tests.h"
#include "calibrate/import/table.h"
#include "calibrate/import/vidur.h"
#include "sim/config/model_reader.h"
#include "sim/config/paths.h"
#include "sim/config/profile_reader.h"
#include "sim/core/error.h"

namespace foretoken::importer {
namespace {

struct TableCommand {
  std::vector<std::string> files;
  std::string out, operation = "all_reduce";
  TableFilter filter;
};

void add_tables(Profile& profile, std::map<std::string, SampleTable>&& tables,
                const std::string& file) {
  for (auto& [name, table] : tables) {
    if (!profile.samples.emplace(name, std::move(table)).second) {
      throw InputError(SourceMark{file, 0, 0}, "",
                       fmt::format("{} was in an earlier file already; leave one out", name));
    }
  }
}

std::string source_of(const Table& table) {
  return table.source.empty() ? table.file : table.source;
}

SampleTable& imported(std::map<std::string, SampleTable>& tables, const std::string& name,
                      const Table& from) {
  SampleTable& table = tables[name];
  table.provenance = Provenance::imported;
  table.source = source_of(from);
  return table;
}

// The profile has one table for each width of the cache: that of bf16 arithmetic, which every
// engine's default uses.
std::map<std::string, SampleTable> attention_tables(const Table& top) {
  std::map<std::string, SampleTable> tables;
  int other = 0;
  for (const AttentionMeasurement& row : read_attention_table(top.file)) {
    if (!(row.compute == kBf16)) {
      ++other;
      continue;
    }
    const AttentionOp& op = row.op;
    imported(
        tables,
        fmt::format("attention.{}.{}", op.decode ? "decode" : "prefill", to_string(op.kv_cache)),
        top)
        .samples.push_back(
            {{op.heads, op.kv_heads, op.head_dim, op.window, row.batch, row.tokens}, row.seconds});
  }
  for (auto& [name, table] : tables) {
    if (other > 0) {
      table.source += fmt::format(" ; {} rows with fp8 arithmetic left out", other);
    }
  }
  return tables;
}

std::map<std::string, SampleTable> latent_tables(const Table& top) {
  std::map<std::string, SampleTable> tables;
  for (const LatentAttentionMeasurement& row : read_latent_attention_table(top.file)) {
    imported(tables,
             fmt::format("latent_attention.{}.{}", row.decode ? "decode" : "prefill",
                         to_string(row.kv_cache)),
             top)
        .samples.push_back({{row.heads, row.batch, row.tokens}, row.seconds});
  }
  return tables;
}

std::map<std::string, SampleTable> moe_tables(const Table& top) {
  std::map<std::string, SampleTable> tables;
  for (const MoeMeasurement& row : read_moe_table(top.file)) {
    imported(tables, "moe." + row.format, top)
        .samples.push_back({{row.hidden, row.inter, row.experts, row.chosen, row.tensor, row.expert,
                             std::llround(100 * row.skew), row.tokens},
                            row.seconds});
  }
  return tables;
}

// Sums the kernels of several files shape by shape.
void add_quantise(Profile& profile, const Table& top) {
  const SampleTable table = read_quantise_table(top.file);
  SampleTable& all = profile.samples["quantise.fp8"];
  all.provenance = Provenance::imported;
  if (all.samples.empty()) {
    all = table;
    return;
  }
  std::map<std::vector<std::int64_t>, double> seconds;
  for (const Sample& sample : table.samples) {
    seconds[sample.shape] = sample.seconds;
  }
  for (Sample& sample : all.samples) {
    const auto found = seconds.find(sample.shape);
    if (found == seconds.end()) {
      throw InputError(SourceMark{top.file, 0, 0}, "",
                       fmt::format("no row m = {}, k = {}, which the file before has",
                                   sample.shape[0], sample.shape[1]));
    }
    sample.seconds += found->second;
  }
  all.source += "; plus " + table.source;
}

// NCCL's operations under their names, a framework's own all-reduce as "engine_all_reduce"; rows
// without a CUDA graph where both were measured are left out.
std::map<std::string, SampleTable> collective_tables(const Table& top, const TableFilter& filter) {
  std::map<std::string, SampleTable> tables;
  std::set<std::string> systems, frameworks;
  for (const AllReduceMeasurement& row : read_collective_table(top.file)) {
    const bool chosen = (filter.system.empty() || row.system == filter.system) &&
                        (filter.framework.empty() || row.framework == filter.framework) &&
                        !row.backend.ends_with("eager");
    if (!chosen) {
      continue;
    }
    systems.insert(row.system);
    frameworks.insert(row.framework);
    const std::string op = row.operation == "alltoall" ? "all_to_all" : row.operation;
    const std::string name = fmt::format("{}.{}", row.backend.empty() ? op : "engine_all_reduce",
                                         row.element_bytes == 1 ? "int8" : "bf16");
    imported(tables, name, top).samples.push_back({{row.ranks, row.bytes}, row.seconds});
  }
  if (systems.size() != 1 || frameworks.size() != 1) {
    throw InputError(SourceMark{top.file, 0, 0}, "",
                     systems.empty()
                         ? "no row of this --system and --framework"
                         : fmt::format("holds several machines or frameworks; choose with --system "
                                       "({}) and --framework ({})",
                                       fmt::join(systems, ", "), fmt::join(frameworks, ", ")));
  }
  return tables;
}

void add_recognised(Profile& profile, const Table& top, const TableFilter& filter) {
  const std::string first = top.header.front();
  const std::string second = top.header.size() > 1 ? top.header[1] : "";
  if (first == "dtype" && second == "m" && top.header.size() == 5) {
    add_tables(profile, read_gemm_table(top.file), top.file);
  } else if (first == "dtype" && second == "m") {
    add_quantise(profile, top);
  } else if (first == "attn_dtype") {
    add_tables(profile, attention_tables(top), top.file);
  } else if (first == "mla_dtype") {
    add_tables(profile, latent_tables(top), top.file);
  } else if (first == "model") {
    add_tables(profile, moe_tables(top), top.file);
  } else if (first == "system") {
    add_tables(profile, collective_tables(top, filter), top.file);
  } else {
    throw InputError(SourceMark{top.file, 0, 0}, "",
                     fmt::format("no table of aiconfigurator begins with the columns {}; expected "
                                 "GEMM (dtype,m,n,k,..), quantise (dtype,m,k,..), attention "
                                 "(attn_dtype,..), MLA (mla_dtype,..), MoE (model,..) or "
                                 "collectives (system,..)",
                                 fmt::join(top.header, ",")));
  }
}

int write(Profile profile, const std::string& out) {
  const std::filesystem::path path(out);
  if (path.extension() != ".yaml") {
    throw InputError(fmt::format("--out {}: a profile is named NAME.yaml", out));
  }
  profile.name = path.stem().string();
  config::save_profile(profile, out);
  for (const auto& [name, table] : profile.samples) {
    fmt::print("{}: {} samples, {}\n", name, table.samples.size(), table.source);
  }
  return 0;
}

// Their layers are ours at one model, tensor degree and width, so these must be stated.
struct LayerProfileCommand {
  std::string prefix, model, out;
  int tensor = 1;
};

int run(const LayerProfileCommand& command) {
  ParallelSpec parallel;
  parallel.tensor = command.tensor;
  const std::filesystem::path model = config::find_file(command.model, {}, "scenarios/models");
  if (model.empty()) {
    throw InputError(
        fmt::format("--model {}: neither a file nor a shipped model; see `foretoken "
                    "list models`",
                    command.model));
  }
  const GraphBuilder builder(config::read_model(model.string()), PrecisionSpec(), parallel);
  return write(calibrate::import_llmservingsim(command.prefix, builder), command.out);
}

struct TransferCommand {
  std::string measured, from, to, out;
};

Profile read_device(const char* option, const std::string& name) {
  const std::filesystem::path file = config::find_file(name, {}, "calibrate/profiles");
  if (file.empty()) {
    throw InputError(fmt::format("{}: {}", option, config::not_found(name, "calibrate/profiles")));
  }
  return config::read_profile(file.string());
}

int run(const TransferCommand& command) {
  const Profile measured = config::read_profile(command.measured);
  const Profile from = read_device("--from", command.from);
  if (!measured.device.empty() && measured.device != from.device) {
    fmt::print("note: these samples say they are of {}, --from is {}\n", measured.device,
               from.device);
  }
  Profile result = calibrate::transferred(measured, from, read_device("--to", command.to));
  if (result.samples.empty()) {
    throw InputError(
        fmt::format("{}: no samples of GEMMs, attention or layer operators; only "
                    "those can be transferred",
                    command.measured));
  }
  for (const auto& [name, table] : measured.samples) {
    if (!result.samples.contains(name)) {
      fmt::print("{}: left out, another memory does not tell how it changes\n", name);
    }
  }
  return write(std::move(result), command.out);
}

std::shared_ptr<TableCommand> add_common(CLI::App& command) {
  auto options = std::make_shared<TableCommand>();
  command.add_option("input", options->files, "The files")->required();
  command.add_option("--out", options->out, "Profile to write; its samples stand beside it")
      ->required();
  return options;
}

}  // namespace

Profile import_aiconfigurator_tables(const std::vector<std::string>& files,
                                     const TableFilter& filter) {
  Profile profile;
  std::set<std::string> seen;
  for (const std::string& file : files) {
    if (!seen.insert(file).second) {
      throw InputError(SourceMark{file, 0, 0}, "", "named twice; leave one out");
    }
    add_recognised(profile, read_table_header(file), filter);
  }
  return profile;
}

Profile import_vidur_tables(const std::vector<std::string>& files) {
  // Models measured on one device belong into one table.
  Profile profile;
  for (const std::string& file : files) {
    const Table top = read_table_header(file);
    auto tables = top.header.front() == "op" ? read_vidur_network(file) : read_vidur_layers(file);
    for (auto& [name, table] : tables) {
      SampleTable& all = profile.samples[name];
      all.provenance = table.provenance;
      all.source += (all.source.empty() ? "" : "; ") + table.source;
      all.samples.insert(all.samples.end(), table.samples.begin(), table.samples.end());
    }
  }
  return profile;
}

Profile import_nccl_tables(const std::vector<std::string>& files, const std::string& operation) {
  // Runs on different numbers of ranks belong into one table.
  Profile profile;
  for (const std::string& file : files) {
    for (auto& [name, table] : read_nccl_tests(file, operation)) {
      SampleTable& all = profile.samples[name];
      all.provenance = table.provenance;
      all.source += (all.source.empty() ? "" : "; ") + table.source;
      all.samples.insert(all.samples.end(), table.samples.begin(), table.samples.end());
    }
  }
  return profile;
}

void add_table_imports(CLI::App& import_command, std::function<int()>& action) {
  auto* tables = import_command.add_subcommand(
      "aiconfigurator",
      "Operator tables of ai-dynamo/aiconfigurator as CSV, recognised by header, into a profile");
  const auto filter = add_common(*tables);
  tables->add_option("--system", filter->filter.system, "Machine, where a table holds several");
  tables->add_option("--framework", filter->filter.framework,
                     "Engine, where a table of all-reduces holds several");
  tables->callback([filter, &action] {
    action = [filter] {
      return write(import_aiconfigurator_tables(filter->files, filter->filter), filter->out);
    };
  });
  auto* vidur = import_command.add_subcommand(
      "vidur", "Layer and network profiles of microsoft/vidur as CSV, into a profile");
  vidur->callback([options = add_common(*vidur), &action] {
    action = [options] { return write(import_vidur_tables(options->files), options->out); };
  });
  auto* llm = import_command.add_subcommand(
      "llmservingsim",
      "A kernel profile of casys-kaist/LLMServingSim (NAME_dense.csv, NAME_per_sequence.csv and "
      "NAME_attention.csv), into a profile");
  const auto measured = std::make_shared<LayerProfileCommand>();
  llm->add_option("prefix", measured->prefix, "Path of the files up to \"attention.csv\"")
      ->required();
  llm->add_option("--model", measured->model, "Model that was measured, such as llama-3.1-8b")
      ->required();
  llm->add_option("--tensor", measured->tensor, "Tensor-parallel degree that was measured")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  llm->add_option("--out", measured->out, "Profile to write; its samples stand beside it")
      ->required();
  llm->callback([measured, &action] { action = [measured] { return run(*measured); }; });
  auto* transfer = import_command.add_subcommand(
      "transfer",
      "A profile's samples as a sister device would take them: the same architecture beside "
      "another memory, by the two datasheets");
  const auto sister = std::make_shared<TransferCommand>();
  transfer->add_option("profile", sister->measured, "Profile with samples")
      ->required()
      ->type_name("PROFILE.yaml");
  transfer->add_option("--from", sister->from, "Device that was measured, such as a100-sxm-80gb")
      ->required();
  transfer->add_option("--to", sister->to, "Device that was not, such as a100-sxm-40gb")
      ->required();
  transfer->add_option("--out", sister->out, "Profile to write; its samples stand beside it")
      ->required();
  transfer->callback([sister, &action] { action = [sister] { return run(*sister); }; });
  auto* nccl = import_command.add_subcommand("nccl-tests",
                                             "What an nccl-tests program printed, into a profile");
  const auto options = add_common(*nccl);
  nccl->add_option("--operation", options->operation,
                   "all_reduce, all_gather, reduce_scatter, all_to_all or send_recv")
      ->capture_default_str();
  nccl->callback([options, &action] {
    action = [options] {
      return write(import_nccl_tables(options->files, options->operation), options->out);
    };
  });
}

}  // namespace foretoken::importer
