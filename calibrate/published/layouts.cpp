#include "calibrate/published/layouts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <utility>

#include "calibrate/published/cases.h"
#include "calibrate/published/operator_tables.h"
#include "sim/config/profile_reader.h"
#include "sim/cost/cost_model.h"

namespace foretoken::calibrate {
namespace {

using Measurements = std::vector<importer::AttentionMeasurement>;

Sample sample_of(const importer::AttentionMeasurement& row) {
  const AttentionOp& op = row.op;
  return {{op.heads, op.kv_heads, op.head_dim, op.window, row.batch, row.tokens}, row.seconds};
}

// The device's datasheet with some measured calls.
class Pricing {
 public:
  explicit Pricing(const TableCase& test)
      : profile_(
            config::read_profile(fmt::format("calibrate/profiles/{}.yaml", test.device->profile))) {
  }

  CostModel model(const std::string& table, const Measurements& rows,
                  const std::vector<std::size_t>& known) const {
    Profile profile = profile_;
    SampleTable& samples = profile.samples[table];
    samples.provenance = Provenance::imported;
    for (const std::size_t i : known) {
      samples.samples.push_back(sample_of(rows[i]));
    }
    return CostModel(std::move(profile));
  }

 private:
  Profile profile_;
};

// Some calls, predicted from the others.
class Trial {
 public:
  Trial(const Pricing& pricing, std::string table, const Measurements& rows)
      : pricing_(pricing), table_(std::move(table)), rows_(rows) {}

  void predict(const std::vector<std::size_t>& known, const std::vector<std::size_t>& unseen) {
    if (known.empty()) {
      return;
    }
    const CostModel model = pricing_.model(table_, rows_, known);
    for (const std::size_t i : unseen) {
      const Estimate estimate = model.attention(rows_[i].op);
      log_errors_.push_back(std::log(estimate.seconds / rows_[i].seconds));
      sds_.push_back(estimate.sd_family);
    }
  }
  HeldOut take() {
    const HeldOut result = summarise_errors(log_errors_, sds_);
    log_errors_.clear();
    sds_.clear();
    return result;
  }

 private:
  const Pricing& pricing_;
  std::string table_;
  const Measurements& rows_;
  std::vector<double> log_errors_, sds_;
};

std::vector<std::size_t> rows_where(const Measurements& rows,
                                    const std::function<bool(std::size_t)>& wanted) {
  std::vector<std::size_t> found;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (wanted(i)) {
      found.push_back(i);
    }
  }
  return found;
}

void predict_large_calls(Trial& trial, const Measurements& rows) {
  constexpr double kLarge = 0.25;
  const auto size = [&](std::size_t i) {
    return static_cast<double>(rows[i].batch) * static_cast<double>(rows[i].tokens);
  };
  std::vector<int> layout;
  std::map<std::vector<std::int64_t>, int> layouts;
  std::vector<double> largest;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const AttentionOp& op = rows[i].op;
    const auto [found, fresh] =
        layouts.emplace(std::vector<std::int64_t>{op.heads, op.kv_heads, op.head_dim, op.window},
                        static_cast<int>(largest.size()));
    if (fresh) {
      largest.push_back(0);
    }
    layout.push_back(found->second);
    double& most = largest[static_cast<std::size_t>(found->second)];
    most = std::max(most, size(i));
  }
  for (std::size_t l = 0; l < largest.size(); ++l) {
    const auto large = [&](std::size_t i) {
      return layout[i] == static_cast<int>(l) && size(i) > kLarge * largest[l];
    };
    trial.predict(rows_where(rows, [&](std::size_t i) { return !large(i); }),
                  rows_where(rows, large));
  }
}

LayoutRow layout_row(const std::filesystem::path& ops, const TableCase& test, bool decode) {
  LayoutRow result;
  result.family =
      fmt::format("{} attention, {} cache", decode ? "generation" : "context", test.format);
  result.device = test.device->name;
  result.file = fmt::format("attention/{}_{}", decode ? "generation" : "context", test.file);
  const Format kv_cache = parse_format(test.format, FormatRole::kv_cache);
  Measurements rows;
  for (auto& row : importer::read_attention_table((ops / result.file).string())) {
    if (row.compute == kBf16 && row.op.kv_cache == kv_cache) {
      rows.push_back(std::move(row));
    }
  }
  const Pricing pricing(test);
  Trial trial(pricing, fmt::format("attention.{}.{}", decode ? "decode" : "prefill", test.format),
              rows);
  const auto half = attention_operator_table(rows, kBf16, kv_cache, test.device->sms).half;
  trial.predict(half[0], half[1]);
  trial.predict(half[1], half[0]);
  result.layouts = trial.take();
  predict_large_calls(trial, rows);
  result.large = trial.take();
  const auto plain = [&](std::size_t i) {
    return rows[i].op.head_dim == 128 && rows[i].op.window == 0;
  };
  trial.predict(rows_where(rows, plain), rows_where(rows, std::not_fn(plain)));
  result.head_sizes = trial.take();
  return result;
}

}  // namespace

std::vector<LayoutRow> evaluate_other_layouts(const std::filesystem::path& ops) {
  std::vector<LayoutRow> rows;
  for (const bool decode : {false, true}) {
    for (const TableCase& test : kAttentionCases) {
      rows.push_back(layout_row(ops, test, decode));
    }
  }
  return rows;
}

}  // namespace foretoken::calibrate
