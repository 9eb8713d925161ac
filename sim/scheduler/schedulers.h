// The table of schedulers.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "sim/scheduler/scheduler.h"

namespace foretoken {

struct SchedulerKind {
  Batching batching;
  std::string_view name;
  std::string_view meaning;
  std::unique_ptr<Scheduler> (*make)(const SchedulerLimits& limits);
};

std::span<const SchedulerKind> scheduler_kinds();  // one per value of Batching, in its order
const SchedulerKind& scheduler_kind(Batching batching);

std::unique_ptr<Scheduler> make_scheduler(const SchedulerLimits& limits);

}  // namespace foretoken
