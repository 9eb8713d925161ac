#include "sim/serving/fleet.h"

#include <algorithm>
#include <cmath>

#include "sim/core/error.h"

namespace foretoken {
namespace {

constexpr std::uint64_t kDeliver = 1ULL << 32;  // otherwise: the request arrives

}  // namespace

Fleet::Fleet(const Config& config, const Workload& workload, const CostModel& cost,
             const CostDraw& draw)
    : workload_(workload),
      router_(config.router),
      max_model_len_(config.max_model_len),
      front_end_(draw.duration(cost.host_request())),
      progress_(config.progress),
      stop_(config.stop) {
  for (const Request& request : workload.requests) {
    RequestRecord record;
    record.arrival = request.arrival;
    record.input_tokens = request.input_tokens;
    record.output_tokens = request.output_tokens;
    record_.requests.push_back(record);
  }
  chosen_.assign(record_.requests.size(), -1);
  record_.kv_blocks = config.limits.kv_blocks;
  const auto first_scored = static_cast<std::int32_t>(
      std::floor(static_cast<double>(record_.requests.size()) * config.warmup));
  if (!config.shared_links.empty()) {
    network_.emplace(events_, config.shared_links);
  }
  for (std::size_t i = 0; i < config.stages.size(); ++i) {
    replicas_.push_back(std::make_unique<Replica>(
        Replica::Shared{events_, record_, *this, cost, draw, first_scored, config.host_overlap,
                        config.recording, network_ ? &*network_ : nullptr},
        static_cast<int>(i), config.limits, config.stages[i]));
  }
}

RunRecord Fleet::run() {
  const auto count = static_cast<std::int32_t>(record_.requests.size());
  if (workload_.concurrency > 0) {
    for (; next_ < std::min(count, workload_.concurrency); ++next_) {
      events_.schedule(delay_of(next_), *this, static_cast<std::uint64_t>(next_));
    }
  } else {
    schedule_next_arrival();
  }
  while (!record_.stopped_early && events_.step()) {
  }
  for (const auto& replica : replicas_) {
    record_.preemptions += replica->scheduler().preemptions();
  }
  if (!record_.stopped_early) {
    check_books();
  }
  return std::move(record_);
}

// Only the next arrival is in the queue, which keeps it small.
void Fleet::schedule_next_arrival() {
  if (next_ < static_cast<std::int32_t>(record_.requests.size())) {
    const auto request = static_cast<std::size_t>(next_);
    events_.schedule(record_.requests[request].arrival, *this, static_cast<std::uint64_t>(next_));
    ++next_;
  }
}

Replica& Fleet::choose() {
  if (router_ == Router::round_robin) {
    return *replicas_[turn_++ % replicas_.size()];
  }
  return **std::min_element(replicas_.begin(), replicas_.end(),
                            [](const auto& a, const auto& b) { return a->load() < b->load(); });
}

void Fleet::handle(std::uint64_t payload) {
  const auto request = static_cast<std::int32_t>(payload & 0xffffffffULL);
  if ((payload & kDeliver) != 0) {
    const auto replica = static_cast<std::size_t>(chosen_[static_cast<std::size_t>(request)]);
    replicas_[replica]->deliver(request);
    return;
  }
  arrive(request);
  if (workload_.concurrency == 0) {
    schedule_next_arrival();
  }
}

void Fleet::arrive(std::int32_t request) {
  const auto index = static_cast<std::size_t>(request);
  RequestRecord& record = record_.requests[index];
  const bool open = workload_.concurrency == 0;
  record.arrival = events_.now();
  const std::size_t count = record_.requests.size();
  const bool too_long =
      max_model_len_ > 0 && record.input_tokens + record.output_tokens > max_model_len_;
  if (too_long ||
      !replicas_.front()->scheduler().admissible(record.input_tokens, record.output_tokens)) {
    send_next_of_closed_loop();  // the user turns to the next question
  } else {
    Replica& replica = choose();
    replica.announce();
    const auto it = std::find_if(replicas_.begin(), replicas_.end(),
                                 [&](const auto& r) { return r.get() == &replica; });
    chosen_[index] = static_cast<std::int32_t>(it - replicas_.begin());
    events_.schedule(events_.now() + front_end_, *this,
                     kDeliver | static_cast<std::uint64_t>(request));
  }
  if (open && index + 1 == (count + 1) / 2) {
    record_.waiting_half = waiting();
  }
  if (open && index + 1 == count) {
    record_.waiting_end = waiting();
    record_.finished_by_last_arrival = finished_;
  }
}

std::int64_t Fleet::waiting() const {
  std::int64_t sum = 0;
  for (const auto& replica : replicas_) {
    sum += replica->scheduler().waiting();
  }
  return sum;
}

void Fleet::count_misses(const RequestRecord& record) {
  const SloSpec& slo = stop_->targets;
  const Time decode = record.finish - record.first_token;
  const std::int64_t gaps = record.output_tokens - 1;
  ttft_missed_ += slo.ttft && record.first_token - record.arrival > *slo.ttft ? 1 : 0;
  tpot_missed_ += slo.tpot && gaps > 0 && decode / gaps > *slo.tpot ? 1 : 0;
  e2e_missed_ += slo.e2e && record.finish - record.arrival > *slo.e2e ? 1 : 0;
  record_.stopped_early = std::max({ttft_missed_, tpot_missed_, e2e_missed_}) > stop_->may_miss;
}

void Fleet::finished(std::int32_t request) {
  ++finished_;
  if (progress_ && finished_ % 16 == 0) {
    progress_(finished_, static_cast<std::int64_t>(record_.requests.size()));
  }
  if (stop_ && request >= stop_->first_scored) {
    count_misses(record_.requests[static_cast<std::size_t>(request)]);
  }
  send_next_of_closed_loop();
}

// In a closed loop a request leaves this long after its client is free.
Time Fleet::delay_of(std::int32_t request) const {
  return workload_.delays.empty() ? kTimeZero : workload_.delays[static_cast<std::size_t>(request)];
}

void Fleet::send_next_of_closed_loop() {
  if (workload_.concurrency > 0 && next_ < static_cast<std::int32_t>(record_.requests.size())) {
    events_.schedule(events_.now() + delay_of(next_), *this, static_cast<std::uint64_t>(next_));
    ++next_;
  }
}

// Tokens in = tokens out, KV blocks taken = freed, nobody left behind.
void Fleet::check_books() const {
  for (const auto& replica : replicas_) {
    const Scheduler& scheduler = replica->scheduler();
    FT_CHECK(scheduler.idle(), "requests are left in a replica that does nothing");
    FT_CHECK(scheduler.blocks_taken() == scheduler.blocks_freed() && scheduler.used_blocks() == 0,
             "KV blocks taken {} freed {}", scheduler.blocks_taken(), scheduler.blocks_freed());
  }
  for (std::size_t i = 0; i < record_.requests.size(); ++i) {
    const RequestRecord& record = record_.requests[i];
    FT_CHECK(
        record.failed() || (record.finish != kTimeNever && record.first_token <= record.finish),
        "request {} was taken but never finished", i);
    FT_CHECK(record.failed() == (chosen_[i] < 0), "request {} was lost", i);
  }
}

}  // namespace foretoken
