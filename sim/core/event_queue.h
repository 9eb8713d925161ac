// The event queue of a simulation: a total order by (time, sequence), where the sequence is the
// order of scheduling. An event is a handler and a 64-bit payload, so that nothing is allocated per
// event once the queue has reached its working size.
//
// Events of the same instant that are scheduled one after the other form a chain that takes a
// single place in the heap: collectives start and finish many transfers in lockstep.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/core/units.h"

namespace foretoken {

class EventHandler {
 public:
  virtual void handle(std::uint64_t payload) = 0;

 protected:
  ~EventHandler() = default;
};

class EventQueue {
 public:
  // So many events at one instant mean that the simulation goes in circles: run() then fails
  // FT_CHECK.
  static constexpr std::uint64_t kInstantLimit = 100'000'000;
  explicit EventQueue(std::uint64_t instant_limit = kInstantLimit);

  Time now() const { return now_; }
  bool empty() const { return pending_ == 0 && deferred_.empty(); }
  std::size_t pending() const { return pending_; }
  std::uint64_t dispatched() const { return dispatched_; }

  // The handler must outlive the event. REQUIRES: at >= now().
  void schedule(Time at, EventHandler& handler, std::uint64_t payload = 0);

  // Runs at now(), after all events of this instant and before time advances. What it schedules at
  // now() still runs at this instant, and so may be followed by further deferred work.
  void defer(EventHandler& handler, std::uint64_t payload = 0);

  // Dispatches the next event or deferred call; false when there is none.
  bool step();
  void run();
  // Dispatches everything up to and including `end`; now() is `end` afterwards.
  void run_until(Time end);

 private:
  using Index = std::uint32_t;
  static constexpr Index kNone = ~Index{0};
  static constexpr std::size_t kArity = 4;

  struct Node {
    std::uint64_t sequence;
    EventHandler* handler;
    std::uint64_t payload;
    Index next;  // in the chain, or in the list of free nodes
  };
  struct Entry {
    Time time;
    Index head;  // first node of the chain
  };
  struct Deferred {
    EventHandler* handler;
    std::uint64_t payload;
  };

  bool before(const Entry& a, const Entry& b) const {
    return a.time != b.time ? a.time < b.time : nodes_[a.head].sequence < nodes_[b.head].sequence;
  }
  Index make_node(EventHandler& handler, std::uint64_t payload);
  void insert(Entry entry);
  void close_hole();
  void sift_up(std::size_t hole, Entry entry);
  void sift_down(std::size_t hole, Entry entry);
  void dispatch_next();
  void count_dispatch();

  std::vector<Entry> heap_;  // 4-ary: children of i are 4i+1 .. 4i+4
  std::vector<Node> nodes_;
  std::vector<Deferred> deferred_;
  std::size_t deferred_begin_ = 0;
  Index free_ = kNone;
  // The root was taken by the event now running; the next insert fills it, which saves one sift.
  bool hole_ = false;
  // The chain scheduled last, open for events of the same time.
  Time open_time_ = kTimeNever;
  Index open_tail_ = kNone;
  Time now_ = kTimeZero;
  std::size_t pending_ = 0;
  std::uint64_t next_sequence_ = 0;
  std::uint64_t dispatched_ = 0;
  std::uint64_t at_this_instant_ = 0;
  std::uint64_t instant_limit_;
};

}  // namespace foretoken
