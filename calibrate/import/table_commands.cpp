#include "calibrate/import/table_commands.h"

#include <fmt/format.h>

#include <filesystem>
#include <map>
#include <memory>
#include <utility>

#include "calibrate/import/aiconfigurator.h"
#include "calibrate/import/nccl_tests.h"
#include "sim/config/profile_reader.h"
#include "sim/core/error.h"

namespace foretoken::importer {
namespace {

struct TableCommand {
  std::vector<std::string> files;
  std::string out, operation = "all_reduce";
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

std::shared_ptr<TableCommand> add_common(CLI::App& command) {
  auto options = std::make_shared<TableCommand>();
  command.add_option("input", options->files, "The files")->required();
  command.add_option("--out", options->out, "Profile to write; its samples stand beside it")
      ->required();
  return options;
}

}  // namespace

Profile import_gemm_tables(const std::vector<std::string>& files) {
  Profile profile;
  for (const std::string& file : files) {
    add_tables(profile, read_gemm_table(file), file);
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
  auto* gemm = import_command.add_subcommand(
      "aiconfigurator", "GEMM tables of ai-dynamo/aiconfigurator as CSV, into a profile");
  gemm->callback([options = add_common(*gemm), &action] {
    action = [options] { return write(import_gemm_tables(options->files), options->out); };
  });
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
