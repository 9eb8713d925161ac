#include "sim/plan/search.h"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "sim/core/error.h"
#include "sim/plan/evaluate.h"
#include "sim/plan/reasons.h"
#include "sim/plan/work.h"
#include "sim/serving/simulation.h"

namespace foretoken::plan {
namespace {

class Search {
 public:
  Search(const Space& space, Work& work, const SearchOptions& options)
      : space_(space), work_(work), options_(options) {}

  PlanResult run();

 private:
  void report(const char* what, std::size_t done, std::size_t total) const {
    if (options_.progress) {
      options_.progress(what, done, total);
    }
  }
  void screen_all();
  void simulate_waves();
  std::vector<std::size_t> next_wave(const std::vector<std::size_t>& order, std::size_t& position);
  void take(std::size_t index, const Outcome& outcome);
  void make_front();
  PlanRow row(const Point& point) const;
  void choose_rows();
  void add_intervals();
  void add_failures();
  PlanIntervals intervals(const PlanRow& row, const std::vector<Outcome>& drawn) const;

  const Space& space_;
  Work& work_;
  const SearchOptions& options_;
  PlanResult result_;
  std::vector<Point> points_;  // plans that meet the targets, their rung known
};

void Search::screen_all() {
  ScreenOptions options;
  options.jobs = options_.jobs;
  options.exhaustive = options_.exhaustive;
  options.progress = [&](std::size_t done, std::size_t total) { report("bounds", done, total); };
  result_.screened = screen(space_, options);
}

// The next configurations that no plan found so far dominates for certain.
std::vector<std::size_t> Search::next_wave(const std::vector<std::size_t>& order,
                                           std::size_t& position) {
  std::vector<std::size_t> wave;
  for (; position < order.size() && wave.size() < kWave; ++position) {
    const std::size_t index = order[position];
    Screened& screened = result_.screened[index];
    const Point best{space_.cost(index), screened.latency_level, screened.rung, index};
    const bool dominated =
        !options_.exhaustive && std::any_of(points_.begin(), points_.end(),
                                            [&](const Point& p) { return dominates(p, best); });
    if (dominated) {
      screened.fate = Fate::dominated;
    } else {
      wave.push_back(index);
    }
  }
  return wave;
}

void Search::take(std::size_t index, const Outcome& outcome) {
  result_.outcomes.emplace(index, outcome);
  Screened& screened = result_.screened[index];
  if (!outcome.meets) {
    screened.fate = Fate::missed;
    return;
  }
  screened.fate = Fate::beaten;
  if (!outcome.abandoned) {
    const double share = latency_share(space_.targets(), outcome.ttft, outcome.tpot, outcome.e2e);
    points_.push_back(
        {space_.cost(index), latency_level(share, space_.spec().resolution), outcome.rung, index});
  }
}

void Search::simulate_waves() {
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < space_.size(); ++i) {
    if (result_.screened[i].fate == Fate::front) {
      order.push_back(i);
    }
  }
  const auto rank = [&](std::size_t i) {
    return std::tuple(space_.cost(i), -result_.screened[i].rung, i);
  };
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return rank(a) < rank(b); });
  std::size_t position = 0;
  for (auto wave = next_wave(order, position); !wave.empty(); wave = next_wave(order, position)) {
    std::vector<Task> tasks;
    for (const std::size_t index : wave) {
      Task task;
      task.configuration = static_cast<std::uint32_t>(index);
      task.high = options_.exhaustive ? space_.max_rung() : result_.screened[index].rung;
      if (!options_.exhaustive) {
        task.floors = floors_for(points_, space_.cost(index), index);
      }
      tasks.push_back(std::move(task));
    }
    const std::size_t before = position - wave.size();
    const auto outcomes = work_.solve(
        tasks, [&](std::size_t done) { report("configurations", before + done, order.size()); });
    for (std::size_t i = 0; i < wave.size(); ++i) {
      take(wave[i], outcomes[i]);
    }
  }
}

PlanRow Search::row(const Point& point) const {
  PlanRow row;
  row.configuration = point.index;
  row.cost = point.cost;
  row.gpus = space_.at(point.index).gpus();
  row.outcome = result_.outcomes.at(point.index);
  row.latency =
      latency_share(space_.targets(), row.outcome.ttft, row.outcome.tpot, row.outcome.e2e);
  row.rate = space_.rate(point.rung);
  return row;
}

void Search::make_front() {
  for (const Point& point : front_of(points_)) {
    result_.front.push_back(row(point));
    result_.screened[point.index].fate = Fate::front;
  }
  // The cheapest; among those the one with the highest rate, then the lowest latency.
  for (std::size_t i = 1; i < result_.front.size(); ++i) {
    const PlanRow& best = result_.front[result_.cheapest];
    const PlanRow& other = result_.front[i];
    if (other.cost == best.cost && other.outcome.rung > best.outcome.rung) {
      result_.cheapest = i;
    }
  }
}

