// All replicas of a deployment behind a router, fed with a workload.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "sim/core/event_queue.h"
#include "sim/serving/replica.h"
#include "sim/serving/workload.h"

namespace foretoken {

enum class Router { least_loaded, round_robin };

// Ends a run early: as soon as more than `may_miss` of the requests from `first_scored` on have
// missed one and the same target, whatever the others do.
struct StopRule {
  SloSpec targets;
  std::int64_t first_scored = 0;
  std::int64_t may_miss = 0;
};

class Fleet final : public EventHandler, private CompletionListener {
 public:
  struct Config {
    SchedulerLimits limits;
    std::vector<std::vector<std::shared_ptr<StepTimer>>> stages;  // per replica
    Router router = Router::least_loaded;
    std::int64_t max_model_len = 0;
    double warmup = 0;
    Recording recording = {};
    HostOverlap host_overlap = HostOverlap::none;
    // Bytes per second of each link, where replicas share some; empty: they do not.
    std::vector<double> shared_links = {};
    // Told how many requests are finished, now and then; may be empty.
    std::function<void(std::int64_t done, std::int64_t total)> progress = {};
    std::optional<StopRule> stop = std::nullopt;
  };

  Fleet(const Config& config, const Workload& workload, const CostModel& cost,
        const CostDraw& draw);

  // Runs to the end. Checks that every token and every KV block is accounted for.
  RunRecord run();

  void handle(std::uint64_t payload) override;

 private:
  void finished(std::int32_t request) override;
  void count_misses(const RequestRecord& record);
  void arrive(std::int32_t request);
  void schedule_next_arrival();
  void send_next_of_closed_loop();
  Time delay_of(std::int32_t request) const;
  std::int64_t waiting() const;  // for admission, over all replicas
  Replica& choose();
  void check_books() const;

  const Workload& workload_;
  Router router_;
  std::int64_t max_model_len_;
  Time front_end_;  // from arrival to the engine's queue
  EventQueue events_;
  std::optional<FlowNetwork> network_;  // that the replicas share
  RunRecord record_;
  std::vector<std::unique_ptr<Replica>> replicas_;
  std::vector<std::int32_t> chosen_;  // replica of each request
  std::int32_t next_ = 0;             // next request to arrive
  std::size_t turn_ = 0;
  std::int64_t finished_ = 0;
  std::function<void(std::int64_t, std::int64_t)> progress_;
  std::optional<StopRule> stop_;
  std::int64_t ttft_missed_ = 0, tpot_missed_ = 0, e2e_missed_ = 0;
};

}  // namespace foretoken
