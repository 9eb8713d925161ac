// Duration of one pipeline stage's step: the operator graph, priced and simulated on the topology.
//
// Two speeds, one answer. The graph's operators run one after the other on every rank in step, so
// the duration is the sum of the operators' picoseconds. The part that depends on the number of
// tokens only, and the part that depends on the number of sampled rows only, are remembered;
// attention is priced each time; a collective is simulated as flows once per size. `exact`
// remembers nothing and simulates every operator of every layer; both give the same picoseconds
// (tests/sim/step).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "sim/cost/cost_model.h"
#include "sim/cost/wire.h"
#include "sim/metrics/metrics.h"
#include "sim/model/graph_builder.h"
#include "sim/network/collective.h"
#include "sim/step/collective_memory.h"

namespace foretoken {

// The GPUs of one pipeline stage of one replica, and the first GPU of the next stage (-1: none).
struct StagePlacement {
  std::vector<int> gpus;
  std::vector<int> next_gpus;
};

struct StepTime {
  TimeShare share;
  bool extrapolated = false;
  void add(const StepTime& other, std::int64_t times = 1) {
    share.add(other.share, times);
    extrapolated = extrapolated || other.extrapolated;
  }
};

// A step as it runs beside others: parts one after the other, each work of the GPUs and then a
// collective. Operators that never touch the network count as work.
struct StepProgram {
  struct Work {
    std::string name;
    OpFamily family;
    Time time;
  };
  struct Part {
    StepTime before;
    std::vector<Work> work;                  // what `before` sums up; only where asked for
    std::optional<CollectiveOp> collective;  // none: the segment ends
  };
  struct Run {
    std::vector<Part> parts;
    int repeat = 1;
  };
  std::vector<Run> runs;
};

// A collective as flows: what runs on the network `t0` after the call.
struct PlannedCollective {
  Schedule schedule;
  Time t0 = kTimeZero;
  Provenance provenance = Provenance::assumed;
};

// What all stages and replications share; outlives the timers.
struct StepContext {
  const GraphBuilder* builder = nullptr;
  const CostModel* cost = nullptr;
  const Topology* topology = nullptr;
  CollectiveCosts collective;
  // Share of the SMs that a collective takes while the next computation runs beside it; none: the
  // computation waits.
  std::optional<double> overlap;
  // That timers of other layouts share; null: each timer simulates its own.
  std::shared_ptr<CollectiveMemory> memory = nullptr;
  // What joins the ranks of a tensor group, measured; none: the topology's links, simulated.
  std::optional<Wire> wire;
};

// The constants of collectives, from the profile: fixed times, efficiency per link class, codec.
// The result refers to `cost`, which must outlive it.
CollectiveCosts collective_costs(const CostModel& cost);

class StepTimer {
 public:
  StepTimer(const StepContext& context, StagePlacement placement, int stage, const CostDraw& draw,
            bool exact);

  StepTime time(const BatchShape& batch);
  int ranks() const { return static_cast<int>(placement_.gpus.size()); }

  // What of a collective is seen that runs beside `next`, the work up to the next collective: while
  // it lasts the work has 1 - share of the SMs, so that both take max(collective, next + share x
  // collective), and nothing can begin earlier than the work. All of it without overlap.
  Time seen(Time collective, Time next) const;

  // The same step for a stage that shares its links (sim/step/stage_run.h). Schedules are
  // remembered, durations never.
  StepProgram program(const BatchShape& batch, bool with_work = false);
  const PlannedCollective& schedule(const CollectiveOp& op);
  // The same without remembering it.
  PlannedCollective plan(const CollectiveOp& op) const;
  // Every collective of a step and how often it runs, those included that are priced by a table.
  std::vector<std::pair<CollectiveOp, std::int64_t>> collectives(const BatchShape& batch) const;
  // Bytes per second of each link of the topology, for the network such stages share: slower by
  // the collectives' factor in a drawn replication.
  std::vector<double> link_capacity() const;

  // One entry per operator of the graph, in order, with its duration and how often it runs.
  struct Line {
    std::string segment;
    std::string name;
    OpFamily family;
    Time once;
    std::int64_t times;
    Provenance provenance;
    bool extrapolated;
    Operator op;
    // Of a collective that is simulated, with the request that it was.
    std::optional<CollectiveAnatomy> anatomy = std::nullopt;
  };
  std::vector<Line> lines(const BatchShape& batch);

  // One collective of these ranks in detail, alone on the network and before any draw.
  CollectiveTime alone(const CollectiveOp& op) const { return fastest(request_of(op)); }

 private:
  struct AttentionTemplate {
    AttentionOp op;
    std::int64_t times = 0;
  };

  StepTime operator_time(const Operator& op);
  // Of an all-reduce that the profile has measured: it is not simulated.
  std::optional<Estimate> measured_all_reduce(const CollectiveOp& op) const;
  StepTime collective_time(const CollectiveOp& op);
  Provenance collective_provenance(const CollectiveOp& op) const;
  CollectiveRequest request_of(const CollectiveOp& op) const;
  CollectiveRequest chosen_request(const CollectiveOp& op) const;
  std::optional<CollectiveAnatomy> anatomy(const Operator& op) const;
  Estimate collective_estimate() const;
  CollectiveCosts drawn_costs() const;
  CollectiveTime fastest(CollectiveRequest request) const;
  Time collective_alone(const CollectiveOp& op) const;
  bool over_wire(const CollectiveOp& op) const;
  Time wire_time(const CollectiveOp& op) const;
  StepTime with_skew(StepTime time) const;
  StepTime sum(const StepGraph& graph, DependsOn part);
  StepTime attention_time(const BatchShape& batch);
  const StepTime& remembered(std::vector<std::unique_ptr<StepTime>>& memory, std::int64_t index,
                             DependsOn part);
  StepTime simulate_all(const BatchShape& batch);
  StepTime overlapped(const BatchShape& batch);

  StepContext context_;
  StagePlacement placement_;
  int stage_;
  CostDraw draw_;
  bool exact_;
  LinkClass weakest_link_ = LinkClass::nvlink;  // between the first rank and the others
  std::vector<AttentionTemplate> prefill_attention_, decode_attention_;
  std::vector<std::unique_ptr<StepTime>> by_tokens_, by_rows_;
  // Kind, values, and whether the wire is the scenario's: the logits always travel in bf16.
  using CollectiveKey = std::tuple<int, std::int64_t, bool>;
  static CollectiveKey key_of(const CollectiveOp& op) {
    return {static_cast<int>(op.kind), op.values, op.wire == kBf16};
  }
  std::map<CollectiveKey, Time> collectives_;
  std::shared_ptr<CollectiveMemory::Group> shared_collectives_;  // may be null
  std::map<CollectiveKey, PlannedCollective> planned_;
};

}  // namespace foretoken
