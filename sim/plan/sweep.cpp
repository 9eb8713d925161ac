#include "sim/plan/sweep.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <exception>
#include <mutex>
#include <set>
#include <thread>
#include <tuple>

#include "sim/core/error.h"
#include "sim/network/algorithms/algorithm.h"

namespace foretoken {
namespace {

std::string trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  const auto last = text.find_last_not_of(" \t");
  return first == std::string_view::npos ? "" : std::string(text.substr(first, last - first + 1));
}

std::vector<std::string> split_values(std::string_view text) {
  std::vector<std::string> values;
  std::string value;
  int depth = 0;
  char quote = 0;
  for (const char c : text) {
    if (quote != 0) {
      quote = c == quote ? '\0' : quote;
    } else if (c == '"' || c == '\'') {
      quote = c;
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if (c == '}' || c == ']') {
      --depth;
    } else if (c == ',' && depth == 0) {
      values.push_back(trimmed(value));
      value.clear();
      continue;
    }
    value += c;
  }
  values.push_back(trimmed(value));
  return values;
}

std::array<double, kProvenanceCount> shares(const RunRecord& record) {
  TimeShare all = record.prefill_steps;
  all.add(record.decode_steps);
  std::array<double, kProvenanceCount> result{};
  for (std::size_t i = 0; i < kProvenanceCount && all.total > kTimeZero; ++i) {
    result[i] = to_seconds(all.by_provenance[i]) / to_seconds(all.total);
  }
  return result;
}

struct MeanLengths {
  double input = 0, output = 0;
};

MeanLengths mean_lengths(const Workload& workload) {
  MeanLengths mean;
  for (const Request& request : workload.requests) {
    mean.input += static_cast<double>(request.input_tokens);
    mean.output += static_cast<double>(request.output_tokens);
  }
  const auto count = static_cast<double>(std::max<std::size_t>(workload.requests.size(), 1));
  return {mean.input / count, mean.output / count};
}

// Which algorithm sums the hidden states of an average prompt, as far as one step takes them.
std::string all_reduce_algorithm(const Simulation& simulation, double mean_input) {
  const ScenarioSpec& scenario = simulation.scenario();
  if (scenario.parallel.tensor == 1) {
    return "";
  }
  if (scenario.parallel.sequence) {
    return "two_step";  // its two halves apart
  }
  const StagePlacement& stage = simulation.placements().front().stages.front();
  StepTimer timer(simulation.step_context(), stage, 0, CostDraw(), false);
  const auto tokens =
      std::clamp<std::int64_t>(std::llround(mean_input), 1, scenario.engine.max_num_batched_tokens);
  const CollectiveOp op{CollectiveKind::all_reduce, tokens * scenario.model.hidden,
                        scenario.precision.all_reduce};
  return std::string(name(timer.alone(op).algorithm));
}

void fill(SweepRow& row, const Simulation& simulation, const SweepOptions& options,
          const std::function<void()>& ran) {
  RunOptions run;
  run.replications = options.replications;
  run.threads = 1;
  run.progress = [&](int, int) { ran(); };
  Result result = simulate(simulation, run);
  ran();
  const ScenarioSpec& scenario = simulation.scenario();
  const MeanLengths mean = mean_lengths(simulation.workload());
  row.point = result.point;
  row.intervals = std::move(result.intervals);
  row.runs = std::move(result.runs);
  row.level = result.level;
  row.memory = simulation.memory();
  row.gpus = scenario.parallel.gpus();
  const double blocks =
      std::ceil((mean.input + mean.output) / static_cast<double>(scenario.engine.block_size));
  row.largest_batch = static_cast<std::int64_t>(
      std::floor(static_cast<double>(row.memory.blocks) / std::max(blocks, 1.0)));
  row.max_num_seqs = scenario.engine.max_num_seqs;
  row.gpu_hour = scenario.gpu_hour;
  row.power = simulation.profile().value_or("device.power", 0);
  row.provenance = shares(result.record);
  row.extrapolated = result.record.extrapolated;
  row.weights = scenario.precision.weights_default;
  // A GEMM with 16-bit weights runs in 16 bits.
  row.activations = row.weights.quantised() ? scenario.precision.activations : kBf16;
  row.all_reduce = scenario.precision.all_reduce;
  row.ranks = scenario.parallel.tensor;
  row.algorithm = all_reduce_algorithm(simulation, mean.input);
}

std::optional<Interval> interval_of(const SweepRow& row, const char* metric) {
  const auto it = row.intervals.find(metric);
  return it == row.intervals.end() ? std::nullopt : std::optional(it->second);
}

// Of something that falls as the throughput rises: per token, at so much per second.
std::optional<double> per_token(double per_second, double throughput) {
  return per_second > 0 && throughput > 0 ? std::optional(per_second / throughput) : std::nullopt;
}

std::optional<Interval> per_token_interval(const SweepRow& row, double per_second) {
  const auto throughput = interval_of(row, "output_throughput");
  if (!throughput || !(throughput->low > 0) || !(per_second > 0)) {
    return std::nullopt;
  }
  return Interval{per_second / throughput->high, per_second / throughput->low};
}

double price_per_second(const SweepRow& row) { return row.gpu_hour * row.gpus / 3600 * 1e6; }
double watts(const SweepRow& row) { return row.power * row.gpus; }

const Snr* plain_of(const SweepRow& row) {
  const auto& figure = row.all_reduce_error;
  return figure && figure->plain ? &*figure->plain : nullptr;
}

std::optional<double> db(const Snr* snr) {
  return snr != nullptr ? std::optional(snr->db) : std::nullopt;
}
std::optional<Interval> db_interval(const Snr* snr) {
  return snr != nullptr ? std::optional(snr->interval) : std::nullopt;
}
const Snr* all_of(const std::optional<ErrorFigure>& figure) {
  return figure ? &figure->all : nullptr;
}
const Snr* bulk_of(const std::optional<ErrorFigure>& figure) {
  return figure ? &figure->bulk : nullptr;
}

using Better = Measure::Better;
constexpr double kBytesPerGb = 1e9;

constexpr Measure kMeasures[] = {
    {"mean_ttft_ms", "TTFT ms", Better::lower,
     [](const SweepRow& r) { return std::optional(r.point.ttft.mean); },
     [](const SweepRow& r) { return interval_of(r, "mean_ttft_ms"); },
     [](const SweepRow&, const Summary& s) { return s.ttft.mean; }},
    {"p99_ttft_ms", "p99 TTFT ms", Better::lower,
     [](const SweepRow& r) { return std::optional(r.point.ttft.p99); },
     [](const SweepRow& r) { return interval_of(r, "p99_ttft_ms"); },
     [](const SweepRow&, const Summary& s) { return s.ttft.p99; }},
    {"mean_tpot_ms", "TPOT ms", Better::lower,
     [](const SweepRow& r) { return std::optional(r.point.tpot.mean); },
     [](const SweepRow& r) { return interval_of(r, "mean_tpot_ms"); },
     [](const SweepRow&, const Summary& s) { return s.tpot.mean; }},
    {"p99_tpot_ms", "p99 TPOT ms", Better::lower,
     [](const SweepRow& r) { return std::optional(r.point.tpot.p99); },
     [](const SweepRow& r) { return interval_of(r, "p99_tpot_ms"); },
     [](const SweepRow&, const Summary& s) { return s.tpot.p99; }},
    {"output_throughput", "tokens/s out", Better::higher,
     [](const SweepRow& r) { return std::optional(r.point.output_throughput); },
     [](const SweepRow& r) { return interval_of(r, "output_throughput"); },
     [](const SweepRow&, const Summary& s) { return s.output_throughput; }},
    {"request_goodput", "goodput req/s", Better::higher,
     [](const SweepRow& r) { return r.point.request_goodput; },
     [](const SweepRow& r) { return interval_of(r, "request_goodput"); },
     [](const SweepRow&, const Summary& s) { return s.request_goodput.value_or(0); }},
    {"cost_per_million_output_tokens", "cost/M tokens", Better::lower,
     [](const SweepRow& r) { return per_token(price_per_second(r), r.point.output_throughput); },
     [](const SweepRow& r) { return per_token_interval(r, price_per_second(r)); },
     [](const SweepRow& r, const Summary& s) {
       return per_token(price_per_second(r), s.output_throughput).value_or(0);
     }},
    {"memory_gb_per_gpu", "GB/GPU", Better::lower,
     [](const SweepRow& r) {
       const Bytes used =
           r.memory.weights + r.memory.activations + r.memory.context + r.memory.communication;
       return std::optional(static_cast<double>(used.count) / kBytesPerGb);
     },
     nullptr, nullptr},
    {"largest_batch", "batch", Better::higher,
     [](const SweepRow& r) { return std::optional(static_cast<double>(r.largest_batch)); }, nullptr,
     nullptr},
    {"energy_j_per_output_token_at_power_limit", "J/token", Better::lower,
     [](const SweepRow& r) { return per_token(watts(r), r.point.output_throughput); },
     [](const SweepRow& r) { return per_token_interval(r, watts(r)); },
     [](const SweepRow& r, const Summary& s) {
       return per_token(watts(r), s.output_throughput).value_or(0);
     }},
    {"weights_snr_db", "weights dB", Better::higher,
     [](const SweepRow& r) { return db(all_of(r.weights_error)); },
     [](const SweepRow& r) { return db_interval(all_of(r.weights_error)); }, nullptr},
    {"gemm_snr_db", "GEMM dB", Better::higher,
     [](const SweepRow& r) { return db(all_of(r.gemm_error)); },
     [](const SweepRow& r) { return db_interval(all_of(r.gemm_error)); }, nullptr},
    {"all_reduce_plain_snr_db", "all-reduce dB", Better::higher,
     [](const SweepRow& r) { return db(plain_of(r)); },
     [](const SweepRow& r) { return db_interval(plain_of(r)); }, nullptr},
    {"all_reduce_snr_db", "with spikes", Better::higher,
     [](const SweepRow& r) { return db(all_of(r.all_reduce_error)); },
     [](const SweepRow& r) { return db_interval(all_of(r.all_reduce_error)); }, nullptr},
    {"all_reduce_bulk_snr_db", "beside spikes", Better::higher,
     [](const SweepRow& r) { return db(bulk_of(r.all_reduce_error)); },
     [](const SweepRow& r) { return db_interval(bulk_of(r.all_reduce_error)); }, nullptr},
};

std::optional<double> value_of(const SweepRow& row, const Measure& measure) {
  return row.reason.empty() ? measure.value(row) : std::nullopt;
}

Interval interval_or_point(const SweepRow& row, const Measure& measure, double value) {
  const auto interval = measure.interval != nullptr ? measure.interval(row) : std::nullopt;
  return interval.value_or(Interval{value, value});
}

// Whether `best` is better in the same draws: the central interval of the ratio excludes 1.
bool better_in_the_same_draws(const SweepRow& best, const SweepRow& row, const Measure& measure) {
  if (measure.in_run == nullptr || row.runs.size() < 2 || row.runs.size() != best.runs.size()) {
    return false;
  }
  std::vector<double> ratios;
  ratios.reserve(row.runs.size());
  for (std::size_t i = 0; i < row.runs.size(); ++i) {
    const double reference = measure.in_run(best, best.runs[i]);
    if (!(reference > 0)) {
      return false;
    }
    ratios.push_back(measure.in_run(row, row.runs[i]) / reference);
  }
  const Interval ratio = replication_interval(std::move(ratios), row.level);
  return measure.better == Better::lower ? ratio.low > 1 : ratio.high < 1;
}

}  // namespace

VaryKey parse_vary(const std::string& text) {
  const auto refuse = [&](const std::string& what) -> void {
    throw InputError(fmt::format(
        "--vary {}: {}; write it as --vary precision.all_reduce=bf16,int8,int6", text, what));
  };
  const auto equals = text.find('=');
  if (equals == std::string::npos || equals == 0) {
    refuse("no key and values");
  }
  VaryKey vary{text.substr(0, equals), split_values(std::string_view(text).substr(equals + 1))};
  for (auto it = vary.values.begin(); it != vary.values.end(); ++it) {
    if (it->empty()) {
      refuse("an empty value");
    }
    if (std::find(vary.values.begin(), it, *it) != it) {
      refuse(fmt::format("the value {} stands twice", *it));
    }
  }
  return vary;
}

std::vector<std::vector<std::size_t>> cross_product(std::span<const VaryKey> keys) {
  std::set<std::string_view> seen;
  std::size_t count = 1;
  for (const VaryKey& key : keys) {
    if (!seen.insert(key.key).second) {
      throw InputError(
          fmt::format("--vary {}: the key stands twice; give it all values in one", key.key));
    }
    count *= key.values.size();
    if (count > kMaxRows) {
      throw InputError(
          fmt::format("--vary: more than {} combinations; vary fewer values", kMaxRows));
    }
  }
  std::vector<std::vector<std::size_t>> rows(count, std::vector<std::size_t>(keys.size()));
  for (std::size_t row = 0; row < count; ++row) {
    std::size_t rest = row;
    for (std::size_t key = keys.size(); key-- > 0;) {
      rows[row][key] = rest % keys[key].values.size();
      rest /= keys[key].values.size();
    }
  }
  return rows;
}

std::vector<std::string> assignments(std::span<const VaryKey> keys,
                                     std::span<const std::size_t> combination) {
  std::vector<std::string> result;
  result.reserve(keys.size());
  for (std::size_t i = 0; i < keys.size(); ++i) {
    result.push_back(keys[i].key + "=" + keys[i].values[combination[i]]);
  }
  return result;
}

std::vector<SweepRow> sweep(std::span<const VaryKey> keys,
                            const std::function<Simulation(std::size_t row)>& make,
                            const SweepOptions& options) {
  const auto combinations = cross_product(keys);
  std::vector<SweepRow> rows(combinations.size());
  const int runs_per_row = 1 + (options.replications >= 2 ? options.replications : 0);
  const int total = static_cast<int>(rows.size()) * runs_per_row;
  std::atomic<std::size_t> next{0};
  int done = 0;
  std::mutex mutex;
  std::exception_ptr failure;
  const auto report = [&](int runs) {
    const std::lock_guard lock(mutex);
    done += runs;
    if (options.progress) {
      options.progress(done, total);
    }
  };
  const auto work = [&] {
    for (std::size_t i = next++; i < rows.size(); i = next++) {
      int ran = 0;
      try {
        for (std::size_t key = 0; key < keys.size(); ++key) {
          rows[i].values.push_back(keys[key].values[combinations[i][key]]);
        }
        fill(rows[i], make(i), options, [&] {
          ++ran;
          report(1);
        });
      } catch (const InputError& error) {
        rows[i].reason = error.what();
      } catch (...) {
        const std::lock_guard lock(mutex);
        failure = failure ? failure : std::current_exception();
      }
      report(runs_per_row - ran);
    }
  };
  const auto cores = static_cast<std::size_t>(std::max(1U, std::thread::hardware_concurrency()));
  const std::size_t count = std::min(
      options.threads > 0 ? static_cast<std::size_t>(options.threads) : cores, rows.size());
  std::vector<std::thread> threads;
  threads.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    threads.emplace_back(work);
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  if (failure) {
    std::rethrow_exception(failure);
  }
  return rows;
}

void probe_errors(std::vector<SweepRow>& rows, ErrorProbe& probe,
                  const std::function<void(int done, int total)>& progress) {
  std::map<std::string, std::optional<ErrorFigure>> answers;
  const auto ask = [&](const std::string& question, const auto& measure_it) {
    const auto it = answers.find(question);
    return it != answers.end() ? it->second : answers.emplace(question, measure_it()).first->second;
  };
  int done = 0;
  for (SweepRow& row : rows) {
    if (progress) {
      progress(done++, static_cast<int>(rows.size()));
    }
    if (!row.reason.empty()) {
      continue;
    }
    const std::string weights = to_string(row.weights), activations = to_string(row.activations);
    row.weights_error = ask("w " + weights, [&] { return probe.weights(row.weights); });
    row.gemm_error = ask(fmt::format("g {} {}", weights, activations),
                         [&] { return probe.gemm(row.weights, row.activations); });
    if (row.ranks > 1) {
      row.all_reduce_error =
          ask(fmt::format("r {} {} {}", to_string(row.all_reduce), row.ranks, row.algorithm),
              [&] { return probe.all_reduce(row.all_reduce, row.ranks, row.algorithm); });
    }
  }
}

std::span<const Measure> measures() { return kMeasures; }

const Measure& measure(std::string_view name) {
  const auto* it = std::find_if(std::begin(kMeasures), std::end(kMeasures),
                                [&](const Measure& m) { return m.name == name; });
  FT_CHECK(it != std::end(kMeasures), "no measure {}", name);
  return *it;
}

std::vector<Standing> standings(std::span<const SweepRow> rows, const Measure& measure) {
  std::vector<Standing> result(rows.size(), Standing::none);
  std::optional<std::size_t> best;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto value = value_of(rows[i], measure);
    if (!value) {
      continue;
    }
    const double leader = best ? *value_of(rows[*best], measure) : 0;
    if (!best || (measure.better == Better::lower ? *value < leader : *value > leader)) {
      best = i;
    }
  }
  if (!best) {
    return result;
  }
  const Interval first = interval_or_point(rows[*best], measure, *value_of(rows[*best], measure));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto value = value_of(rows[i], measure);
    if (!value) {
      continue;
    }
    const Interval own = interval_or_point(rows[i], measure, *value);
    const bool overlaps = own.low <= first.high && first.low <= own.high;
    result[i] = i == *best                                                ? Standing::best
                : !overlaps                                               ? Standing::worse
                : better_in_the_same_draws(rows[*best], rows[i], measure) ? Standing::close
                                                                          : Standing::tie;
  }
  return result;
}

}  // namespace foretoken
