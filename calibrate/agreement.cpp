#include "calibrate/agreement.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "calibrate/fit/held_out.h"
#include "calibrate/fit/sample_price.h"
#include "calibrate/fit/search.h"
#include "sim/core/error.h"

namespace foretoken::calibrate {
namespace {

constexpr double kQuantile90 = 1.6448536269514722;

struct Difference {
  double relative = 0;
  double half_width = 0;
};

Agreement summary(const std::string& table, const std::vector<Difference>& differences) {
  std::vector<double> relative, widths;
  int within = 0;
  for (const Difference& one : differences) {
    relative.push_back(one.relative);
    widths.push_back(one.half_width);
    within += one.relative <= one.half_width ? 1 : 0;
  }
  return {table,
          static_cast<int>(differences.size()),
          quantile(relative, 0.5),
          quantile(relative, 0.9),
          quantile(widths, 0.5),
          static_cast<double>(within) / static_cast<double>(differences.size())};
}

std::string row(const Agreement& one) {
  return fmt::format("{:<34}{:>7}{:>8.1f} %{:>8.1f} %{:>10.1f} %{:>8.0f} %\n", one.table, one.calls,
                     100 * one.median, 100 * one.p90, 100 * one.half_width, 100 * one.within);
}

}  // namespace

std::vector<Agreement> agreement(const Profile& first, const Profile& second) {
  if (first.device != second.device) {
    throw InputError(SourceMark{second.file, 0, 0}, "device",
                     fmt::format("this profile is of \"{}\", the other of \"{}\"; compare two "
                                 "calibrations of one device",
                                 second.device, first.device));
  }
  const CostModel models[2] = {CostModel(priceable(first)), CostModel(priceable(second))};
  std::vector<Agreement> rows;
  std::vector<Difference> all;
  for (const auto& [table, samples] : first.samples) {
    const auto other = second.samples.find(table);
    const SamplePrice price = sample_price(table);
    if (other == second.samples.end() || !price) {
      continue;
    }
    std::set<std::vector<std::int64_t>> shapes;
    for (const auto* list : {&samples.samples, &other->second.samples}) {
      for (const Sample& sample : *list) {
        shapes.insert(sample.shape);
      }
    }
    std::vector<Difference> differences;
    differences.reserve(shapes.size());
    for (const auto& shape : shapes) {
      const Estimate a = price(models[0], {shape, 0});
      const Estimate b = price(models[1], {shape, 0});
      const double sd =
          std::min(std::hypot(a.sd_family, a.sd_shape), std::hypot(b.sd_family, b.sd_shape));
      differences.push_back(
          {std::expm1(std::abs(std::log(b.seconds / a.seconds))), std::expm1(kQuantile90 * sd)});
    }
    rows.push_back(summary(table, differences));
    all.insert(all.end(), differences.begin(), differences.end());
  }
  if (rows.empty()) {
    throw InputError(SourceMark{second.file, 0, 0}, "samples",
                     "no table of measured operators in common with the other profile; calibrate "
                     "both with the same --only and --formats");
  }
  rows.push_back(summary("all", all));
  return rows;
}

std::string describe(const std::vector<Agreement>& rows) {
  std::string text = fmt::format("{:<34}{:>7}{:>10}{:>10}{:>12}{:>10}\n", "table", "calls",
                                 "median", "p90", "half-width", "within");
  for (const Agreement& one : rows) {
    text += row(one);
  }
  return text;
}

}  // namespace foretoken::calibrate
