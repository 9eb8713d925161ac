// Runs device code of one warp on the CPU: 32 fibers, switched at every shuffle, ballot and
// __syncwarp, so that the lanes move in lockstep between them. Include before the device code.
#pragma once

#include <ucontext.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>

namespace foretoken::kernels::emulation {

class Warp {
 public:
  static constexpr int kLanes = 32;

  // Runs `body` once per lane.
  static void run(const std::function<void()>& body) {
    Warp warp(body);
    current() = &warp;
    warp.loop();
    current() = nullptr;
  }

  static Warp*& current() {
    static Warp* warp = nullptr;
    return warp;
  }

  int lane() const { return lane_; }

  // Gives `value` to the others and returns what every lane gave, once all have arrived.
  const std::array<std::uint32_t, kLanes>& exchange(std::uint32_t value) {
    given_[lane_] = value;
    arrived_[lane_] = true;
    swapcontext(&fibers_[lane_].context, &scheduler_);
    return published_;
  }

 private:
  static constexpr std::size_t kStack = std::size_t{128} * 1024;
  struct Fiber {
    ucontext_t context;
    bool done = false;
  };

  static char* stack(int lane) {  // used by one warp after another
    static const std::unique_ptr<char[]> stacks(new char[kStack * std::size_t{kLanes}]);
    return stacks.get() + kStack * static_cast<std::size_t>(lane);
  }

  explicit Warp(const std::function<void()>& body) : body_(body) {
    for (int lane = 0; lane < kLanes; ++lane) {
      Fiber& fiber = fibers_[lane];
      getcontext(&fiber.context);
      fiber.context.uc_stack.ss_sp = stack(lane);
      fiber.context.uc_stack.ss_size = kStack;
      fiber.context.uc_link = &scheduler_;
      makecontext(&fiber.context, &Warp::entry, 0);
    }
  }

  static void entry() {
    Warp* warp = current();
    warp->body_();
    warp->fibers_[warp->lane_].done = true;
  }

  void loop() {
    bool running = true;
    while (running) {
      running = false;
      arrived_.fill(false);
      for (lane_ = 0; lane_ < kLanes; ++lane_) {
        if (!fibers_[lane_].done) {
          swapcontext(&scheduler_, &fibers_[lane_].context);
          running = true;
        }
      }
      // A lane that skips an exchange which others take would hang a real warp.
      for (int lane = 1; lane < kLanes; ++lane) {
        if (arrived_[lane] != arrived_[0]) {
          std::abort();
        }
      }
      published_ = given_;
    }
  }

  std::function<void()> body_;
  std::array<Fiber, kLanes> fibers_;
  ucontext_t scheduler_{};
  int lane_ = 0;
  std::array<std::uint32_t, kLanes> given_{};
  std::array<std::uint32_t, kLanes> published_{};
  std::array<bool, kLanes> arrived_{};
};

struct ThreadIndex {
  struct X {
    operator unsigned() const { return static_cast<unsigned>(Warp::current()->lane()); }
  } x;
};

}  // namespace foretoken::kernels::emulation

inline constexpr foretoken::kernels::emulation::ThreadIndex threadIdx;

// NOLINTBEGIN(bugprone-reserved-identifier): CUDA's own names.

inline float __int_as_float(int bits) { return __builtin_bit_cast(float, bits); }
inline float __uint_as_float(std::uint32_t bits) { return __builtin_bit_cast(float, bits); }
inline std::uint32_t __float_as_uint(float x) { return __builtin_bit_cast(std::uint32_t, x); }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline int __float2int_rn(float x) { return static_cast<int>(std::lrint(x)); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz(static_cast<unsigned>(x)); }
template <typename T>
T __ldcs(const T* from) {
  return *from;
}
template <typename T>
void __stcs(T* to, T value) {
  *to = value;
}

inline void __syncwarp() { foretoken::kernels::emulation::Warp::current()->exchange(0); }
inline float __shfl_xor_sync(unsigned, float x, int step) {
  auto* warp = foretoken::kernels::emulation::Warp::current();
  return __uint_as_float(warp->exchange(__float_as_uint(x))[warp->lane() ^ step]);
}
inline unsigned __ballot_sync(unsigned, bool predicate) {
  const auto& all = foretoken::kernels::emulation::Warp::current()->exchange(predicate ? 1U : 0U);
  unsigned mask = 0;
  for (unsigned lane = 0; lane < 32; ++lane) {
    mask |= all[lane] << lane;
  }
  return mask;
}
// NOLINTEND(bugprone-reserved-identifier)
