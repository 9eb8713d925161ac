#include "kernels/collective/thread_transport.h"

#include <fmt/format.h>
#include <sched.h>

#include <atomic>
#include <cstring>

namespace foretoken::kernels {
namespace {

using Clock = std::chrono::steady_clock;

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Messages from one rank to another, oldest first. The sender writes `posted`, the receiver
// `taken`, each on its own cache line.
struct Mailbox {
  static constexpr std::size_t kSlots = 64;
  std::span<const std::uint8_t> slots[kSlots];
  alignas(64) std::atomic<std::uint64_t> posted{0};
  alignas(64) std::atomic<std::uint64_t> taken{0};
  std::atomic<bool> copying{false};    // the receiver reads a sent buffer
  std::atomic<bool> retracted{false};  // the sender has failed: its buffers are gone
};

struct Group {
  Group(int n, std::chrono::milliseconds limit)
      : ranks(n),
        timeout(limit),
        boxes(static_cast<std::size_t>(n) * static_cast<std::size_t>(n)),
        gone(static_cast<std::size_t>(n)) {}

  Mailbox& box(int from, int to) {
    return boxes[static_cast<std::size_t>(from) * static_cast<std::size_t>(ranks) +
                 static_cast<std::size_t>(to)];
  }

  const int ranks;
  const std::chrono::milliseconds timeout;
  std::vector<Mailbox> boxes;
  std::vector<std::atomic<bool>> gone;
  std::atomic<bool> broken{false};
};

class ThreadTransport : public Transport {
 public:
  ThreadTransport(std::shared_ptr<Group> group, int rank) : group_(std::move(group)), rank_(rank) {}
  ThreadTransport(const ThreadTransport&) = delete;
  ThreadTransport& operator=(const ThreadTransport&) = delete;
  ~ThreadTransport() override { group_->gone[static_cast<std::size_t>(rank_)] = true; }

  int rank() const override { return rank_; }
  int ranks() const override { return group_->ranks; }

  void start(const Exchange& exchange) override {
    pending_ = exchange;
    deadline_ = Clock::now() + group_->timeout;
    for (const Send& send : exchange.sends) {
      post(send);
    }
  }

  void finish() override {
    for (const Receive& receive : pending_.receives) {
      take(receive);
    }
    for (const Send& send : pending_.sends) {
      Mailbox& box = group_->box(rank_, send.peer);
      const std::uint64_t posted = box.posted.load(std::memory_order_relaxed);
      wait(send.peer, [&] { return box.taken.load(std::memory_order_acquire) == posted; });
    }
    pending_.clear();
  }

 private:
  void post(const Send& send) {
    Mailbox& box = group_->box(rank_, send.peer);
    const std::uint64_t posted = box.posted.load(std::memory_order_relaxed);
    FT_KERNEL_CHECK(posted - box.taken.load(std::memory_order_acquire) < Mailbox::kSlots);
    box.slots[posted % Mailbox::kSlots] = send.bytes;
    box.posted.store(posted + 1, std::memory_order_release);
  }

  void take(const Receive& receive) {
    Mailbox& box = group_->box(receive.peer, rank_);
    const std::uint64_t taken = box.taken.load(std::memory_order_relaxed);
    wait(receive.peer, [&] { return box.posted.load(std::memory_order_acquire) > taken; });
    const std::span<const std::uint8_t> sent = box.slots[taken % Mailbox::kSlots];
    if (sent.size() != receive.bytes.size()) {
      fail(fmt::format("rank {} expected {} bytes from rank {} and got {}", rank_,
                       receive.bytes.size(), receive.peer, sent.size()));
    }
    box.copying = true;
    if (box.retracted) {
      box.copying = false;
      fail(fmt::format("rank {}: rank {} has failed", rank_, receive.peer));
    }
    std::memcpy(receive.bytes.data(), sent.data(), sent.size());
    box.copying = false;
    box.taken.store(taken + 1, std::memory_order_release);
  }

  // Spins for a few microseconds, then lets others have the core.
  template <typename Ready>
  void wait(int peer, Ready ready) {
    constexpr int kSpins = 4000;
    for (int i = 0; i < kSpins; ++i) {
      if (ready()) {
        return;
      }
      relax();
    }
    while (!ready()) {
      if (group_->broken.load()) {
        fail(fmt::format("rank {}: another rank of the group has failed", rank_));
      }
      if (group_->gone[static_cast<std::size_t>(peer)].load() && !ready()) {
        fail(fmt::format("rank {}: rank {} has left", rank_, peer));
      }
      if (Clock::now() > deadline_) {
        fail(fmt::format("rank {}: rank {} did not answer within {} ms", rank_, peer,
                         group_->timeout.count()));
      }
      sched_yield();
    }
  }

  [[noreturn]] void fail(const std::string& message) {
    group_->broken = true;
    for (int peer = 0; peer < group_->ranks; ++peer) {  // nobody may read our buffers from now on
      Mailbox& box = group_->box(rank_, peer);
      box.retracted = true;
      while (box.copying) {
        relax();
      }
    }
    throw TransportError(message);
  }

  std::shared_ptr<Group> group_;
  int rank_;
  Exchange pending_;
  Clock::time_point deadline_;
};

}  // namespace

std::vector<std::unique_ptr<Transport>> make_thread_transports(int ranks,
                                                               std::chrono::milliseconds timeout) {
  const auto group = std::make_shared<Group>(ranks, timeout);
  std::vector<std::unique_ptr<Transport>> transports;
  for (int rank = 0; rank < ranks; ++rank) {
    transports.push_back(std::make_unique<ThreadTransport>(group, rank));
  }
  return transports;
}

}  // namespace foretoken::kernels
