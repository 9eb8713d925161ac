#include "calibrate/fit/gemm_fit.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "calibrate/fit/search.h"
#include "sim/core/error.h"
#include "sim/core/random.h"
#include "sim/cost/gemm_table.h"
#include "sim/cost/work.h"

namespace foretoken::calibrate {
namespace {

constexpr int kFolds = 5;
constexpr double kQuantile90 = 1.6448536269514722;  // of the normal distribution, two-sided 90 %

GemmOp op_of(const Sample& sample, const GemmOp& like) {
  GemmOp op = like;
  op.m = sample.shape[0];
  op.n = sample.shape[1];
  op.k = sample.shape[2];
  return op;
}

// One prediction of a sample that was left out.
struct Miss {
  Sample sample;
  double log_error = 0;           // of the whole model
  double roofline_log_error = 0;  // without neighbours
  double distance = 0;
  bool sampled = false;  // another m of the same (n, k) was known
};

int fold_of(const Sample& sample) {
  return static_cast<int>(hash_combine(static_cast<std::uint64_t>(sample.shape[1]),
                                       static_cast<std::uint64_t>(sample.shape[2])) %
                          kFolds);
}

void predict_all(std::span<const Sample> known, std::span<const Sample> unseen,
                 const GemmRoofline& roofline, const GemmOp& like, std::vector<Miss>& trials) {
  const GemmTable table(known, roofline, like);
  for (const Sample& sample : unseen) {
    const GemmOp op = op_of(sample, like);
    const GemmTable::Prediction prediction = table.predict(op);
    const double error = std::log(roofline.seconds(op) / sample.seconds);
    trials.push_back(
        {sample, error + prediction.log_residual, error, prediction.distance, prediction.sampled});
  }
}

// Whole (n, k) groups are left out together: a layer nobody measured.
std::vector<Miss> leave_shapes_out(std::span<const Sample> samples, const GemmOp& like, int sms) {
  std::vector<Miss> trials;
  for (int fold = 0; fold < kFolds; ++fold) {
    std::vector<Sample> known, unseen;
    for (const Sample& sample : samples) {
      (fold_of(sample) == fold ? unseen : known).push_back(sample);
    }
    if (!known.empty() && !unseen.empty()) {
      predict_all(known, unseen, fit_roofline(known, like, sms), like, trials);
    }
  }
  return trials;
}

// Every other m of each (n, k) is left out: a batch size nobody measured, on a layer somebody did.
std::vector<Miss> leave_m_out(std::span<const Sample> samples, const GemmRoofline& roofline,
                              const GemmOp& like) {
  std::map<std::pair<std::int64_t, std::int64_t>, std::vector<Sample>> groups;
  for (const Sample& sample : samples) {
    groups[{sample.shape[1], sample.shape[2]}].push_back(sample);
  }
  std::vector<Miss> trials;
  for (const std::size_t parity : {0U, 1U}) {
    std::vector<Sample> known, unseen;
    for (auto& [shape, group] : groups) {
      std::sort(group.begin(), group.end(),
                [](const Sample& a, const Sample& b) { return a.shape[0] < b.shape[0]; });
      for (std::size_t i = 0; i < group.size(); ++i) {
        const bool inner = i > 0 && i + 1 < group.size();
        (inner && i % 2 == parity ? unseen : known).push_back(group[i]);
      }
    }
    predict_all(known, unseen, roofline, like, trials);
  }
  return trials;
}

double spread(const GemmFit& fit, double distance, bool sampled) {
  return std::hypot(fit.sd_family, sampled ? 0 : fit.sd_shape, fit.sd_distance * distance);
}

// Interval score of Gneiting and Raftery (2007, eq. 43) for 90 % intervals: the width, plus twenty
// times what sticks out. The least expected score belongs to the true quantiles, so that minimising
// it gives intervals that cover and are no wider than that needs.
double interval_score(const std::vector<Miss>& trials, const GemmFit& fit) {
  double sum = 0;
  for (const Miss& trial : trials) {
    const double half = kQuantile90 * spread(fit, trial.distance, trial.sampled);
    sum += 2 * half + 20 * std::max(0.0, std::abs(trial.log_error) - half);
  }
  return sum;
}

// The value of one spread that gives the least score, the others as they are.
double best_spread(const std::vector<Miss>& trials, GemmFit fit, double GemmFit::*which) {
  return minimise_log(
      [&](const std::vector<double>& p) {
        fit.*which = p[0];
        return interval_score(trials, fit);
      },
      {0.05})[0];
}

double p90_of(const std::vector<Miss>& trials, double Miss::*error) {
  std::vector<double> errors;
  errors.reserve(trials.size());
  for (const Miss& trial : trials) {
    errors.push_back(std::abs(trial.*error));
  }
  return errors.empty() ? 0 : quantile(errors, 0.9);
}

}  // namespace

HeldOut summarise_errors(const std::vector<double>& log_errors, const std::vector<double>& sds) {
  HeldOut held_out;
  held_out.samples = static_cast<int>(log_errors.size());
  if (log_errors.empty()) {
    return held_out;
  }
  std::vector<double> relative, widths;
  int inside = 0;
  for (std::size_t i = 0; i < log_errors.size(); ++i) {
    relative.push_back(std::abs(std::expm1(log_errors[i])));
    inside += std::abs(log_errors[i]) <= kQuantile90 * sds[i] ? 1 : 0;
    widths.push_back(std::sinh(kQuantile90 * sds[i]));  // half of exp(+q sd) - exp(-q sd)
  }
  held_out.mean = mean(relative);
  held_out.median = quantile(relative, 0.5);
  held_out.p90 = quantile(relative, 0.9);
  held_out.coverage = static_cast<double>(inside) / static_cast<double>(log_errors.size());
  held_out.half_width = quantile(widths, 0.5);
  return held_out;
}

HeldOut test_gemm_fit(const GemmFit& fit, const GemmRoofline& roofline,
                      std::span<const Sample> known, std::span<const Sample> unseen,
                      const GemmOp& like) {
  const GemmTable table(known, fit.roofline, like);
  std::vector<double> errors, sds;
  for (const Sample& sample : unseen) {
    const GemmOp op = op_of(sample, like);
    const GemmTable::Prediction prediction = table.predict(op);
    errors.push_back(std::log(roofline.seconds(op) / sample.seconds) + prediction.log_residual);
    sds.push_back(spread(fit, prediction.distance, prediction.sampled));
  }
  return summarise_errors(errors, sds);
}

GemmRoofline fit_roofline(std::span<const Sample> samples, const GemmOp& like, int sms) {
  FT_CHECK(!samples.empty(), "no samples to fit");
  GemmRoofline start{1e-9, 1, 1, sms};
  double shortest = samples.front().seconds;
  for (const Sample& sample : samples) {
    const GemmOp op = op_of(sample, like);
    start.peak = std::max(start.peak, gemm_flops(op) / sample.seconds);
    start.bandwidth = std::max(start.bandwidth, gemm_bytes(op) / sample.seconds);
    shortest = std::min(shortest, sample.seconds);
  }
  const auto cost = [&](const std::vector<double>& p) {
    const GemmRoofline roofline{p[0], p[1], p[2], sms};
    double sum = 0;
    for (const Sample& sample : samples) {
      sum += std::abs(std::log(roofline.seconds(op_of(sample, like)) / sample.seconds));
    }
    return sum;
  };
  const auto best = minimise_log(cost, {shortest / 2, start.peak, start.bandwidth});
  return {best[0], best[1], best[2], sms};
}

GemmFit fit_gemm(std::span<const Sample> samples, const GemmOp& like, int sms,
                 double repeatability) {
  GemmFit fit;
  fit.roofline = fit_roofline(samples, like, sms);
  fit.sd_family = std::max(repeatability, 0.005);
  const std::vector<Miss> near = leave_m_out(samples, fit.roofline, like);
  const std::vector<Miss> far = leave_shapes_out(samples, like, sms);
  fit.sd_distance = best_spread(near, fit, &GemmFit::sd_distance);
  fit.sd_shape = best_spread(far, fit, &GemmFit::sd_shape);
  fit.table_helps = p90_of(far, &Miss::log_error) < p90_of(far, &Miss::roofline_log_error);
  std::vector<double> errors, sds;
  for (const Miss& trial : far) {
    errors.push_back(trial.log_error);
    sds.push_back(spread(fit, trial.distance, trial.sampled));
    fit.unseen.push_back({trial.sample.shape, trial.sample.seconds,
                          trial.sample.seconds * std::exp(trial.log_error), sds.back()});
  }
  fit.unseen_shapes = summarise_errors(errors, sds);
  return fit;
}

}  // namespace foretoken::calibrate
