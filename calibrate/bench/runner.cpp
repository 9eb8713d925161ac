#include "calibrate/bench/runner.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <optional>
#include <utility>

#include "calibrate/bench/pace.h"
#include "sim/core/random.h"

namespace foretoken::calibrate {
namespace {

constexpr double kAgree = 1.05;  // of the fastest quiet passes, or a further one decides
constexpr int kMostRounds = 200;
constexpr std::size_t kMostVisits = 500;  // of a round: then it is seen anew who needs one
constexpr int kPatience = 200;            // readings of the sentinel until a case is left for later
constexpr std::size_t kLearned = 50;      // passes of the first sweep, then its limits are renewed
constexpr int kSmallTable = 50;           // samples
constexpr std::size_t kMostQuiet = 8;     // after as many passes the median is what there is
constexpr std::size_t kAround = 3;        // quiet passes on either side of one that tell its pace

using CaseKey = std::pair<std::string, std::vector<std::int64_t>>;

std::vector<std::size_t> shuffled(std::size_t count, int round) {
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  RandomStream random(static_cast<std::uint64_t>(round) + 1, "calibrate.order");
  for (std::size_t i = count; i > 1; --i) {
    const auto other = random.uniform_int(0, static_cast<std::int64_t>(i) - 1);
    std::swap(order[i - 1], order[static_cast<std::size_t>(other)]);
  }
  return order;
}

// Whether a pass was quiet: by the sentinel's readings on as many cores, as two that share a cache
// or an execution unit slow each other down.
class Quiet {
 public:
  Quiet(const std::vector<PassResult>& passes, double tolerance) : tolerance_(tolerance) {
    std::map<int, std::vector<double>> readings;
    for (const PassResult& pass : passes) {
      readings[pass.cores].push_back(pass.sentinel);
    }
    for (auto& [cores, values] : readings) {
      usual_[cores] = usual_reading(std::move(values));
    }
  }
  bool operator()(const PassResult& pass) const { return (*this)(pass.sentinel, pass.cores); }
  bool operator()(double sentinel, int cores) const { return level(sentinel, cores) <= tolerance_; }
  // 1: as usual.
  double level(double sentinel, int cores) const { return sentinel / usual_.at(cores); }
  bool knows(int cores) const { return usual_.contains(cores); }

