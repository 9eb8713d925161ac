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

// Messages from one rank to another, oldest first. What the sender and what the receiver writes lie
// on cache lines of their own. Short messages lie in the box itself, so that the sender
// need not wait for them to be read.
struct Mailbox {
  static constexpr std::size_t kSlots = 32;
  static constexpr std::size_t kShort = 256;
  struct alignas(64) Slot {
    std::atomic<std::uint64_t> number{0};  // of the message, counted from 1
    std::span<const std::uint8_t> bytes;
    std::uint8_t room[kShort];
  };
  // The sender's own.
  alignas(64) std::uint64_t posted = 0;
  std::uint64_t must_be_taken = 0;  // messages up to here lie in its buffers
  std::uint64_t taken_seen = 0;     // its last look at `taken`
  // The receiver's.
  alignas(64) std::atomic<std::uint64_t> taken{0};
  std::atomic<bool> copying{false};  // it works in the sender's buffers
  // Written once, if ever.
  alignas(64) std::atomic<bool> retracted{false};  // the sender has failed: its buffers are gone
  Slot slots[kSlots];
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
    pending_ = &exchange;
    deadline_ = Clock::time_point{};
    for (const Send& send : exchange.sends) {
      post(send);
    }
  }

  void finish() override {
    for (const Receive& receive : pending_->receives) {
      take(receive);
    }
    for (const Send& send : pending_->sends) {
      Mailbox& box = group_->box(rank_, send.peer);
      wait_until_taken(send.peer, box, box.must_be_taken);
    }
  }

  bool shares_memory() const override { return true; }

  void hold() override {
    for (int peer = 0; peer < group_->ranks; ++peer) {
      if (!begin_copying(peer)) {
        release();
        fail(fmt::format("rank {}: rank {} has failed", rank_, peer));
      }
    }
  }

  void release() override {
    for (int peer = 0; peer < group_->ranks; ++peer) {
      group_->box(peer, rank_).copying.store(false, std::memory_order_release);
    }
  }

 private:
  // From here on `peer` does not give up its buffers; false where it has.
  bool begin_copying(int peer) {
    Mailbox& box = group_->box(peer, rank_);
    box.copying = true;
    return !box.retracted;
  }

  void wait_until_taken(int peer, Mailbox& box, std::uint64_t count) {
    if (box.taken_seen < count) {
      wait(peer, [&] {
        box.taken_seen = box.taken.load(std::memory_order_acquire);
        return box.taken_seen >= count;
      });
    }
  }

  void post(const Send& send) {
    Mailbox& box = group_->box(rank_, send.peer);
    const std::uint64_t posted = box.posted;
    if (posted >= Mailbox::kSlots) {
      wait_until_taken(send.peer, box, posted - Mailbox::kSlots + 1);
    }
    Mailbox::Slot& slot = box.slots[posted % Mailbox::kSlots];
    slot.bytes = send.bytes;
    if (send.bytes.size() <= Mailbox::kShort) {
      std::memcpy(slot.room, send.bytes.data(), send.bytes.size());
      slot.bytes = {slot.room, send.bytes.size()};
    } else {
      box.must_be_taken = posted + 1;
    }
    box.posted = posted + 1;
    slot.number.store(posted + 1, std::memory_order_release);
  }

  void take(const Receive& receive) {
    Mailbox& box = group_->box(receive.peer, rank_);
    const std::uint64_t taken = box.taken.load(std::memory_order_relaxed);
    const Mailbox::Slot& slot = box.slots[taken % Mailbox::kSlots];
    wait(receive.peer, [&] { return slot.number.load(std::memory_order_acquire) == taken + 1; });
    const std::span<const std::uint8_t> sent = slot.bytes;
    if (sent.size() != receive.bytes.size()) {
      fail(fmt::format("rank {} expected {} bytes from rank {} and got {}", rank_,
                       receive.bytes.size(), receive.peer, sent.size()));
    }
    if (sent.size() <= Mailbox::kShort) {
      std::memcpy(receive.bytes.data(), sent.data(), sent.size());
    } else {
      copy_from_peer(receive, box, sent);
    }
    box.taken.store(taken + 1, std::memory_order_release);
  }

  void copy_from_peer(const Receive& receive, Mailbox& box, std::span<const std::uint8_t> sent) {
    if (!begin_copying(receive.peer)) {
      box.copying = false;
      fail(fmt::format("rank {}: rank {} has failed", rank_, receive.peer));
    }
    std::memcpy(receive.bytes.data(), sent.data(), sent.size());
    box.copying = false;
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
    if (deadline_ == Clock::time_point{}) {  // reading the clock costs more than a short message
      deadline_ = Clock::now() + group_->timeout;
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
  const Exchange* pending_ = nullptr;
  Clock::time_point deadline_;
};

}  // namespace

std::vector<std::unique_ptr<Transport>> make_thread_transports(int ranks,
                                                               std::chrono::milliseconds timeout) {
  const auto group = std::make_shared<Group>(ranks, timeout);
  std::vector<std::unique_ptr<Transport>> transports;
  transports.reserve(static_cast<std::size_t>(ranks));
  for (int rank = 0; rank < ranks; ++rank) {
    transports.push_back(std::make_unique<ThreadTransport>(group, rank));
  }
  return transports;
}

}  // namespace foretoken::kernels
