#include "calibrate/fit/transfer.h"

#include <fmt/format.h>

#include <cmath>
#include <utility>

#include "calibrate/fit/sample_price.h"

namespace foretoken::calibrate {

bool transfer_samples(const std::string& name, const CostModel& from, const CostModel& to,
                      SampleTable& table) {
  const bool known = name.starts_with("gemm.") || name.starts_with("attention.prefill.") ||
                     name.starts_with("attention.decode.") || name.starts_with("elementwise.");
  if (!known) {
    return false;
  }
  const SamplePrice price = sample_price(name);
  for (Sample& sample : table.samples) {
    const double before = price(from, sample).seconds;
    const double after = price(to, sample).seconds;
    const double change = after - before;
    const double in_proportion = sample.seconds * (after / before - 1);
    sample.seconds += std::abs(change) < std::abs(in_proportion) ? change : in_proportion;
  }
  table.provenance = weakest(table.provenance, Provenance::derived);
  table.source += fmt::format(" + {} - {}, datasheets", to.profile().name, from.profile().name);
  return true;
}

Profile transferred(const Profile& measured, Profile from, Profile to) {
  from.samples.clear();
  to.samples.clear();
  const CostModel old_device(std::move(from)), new_device(std::move(to));
  Profile result;
  result.device = new_device.profile().device;
  for (const auto& [name, table] : measured.samples) {
    SampleTable moved = table;
    if (transfer_samples(name, old_device, new_device, moved)) {
      result.samples.emplace(name, std::move(moved));
    }
  }
  return result;
}

}  // namespace foretoken::calibrate
