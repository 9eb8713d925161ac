#include "kernels/collective/thread_transport.h"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstring>

namespace foretoken::kernels {
namespace {

using Clock = std::chrono::steady_clock;

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Brings a cache line here for writing. __builtin_prefetch would bring it for reading, unless the
// compiler may use newer instructions; processors that do not know this one pass it over.
void claim([[maybe_unused]] const void* line) {
#if defined(__x86_64__)
  asm volatile("prefetchw %0" : : "m"(*static_cast<const char*>(line)));
#endif
}

constexpr std::size_t kLine = 64;

// Messages from one rank to another, oldest first. What the sender and what the receiver writes lie
// on cache lines of their own. A short message lies in the box itself, beginning on the line of its
// number: where it fits there, the look that finds the number has brought it too, and the sender
// need not wait for it to be read.
struct Mailbox {
  static constexpr std::size_t kSlots = 32;
  static constexpr std::size_t kShort = 256;
  struct alignas(kLine) Slot {
    std::atomic<std::uint64_t> number{0};  // of the message, counted from 1
    std::uint64_t answered = 0;            // messages of the other direction its sender has taken
    std::size_t size = 0;
    const std::uint8_t* longer = nullptr;  // a longer message, in the sender's buffer
    std::uint8_t room[kShort];
  };
  // The sender's own.
  alignas(kLine) std::uint64_t posted = 0;
  std::uint64_t must_be_taken = 0;  // messages up to here lie in its buffers
  std::uint64_t taken_seen = 0;     // what it knows of `taken`
  // The receiver's.
  alignas(kLine) std::atomic<std::uint64_t> taken{0};
  alignas(kLine) std::atomic<bool> copying{false};  // it works in the sender's buffers
  // Written once, if ever.
  alignas(kLine) std::atomic<bool> retracted{false};  // the sender has failed: its buffers are gone
  Slot slots[kSlots];

  Slot& slot(std::uint64_t message) { return slots[message % kSlots]; }
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
    received_ = 0;
    deadline_ = Clock::time_point{};
    for (const Send& send : exchange.sends) {
      post(send);
    }
  }

  void finish() override {
    relax();  // looking for a line just before it is written only takes it from the writer
    while (received_ < pending_->receives.size()) {
      take(pending_->receives[received_++]);
    }
    for (const Send& send : pending_->sends) {
      Mailbox& box = group_->box(rank_, send.peer);
      wait(send.peer, [&] { return is_taken(box, box.must_be_taken); });
      claim_next(box, send.bytes.size());
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

  static bool is_taken(Mailbox& box, std::uint64_t count) {
    if (box.taken_seen < count) {
      box.taken_seen = box.taken.load(std::memory_order_acquire);
    }
    return box.taken_seen >= count;
  }

  void post(const Send& send) {
    Mailbox& box = group_->box(rank_, send.peer);
    const std::uint64_t number = box.posted + 1;
    if (number > Mailbox::kSlots && box.taken_seen < number - Mailbox::kSlots) {
      wait(send.peer, [&] {  // who waits takes, too: else all could wait for each other
        take_arrived();
        return is_taken(box, number - Mailbox::kSlots);
      });
    }
    Mailbox::Slot& slot = box.slot(number);
    slot.answered = group_->box(send.peer, rank_).taken.load(std::memory_order_relaxed);
    slot.size = send.bytes.size();
    if (send.bytes.size() <= Mailbox::kShort) {
      std::memcpy(slot.room, send.bytes.data(), send.bytes.size());
    } else {
      slot.longer = send.bytes.data();
      box.must_be_taken = number;
    }
    box.posted = number;
    slot.number.store(number, std::memory_order_release);
  }

  // Another message like the last one is likely: its lines can come while others work.
  static void claim_next(Mailbox& box, std::size_t size) {
    const Mailbox::Slot& next = box.slot(box.posted + 1);
    const std::size_t end = size <= Mailbox::kShort ? offsetof(Mailbox::Slot, room) + size : 1;
    for (std::size_t at = 0; at < end; at += kLine) {
      claim(reinterpret_cast<const char*>(&next) + at);
    }
  }

  static bool has_arrived(Mailbox& box) {
    const std::uint64_t number = box.taken.load(std::memory_order_relaxed) + 1;
    return box.slot(number).number.load(std::memory_order_acquire) == number;
  }

  void take_arrived() {
    while (received_ < pending_->receives.size() &&
           has_arrived(group_->box(pending_->receives[received_].peer, rank_))) {
      take(pending_->receives[received_++]);
    }
  }

  void take(const Receive& receive) {
    Mailbox& box = group_->box(receive.peer, rank_);
    wait(receive.peer, [&] { return has_arrived(box); });
    const std::uint64_t number = box.taken.load(std::memory_order_relaxed) + 1;
    const Mailbox::Slot& slot = box.slot(number);
    if (slot.size != receive.bytes.size()) {
      fail(fmt::format("rank {} expected {} bytes from rank {} and got {}", rank_,
                       receive.bytes.size(), receive.peer, slot.size));
    }
    if (slot.size <= Mailbox::kShort) {
      std::memcpy(receive.bytes.data(), slot.room, slot.size);
    } else {
      copy_from_peer(receive, box, slot.longer);
    }
    Mailbox& back = group_->box(rank_, receive.peer);
    back.taken_seen = std::max(back.taken_seen, slot.answered);
    box.taken.store(number, std::memory_order_release);
  }

  void copy_from_peer(const Receive& receive, Mailbox& box, const std::uint8_t* sent) {
    if (!begin_copying(receive.peer)) {
      box.copying.store(false, std::memory_order_release);
      fail(fmt::format("rank {}: rank {} has failed", rank_, receive.peer));
    }
    std::memcpy(receive.bytes.data(), sent, receive.bytes.size());
    box.copying.store(false, std::memory_order_release);
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
  std::size_t received_ = 0;  // of its messages
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
