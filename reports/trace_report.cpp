#include "reports/trace_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "reports/run_report.h"

namespace foretoken::reports {
namespace {

enum Row : int { kOperators = 1, kCollectives = 2, kReceives = 3, kEngine = 1 };

// Processes: GPUs from 1 on, then the replicas, then the links.
struct Processes {
  int gpus;
  int replicas;
  int gpu(int index) const { return 1 + index; }
  int replica(int index) const { return 1 + gpus + index; }
  int links() const { return 1 + gpus + replicas; }
};

std::int64_t nanos(Time t) { return t.count() / 1000; }
// Microseconds, as the format wants.
std::string stamp(std::int64_t ns) { return fmt::format("{}.{:03}", ns / 1000, ns % 1000); }

struct Extent {
  Time begin = kTimeNever, end = kTimeZero;
};

Extent extent(const RunTrace& trace) {
  Extent e;
  for (const HostSpan& host : trace.hosts) {
    e.begin = std::min(e.begin, host.begin);
  }
  for (const StageTrace& stage : trace.stages) {
    e.begin = std::min(e.begin, stage.begin);
    e.end = std::max(e.end, stage.end);
  }
  return e;
}

class TraceWriter {
 public:
  TraceWriter(const Simulation& simulation, const RunRecord& record)
      : simulation_(simulation),
        record_(record),
        processes_{simulation.topology().gpu_count(),
                   static_cast<int>(simulation.placements().size())} {
    for (int i = 0; i < simulation.topology().gpu_count(); ++i) {
      gpu_of_vertex_[simulation.topology().vertex_of_gpu(i)] = i;
    }
  }

  std::string write() {
    name_processes();
    for (const HostSpan& host : record_.trace.hosts) {
      slice(processes_.replica(host.replica), kEngine, "schedule", "host", host.begin, host.end,
            host.step);
    }
    for (const StageTrace& stage : record_.trace.stages) {
      add(stage);
    }
    add_counters();
    add_link_counters();
    const ScenarioSpec& scenario = simulation_.scenario();
    const nlohmann::ordered_json about{{"schema", "1"},
                                       {"program", "foretoken " FORETOKEN_VERSION},
                                       {"scenario", scenario.file},
                                       {"hash", fmt::format("{:016x}", scenario.hash)},
                                       {"seed", fmt::format("{}", scenario.seed)},
                                       {"provenance", share_text(provenance_shares(record_))}};
    return "{\"displayTimeUnit\":\"ns\",\"otherData\":" + about.dump() + ",\"traceEvents\":[\n" +
           events_ + "\n]}\n";
  }

 private:
  const StagePlacement& placement(const StageTrace& stage) const {
    return simulation_.placements()[static_cast<std::size_t>(stage.replica)]
        .stages[static_cast<std::size_t>(stage.stage)];
  }

  template <typename... Args>
  void put(fmt::format_string<Args...> format, Args&&... args) {
    events_ += events_.empty() ? "" : ",\n";
    fmt::format_to(std::back_inserter(events_), format, std::forward<Args>(args)...);
  }

  void slice(int process, int row, const std::string& name, std::string_view category, Time begin,
             Time end, std::int64_t step) {
    put("{{\"ph\":\"X\",\"pid\":{},\"tid\":{},\"ts\":{},\"dur\":{},\"name\":{},\"cat\":\"{}\","
        "\"args\":{{\"step\":{}}}}}",
        process, row, stamp(nanos(begin)), stamp(nanos(end) - nanos(begin)), quoted(name), category,
        step);
  }

  void counter(int process, const std::string& name, Time at, const std::string& values) {
    put("{{\"ph\":\"C\",\"pid\":{},\"tid\":0,\"ts\":{},\"name\":{},\"args\":{{{}}}}}", process,
        stamp(nanos(at)), quoted(name), values);
  }

  void label(const char* what, int process, int row, const std::string& name) {
    put("{{\"ph\":\"M\",\"pid\":{},\"tid\":{},\"ts\":0,\"name\":\"{}\",\"args\":{{\"name\":{}}}}}",
        process, row, what, quoted(name));
  }

  static std::string quoted(const std::string& text) { return nlohmann::json(text).dump(); }

  // Only what the stretch touches.
  void name_processes() {
    std::set<std::pair<int, int>> stages;
    for (const StageTrace& stage : record_.trace.stages) {
      if (!stages.emplace(stage.replica, stage.stage).second) {
        continue;
      }
      if (stage.stage == 0) {
        label("process_name", processes_.replica(stage.replica), 0,
              fmt::format("replica {}", stage.replica));
        label("thread_name", processes_.replica(stage.replica), kEngine, "engine");
      }
      const StagePlacement& gpus = placement(stage);
      for (const int gpu : gpus.gpus) {
        const int process = processes_.gpu(gpu);
        label("process_name", process, 0,
              fmt::format("{} (replica {}, stage {})", gpu_name(gpu), stage.replica, stage.stage));
        label("thread_name", process, kOperators, "operators");
        label("thread_name", process, kCollectives, "collectives");
      }
      for (const int gpu : gpus.next_gpus) {
        label("thread_name", processes_.gpu(gpu), kReceives, "receives");
      }
    }
    label("process_name", processes_.links(), 0, "links");
  }

