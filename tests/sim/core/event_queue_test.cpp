#include "sim/core/event_queue.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <tuple>
#include <utility>
#include <vector>

#include "sim/core/error.h"
#include "sim/core/random.h"

namespace foretoken {
namespace {

struct Recorder : EventHandler {
  explicit Recorder(EventQueue& events) : queue(events) {}
  void handle(std::uint64_t payload) override {
    seen.emplace_back(queue.now().count(), payload);
    if (then) {
      then(payload);
    }
  }
  EventQueue& queue;
  std::function<void(std::uint64_t)> then;
  std::vector<std::pair<std::int64_t, std::uint64_t>> seen;
};

using Seen = std::vector<std::pair<std::int64_t, std::uint64_t>>;

TEST(EventQueue, Events_run_in_the_order_of_time) {
  EventQueue queue;
  Recorder recorder(queue);
  queue.schedule(Time(30), recorder, 3);
  queue.schedule(Time(10), recorder, 1);
  queue.schedule(Time(20), recorder, 2);
  EXPECT_EQ(queue.pending(), 3u);
  queue.run();
  EXPECT_EQ(recorder.seen, (Seen{{10, 1}, {20, 2}, {30, 3}}));
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.dispatched(), 3u);
}

TEST(EventQueue, Events_of_one_instant_run_in_the_order_of_scheduling) {
  EventQueue queue;
  Recorder recorder(queue);
  // Chains of time 10: {0}, {2, 3}, {5}; events of time 20 lie between them.
  const std::int64_t times[] = {10, 20, 10, 10, 20, 10};
  for (std::uint64_t i = 0; i < 6; ++i) {
    queue.schedule(Time(times[i]), recorder, i);
  }
  queue.run();
  EXPECT_EQ(recorder.seen, (Seen{{10, 0}, {10, 2}, {10, 3}, {10, 5}, {20, 1}, {20, 4}}));
}

TEST(EventQueue, An_event_may_schedule_at_its_own_instant) {
  EventQueue queue;
  Recorder recorder(queue);
  recorder.then = [&](std::uint64_t payload) {
    if (payload == 0) {
      queue.schedule(queue.now(), recorder, 7);
      queue.schedule(queue.now() + Time(1), recorder, 8);
    }
  };
  queue.schedule(Time(5), recorder, 0);
  queue.schedule(Time(5), recorder, 1);
  queue.run();
  EXPECT_EQ(recorder.seen, (Seen{{5, 0}, {5, 1}, {5, 7}, {6, 8}}));
}

TEST(EventQueue, Deferred_work_runs_after_the_instant_and_before_time_advances) {
  EventQueue queue;
  Recorder recorder(queue);
  recorder.then = [&](std::uint64_t payload) {
    if (payload == 0) {
      queue.defer(recorder, 100);
    }
    if (payload == 100) {
      queue.schedule(queue.now(), recorder, 50);  // still at 5
      queue.defer(recorder, 101);
    }
  };
  queue.schedule(Time(5), recorder, 0);
  queue.schedule(Time(5), recorder, 1);
  queue.schedule(Time(6), recorder, 2);
  queue.run();
  EXPECT_EQ(recorder.seen, (Seen{{5, 0}, {5, 1}, {5, 100}, {5, 50}, {5, 101}, {6, 2}}));
}

TEST(EventQueue, Run_until_stops_at_the_end_and_keeps_the_rest) {
  EventQueue queue;
  Recorder recorder(queue);
  queue.schedule(Time(10), recorder, 1);
  queue.schedule(Time(11), recorder, 2);
  queue.run_until(Time(10));
  EXPECT_EQ(recorder.seen, (Seen{{10, 1}}));
  EXPECT_EQ(queue.now(), Time(10));
  EXPECT_EQ(queue.pending(), 1u);
  queue.run_until(Time(50));
  EXPECT_EQ(queue.now(), Time(50));
  EXPECT_EQ(recorder.seen.size(), 2u);
}

TEST(EventQueue, The_past_is_refused) {
  EventQueue queue;
  Recorder recorder(queue);
  recorder.then = [&](std::uint64_t) { queue.schedule(Time(4), recorder, 1); };
  queue.schedule(Time(5), recorder, 0);
  EXPECT_THROW(queue.run(), InternalError);
}

TEST(EventQueue, Going_in_circles_at_one_instant_is_noticed) {
  EventQueue queue(1000);
  Recorder recorder(queue);
  recorder.then = [&](std::uint64_t) { queue.schedule(queue.now(), recorder, 0); };
  queue.schedule(Time(5), recorder, 0);
  EXPECT_THROW(queue.run(), InternalError);
}

TEST(EventQueue, Many_events_over_a_long_time_are_not_mistaken_for_a_circle) {
  EventQueue queue(10);
  Recorder recorder(queue);
  recorder.then = [&](std::uint64_t left) {
    if (left > 0) {
      queue.schedule(queue.now() + Time(1), recorder, left - 1);
    }
  };
  queue.schedule(Time(0), recorder, 1000);
  queue.run();
  EXPECT_EQ(recorder.seen.size(), 1001u);
}

// Against a sorted list: random times from a small range, so that ties abound, scheduled both up
// front and from within events.
TEST(EventQueue, Any_mix_of_events_runs_in_the_total_order) {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    RandomStream random(seed, "event_queue_test");
    EventQueue queue;
    Recorder recorder(queue);
    std::vector<std::pair<std::int64_t, std::uint64_t>> expected;
    std::uint64_t next = 0;
    const auto schedule = [&](std::int64_t at) {
      expected.emplace_back(at, next);
      queue.schedule(Time(at), recorder, next++);
    };
    recorder.then = [&](std::uint64_t) {
      if (next < 2000) {
        for (std::int64_t n = random.uniform_int(0, 2); n > 0; --n) {
          schedule(queue.now().count() + random.uniform_int(0, 20));
        }
      }
    };
    for (int i = 0; i < 300; ++i) {
      schedule(random.uniform_int(0, 100));
    }
    queue.run();
    // Payloads count up in the order of scheduling, so they are the sequence.
    std::sort(expected.begin(), expected.end());
    EXPECT_EQ(recorder.seen, expected);
  }
}

}  // namespace
}  // namespace foretoken
