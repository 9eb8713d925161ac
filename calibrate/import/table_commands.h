// `foretoken import aiconfigurator|vidur|llmservingsim|nccl-tests`: other people's operator tables
// into a profile, to be stacked on one that knows the device (`profile: [h100-sxm,
// imported.yaml]`). `foretoken import transfer`: such a profile for a sister of that device.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <vector>

#include "sim/spec/profile.h"

namespace foretoken::importer {

// Which rows of tables that hold several machines. Empty: refused where there are several.
struct TableFilter {
  std::string system;     // "h100_sxm"
  std::string framework;  // "trtllm"
};
// Tables of ai-dynamo/aiconfigurator, each recognised by its header. The same table in two files is
// an error, except for quantisation, where the kernels of several files follow one another.
Profile import_aiconfigurator_tables(const std::vector<std::string>& files,
                                     const TableFilter& filter = {});
Profile import_vidur_tables(const std::vector<std::string>& files);
Profile import_nccl_tables(const std::vector<std::string>& files, const std::string& operation);

void add_table_imports(CLI::App& import_command, std::function<int()>& action);

}  // namespace foretoken::importer
