// `foretoken import aiconfigurator|nccl-tests`: other people's operator tables into a profile, to
// be stacked on one that knows the device (`profile: [h100-sxm, imported.yaml]`).
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <vector>

#include "sim/spec/profile.h"

namespace foretoken::importer {

// Tables of several files in one profile; the same table in two files is an error.
Profile import_gemm_tables(const std::vector<std::string>& files);
Profile import_nccl_tables(const std::vector<std::string>& files, const std::string& operation);

void add_table_imports(CLI::App& import_command, std::function<int()>& action);

}  // namespace foretoken::importer
