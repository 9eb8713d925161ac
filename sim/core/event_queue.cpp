#include "sim/core/event_queue.h"

#include <algorithm>

#include "sim/core/error.h"

namespace foretoken {

EventQueue::EventQueue(std::uint64_t instant_limit) : instant_limit_(instant_limit) {}

EventQueue::Index EventQueue::make_node(EventHandler& handler, std::uint64_t payload) {
  const Node node{next_sequence_++, &handler, payload, kNone};
  if (free_ == kNone) {
    nodes_.push_back(node);
    return static_cast<Index>(nodes_.size() - 1);
  }
  const Index index = free_;
  free_ = nodes_[index].next;
  nodes_[index] = node;
  return index;
}

void EventQueue::schedule(Time at, EventHandler& handler, std::uint64_t payload) {
  FT_CHECK(at >= now_, "event at {} ps lies before now, {} ps", at.count(), now_.count());
  const Index index = make_node(handler, payload);
  ++pending_;
  // Only the chain opened last may grow: any older chain of the same time then holds only earlier
  // sequence numbers, so chains never interleave.
  if (open_tail_ != kNone && open_time_ == at) {
    nodes_[open_tail_].next = index;
  } else {
    insert({at, index});
    open_time_ = at;
  }
  open_tail_ = index;
}

void EventQueue::defer(EventHandler& handler, std::uint64_t payload) {
  deferred_.push_back({&handler, payload});
}

void EventQueue::insert(Entry entry) {
  if (hole_) {
    hole_ = false;
    sift_down(0, entry);
    return;
  }
  heap_.push_back(entry);
  sift_up(heap_.size() - 1, entry);
}

void EventQueue::close_hole() {
  if (!hole_) {
    return;
  }
  hole_ = false;
  const Entry last = heap_.back();
  heap_.pop_back();
  if (!heap_.empty()) {
    sift_down(0, last);
  }
}

void EventQueue::sift_up(std::size_t hole, Entry entry) {
  while (hole > 0) {
    const std::size_t parent = (hole - 1) / kArity;
    if (!before(entry, heap_[parent])) {
      break;
    }
    heap_[hole] = heap_[parent];
    hole = parent;
  }
  heap_[hole] = entry;
}

void EventQueue::sift_down(std::size_t hole, Entry entry) {
  const std::size_t size = heap_.size();
  while (true) {
    const std::size_t first = hole * kArity + 1;
    if (first >= size) {
      break;
    }
    std::size_t best = first;
    if (first + kArity <= size) {
      const std::size_t left = before(heap_[first + 1], heap_[first]) ? first + 1 : first;
      const std::size_t right = before(heap_[first + 3], heap_[first + 2]) ? first + 3 : first + 2;
      best = before(heap_[right], heap_[left]) ? right : left;
    } else {
      for (std::size_t child = first + 1; child < size; ++child) {
        best = before(heap_[child], heap_[best]) ? child : best;
      }
    }
    if (!before(heap_[best], entry)) {
      break;
    }
    heap_[hole] = heap_[best];
    hole = best;
  }
  heap_[hole] = entry;
}

void EventQueue::count_dispatch() {
  ++dispatched_;
  ++at_this_instant_;
  FT_CHECK(at_this_instant_ <= instant_limit_,
           "no progress: {} events at {} ps, {} pending, {} deferred", at_this_instant_,
           now_.count(), pending_, deferred_.size() - deferred_begin_);
}

// REQUIRES: no hole, a non-empty heap.
void EventQueue::dispatch_next() {
  Entry& top = heap_.front();
  if (top.time > now_) {
    now_ = top.time;
    at_this_instant_ = 0;
  }
  const Index index = top.head;
  const Node node = nodes_[index];
  nodes_[index].next = free_;
  free_ = index;
  if (node.next != kNone) {
    top.head = node.next;
  } else {
    hole_ = true;
    if (open_tail_ == index) {
      open_tail_ = kNone;
    }
  }
  --pending_;
  count_dispatch();
  node.handler->handle(node.payload);
}

bool EventQueue::step() {
  close_hole();
  const bool more_now = !heap_.empty() && heap_.front().time == now_;
  if (!more_now && deferred_begin_ < deferred_.size()) {
    const Deferred call = deferred_[deferred_begin_++];
    if (deferred_begin_ == deferred_.size()) {
      deferred_.clear();
      deferred_begin_ = 0;
    }
    count_dispatch();
    call.handler->handle(call.payload);
    return true;
  }
  if (heap_.empty()) {
    return false;
  }
  dispatch_next();
  return true;
}

void EventQueue::run() {
  while (step()) {
  }
}

void EventQueue::run_until(Time end) {
  while (true) {
    close_hole();
    const bool due = !heap_.empty() && heap_.front().time <= end;
    if (!due && deferred_.empty()) {
      break;
    }
    step();
  }
  now_ = std::max(now_, end);
}

}  // namespace foretoken
