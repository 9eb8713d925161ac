#include "sim/serving/link_use.h"

#include <bit>
#include <tuple>

namespace foretoken {
namespace {

// The six leading bits of a size.
std::int64_t rounded(std::int64_t values) {
  const int shift =
      std::max(0, static_cast<int>(std::bit_width(static_cast<std::uint64_t>(values))) - 6);
  return values >> shift << shift;
}

struct Calls {
  CollectiveOp op;    // one of them
  double weight = 0;  // of all of them, in multiples of its size
};

}  // namespace

std::vector<double> link_bytes(const Simulation& simulation,
                               const std::vector<StepSample>& timeline) {
  std::vector<double> bytes(static_cast<std::size_t>(simulation.topology().link_count()), 0.0);
  // Collectives depend on the numbers of tokens and of rows alone.
  using Shape = std::tuple<std::int32_t, std::int64_t, std::int32_t>;
  std::map<Shape, std::int64_t> steps;
  for (const StepSample& sample : timeline) {
    ++steps[{sample.replica, sample.tokens(), sample.rows}];
  }
  const auto& placements = simulation.placements();
  for (std::size_t replica = 0; replica < placements.size(); ++replica) {
    for (std::size_t stage = 0; stage < placements[replica].stages.size(); ++stage) {
      const StepTimer timer(simulation.step_context(), placements[replica].stages[stage],
                            static_cast<int>(stage), CostDraw(), false);
      std::map<std::tuple<int, std::int64_t, bool>, Calls> calls;
      const auto index = static_cast<std::int32_t>(replica);
      for (auto it = steps.lower_bound({index, 0, 0});
           it != steps.end() && std::get<0>(it->first) == index; ++it) {
        BatchShape batch;
        batch.rows = std::get<2>(it->first);
        batch.prefill.push_back({std::get<1>(it->first), 0});
        for (const auto& [op, times] : timer.collectives(batch)) {
          Calls& call = calls[{static_cast<int>(op.kind), rounded(op.values), op.wire == kBf16}];
          if (call.weight == 0) {
            call.op = op;
          }
          call.weight += static_cast<double>(times * it->second) * static_cast<double>(op.values) /
                         static_cast<double>(call.op.values);
        }
      }
      for (const auto& [key, call] : calls) {
        timer.plan(call.op).schedule.add_link_bytes(bytes, call.weight);
      }
    }
  }
  return bytes;
}

}  // namespace foretoken
