#include "calibrate/published/sisters.h"

#include <fmt/format.h>

#include <cmath>
#include <map>

#include "calibrate/fit/transfer.h"
#include "calibrate/import/table_commands.h"
#include "sim/config/profile_reader.h"

namespace foretoken::calibrate {
namespace {

using Times = std::map<std::vector<std::int64_t>, double>;  // s by shape

Times times_of(const SampleTable& table) {
  Times times;
  for (const Sample& sample : table.samples) {
    times.emplace(sample.shape, sample.seconds);
  }
  return times;
}

HeldOut compare(const Times& predicted, const Times& measured) {
  std::vector<double> log_errors;
  for (const auto& [shape, seconds] : measured) {
    if (const auto found = predicted.find(shape); found != predicted.end()) {
      log_errors.push_back(std::log(found->second / seconds));
    }
  }
  return summarise_errors(log_errors, std::vector<double>(log_errors.size(), 0));
}

Profile tables_of(const std::filesystem::path& ops, const std::string& system) {
  const std::string name = system + "_trtllm_1.3.0rc20.csv";
  return importer::import_aiconfigurator_tables({ops / "gemm" / name,
                                                 ops / "attention" / ("context_" + name),
                                                 ops / "attention" / ("generation_" + name)});
}

Profile datasheet(const char* profile) {
  return config::read_profile(fmt::format("calibrate/profiles/{}.yaml", profile));
}

}  // namespace

std::vector<SisterRow> evaluate_sisters(const std::filesystem::path& ops) {
  const Profile from = tables_of(ops, "h100_sxm"), to = tables_of(ops, "h200_sxm");
  const Profile moved = transferred(from, datasheet("h100-sxm"), datasheet("h200-sxm"));
  std::vector<SisterRow> rows;
  for (const auto& [name, table] : moved.samples) {
    if (const auto measured = to.samples.find(name); measured != to.samples.end()) {
      const Times times = times_of(measured->second);
      rows.push_back(
          {name, compare(times_of(table), times), compare(times_of(from.samples.at(name)), times)});
    }
  }
  return rows;
}

}  // namespace foretoken::calibrate