 private:
  double tolerance_;
  std::map<int, double> usual_;
};

double lower_median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>((values.size() - 1) / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// The passes' times at the usual pace: what the sentinel said during the quiet ones around each is
// that pass's own.
std::vector<double> at_usual_pace(const std::vector<PassResult>& passes, const Quiet& is_quiet) {
  std::vector<std::size_t> quiet;
  for (std::size_t i = 0; i < passes.size(); ++i) {
    if (is_quiet(passes[i])) {
      quiet.push_back(i);
    }
  }
  std::vector<double> seconds;
  seconds.reserve(passes.size());
  for (std::size_t i = 0; i < passes.size(); ++i) {
    const auto here =
        static_cast<std::size_t>(std::lower_bound(quiet.begin(), quiet.end(), i) - quiet.begin());
    std::vector<double> levels;
    for (std::size_t n = here - std::min(here, kAround); n < std::min(quiet.size(), here + kAround);
         ++n) {
      const PassResult& near = passes[quiet[n]];
      levels.push_back(is_quiet.level(near.sentinel, near.cores));
    }
    const double pace = levels.empty() ? 1 : lower_median(std::move(levels));
    const PassResult& pass = passes[i];
    seconds.push_back(at_pace(pass.seconds, pace_elasticity(pass.family, pass.shape), pace, 1));
  }
  return seconds;
}

// Quiet passes that have to agree. Two cores see each other's neighbours, and the host may move one
// of them: one pass more.
std::size_t wanted_quiet(int cores) { return cores > 1 ? 3 : 2; }

// Sorted quiet passes.
bool settled(const std::vector<double>& seconds, int cores) {
  const std::size_t wanted = wanted_quiet(cores);
  return (seconds.size() >= wanted && seconds[wanted - 1] <= kAgree * seconds[0]) ||
         seconds.size() >= kMostQuiet;
}

// Of sorted quiet passes: the median; where enough agree, of those that do. The others did the same
// work, and what they took longer was something that came between two readings of the sentinel.
double settled_seconds(const std::vector<double>& seconds, int cores) {
  auto end = seconds.end();
  const auto agreeing = std::upper_bound(seconds.begin(), seconds.end(), kAgree * seconds.front());
  if (agreeing - seconds.begin() >= static_cast<std::ptrdiff_t>(wanted_quiet(cores))) {
    end = agreeing;
  }
  const auto count = static_cast<std::size_t>(end - seconds.begin());
  return (seconds[(count - 1) / 2] + seconds[count / 2]) / 2;
}

class Runner {
 public:
  Runner(const std::vector<BenchCase>& cases, const RunnerOptions& options,
         const Sentinel& sentinel, Journal& journal, const RunProgress& progress)
      : cases_(cases),
        options_(options),
        sentinel_(sentinel),
        journal_(journal),
        progress_(progress),
        begin_(now_seconds()) {
    for (const PassResult& pass : journal.results()) {
      ++done_[{pass.family, pass.shape}];
    }
    for (const BenchCase& bench : cases) {
      wanted_ += wanted_quiet(bench.cores);
    }
  }

  RunResult run() {
    std::vector<std::size_t> fresh = shuffled(cases_.size(), 0);
    std::erase_if(fresh, [this](std::size_t i) { return done_[key(cases_[i])] > 0; });
    std::optional<Quiet> so_far;
    for (std::size_t n = 0; n < fresh.size(); ++n) {
      if (!may_go_on()) {
        return summary();
      }
      if (n % kLearned == 0 && !journal_.results().empty()) {
        so_far.emplace(journal_.results(), options_.quiet);
      }
      const BenchCase& bench = cases_[fresh[n]];
      if (so_far && so_far->knows(bench.cores)) {
        wait_for_quiet(*so_far, bench.cores);  // if there is none, noisy times are better than none
      }
      measure(bench);
    }
    for (int round = 1; round <= kMostRounds; ++round) {
      const Quiet is_quiet(journal_.results(), options_.quiet);
      const auto unsettled = unsettled_cases(is_quiet, round);
      for (const std::size_t i : unsettled) {
        if (!may_go_on()) {
          return summary();
        }
        if (wait_for_quiet(is_quiet, cases_[i].cores)) {
          measure(cases_[i]);
        }
      }
    }
    return summary();
  }

 private:
  static CaseKey key(const BenchCase& bench) { return {bench.family, bench.shape}; }
  bool stopped() const { return options_.stop != nullptr && options_.stop->load(); }
  bool may_go_on() const { return !stopped() && now_seconds() - begin_ < options_.budget; }

  void measure(const BenchCase& bench) {
    const double elapsed = now_seconds() - begin_;
    // So many passes are what a quiet machine needs.
    const double share = std::min(
        0.99, static_cast<double>(journal_.results().size()) / static_cast<double>(wanted_));
    const double left = options_.budget - elapsed;
    const bool known = measured_ > 20;  // how long one takes
    progress_(bench.family, share, known ? std::min(left, elapsed * (1 / share - 1)) : left);
    const double before = sentinel_(bench.cores);
    const Timing timing = bench.measure(options_.seconds_per_pass);
    const double around = std::max(before, sentinel_(bench.cores));
    journal_.append({bench.family, bench.shape, done_[key(bench)], timing.*bench.statistic,
                     timing.best, timing.p90, timing.samples, around, bench.cores});
    ++done_[key(bench)];
    ++measured_;
  }

  // A neighbour comes and goes within milliseconds or stays for seconds: a reading costs less than
  // a pass that will not count. False: it stayed.
  bool wait_for_quiet(const Quiet& is_quiet, int cores) {
    for (int i = 0; i < kPatience; ++i) {
      if (is_quiet(sentinel_(cores), cores)) {
        return true;
      }
    }
    return false;
  }

  // Those that lack quiet passes first, and those whose quiet passes disagree. Small tables are
  // interpolated, every sample counts, and go before the second passes of large ones, over which a
  // fit averages.
  std::vector<std::size_t> unsettled_cases(const Quiet& is_quiet, int round) const {
    const std::vector<PassResult>& passes = journal_.results();
    const std::vector<double> seconds_of = at_usual_pace(passes, is_quiet);
    std::map<CaseKey, std::vector<double>> quiet;
    for (std::size_t i = 0; i < passes.size(); ++i) {
      if (is_quiet(passes[i])) {
        quiet[{passes[i].family, passes[i].shape}].push_back(seconds_of[i]);
      }
    }
    std::map<std::string, int> table_size;
    for (const BenchCase& bench : cases_) {
      ++table_size[bench.family];
    }
    std::vector<std::size_t> none, small, large;
    for (const std::size_t i : shuffled(cases_.size(), round)) {
      std::vector<double>& seconds = quiet[key(cases_[i])];
      std::sort(seconds.begin(), seconds.end());
      if (!settled(seconds, cases_[i].cores)) {
        const bool is_small = table_size[cases_[i].family] <= kSmallTable;
        (seconds.empty() ? none : is_small ? small : large).push_back(i);
      }
    }
    std::vector<std::size_t> unsettled = std::move(none);
    unsettled.insert(unsettled.end(), small.begin(), small.end());
    unsettled.insert(unsettled.end(), large.begin(), large.end());
    unsettled.resize(std::min(unsettled.size(), kMostVisits));
    return unsettled;
  }

  RunResult summary() {
    journal_.flush();
    RunResult result = summarise_passes(journal_.results(), options_.quiet);
    result.stopped = stopped();
    for (const BenchCase& bench : cases_) {
      result.missing += done_[key(bench)] == 0 ? 1 : 0;
    }
    return result;
  }

  const std::vector<BenchCase>& cases_;
  const RunnerOptions& options_;
  const Sentinel& sentinel_;
  Journal& journal_;
  const RunProgress& progress_;
  double begin_;
  int measured_ = 0;        // by this run
  std::size_t wanted_ = 0;  // passes, of all cases
  std::map<CaseKey, int> done_;
};

}  // namespace

RunResult summarise_passes(const std::vector<PassResult>& passes, double quiet) {
  const Quiet is_quiet(passes, quiet);
  struct Found {
    std::vector<double> quiet, all;
    double least = std::numeric_limits<double>::infinity(), p90 = 0;
    int cores = 1;
  };
  std::map<CaseKey, Found> found;
  const std::vector<double> seconds_of = at_usual_pace(passes, is_quiet);
  for (std::size_t i = 0; i < passes.size(); ++i) {
    const PassResult& pass = passes[i];
    Found& entry = found[{pass.family, pass.shape}];
    entry.cores = pass.cores;
    entry.all.push_back(seconds_of[i]);
    if (is_quiet(pass)) {
      entry.quiet.push_back(seconds_of[i]);
    }
    entry.least = std::min(entry.least, pass.least);
    entry.p90 = std::max(entry.p90, pass.p90);
  }
  RunResult result;
  std::vector<double> deviations;
  for (const auto& [key, entry] : found) {
    CaseResult summary;
    summary.family = key.first;
    summary.shape = key.second;
    summary.least = entry.least;
    summary.p90 = entry.p90;
    std::vector<double> sorted = entry.quiet;
    std::sort(sorted.begin(), sorted.end());
    summary.settled = settled(sorted, entry.cores);
    summary.seconds = sorted.empty() ? *std::min_element(entry.all.begin(), entry.all.end())
                                     : settled_seconds(sorted, entry.cores);
    summary.passes = static_cast<int>(entry.all.size());
    summary.quiet_passes = static_cast<int>(entry.quiet.size());
    summary.pass_seconds = entry.all;
    if (entry.quiet.size() >= 2) {
      const auto [low, high] = std::minmax_element(entry.quiet.begin(), entry.quiet.end());
      deviations.push_back(std::log(*high / *low));
    }
    result.cases.push_back(std::move(summary));
  }
  if (!deviations.empty()) {
    // The median range of two normal numbers is 0.954 of their sd.
    result.repeatability = lower_median(deviations) / 0.954;
  }
  return result;
}

RunResult run_cases(const std::vector<BenchCase>& cases, const RunnerOptions& options,
                    const Sentinel& sentinel, Journal& journal, const RunProgress& progress) {
  return Runner(cases, options, sentinel, journal, progress).run();
}

}  // namespace foretoken::calibrate
