#include "calibrate/runtime/engine.h"

#include "calibrate/runtime/server.h"
#include "kernels/base/rounds.h"
#include "kernels/collective/timing.h"

namespace foretoken::runtime {

Engine::Engine(const GraphBuilder& builder, const WeightSource& weights,
               const ExecutorLimits& limits, const std::optional<std::string>& wire)
    : group_(builder.parallel().tensor, wire, [&](kernels::Transport& transport) {
        Executor executor(builder, weights, limits, &transport);
        kernels::barrier(transport);
        follow(executor, transport);
      }) {
  executor_ = std::make_unique<Executor>(builder, weights, limits, transport());
  if (transport() != nullptr) {
    kernels::barrier(*transport());
  }
}

Engine::~Engine() {
  if (transport() != nullptr) {
    try {
      send_step(*transport(), {});
    } catch (const kernels::TransportError&) {
      // The other rank has ended already, and said why.
    }
  }
}

Engine::Step Engine::step(const StepInput& input) {
  Step step;
  step.seconds = kernels::wall_seconds(1, [&] {
    if (transport() != nullptr) {
      send_step(*transport(), input);
    }
    step.result = executor_->step(input);
  });
  return step;
}

}  // namespace foretoken::runtime