  const std::string& gpu_name(int gpu) const {
    const Topology& topology = simulation_.topology();
    return topology.vertex(topology.vertex_of_gpu(gpu)).id;
  }

  void add(const StageTrace& stage) {
    const StagePlacement& gpus = placement(stage);
    for (const int gpu : gpus.gpus) {
      for (const OperatorSpan& span : stage.operators) {
        slice(processes_.gpu(gpu), kOperators, span.name, family(span), span.begin, span.end,
              stage.step);
      }
    }
    for (const CollectiveSpan& collective : stage.collectives) {
      const OperatorSpan& span = collective.span;
      for (const int gpu : gpus.gpus) {
        slice(processes_.gpu(gpu), kCollectives, span.name, family(span), span.begin, span.end,
              stage.step);
      }
      const bool hop = span.family == OpFamily::send_recv;
      if (hop) {
        for (const int gpu : gpus.next_gpus) {
          slice(processes_.gpu(gpu), kReceives, "receive", family(span), span.begin, span.end,
                stage.step);
        }
      }
      for (const TransferSpan& transfer : collective.transfers) {
        arrow(transfer, hop ? kReceives : kCollectives);
        rate(transfer, span);
      }
    }
  }

  static std::string_view family(const OperatorSpan& span) {
    return kOpFamilyNames[static_cast<std::size_t>(span.family)];
  }

  // From the sender's slice to the receiver's; none where a switch is an end (reduction in it).
  void arrow(const TransferSpan& transfer, int row) {
    const Topology& topology = simulation_.topology();
    const auto from = gpu_of_vertex_.find(topology.link(transfer.links.front()).from);
    const auto to = gpu_of_vertex_.find(topology.link(transfer.links.back()).to);
    if (from == gpu_of_vertex_.end() || to == gpu_of_vertex_.end()) {
      return;
    }
    ++arrows_;
    const std::int64_t begin = nanos(transfer.begin);
    // Inside the receiver's slice, which may end with the transfer.
    const std::int64_t end = std::max(begin, nanos(transfer.end) - 1);
    put("{{\"ph\":\"s\",\"pid\":{},\"tid\":{},\"ts\":{},\"id\":{},\"name\":\"transfer\",\"cat\":"
        "\"transfer\",\"args\":{{\"bytes\":{:.0f}}}}}",
        processes_.gpu(from->second), static_cast<int>(kCollectives), stamp(begin), arrows_,
        transfer.bytes);
    put("{{\"ph\":\"f\",\"bp\":\"e\",\"pid\":{},\"tid\":{},\"ts\":{},\"id\":{},\"name\":"
        "\"transfer\",\"cat\":\"transfer\"}}",
        processes_.gpu(to->second), row, stamp(end), arrows_);
  }

  void rate(const TransferSpan& transfer, const OperatorSpan& collective) {
    const double seconds = to_seconds(collective.end - collective.begin);
    if (seconds <= 0) {
      return;
    }
    for (const int link : transfer.links) {
      rates_[link][collective.begin] += transfer.bytes / seconds;
      rates_[link][collective.end] -= transfer.bytes / seconds;
    }
  }

  void add_counters() {
    const Extent shown = extent(record_.trace);
    for (const StepSample& step : record_.timeline) {
      if (step.end < shown.begin || step.begin > shown.end) {
        continue;
      }
      const int process = processes_.replica(step.replica);
      counter(process, "batch", step.begin,
              fmt::format("\"prompt tokens\":{},\"sequences\":{}", step.prefill_tokens,
                          step.decode_sequences));
      counter(process, "requests", step.end,
              fmt::format("\"waiting\":{},\"running\":{}", step.waiting, step.running));
      counter(process, "KV cache", step.end, fmt::format("\"blocks\":{}", step.kv_blocks));
    }
  }

  void add_link_counters() {
    const Topology& topology = simulation_.topology();
    for (const auto& [link, changes] : rates_) {
      const std::string name = fmt::format("{} to {}", topology.vertex(topology.link(link).from).id,
                                           topology.vertex(topology.link(link).to).id);
      double now = 0;
      for (const auto& [at, change] : changes) {
        now += change;
        counter(processes_.links(), name, at,
                fmt::format("\"GB/s\":{:.3f}", std::max(0.0, now) / 1e9));
      }
    }
  }

  const Simulation& simulation_;
  const RunRecord& record_;
  Processes processes_;
  std::map<int, int> gpu_of_vertex_;
  std::map<int, std::map<Time, double>> rates_;  // changes of bytes per second, by link
  std::int64_t arrows_ = 0;
  std::string events_;
};

}  // namespace

std::string trace_json(const Simulation& simulation, const RunRecord& record) {
  return TraceWriter(simulation, record).write();
}

std::string trace_summary(const RunRecord& record) {
  const Extent shown = extent(record.trace);
  std::set<std::int64_t> steps;
  for (const StageTrace& stage : record.trace.stages) {
    steps.insert(stage.step);
  }
  return fmt::format("{} steps from {:.6f} s to {:.6f} s{}", steps.size(), to_seconds(shown.begin),
                     to_seconds(shown.end),
                     record.trace.full ? " (as much as fits; state --trace-window)" : "");
}

}  // namespace foretoken::reports
