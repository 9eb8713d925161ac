// A schedule: transfers between ranks and work on ranks, with dependencies. What a collective
// algorithm is made into, and what runs on a FlowNetwork.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sim/core/event_queue.h"
#include "sim/network/flow_network.h"

namespace foretoken {

using TaskId = std::int32_t;

// The way a transfer takes, shared by all transfers between two ranks.
struct SchedulePath {
  std::vector<LinkId> links;
  Time latency = kTimeZero;  // before the first byte moves: links and protocol
  double cap = kUncapped;    // bytes per second one transfer can reach
  double stretch = 1;        // bytes on the links per byte sent: a protocol's flags
};

// Told of every transfer when its last byte has left the links; it began at `begin`.
class TransferObserver {
 public:
  virtual void transferred(const SchedulePath& path, std::int64_t bytes, Time begin, Time end) = 0;

 protected:
  ~TransferObserver() = default;
};

class Schedule {
 public:
  explicit Schedule(int ranks) : sent_(ranks, 0) {}

  int ranks() const { return static_cast<int>(sent_.size()); }
  std::size_t size() const { return tasks_.size(); }

  int add_path(SchedulePath path);
  const SchedulePath& path(int index) const { return paths_[index]; }

  // Sends over a path once everything in `after` is done. Transfers of one path leave one after the
  // other, in the order in which they become ready; their latencies overlap. Zero bytes take the
  // latency alone. Rank -1: traffic that no rank is charged with.
  TaskId add_transfer(int from_rank, int path, std::int64_t bytes, std::span<const TaskId> after);
  // Occupies the rank's compute for `duration`; work of one rank runs one after the other, in the
  // order in which it becomes ready.
  TaskId add_work(int rank, Time duration, std::span<const TaskId> after);

  // Bytes that leave the rank, over all its transfers.
  std::int64_t bytes_sent(int rank) const { return sent_[rank]; }
  // Adds what crosses each link, times `factor`. REQUIRES: bytes has an entry for every link.
  void add_link_bytes(std::vector<double>& bytes, double factor) const;
  // The same schedule without sharing on the way: of each path only the first and the last link are
  // left, those of its ends, and what lies between becomes a limit of each transfer's own.
  Schedule without_shared_middle(std::span<const double> capacity) const;

 private:
  friend class ScheduleRun;
  struct Task {
    std::int64_t bytes;  // transfer
    Time duration;       // work
    std::int32_t path;   // -1: work
    std::int32_t rank;
    std::int32_t first_after;  // in after_
    std::int32_t waits_for;
  };
  TaskId add(Task task, std::span<const TaskId> after);

  std::vector<Task> tasks_;
  std::vector<TaskId> after_;
  std::vector<SchedulePath> paths_;
  std::vector<std::int64_t> sent_;
};

// Where the time on the critical path went. The three add up to the duration of the run.
struct ScheduleTime {
  Time total = kTimeZero;
  Time latency = kTimeZero;
  Time wire = kTimeZero;
  Time work = kTimeZero;  // waiting for the rank's compute included
  int steps = 0;          // transfers on the critical path
};

// Runs one schedule. Several may run on one network at a time.
class ScheduleRun final : private EventHandler {
 public:
  // `finished`, if any, is told `payload` when the last task is done. All arguments must outlive
  // the run.
  ScheduleRun(EventQueue& queue, FlowNetwork& network, const Schedule& schedule,
              EventHandler* finished = nullptr, std::uint64_t payload = 0);
  ScheduleRun(const ScheduleRun&) = delete;
  ScheduleRun& operator=(const ScheduleRun&) = delete;

  void start();
  // REQUIRES: called before start(); the observer outlives the run.
  void observe(TransferObserver& observer) { observer_ = &observer; }
  bool done() const { return left_ == 0; }
  // REQUIRES: done().
  ScheduleTime time() const { return result_; }

 private:
  enum class Event : std::uint64_t { line_up, complete };
  struct State {
    Time latency = kTimeZero;  // of the critical path up to and including this task
    Time wire = kTimeZero;
    Time work = kTimeZero;
    Time ready = kTimeZero;
    std::int32_t waits_for = 0;
    std::int32_t steps = 0;
    TaskId next_in_line = -1;  // waits for the same path after this one
  };
  struct Line {         // transfers at one path
    TaskId first = -1;  // under way
    TaskId last = -1;
  };

  void handle(std::uint64_t payload) override;
  void link_successors();
  void begin(TaskId task);
  void line_up(TaskId task);
  void send(TaskId task);
  void leave_line(TaskId task);
  void complete(TaskId task);

  EventQueue* queue_;
  FlowNetwork* network_;
  const Schedule* schedule_;
  EventHandler* finished_;
  TransferObserver* observer_ = nullptr;
  std::vector<Time> sent_at_;  // by task, where observed
  std::uint64_t payload_;
  std::vector<State> states_;
  std::vector<std::int32_t> first_successor_;
  std::vector<TaskId> successors_;
  std::vector<Time> compute_free_;  // by rank
  std::vector<Line> lines_;         // by path
  std::size_t left_;
  Time started_ = kTimeZero;
  ScheduleTime result_;
};

}  // namespace foretoken
