#include "sim/cost/gemm_family.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "sim/core/error.h"
#include "sim/core/random.h"
#include "sim/cost/assumptions.h"
#include "sim/cost/gemm_format.h"
#include "sim/cost/work.h"

namespace foretoken {
namespace {

// Reads the numbers of a format under its own name first, then under the names it falls back to. A
// number borrowed from another format is at best derived.
class FormatNumbers {
 public:
  FormatNumbers(const Profile& profile, std::vector<std::string> names)
      : profile_(profile), names_(std::move(names)) {}

  std::optional<double> find(std::string_view what, Provenance& provenance) const {
    for (std::size_t i = 0; i < names_.size(); ++i) {
      if (const Parameter* found = profile_.find(fmt::format("gemm.{}.{}", names_[i], what))) {
        provenance = weakest(provenance, found->provenance);
        if (i > 0) {
          provenance = weakest(provenance, Provenance::derived);
        }
        return found->value;
      }
    }
    return std::nullopt;
  }
  double read(std::string_view what, double fallback, Provenance& provenance) const {
    if (const auto value = find(what, provenance)) {
      return *value;
    }
    provenance = Provenance::assumed;
    return fallback;
  }

 private:
  const Profile& profile_;
  std::vector<std::string> names_;
};

const SampleTable* find_samples(const Profile& profile, const std::string& format) {
  const auto it = profile.samples.find("gemm." + format);
  return it == profile.samples.end() || it->second.samples.empty() ? nullptr : &it->second;
}

// Where samples stand alone their own best figures serve as the roofline.
double highest_rate(const SampleTable& table) {
  double best = 0;
  for (const Sample& sample : table.samples) {
    if (sample.shape.size() == 3 && sample.seconds > 0) {
      best = std::max(best, 2.0 * static_cast<double>(sample.shape[0]) *
                                static_cast<double>(sample.shape[1]) *
                                static_cast<double>(sample.shape[2]) / sample.seconds);
    }
  }
  return best;
}

void check_samples(const Profile& profile, const std::string& format, const SampleTable& table) {
  for (const Sample& sample : table.samples) {
    const bool positive =
        sample.shape.size() == 3 &&
        std::all_of(sample.shape.begin(), sample.shape.end(), [](auto x) { return x > 0; });
    if (!positive || !(sample.seconds > 0) || !std::isfinite(sample.seconds)) {
      throw InputError(SourceMark{profile.file, 0, 0}, "samples.gemm." + format,
                       "a GEMM sample needs positive m, n, k and time; remove the row");
    }
  }
}

SampleGrid quantise_grid(const SampleTable& table) {
  std::vector<SampleGrid::Point> points;
  for (const Sample& sample : table.samples) {
    FT_CHECK(sample.shape.size() == 2 && sample.seconds > 0);
    points.push_back(
        {{static_cast<double>(sample.shape[0]), static_cast<double>(sample.shape[1]), 0, 0},
         sample.seconds});
  }
  return SampleGrid(std::move(points), 2, {});
}

double bandwidth_of(const Profile& profile, const FormatNumbers& numbers, Provenance& provenance) {
  const Parameter& bandwidth = profile.at("device.memory_bandwidth");
  provenance = weakest(provenance, bandwidth.provenance);
  if (const auto own = numbers.find("bandwidth_efficiency", provenance)) {
    return bandwidth.value * *own;
  }
  if (const Parameter* common = profile.find("device.bandwidth_efficiency")) {
    provenance = weakest(provenance, common->provenance);
    return bandwidth.value * common->value;
  }
  provenance = Provenance::assumed;
  return bandwidth.value * assumed::kBandwidthEfficiency;
}

}  // namespace

GemmFamily::GemmFamily(const Profile& profile, const Format& weights, const Format& activations)
    : neighbourhoods_(std::make_unique<AppendCache<GemmTable::Neighbourhood, 256>>()) {
  const std::vector<std::string> names = gemm_format_fallbacks(weights, activations);
  const FormatNumbers numbers(profile, names);
  const SampleTable* samples = find_samples(profile, names.front());
  const bool narrow = names.back() != "bf16" && names.back() != "fp32";
  const auto peak = numbers.find("peak", roofline_provenance_);
  if (peak) {
    roofline_.peak =
        *peak * numbers.read("efficiency", narrow ? assumed::kEfficiency8 : assumed::kEfficiency16,
                             roofline_provenance_);
  } else if (samples != nullptr) {
    roofline_.peak = highest_rate(*samples);
    roofline_provenance_ = weakest(samples->provenance, Provenance::derived);
  } else {
    throw InputError(
        SourceMark{profile.file, 0, 0}, fmt::format("gemm.{}.peak", names.front()),
        fmt::format("the profile \"{}\" knows no {} GEMM; state this peak, stack a profile "
                    "that has it, or choose another format",
                    profile.name, names.front()));
  }
  roofline_.t0 = numbers.read("t0", assumed::kGemmT0, roofline_provenance_);
  roofline_.bandwidth = bandwidth_of(profile, numbers, roofline_provenance_);
  roofline_.sms = static_cast<int>(profile.value_or("device.sms", 1));

  Provenance ignored = Provenance::measured;
  sd_family_ = numbers.read("sd_family", assumed::kSdFamily, ignored);
  sd_shape_ = numbers.read("sd_shape", assumed::kSdShape, ignored);
  sd_distance_ = numbers.read("sd_distance", samples ? assumed::kSdDistance : 0, ignored);
  key_ = hash_text("gemm." + names.front());
  if (samples != nullptr) {
    check_samples(profile, names.front(), *samples);
    GemmOp like;
    like.weights = weights;
    like.activations = activations;
    table_.emplace(samples->samples, roofline_, like);
    table_provenance_ = samples->provenance;
    const auto quantise = profile.samples.find("quantise." + names.front());
    if (quantise != profile.samples.end() && !quantise->second.samples.empty()) {
      quantise_.emplace(quantise_grid(quantise->second));
    }
  }
}

Estimate GemmFamily::price(const GemmOp& op) const {
  const std::uint64_t shape_key = hash_combine(
      key_, hash_combine(static_cast<std::uint64_t>(op.n), static_cast<std::uint64_t>(op.k)));
  Estimate estimate;
  estimate.seconds = roofline_.seconds(op);
  estimate.family_key = key_;
  estimate.shape_key = shape_key;
  estimate.sd_family = sd_family_;
  estimate.sd_shape = sd_shape_;
  estimate.provenance = roofline_provenance_;
  if (!table_) {
    return estimate;
  }
  // n and k are below 2^32, so this key is exact.
  const std::uint64_t exact_key =
      (static_cast<std::uint64_t>(op.n) << 32) | static_cast<std::uint64_t>(op.k);
  const GemmTable::Neighbourhood& neighbourhood =
      neighbourhoods_->get(exact_key, shape_key, [&] { return table_->neighbourhood(op.n, op.k); });
  const GemmTable::Prediction prediction = table_->predict(neighbourhood, op.m);
  estimate.seconds *= std::exp(prediction.log_residual);
  if (op.static_scales && quantise_) {
    const auto m = static_cast<double>(op.m), k = static_cast<double>(op.k);
    // At least what moving the operands takes.
    estimate.seconds = std::max(estimate.seconds - quantise_->at({m, k, 0, 0}).seconds,
                                gemm_bytes(op) / roofline_.bandwidth);
  }
  // The effect of a shape is known once the shape has been sampled.
  estimate.sd_shape =
      std::hypot(prediction.sampled ? 0 : sd_shape_, sd_distance_ * prediction.distance);
  estimate.extrapolated = !prediction.inside;
  // Between samples the roofline is no more than the curve of interpolation; beyond them it
  // carries.
  estimate.provenance =
      prediction.inside ? table_provenance_ : weakest(table_provenance_, roofline_provenance_);
  return estimate;
}

}  // namespace foretoken
