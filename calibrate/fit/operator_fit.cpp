#include "calibrate/fit/operator_fit.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <utility>

#include "calibrate/fit/search.h"
#include "sim/core/error.h"
#include "sim/core/random.h"

namespace foretoken::calibrate {
namespace {

constexpr double kQuantile90 = 1.6448536269514722;
// Errors beyond this many standard deviations are taken for accidents of one measurement.
constexpr double kOutlier = 3;
constexpr std::size_t kFolds = 10;

// Covariance settings as logarithms: sd, noise, one length for each axis.
using Logs = std::vector<double>;

ResidualField::Settings settings_of(const Logs& logs) {
  ResidualField::Settings settings;
  settings.sd = std::exp(logs[0]);
  settings.noise = std::exp(logs[1]);
  for (std::size_t i = 2; i < logs.size(); ++i) {
    settings.lengths.push_back(std::exp(logs[i]));
  }
  return settings;
}

struct Bounds {
  Logs start, low, high;
};

Bounds bounds_of(const ResidualField::Samples& samples) {
  double square = 0;
  for (const double residual : samples.residual) {
    square += residual * residual / static_cast<double>(samples.count());
  }
  Bounds bounds{{0.5 * std::log(square + 1e-6), std::log(0.02)},
                {std::log(0.01), std::log(0.005)},
                {std::log(2.0), std::log(0.3)}};
  for (std::size_t axis = 0; axis < samples.axes; ++axis) {
    double low = samples.at[axis];
    double high = low;
    for (std::size_t i = 0; i < samples.count(); ++i) {
      low = std::min(low, samples.at[i * samples.axes + axis]);
      high = std::max(high, samples.at[i * samples.axes + axis]);
    }
    const bool varies = high > low;
    const double log_range = varies ? std::log(high - low) : 0;
    bounds.start.push_back(log_range);
    bounds.low.push_back(varies ? log_range - 3 : 0);
    bounds.high.push_back(varies ? log_range + 4 : 0);
  }
  bounds.start[0] = std::clamp(bounds.start[0], bounds.low[0], bounds.high[0]);
  return bounds;
}

struct LeftOut {
  std::vector<double> error, sd;  // by sample
};

std::vector<std::vector<std::size_t>> members_of(const std::vector<int>& group) {
  std::map<int, std::vector<std::size_t>> members;
  for (std::size_t i = 0; i < group.size(); ++i) {
    members[group[i]].push_back(i);
  }
  std::vector<std::vector<std::size_t>> all;
  all.reserve(members.size());
  for (auto& [key, list] : members) {
    all.push_back(std::move(list));
  }
  return all;
}

// Every group predicted from the others, without refitting: with Q the inverse covariance and a =
// Q r, the errors of a group are (Q_gg)^-1 a_g and their variances the diagonal of (Q_gg)^-1
// (Rasmussen and Williams 2006, section 5.4.2).
LeftOut leave_groups_out(const ResidualField::Samples& samples, const Logs& logs,
                         const std::vector<std::vector<std::size_t>>& groups) {
  const std::size_t n = samples.count();
  const Cholesky factor(ResidualField::covariance(samples, settings_of(logs)), n);
  const std::vector<double> inverse = factor.inverse();
  LeftOut out{std::vector<double>(n), std::vector<double>(n)};
  for (const auto& group : groups) {
    const std::size_t size = group.size();
    std::vector<double> block(size * size), weighted(size, 0.0);
    for (std::size_t a = 0; a < size; ++a) {
      const double* const row = &inverse[group[a] * n];
      for (std::size_t b = 0; b < size; ++b) {
        block[a * size + b] = row[group[b]];
      }
      for (std::size_t j = 0; j < n; ++j) {
        weighted[a] += row[j] * samples.residual[j];
      }
    }
    const Cholesky inner(std::move(block), size);
    const std::vector<double> errors = inner.solve(weighted);
    const std::vector<double> covariance = inner.inverse();
    for (std::size_t a = 0; a < size; ++a) {
      out.error[group[a]] = errors[a];
      out.sd[group[a]] = std::sqrt(covariance[a * size + a]);
    }
  }
  return out;
}

// Minus the mean logarithm of a Laplace density of that standard deviation, whose tails errors of
// kernels resemble more than normal ones, and a weak pull of each length to its axis's range.
double score(const LeftOut& out, const Logs& logs, const Bounds& bounds) {
  constexpr double kPull = 0.003;
  double sum = 0;
  for (std::size_t i = 0; i < out.error.size(); ++i) {
    sum += std::log(out.sd[i]) + std::sqrt(2.0) * std::abs(out.error[i]) / out.sd[i];
  }
  double pull = 0;
  for (std::size_t i = 2; i < logs.size(); ++i) {
    pull += (logs[i] - bounds.start[i]) * (logs[i] - bounds.start[i]);
  }
  return sum / static_cast<double>(out.error.size()) + kPull * pull;
}

Logs fit_settings(const ResidualField::Samples& samples, const Bounds& bounds, const Logs& start,
                  const std::vector<std::vector<std::size_t>>& groups, int sweeps) {
  return minimise_steps(
      [&](const Logs& logs) {
        return score(leave_groups_out(samples, logs, groups), logs, bounds);
      },
      start, bounds.low, bounds.high, sweeps);
}

// Accidents get noise of their own as large as their error.
void mark_outliers(ResidualField::Samples& samples, const Logs& logs) {
  std::vector<std::vector<std::size_t>> single;
  for (std::size_t i = 0; i < samples.count(); ++i) {
    single.push_back({i});
  }
  const LeftOut out = leave_groups_out(samples, logs, single);
  samples.excess.assign(samples.count(), 0.0);
  for (std::size_t i = 0; i < samples.count(); ++i) {
    if (std::abs(out.error[i]) > kOutlier * out.sd[i]) {
      samples.excess[i] = std::abs(out.error[i]);
    }
  }
}

// The surprise of each sample as its neighbours of other groups foretell it.
std::vector<double> foretold(const ResidualField::Samples& samples, const std::vector<int>& group,
                             const ResidualField::Settings& settings) {
  std::vector<double> all;
  std::vector<char> same(samples.count());
  for (std::size_t i = 0; i < samples.count(); ++i) {
    std::transform(group.begin(), group.end(), same.begin(),
                   [&](int other) { return other == group[i] ? 1 : 0; });
    all.push_back(ResidualField::surprise_at(samples, settings,
                                             {&samples.at[i * samples.axes], samples.axes}, same));
  }
  return all;
}

// The spread by region from the errors on groups left out, and the one factor by which nine tenths
// of these errors, each judged by the surprises of the other groups, lie inside (normalised
// conformal intervals: Lei, G'Sell, Rinaldo, Tibshirani, Wasserman 2018, section 5.2).
// `spread`: what errors grow with, by sample. Returns the expected sd of each error.
std::vector<double> fit_spread(ResidualField::Samples& samples, const std::vector<int>& group,
                               const std::vector<double>& errors, const std::vector<double>& spread,
                               ResidualField::Settings& settings) {
  samples.surprise.clear();
  for (std::size_t i = 0; i < samples.count(); ++i) {
    samples.surprise.push_back(std::max(std::abs(errors[i]) / spread[i], 1e-4));
  }
  std::vector<double> sds = foretold(samples, group, settings);
  std::vector<double> ratios;
  for (std::size_t i = 0; i < samples.count(); ++i) {
    ratios.push_back(samples.surprise[i] / sds[i]);
  }
  settings.widen = quantile(ratios, 0.9) / kQuantile90;
  for (std::size_t i = 0; i < samples.count(); ++i) {
    sds[i] *= settings.widen * spread[i];
  }
  return sds;
}

// What errors grow with at each sample, were its group not measured: as at a call nobody measured,
// without the sample's own excess noise.
std::vector<double> spread_left_out(const ResidualField::Samples& samples, const Logs& logs,
                                    const std::vector<int>& group) {
  std::vector<double> spread = leave_groups_out(samples, logs, members_of(group)).sd;
  for (std::size_t i = 0; i < samples.count(); ++i) {
    const double variance = spread[i] * spread[i] - samples.excess[i] * samples.excess[i];
    spread[i] = ResidualField::spread_of(std::sqrt(std::max(variance, 1e-8)));
  }
  return spread;
}

std::vector<double> fit_parameters(const OperatorTable& table,
                                   const std::vector<std::size_t>& rows) {
  Logs start;
  for (const double value : table.start) {
    start.push_back(std::log(value));
  }
  const Logs low(start.size(), -60.0);
  const Logs high(start.size(), 60.0);
  std::vector<double> values(start.size());
  const Logs best = minimise_steps(
      [&](const Logs& logs) {
        std::transform(logs.begin(), logs.end(), values.begin(),
                       [](double x) { return std::exp(x); });
        double sum = 0;
        for (const std::size_t row : rows) {
          sum += std::abs(std::log(table.formula(row, values) / table.seconds[row]));
        }
        return sum / static_cast<double>(rows.size());
      },
      start, low, high, 40);
  std::transform(best.begin(), best.end(), values.begin(), [](double x) { return std::exp(x); });
  return values;
}

double mean_size(const std::vector<double>& errors) {
  double sum = 0;
  for (const double error : errors) {
    sum += std::abs(error) / static_cast<double>(errors.size());
  }
  return sum;
}

// Formula and covariance of some rows.
struct Core {
  std::vector<double> parameters;
  ResidualField::Samples samples;
  std::vector<int> group;
  Logs logs;
};

// `start`: covariance of a fit to more rows; nothing for the first one.
Core fit_core(const OperatorTable& table, const std::vector<std::size_t>& rows,
              const std::optional<Logs>& start) {
  Core core;
  core.parameters = fit_parameters(table, rows);
  core.samples.axes = table.axes;
  for (const std::size_t row : rows) {
    const auto where = table.where(row);
    core.samples.at.insert(core.samples.at.end(), where.begin(), where.end());
    core.samples.residual.push_back(
        std::log(table.seconds[row] / table.formula(row, core.parameters)));
    core.group.push_back(table.group[row]);
  }
  const auto groups = members_of(core.group);
  Bounds bounds = bounds_of(core.samples);
  if (start) {
    for (std::size_t i = 0; i < start->size(); ++i) {
      core.logs.push_back(std::clamp((*start)[i], bounds.low[i], bounds.high[i]));
    }
  } else {
    core.logs = fit_settings(core.samples, bounds, bounds.start, groups, 4);
  }
  mark_outliers(core.samples, core.logs);
  core.logs = fit_settings(core.samples, bounds, core.logs, groups, 2);
  return core;
}

// Errors on groups left out, by sample: of formula and field, of the formula alone.
struct CrossValidation {
  std::vector<double> whole, formula;
};

// Folds of whole groups, each predicted by a fit to the other folds.
CrossValidation cross_validate(const OperatorTable& table, const std::vector<std::size_t>& rows,
                               const Core& all) {
  const auto groups = members_of(all.group);
  const std::size_t folds = std::min(kFolds, groups.size());
  CrossValidation validation;
  validation.whole.resize(rows.size());
  validation.formula.resize(rows.size());
  for (std::size_t fold = 0; fold < folds; ++fold) {
    std::vector<std::size_t> known, unseen;
    for (std::size_t g = 0; g < groups.size(); ++g) {
      auto& side = g % folds == fold ? unseen : known;
      side.insert(side.end(), groups[g].begin(), groups[g].end());
    }
    std::vector<std::size_t> known_rows;
    known_rows.reserve(known.size());
    for (const std::size_t i : known) {
      known_rows.push_back(rows[i]);
    }
    if (known.empty()) {
      continue;
    }
    const Core core = fit_core(table, known_rows, all.logs);
    const ResidualField field(core.samples, settings_of(core.logs));
    for (const std::size_t i : unseen) {
      const auto prediction = field.at(table.where(rows[i]));
      const double formula =
          std::log(table.formula(rows[i], core.parameters) / table.seconds[rows[i]]);
      validation.formula[i] = formula;
      validation.whole[i] = formula + prediction.log_residual;
    }
  }
  return validation;
}

}  // namespace

OperatorFit fit_operator(const OperatorTable& table, const std::vector<std::size_t>& rows) {
  FT_CHECK(!rows.empty(), "no samples to fit");
  Core core = fit_core(table, rows, std::nullopt);
  const CrossValidation validation = cross_validate(table, rows, core);
  ResidualField::Settings settings = settings_of(core.logs);
  const bool helps = mean_size(validation.whole) < mean_size(validation.formula);
  if (!helps) {
    settings.sd = 0;
    settings.noise = 1;
  }
  const std::vector<double>& errors = helps ? validation.whole : validation.formula;
  const std::vector<double> spread = helps ? spread_left_out(core.samples, core.logs, core.group)
                                           : std::vector<double>(rows.size(), 1.0);
  const std::vector<double> sds = fit_spread(core.samples, core.group, errors, spread, settings);
  return {core.parameters, ResidualField(std::move(core.samples), std::move(settings)),
          summarise_errors(errors, sds)};
}

OperatorErrors test_operator_fit(const OperatorTable& table, const OperatorFit& fit,
                                 const std::vector<double>& parameters,
                                 const std::vector<std::size_t>& rows) {
  OperatorErrors errors;
  for (const std::size_t row : rows) {
    const ResidualField::Prediction prediction = fit.field.at(table.where(row));
    errors.log_error.push_back(std::log(table.formula(row, parameters) / table.seconds[row]) +
                               prediction.log_residual);
    errors.sd.push_back(prediction.sd);
  }
  return errors;
}

std::vector<std::size_t> choose_spread(const OperatorTable& table,
                                       const std::vector<std::size_t>& candidates,
                                       std::size_t count) {
  constexpr double kShare = 0.05;  // of the candidates that compete for each place
  FT_CHECK(!candidates.empty());
  std::vector<double> low(table.axes, std::numeric_limits<double>::infinity());
  std::vector<double> scale(table.axes, 0.0);
  for (const std::size_t row : candidates) {
    for (std::size_t axis = 0; axis < table.axes; ++axis) {
      low[axis] = std::min(low[axis], table.where(row)[axis]);
    }
  }
  for (const std::size_t row : candidates) {
    for (std::size_t axis = 0; axis < table.axes; ++axis) {
      scale[axis] = std::max(scale[axis], table.where(row)[axis] - low[axis]);
    }
  }
  RandomStream random(1, "choose_spread");
  std::vector<double> nearest(candidates.size(), std::numeric_limits<double>::infinity());
  std::vector<std::size_t> chosen;
  std::size_t next = 0;
  while (true) {
    chosen.push_back(candidates[next]);
    if (chosen.size() == std::min(count, candidates.size())) {
      return chosen;
    }
    std::size_t best = candidates.size();
    std::size_t farthest = 0;
    for (std::size_t i = 0; i < candidates.size(); ++i) {
      double squared = 0;
      for (std::size_t axis = 0; axis < table.axes; ++axis) {
        if (scale[axis] > 0) {
          const double d =
              (table.where(candidates[i])[axis] - table.where(candidates[next])[axis]) /
              scale[axis];
          squared += d * d;
        }
      }
      nearest[i] = i == next ? -1 : std::min(nearest[i], squared);
      farthest = nearest[i] > nearest[farthest] ? i : farthest;
      if (random.uniform() < kShare && nearest[i] > 0 &&
          (best == candidates.size() || nearest[i] > nearest[best])) {
        best = i;
      }
    }
    next = best == candidates.size() ? farthest : best;
  }
}

}  // namespace foretoken::calibrate
