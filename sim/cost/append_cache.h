// A cache that only grows. Readers take no lock; the rare writer does. Values never move or change
// once inserted, and are pure functions of their key, so results do not depend on who came first.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace foretoken {

template <class Value, std::size_t kBuckets>
class AppendCache {
 public:
  // The value under `key`, made by `make()` on the first call. `hash` is mix64(key) or better.
  template <class Make>
  const Value& get(std::uint64_t key, std::uint64_t hash, Make&& make) {
    std::atomic<const Node*>& bucket = buckets_[hash % kBuckets];
    if (const Value* value = find(bucket.load(std::memory_order_acquire), key)) {
      return *value;
    }
    auto node = std::make_unique<Node>(Node{key, make(), nullptr});
    const std::lock_guard lock(mutex_);
    if (const Value* value = find(bucket.load(std::memory_order_relaxed), key)) {
      return *value;  // another thread was faster
    }
    node->next = bucket.load(std::memory_order_relaxed);
    nodes_.push_back(std::move(node));
    bucket.store(nodes_.back().get(), std::memory_order_release);
    return nodes_.back()->value;
  }

 private:
  struct Node {
    std::uint64_t key;
    Value value;
    const Node* next;
  };
  static const Value* find(const Node* node, std::uint64_t key) {
    for (; node != nullptr; node = node->next) {
      if (node->key == key) {
        return &node->value;
      }
    }
    return nullptr;
  }

  std::array<std::atomic<const Node*>, kBuckets> buckets_{};
  std::mutex mutex_;
  std::vector<std::unique_ptr<Node>> nodes_;
};

}  // namespace foretoken
