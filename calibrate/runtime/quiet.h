// What the machine does beside a measurement: a fixed piece of work on the ranks' cores before and
// after it, and the processors' time that a hypervisor gave to others. Neighbours on a shared host
// come and go: while another's thread shares a core's execution units the fixed work takes up to
// twice as long, and so does everything else.
#pragma once

#include <memory>
#include <vector>

#include "calibrate/bench/thread_pair.h"
#include "calibrate/runtime/executor.h"

namespace foretoken::runtime {

inline constexpr double kQuietLevel = 0.07;   // of Sentinel::level, on a quiet machine
inline constexpr double kQuietUneven = 0.08;  // of Evenness::excess

class Sentinel {
 public:
  // `cores` as RankGroup::cores() has them: rank r runs on the r-th. The calling thread is pinned
  // to the first. REQUIRES: a core at least.
  Sentinel(std::vector<int> cores, int ranks);
  ~Sentinel();
  Sentinel(const Sentinel&) = delete;
  Sentinel& operator=(const Sentinel&) = delete;

  // s of the fixed work, on the cores of two ranks at once where there are two: the slower counts.
  double seconds();
  // A reading over what is usual in this process so far (calibrate/bench/pace.h), less one.
  static double level(double seconds, int cores);
  int watched() const { return watched_; }
  // Reads until the level is that of a quiet machine, for at most `patience` s, and returns the
  // last reading. One rank alone moves to another core meanwhile: cores are alike, their neighbours
  // are not.
  double wait(double patience);

 private:
  std::vector<int> cores_;
  std::size_t at_ = 0;  // of a rank alone: the core it is on
  int watched_;
  std::unique_ptr<calibrate::CorePair> pair_;  // where two are watched
};

// What comes and goes while a run lasts: its layers do the same work, and the time that one took
// longer than the others was not its own. Knows nothing of any prediction.
class Evenness {
 public:
  void add(const StepResult& step);
  // Share of the time of repeated operators beyond the lower quartile of their repetitions.
  double excess() const { return all_ > 0 ? beyond_ / all_ : 0; }

 private:
  double beyond_ = 0, all_ = 0;  // s
};

struct Quiet {
  double moved = 0;   // |after / before - 1| of the sentinel
  double level = 0;   // the higher of both
  double steal = 0;   // share of the time
  double uneven = 0;  // Evenness::excess of the run
  double pace = 0;    // s, mean of the sentinel before and after
  bool ok() const;    // moved < 3 %, level <= 7 %, steal < 1 %, uneven <= 8 %
};

// From its construction, which waits for a quiet moment, to quiet().
class Watch {
 public:
  Watch(Sentinel& sentinel, double patience);
  Quiet quiet() const;

 private:
  struct Ticks {
    double stolen = 0, all = 0;  // of the whole machine
  };
  static Ticks ticks();
  Sentinel& sentinel_;
  double before_;
  Ticks ticks_before_;
};

}  // namespace foretoken::runtime
