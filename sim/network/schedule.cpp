#include "sim/network/schedule.h"

#include <algorithm>
#include <utility>

#include "sim/core/error.h"

namespace foretoken {

int Schedule::add_path(SchedulePath path) {
  paths_.push_back(std::move(path));
  return static_cast<int>(paths_.size() - 1);
}

TaskId Schedule::add(Task task, std::span<const TaskId> after) {
  task.first_after = static_cast<std::int32_t>(after_.size());
  task.waits_for = static_cast<std::int32_t>(after.size());
  const auto id = static_cast<TaskId>(tasks_.size());
  for (const TaskId earlier : after) {
    // Tasks only wait for earlier ones, so a schedule cannot go in circles.
    FT_CHECK(earlier >= 0 && earlier < id, "task {} waits for {}", id, earlier);
    after_.push_back(earlier);
  }
  tasks_.push_back(task);
  return id;
}

TaskId Schedule::add_transfer(int from_rank, int path, std::int64_t bytes,
                              std::span<const TaskId> after) {
  FT_CHECK(bytes >= 0 && path >= 0 && path < static_cast<int>(paths_.size()));
  if (from_rank >= 0) {
    sent_[from_rank] += bytes;
  }
  return add({bytes, kTimeZero, path, from_rank, 0, 0}, after);
}

TaskId Schedule::add_work(int rank, Time duration, std::span<const TaskId> after) {
  FT_CHECK(duration >= kTimeZero);
  return add({0, duration, -1, rank, 0, 0}, after);
}

void Schedule::add_link_bytes(std::vector<double>& bytes, double factor) const {
  for (const Task& task : tasks_) {
    if (task.path >= 0) {
      const SchedulePath& path = paths_[task.path];
      for (const LinkId link : path.links) {
        bytes[link] += factor * path.stretch * static_cast<double>(task.bytes);
      }
    }
  }
}

Schedule Schedule::without_shared_middle(std::span<const double> capacity) const {
  Schedule apart = *this;
  for (SchedulePath& path : apart.paths_) {
    for (std::size_t i = 1; i + 1 < path.links.size(); ++i) {
      path.cap = std::min(path.cap, capacity[static_cast<std::size_t>(path.links[i])]);
    }
    if (path.links.size() > 2) {
      path.links = {path.links.front(), path.links.back()};
    }
  }
  return apart;
}

ScheduleRun::ScheduleRun(EventQueue& queue, FlowNetwork& network, const Schedule& schedule,
                         EventHandler* finished, std::uint64_t payload)
    : queue_(&queue),
      network_(&network),
      schedule_(&schedule),
      finished_(finished),
      payload_(payload),
      states_(schedule.size()),
      compute_free_(schedule.ranks(), kTimeZero),
      lines_(schedule.paths_.size()),
      left_(schedule.size()) {
  link_successors();
}

// The dependencies turned round: who waits for each task.
void ScheduleRun::link_successors() {
  const std::size_t count = schedule_->size();
  first_successor_.assign(count + 1, 0);
  for (const TaskId earlier : schedule_->after_) {
    ++first_successor_[earlier + 1];
  }
  for (std::size_t i = 1; i <= count; ++i) {
    first_successor_[i] += first_successor_[i - 1];
  }
  successors_.resize(schedule_->after_.size());
  std::vector<std::int32_t> next(first_successor_.begin(), first_successor_.end() - 1);
  for (std::size_t i = 0; i < count; ++i) {
    const Schedule::Task& task = schedule_->tasks_[i];
    states_[i].waits_for = task.waits_for;
    for (std::int32_t k = 0; k < task.waits_for; ++k) {
      const TaskId earlier = schedule_->after_[task.first_after + k];
      successors_[next[earlier]++] = static_cast<TaskId>(i);
    }
  }
}

void ScheduleRun::start() {
  started_ = queue_->now();
  if (observer_ != nullptr) {
    sent_at_.resize(states_.size());
  }
  for (std::size_t i = 0; i < states_.size(); ++i) {
    if (schedule_->tasks_[i].waits_for == 0) {
      begin(static_cast<TaskId>(i));
    }
  }
}

void ScheduleRun::handle(std::uint64_t payload) {
  const auto task = static_cast<TaskId>(payload >> 1);
  if (static_cast<Event>(payload & 1) == Event::line_up) {
    line_up(task);
    return;
  }
  if (schedule_->tasks_[task].path >= 0) {
    leave_line(task);
  }
  complete(task);
}

void ScheduleRun::begin(TaskId id) {
  const Schedule::Task& task = schedule_->tasks_[id];
  states_[id].ready = queue_->now();
  const std::uint64_t payload = static_cast<std::uint64_t>(id) << 1;
  if (task.path < 0) {
    Time& free = compute_free_[task.rank];
    free = std::max(free, queue_->now()) + task.duration;
    queue_->schedule(free, *this, payload | static_cast<std::uint64_t>(Event::complete));
    return;
  }
  const SchedulePath& path = schedule_->path(task.path);
  queue_->schedule(queue_->now() + path.latency, *this,
                   payload | static_cast<std::uint64_t>(Event::line_up));
}

// Its latency over, a transfer takes its place at its path.
void ScheduleRun::line_up(TaskId id) {
  const Schedule::Task& task = schedule_->tasks_[id];
  if (task.bytes == 0 || schedule_->path(task.path).links.empty()) {
    complete(id);
    return;
  }
  Line& line = lines_[task.path];
  if (line.first < 0) {
    line.first = line.last = id;
    send(id);
  } else {
    states_[line.last].next_in_line = id;
    line.last = id;
  }
}

void ScheduleRun::send(TaskId id) {
  const Schedule::Task& task = schedule_->tasks_[id];
  const SchedulePath& path = schedule_->path(task.path);
  if (observer_ != nullptr) {
    sent_at_[id] = queue_->now();
  }
  network_->start(
      path.links, path.stretch * static_cast<double>(task.bytes), *this,
      (static_cast<std::uint64_t>(id) << 1) | static_cast<std::uint64_t>(Event::complete),
      path.cap);
}

void ScheduleRun::leave_line(TaskId id) {
  const Schedule::Task& task = schedule_->tasks_[id];
  if (observer_ != nullptr) {
    observer_->transferred(schedule_->path(task.path), task.bytes, sent_at_[id], queue_->now());
  }
  Line& line = lines_[task.path];
  line.first = states_[id].next_in_line;
  if (line.first >= 0) {
    send(line.first);
  }
}

void ScheduleRun::complete(TaskId id) {
  const Schedule::Task& task = schedule_->tasks_[id];
  State& state = states_[id];
  const Time spent = queue_->now() - state.ready;
  if (task.path < 0) {
    state.work += spent;
  } else {
    const Time latency = schedule_->path(task.path).latency;
    state.latency += latency;
    state.wire += spent - latency;
    ++state.steps;
  }
  for (std::int32_t i = first_successor_[id]; i < first_successor_[id + 1]; ++i) {
    State& next = states_[successors_[i]];
    if (--next.waits_for == 0) {
      // This task was the last one waited for: the critical path goes on from here.
      next.latency = state.latency;
      next.wire = state.wire;
      next.work = state.work;
      next.steps = state.steps;
      begin(successors_[i]);
    }
  }
  if (--left_ == 0) {
    result_ = {queue_->now() - started_, state.latency, state.wire, state.work, state.steps};
    if (finished_ != nullptr) {
      finished_->handle(payload_);
    }
  }
}

}  // namespace foretoken
