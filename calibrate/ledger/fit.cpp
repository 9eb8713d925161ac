#include "calibrate/ledger/fit.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <thread>

#include "calibrate/ledger/predict.h"
#include "sim/core/error.h"

namespace foretoken::calibrate {
namespace {

constexpr std::size_t kMostRows = 240;
constexpr double kTtftWeight = 0.1;
// Spreads of a group without rows: the widest that fits have left.
constexpr double kUnfittedTime = 0.16, kUnfittedTtft = 0.25;
// Of a normal distribution, the standard deviation over the median absolute deviation.
constexpr double kSdPerMedian = 1.4826;

struct Knob {
  double HostCosts::*value;
  double scale;  // where a search that starts at zero looks first, seconds
  double most;   // more is not a host's doing: a kernel's, then, which another GPU need not share
};

std::vector<Knob> knobs(bool serving) {
  constexpr double kAny = 1;
  if (serving) {
    return {{&HostCosts::step, 1e-3, kAny},
            {&HostCosts::sequence, 1e-5, kAny},
            {&HostCosts::prefill_step, 5e-3, 1.5e-2},
            {&HostCosts::request, 1e-2, kAny}};
  }
  return {{&HostCosts::step, 1e-3, kAny},
          {&HostCosts::sequence, 5e-6, kAny},
          {&HostCosts::ranks, 2e-3, kAny}};
}

// Constants that the rows hardly tell apart stay near a plain host's: e times the scale costs as
// much as this error.
constexpr double kRidge = 0.005;

double ridge(const std::vector<Knob>& knobs, const EngineConstants& constants) {
  double sum = 0;
  for (const Knob& knob : knobs) {
    const double distance =
        std::log(std::max(constants.host.*knob.value, 0.1 * knob.scale) / knob.scale);
    sum += kRidge * distance * distance;
  }
  return sum;
}

bool counts(const LedgerRow& row, const std::string& metric) {
  return metric != "ttft_ms" || !row.ttft_unexplained;
}

using Errors = std::map<bool, std::vector<double>>;  // by: is a TTFT; log ratios

Errors errors_of(const std::vector<const LedgerRow*>& rows, const TableCosts& costs,
                 const EngineConstants& constants, int threads) {
  std::vector<LedgerPrediction> predictions(rows.size());
  in_parallel(rows.size(), threads, [&](std::size_t i) {
    predictions[i] = predict(*rows[i], *costs.at(table_key(*rows[i])), constants, 0);
  });
  Errors errors;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    for (const auto& [metric, measured] : rows[i]->measured) {
      const auto predicted = predictions[i].value.find(metric);
      if (predicted != predictions[i].value.end() && measured > 0 && predicted->second > 0 &&
          counts(*rows[i], metric)) {
        errors[metric == "ttft_ms"].push_back(std::log(predicted->second / measured));
      }
    }
  }
  return errors;
}

double loss(const Errors& errors) {
  double sum = 0, weight = 0;
  for (const auto& [is_ttft, values] : errors) {
    const double w = is_ttft ? kTtftWeight : 1;
    for (const double value : values) {
      sum += w * std::abs(value);
      weight += w;
    }
  }
  return weight > 0 ? sum / weight : 0;
}

double robust_sd(std::vector<double> values) {
  if (values.empty()) {
    return 0;
  }
  for (double& value : values) {
    value = std::abs(value);
  }
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return kSdPerMedian * *middle;
}

EngineConstants plain_host(const std::vector<Knob>& knobs) {
  EngineConstants constants;
  for (const Knob& knob : knobs) {
    constants.host.*knob.value = knob.scale;
  }
  return constants;
}

// A descent along one constant at a time, which ends where it ends: it begins at a plain host or at
// `start`, whichever is better.
EngineConstants fit_group(const std::vector<const LedgerRow*>& rows, const TableCosts& costs,
                          const EngineConstants& start, int threads) {
  const bool serving = rows.front()->harness == Harness::serving;
  const std::vector<Knob> all = knobs(serving);
  EngineConstants best = plain_host(all);
  const auto score = [&](const EngineConstants& constants) {
    return loss(errors_of(rows, costs, constants, threads)) + ridge(all, constants);
  };
  double least = score(best);
  if (const double error = score(start); error < least) {
    least = error;
    best = start;
  }
  for (const double factor : {3.0, 1.8, 1.3, 1.3, 1.1}) {
    for (const Knob& knob : all) {
      const double now = best.host.*knob.value;
      for (const double candidate : {std::min(now * factor, knob.most), now / factor}) {
        EngineConstants trial = best;
        trial.host.*knob.value = candidate;
        const double error = score(trial);
        if (error < least) {
          least = error;
          best = trial;
        }
      }
    }
  }
  const Errors left = errors_of(rows, costs, best, threads);
  best.residual_time = left.contains(false) ? robust_sd(left.at(false)) : 0;
  best.residual_ttft = left.contains(true) ? robust_sd(left.at(true)) : serving ? kUnfittedTtft : 0;
  return best;
}

std::vector<const LedgerRow*> thinned(const std::vector<const LedgerRow*>& rows) {
  const std::size_t stride = (rows.size() + kMostRows - 1) / kMostRows;
  std::vector<const LedgerRow*> some;
  for (std::size_t i = 0; i < rows.size(); i += stride) {
    some.push_back(rows[i]);
  }
  return some;
}

}  // namespace

ConstantSet fit_constants(const std::vector<LedgerRow>& rows, const TableCosts& costs,
                          const ConstantSet& start, int threads) {
  std::map<std::string, std::vector<const LedgerRow*>> groups;
  for (const LedgerRow& row : rows) {
    groups[constant_group(row)].push_back(&row);
  }
  ConstantSet fitted = start;
  for (const auto& [group, members] : groups) {
    fitted.at(group) = fit_group(thinned(members), costs, start.at(group), threads);
  }
  // A kind of load that these rows do not hold keeps a plain host's times.
  for (auto& [group, constants] : fitted) {
    if (!groups.contains(group)) {
      constants = plain_host(knobs(group.find("serving") != std::string::npos));
      constants.residual_time = kUnfittedTime;
      constants.residual_ttft = kUnfittedTtft;
    }
  }
  return fitted;
}

void in_parallel(std::size_t count, int threads, const std::function<void(std::size_t)>& work) {
  std::atomic<std::size_t> next{0};
  std::vector<std::thread> workers;
  const int cores = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  const int wanted = threads > 0 ? threads : cores;
  workers.reserve(static_cast<std::size_t>(wanted));
  for (int i = 0; i < wanted; ++i) {
    workers.emplace_back([&] {
      for (std::size_t item = next++; item < count; item = next++) {
        work(item);
      }
    });
  }
  for (std::thread& worker : workers) {
    worker.join();
  }
}

}  // namespace foretoken::calibrate
