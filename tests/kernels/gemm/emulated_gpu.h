// A host stand-in for the machine of cuda_gemm_body.h, so that the GPU kernel's own code is tested
// where no GPU is. The threads of a block are fibers that switch at barriers and at the collective
// instructions of a warp (ldmatrix, mma.sync), whose lane layouts follow the PTX manual. Stricter
// than a GPU: asynchronous copies land only when waited for, shared memory starts poisoned, and
// misaligned or outside accesses and bank conflicts of ldmatrix throw.
#pragma once

#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#include "kernels/base/float_types.h"

namespace foretoken::kernels {

class EmulatedBlock;

class EmulatedLane {
 public:
  EmulatedLane(EmulatedBlock& block, int thread) : block_(block), thread_(thread) {}

  int thread() const { return thread_; }
  std::int64_t block_x() const;
  std::int64_t block_y() const;
  std::int64_t block_z() const;
  void sync();
  // Lets the others run; for loops that wait for what they do.
  void yield();

  void copy_async(int offset, const void* source, int bytes);
  void commit();
  template <int N>
  void wait() {
    land(N);
  }
  template <typename T>
  T load_shared(int offset) const {
    T value;
    std::memcpy(&value, shared(offset, sizeof(T)), sizeof(T));
    return value;
  }
  template <typename T>
  void store_shared(int offset, T value) {
    std::memcpy(shared(offset, sizeof(T)), &value, sizeof(T));
  }
  void load_matrices(int offset, std::uint32_t (&r)[4]) { load_matrices(offset, r, false); }
  void load_matrices_transposed(int offset, std::uint32_t (&r)[4]) {
    load_matrices(offset, r, true);
  }
  float shuffle_xor(float value, int mask);
  void multiply_s8(std::int32_t (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                   std::uint32_t b1);
  void multiply_bf16(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                     std::uint32_t b1);
  void multiply_bf16(std::int32_t (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                     std::uint32_t b1) {
    float sums[4];
    std::memcpy(sums, c, sizeof(sums));
    multiply_bf16(sums, a, b0, b1);
    std::memcpy(c, sums, sizeof(sums));
  }
  std::uint32_t multiply_add_bf16(std::uint32_t a, std::uint32_t b, std::uint32_t c) const;

  // What the lanes of a warp hand each other: registers or addresses.
  struct Exchange {
    std::uint32_t words[32][6];
  };
  Exchange& exchange(const std::uint32_t (&words)[6]);
  std::uint8_t* shared(int offset, std::size_t bytes) const;

 private:
  struct Copy {
    int offset;
    std::uint8_t bytes[16];
  };

  void load_matrices(int offset, std::uint32_t (&r)[4], bool transposed);
  void land(int in_flight);

  EmulatedBlock& block_;
  int thread_;
  std::vector<std::vector<Copy>> groups_{1};
  int collectives_ = 0;
  friend class EmulatedBlock;
};

class EmulatedBlock {
 public:
  struct Range {
    const void* begin;
    std::size_t bytes;
  };

  EmulatedBlock(int threads, int shared_bytes, std::vector<Range> readable)
      : shared_(static_cast<std::size_t>(shared_bytes), 0xCD),
        readable_(std::move(readable)),
        warps_(static_cast<std::size_t>(threads / 32)),
        threads_(threads) {}

  std::int64_t x = 0, y = 0, z = 0;
  // What goes on beside the threads, called between their turns; true while it is at work.
  std::function<bool()> beside = [] { return false; };

  // `bytes` of shared memory, aligned to as much.
  std::uint8_t* shared(int offset, std::size_t bytes) {
    if (offset < 0 || static_cast<std::size_t>(offset) + bytes > shared_.size() ||
        static_cast<std::size_t>(offset) % bytes != 0) {
      throw std::logic_error("shared memory access outside or misaligned");
    }
    return shared_.data() + offset;
  }

  // Throws unless 16-byte aligned and inside a readable buffer.
  void check_readable(const void* source, std::size_t bytes) const {
    const auto at = reinterpret_cast<std::uintptr_t>(source);
    bool inside = false;
    for (const Range& range : readable_) {
      const auto begin = reinterpret_cast<std::uintptr_t>(range.begin);
      inside = inside || (at >= begin && at + bytes <= begin + range.bytes);
    }
    if (!inside || at % 16 != 0) {
      throw std::logic_error("asynchronous copy from outside a buffer or misaligned");
    }
  }

  // Runs body once per thread, to the end.
  void run(std::function<void(EmulatedLane&)> body) {
    start(std::move(body));
    run_together({this});
  }

  // For blocks that wait for each other: after start of each.
  void start(std::function<void(EmulatedLane&)> body) {
    body_ = std::move(body);
    left_ = threads_;
    for (int thread = 0; thread < threads_; ++thread) {
      fibers_.push_back(std::make_unique<Fiber>(*this, thread));
    }
  }
  static void run_together(const std::vector<EmulatedBlock*>& blocks) {
    const auto runs = [](const EmulatedBlock* block) { return !block->finished(); };
    while (std::any_of(blocks.begin(), blocks.end(), runs)) {
      bool progress = false;
      for (EmulatedBlock* const block : blocks) {
        block->turn();
      }
      for (EmulatedBlock* const block : blocks) {
        progress = progress || std::exchange(block->progress_, false);
      }
      if (!progress) {
        throw std::logic_error("the block is stuck at a barrier that not all threads reach");
      }
    }
  }
  bool finished() const { return left_ == 0; }

  struct Barrier {
    int arrived = 0;
    std::uint64_t generation = 0;
  };
  // Without it for a whole turn of all threads the block is stuck.
  void note_progress() { progress_ = true; }
  // Of the running thread with the `threads - 1` others that come.
  void meet(Barrier& barrier, int threads) {
    const std::uint64_t generation = barrier.generation;
    if (++barrier.arrived == threads) {
      barrier.arrived = 0;
      ++barrier.generation;
      progress_ = true;
      return;
    }
    while (barrier.generation == generation) {
      swapcontext(&running_->context, &scheduler_);
    }
  }

 private:
  struct Warp {
    Barrier barrier;
    EmulatedLane::Exchange slots[2];
  };
  struct Fiber {
    static constexpr std::size_t kStack = std::size_t{64} << 10;

    Fiber(EmulatedBlock& block, int thread) : lane(block, thread), owner(block) {
      getcontext(&context);
      context.uc_stack.ss_sp = stack.get();
      context.uc_stack.ss_size = kStack;
      context.uc_link = &block.scheduler_;
      const auto address = reinterpret_cast<std::uintptr_t>(this);
      makecontext(&context, reinterpret_cast<void (*)()>(&Fiber::start), 2,
                  static_cast<unsigned>(address >> 32), static_cast<unsigned>(address));
    }
    static void start(unsigned high, unsigned low) {
      auto* const self = reinterpret_cast<Fiber*>(static_cast<std::uintptr_t>(high) << 32 | low);
      try {
        self->owner.body_(self->lane);
      } catch (...) {
        self->failure = std::current_exception();
      }
      self->done = true;
    }

    EmulatedLane lane;
    std::unique_ptr<std::uint8_t[]> stack = std::make_unique_for_overwrite<std::uint8_t[]>(kStack);
    EmulatedBlock& owner;
    ucontext_t context{};
    std::exception_ptr failure;
    bool done = false;
  };

  // Every thread that is not done, up to where it waits.
  void turn() {
    progress_ = beside() || progress_;
    for (const auto& fiber : fibers_) {
      if (fiber->done) {
        continue;
      }
      running_ = fiber.get();
      swapcontext(&scheduler_, &fiber->context);
      if (fiber->failure) {
        std::rethrow_exception(fiber->failure);
      }
      left_ -= fiber->done ? 1 : 0;
      progress_ = progress_ || fiber->done;
    }
  }

  std::vector<std::uint8_t> shared_;
  std::vector<Range> readable_;
  std::vector<Warp> warps_;
  Barrier all_;
  int threads_;
  int left_ = 0;
  std::function<void(EmulatedLane&)> body_;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  ucontext_t scheduler_{};
  Fiber* running_ = nullptr;
  bool progress_ = false;
  friend class EmulatedLane;
};

inline std::int64_t EmulatedLane::block_x() const { return block_.x; }
inline std::int64_t EmulatedLane::block_y() const { return block_.y; }
inline std::int64_t EmulatedLane::block_z() const { return block_.z; }
inline void EmulatedLane::yield() { swapcontext(&block_.running_->context, &block_.scheduler_); }
inline void EmulatedLane::sync() { block_.meet(block_.all_, block_.threads_); }

inline std::uint8_t* EmulatedLane::shared(int offset, std::size_t bytes) const {
  return block_.shared(offset, bytes);
}

inline void EmulatedLane::copy_async(int offset, const void* source, int bytes) {
  shared(offset, 16);
  Copy copy{offset, {}};
  if (bytes > 0) {
    block_.check_readable(source, 16);
    std::memcpy(copy.bytes, source, static_cast<std::size_t>(bytes));
  }
  groups_.back().push_back(copy);
}

inline void EmulatedLane::commit() { groups_.emplace_back(); }

inline void EmulatedLane::land(int in_flight) {
  while (static_cast<int>(groups_.size()) - 1 > in_flight) {  // the last group is still open
    for (const Copy& copy : groups_.front()) {
      std::memcpy(shared(copy.offset, 16), copy.bytes, 16);
    }
    groups_.erase(groups_.begin());
  }
}

// A lane that comes back for its next collective has been met by all others after they read this
// one, so two slots suffice.
inline EmulatedLane::Exchange& EmulatedLane::exchange(const std::uint32_t (&words)[6]) {
  auto& warp = block_.warps_[static_cast<std::size_t>(thread_ / 32)];
  Exchange& slot = warp.slots[collectives_++ % 2];
  std::memcpy(slot.words[thread_ % 32], words, sizeof(words));
  block_.meet(warp.barrier, 32);
  return slot;
}

inline void EmulatedLane::load_matrices(int offset, std::uint32_t (&r)[4], bool transposed) {
  const Exchange& all = exchange({static_cast<std::uint32_t>(offset), 0, 0, 0, 0, 0});
  const int lane = thread_ % 32;
  for (int matrix = 0; matrix < 4; ++matrix) {
    std::uint32_t groups_of_banks = 0;
    for (int row = 0; row < 8; ++row) {
      groups_of_banks |= 1U << (all.words[matrix * 8 + row][0] / 16 % 8);
    }
    if (groups_of_banks != 0xff) {
      throw std::logic_error("bank conflict in ldmatrix");
    }
    const auto row = [&](int index) {
      const auto offset_of_row = static_cast<int>(all.words[matrix * 8 + index][0]);
      shared(offset_of_row, 16);
      return offset_of_row;
    };
    if (transposed) {  // elements [2 (lane % 4)][lane / 4] and the next row's
      const auto low = load_shared<std::uint16_t>(row(lane % 4 * 2) + lane / 4 * 2);
      const auto high = load_shared<std::uint16_t>(row(lane % 4 * 2 + 1) + lane / 4 * 2);
      r[matrix] = static_cast<std::uint32_t>(high) << 16 | low;
    } else {
      r[matrix] = load_shared<std::uint32_t>(row(lane / 4) + lane % 4 * 4);
    }
  }
}

inline void EmulatedLane::multiply_s8(std::int32_t (&c)[4], const std::uint32_t (&a)[4],
                                      std::uint32_t b0, std::uint32_t b1) {
  const Exchange& all = exchange({a[0], a[1], a[2], a[3], b0, b1});
  const int lane = thread_ % 32;
  const auto byte = [&](int from, int word, int index) {
    return static_cast<std::int8_t>(all.words[from][word] >> (8 * index));
  };
  for (int i = 0; i < 4; ++i) {
    const int column = lane % 4 * 2 + i % 2, half = i / 2;
    std::int32_t sum = 0;
    for (int k = 0; k < 32; ++k) {
      const int quad = k % 16 / 4;
      sum += byte(lane / 4 * 4 + quad, half + k / 16 * 2, k % 4) *
             byte(column * 4 + quad, 4 + k / 16, k % 4);
    }
    c[i] = static_cast<std::int32_t>(static_cast<std::uint32_t>(c[i]) +
                                     static_cast<std::uint32_t>(sum));
  }
}

inline void EmulatedLane::multiply_bf16(float (&c)[4], const std::uint32_t (&a)[4],
                                        std::uint32_t b0, std::uint32_t b1) {
  const Exchange& all = exchange({a[0], a[1], a[2], a[3], b0, b1});
  const int lane = thread_ % 32;
  const auto value = [&](int from, int word, int index) {
    return to_float(Bf16{static_cast<std::uint16_t>(all.words[from][word] >> (16 * index))});
  };
  for (int i = 0; i < 4; ++i) {
    const int column = lane % 4 * 2 + i % 2, half = i / 2;
    for (int k = 0; k < 16; ++k) {
      const int pair = k % 8 / 2;
      c[i] += value(lane / 4 * 4 + pair, half + k / 8 * 2, k % 2) *
              value(column * 4 + pair, 4 + k / 8, k % 2);
    }
  }
}

inline float EmulatedLane::shuffle_xor(float value, int mask) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, 4);
  const Exchange& all = exchange({bits, 0, 0, 0, 0, 0});
  std::memcpy(&value, &all.words[(thread_ % 32) ^ mask][0], 4);
  return value;
}

// Exact operands only: a result that bf16 has to round is a mistake of the kernel.
inline std::uint32_t EmulatedLane::multiply_add_bf16(std::uint32_t a, std::uint32_t b,
                                                     std::uint32_t c) const {
  std::uint32_t pair = 0;
  for (const int shift : {0, 16}) {
    const auto value = [shift](std::uint32_t word) {
      return to_float(Bf16{static_cast<std::uint16_t>(word >> shift)});
    };
    const float exact = value(a) * value(b) + value(c);
    const Bf16 rounded = to_bf16(exact);
    if (to_float(rounded) != exact) {
      throw std::logic_error("a weight does not fit bf16");
    }
    pair |= static_cast<std::uint32_t>(rounded.bits) << shift;
  }
  return pair;
}

}  // namespace foretoken::kernels
