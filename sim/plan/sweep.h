// One scenario under every combination of values of some keys: each combination is a row with its
// prediction, its memory and its numeric error, or the reason why it has none.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sim/plan/error_probe.h"
#include "sim/serving/simulation.h"

namespace foretoken {

struct VaryKey {
  std::string key;  // dotted, as after --set
  std::vector<std::string> values;
};

// "precision.all_reduce=bf16,int8": a comma inside brackets, braces or quotes does not separate.
// Throws InputError.
VaryKey parse_vary(const std::string& text);

// Every combination as indices into the keys' values; the last key changes fastest. Throws
// InputError when a key stands twice or there are more than `kMaxRows`.
inline constexpr std::size_t kMaxRows = 10'000;
std::vector<std::vector<std::size_t>> cross_product(std::span<const VaryKey> keys);

// The "key=value" of one combination.
std::vector<std::string> assignments(std::span<const VaryKey> keys,
                                     std::span<const std::size_t> combination);

struct SweepRow {
  std::vector<std::string> values;  // in the order of the keys
  std::string reason;               // why the row has no prediction; empty: it has

  Summary point;
  std::map<std::string, Interval> intervals;  // by metric; empty without replications
  std::vector<Summary> runs;
  double level = 0.9;

  MemoryPlan memory;
  int gpus = 0;
  // Sequences of the workload's mean length that the KV cache of one replica holds.
  std::int64_t largest_batch = 0;
  std::int64_t max_num_seqs = 0;                      // what the engine admits at most
  double gpu_hour = 0;                                // price; 0: unknown
  double power = 0;                                   // W, the limit of one GPU; 0: unknown
  std::array<double, kProvenanceCount> provenance{};  // shares of step time
  bool extrapolated = false;

  // What is asked of the probe.
  Format weights, activations, all_reduce;
  int ranks = 1;
  std::string algorithm;  // that all-reduces one step of an average prompt; empty: one rank
  std::optional<ErrorFigure> weights_error, gemm_error, all_reduce_error;
};

struct SweepOptions {
  int replications = 16;
  int threads = 0;                                    // 0: all cores
  std::function<void(int done, int total)> progress;  // of runs; may be empty
};

// `make` builds the simulation of one combination; an InputError of it becomes the row's reason. It
// is called from several threads, with the row's number. Rows do not depend on the number of
// threads.
std::vector<SweepRow> sweep(std::span<const VaryKey> keys,
                            const std::function<Simulation(std::size_t row)>& make,
                            const SweepOptions& options);

// Fills the errors of the rows that have a prediction. Each distinct question is asked once.
void probe_errors(std::vector<SweepRow>& rows, ErrorProbe& probe,
                  const std::function<void(int done, int total)>& progress = {});

// What rows are compared by. `interval` may be empty: the value is exact, or there were no
// replications.
struct Measure {
  enum class Better : std::uint8_t { lower, higher };
  std::string_view name;   // in JSON and CSV, with the unit
  std::string_view title;  // in tables
  Better better;
  std::optional<double> (*value)(const SweepRow&);
  std::optional<Interval> (*interval)(const SweepRow&);
  // In one replication; null: does not differ between replications.
  double (*in_run)(const SweepRow&, const Summary&);
};
std::span<const Measure> measures();
const Measure& measure(std::string_view name);

// How a row stands in one measure.
enum class Standing : std::uint8_t {
  none,  // no value
  best,
  tie,    // its interval overlaps that of the best
  close,  // overlaps, too, but in the same draws of costs the best is better: of the ratio to it,
          // the central interval lies on one side of 1
  worse
};
// The best row is the first with the best value.
std::vector<Standing> standings(std::span<const SweepRow> rows, const Measure& measure);

}  // namespace foretoken