// The cheapest, the fastest, the one of the highest rate, and others spread evenly over the front.
void Search::choose_rows() {
  auto& front = result_.front;
  if (front.empty()) {
    return;
  }
  std::size_t shown = 0;
  const auto show = [&](std::size_t i) {
    if (shown < options_.rows && !front[i].shown) {
      front[i].shown = true;
      ++shown;
    }
  };
  std::size_t fastest = 0, most = 0;
  for (std::size_t i = 1; i < front.size(); ++i) {
    fastest = front[i].latency < front[fastest].latency ? i : fastest;
    most = front[i].rate > front[most].rate ? i : most;
  }
  show(result_.cheapest);
  show(fastest);
  show(most);
  for (std::size_t parts = 2; shown < std::min(options_.rows, front.size()); parts *= 2) {
    for (std::size_t part = 0; part <= parts; ++part) {
      show(part * (front.size() - 1) / parts);
    }
  }
}

PlanIntervals Search::intervals(const PlanRow& row, const std::vector<Outcome>& drawn) const {
  const Profile& profile = space_.candidate(row.configuration).cost->profile();
  const ArrivalSpec::Kind arrivals = space_.problem().scenario.workload.arrivals.kind;
  const auto interval = [&](double point, const std::string& metric, auto value_of) {
    std::vector<double> sample;
    sample.reserve(drawn.size());
    for (const Outcome& outcome : drawn) {
      sample.push_back(value_of(outcome));
    }
    Interval found = replication_interval(std::move(sample), result_.level);
    found.low = std::min(found.low, point);
    found.high = std::max(found.high, point);
    return widened(found, point, unexplained_spread(profile, arrivals, metric), result_.level);
  };
  PlanIntervals all;
  all.ttft = interval(row.outcome.ttft, "mean_ttft_ms", [](const Outcome& o) { return o.ttft; });
  all.tpot = interval(row.outcome.tpot, "mean_tpot_ms", [](const Outcome& o) { return o.tpot; });
  all.e2e = interval(row.outcome.e2e, "mean_e2el_ms", [](const Outcome& o) { return o.e2e; });
  // What is unexplained of times is unexplained of the rate they allow.
  all.rate =
      interval(row.rate, "mean_tpot_ms", [&](const Outcome& o) { return space_.rate(o.rung); });
  all.meets = static_cast<int>(
      std::count_if(drawn.begin(), drawn.end(), [](const Outcome& o) { return o.meets; }));
  return all;
}

void Search::add_intervals() {
  result_.replications = options_.replications >= 2 ? options_.replications : 0;
  std::vector<Task> tasks;
  for (const PlanRow& row : result_.front) {
    for (int r = 0; row.shown && r < result_.replications; ++r) {
      Task task;
      task.kind = Task::Kind::replicate;
      task.configuration = static_cast<std::uint32_t>(row.configuration);
      task.guess = row.outcome.rung;
      task.high = space_.max_rung();
      task.replication = r;
      task.replications = result_.replications;
      tasks.push_back(task);
    }
  }
  const auto outcomes =
      work_.solve(tasks, [&](std::size_t done) { report("replications", done, tasks.size()); });
  auto next = outcomes.begin();
  for (PlanRow& row : result_.front) {
    if (row.shown && result_.replications > 0) {
      row.intervals = intervals(row, {next, next + result_.replications});
      next += result_.replications;
    }
  }
}

void Search::add_failures() {
  std::vector<Task> tasks;
  std::vector<AfterFailure*> places;
  for (PlanRow& row : result_.front) {
    for (const Failure failure : {Failure::gpu, Failure::node}) {
      if (!row.shown) {
        continue;
      }
      const ScenarioSpec scenario = space_.scenario(row.configuration);
      const Topology& topology = *space_.candidate(row.configuration).topology;
      const auto replicas = place(scenario.parallel, scenario.placement, topology);
      const std::size_t lost = lost_replicas(replicas, topology, failure).size();
      AfterFailure& after = failure == Failure::gpu ? row.gpu_fails : row.node_fails;
      after.replicas = static_cast<int>(replicas.size() - lost);
      if (after.replicas == 0) {
        continue;
      }
      Task task;
      task.kind = Task::Kind::capacity;
      task.configuration = static_cast<std::uint32_t>(row.configuration);
      task.failure = failure;
      task.high = row.outcome.rung;
      task.guess = row.outcome.rung;
      tasks.push_back(task);
      places.push_back(&after);
    }
  }
  const auto outcomes =
      work_.solve(tasks, [&](std::size_t done) { report("failures", done, tasks.size()); });
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    const int rung = outcomes[i].rung;
    places[i]->rate = rung >= -space_.max_rung() ? space_.rate(rung) : 0;
  }
}

PlanResult Search::run() {
  screen_all();
  simulate_waves();
  make_front();
  if (result_.front.empty()) {
    result_.obstacle = obstacle(space_, result_, work_, options_);
  } else {
    choose_rows();
    add_intervals();
    add_failures();
    result_.runners_up = runners_up(space_, result_, work_);
  }
  for (const Screened& screened : result_.screened) {
    ++result_.fates[static_cast<std::size_t>(screened.fate)];
  }
  result_.runs = work_.runs();
  return std::move(result_);
}

}  // namespace

PlanResult search(const Space& space, TaskRunner& runner, OutcomeStore* store,
                  const SearchOptions& options) {
  Work work(runner, store);
  return Search(space, work, options).run();
}

}  // namespace foretoken::plan
