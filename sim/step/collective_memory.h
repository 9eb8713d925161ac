// Durations of collectives alone on their links, remembered for all timers of one topology and one
// set of costs. They are pure functions of the key, so that it does not matter who comes first.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <tuple>
#include <vector>

#include "sim/core/units.h"
#include "sim/model/operator.h"

namespace foretoken {

class CollectiveMemory {
 public:
  // Of one group of ranks: its GPUs and those it sends to.
  class Group {
   public:
    // The duration of `op`, made by `make()` when nobody has asked before. Safe from any thread.
    template <class Make>
    Time get(const CollectiveOp& op, Make make) {
      const Key key = key_of(op);
      {
        const std::lock_guard lock(mutex_);
        if (const auto it = times_.find(key); it != times_.end()) {
          return it->second;
        }
      }
      const Time time = make();
      const std::lock_guard lock(mutex_);
      return times_.try_emplace(key, time).first->second;
    }

   private:
    using Key = std::tuple<int, std::int64_t, int, int, int, bool, int>;
    static Key key_of(const CollectiveOp& op) {
      const Format& w = op.wire;
      return {
          static_cast<int>(op.kind), op.values, static_cast<int>(w.kind), w.bits, w.group, w.spike,
          static_cast<int>(w.scale)};
    }
    std::mutex mutex_;
    std::map<Key, Time> times_;
  };

  std::shared_ptr<Group> group(const std::vector<int>& gpus, const std::vector<int>& next_gpus,
                               bool sequence_parallel) {
    const std::lock_guard lock(mutex_);
    auto& group = groups_[{gpus, next_gpus, sequence_parallel}];
    group = group ? group : std::make_shared<Group>();
    return group;
  }

 private:
  std::mutex mutex_;
  std::map<std::tuple<std::vector<int>, std::vector<int>, bool>, std::shared_ptr<Group>> groups_;
};

}  // namespace foretoken
