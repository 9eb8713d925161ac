// What the machine does beside a measurement: a fixed piece of work on the ranks' cores before and
// after it, and the processors' time that a hypervisor gave to others. Neighbours on a shared host
// come and go: while another's thread shares a core's execution units the fixed work takes up to
// twice as long, and so does everything else.
#pragma once

#include <memory>
#include <vector>

namespace foretoken::runtime {

inline constexpr double kQuietLevel = 0.07;  // of Sentinel::level, on a quiet machine

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
  // A reading over a fast one of this process so far, less one: 0 is undisturbed.
  static double level(double seconds, int cores);
  int watched() const { return watched_; }
  // Reads until the level is that of a quiet machine, for at most `patience` s, and returns the
  // last reading. One rank alone moves to another core meanwhile: cores are alike, their neighbours
  // are not.
  double wait(double patience);

 private:
  struct Work;
  std::vector<int> cores_;
  std::size_t at_ = 0;  // of a rank alone: the core it is on
  int watched_;
  std::vector<std::unique_ptr<Work>> work_;  // one a watched core
};

struct Quiet {
  double moved = 0;  // |after / before - 1| of the sentinel
  double level = 0;  // the higher of both
  double steal = 0;  // share of the time
  bool ok() const;   // moved < 3 %, level <= 7 %, steal < 1 %
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
