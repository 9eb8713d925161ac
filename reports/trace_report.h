// A stretch of a run in Chrome's trace format, for ui.perfetto.dev or chrome://tracing. Each GPU is
// a process: its operators, its collectives, and what it receives from the pipeline stage before.
// Transfers are flow arrows between GPUs. Each replica is a process with the engine's own work and
// the counters of queue, batch and KV cache; one more has a counter per link in use.
#pragma once

#include <string>

#include "sim/serving/simulation.h"

namespace foretoken::reports {

// Times are rounded down to nanoseconds. A link's counter is its mean rate over each collective.
// REQUIRES: the record holds its timeline and a trace (Recording).
std::string trace_json(const Simulation& simulation, const RunRecord& record);

// "15 steps from 5.301 s to 5.420 s". REQUIRES: the trace holds a step.
std::string trace_summary(const RunRecord& record);

}  // namespace foretoken::reports
