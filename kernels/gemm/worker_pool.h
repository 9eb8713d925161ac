// Threads that wait for the next parallel loop. One caller at a time.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace foretoken::kernels {

class WorkerPool {
 public:
  // The caller works too: `threads` - 1 threads are started.
  explicit WorkerPool(int threads);
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Runs body(worker, begin, end) once per worker on its share of [0, count) and waits for all.
  // Shares are contiguous and the same in every run, so results do not depend on timing. `body`
  // must not throw.
  void run(std::int64_t count,
           const std::function<void(int worker, std::int64_t begin, std::int64_t end)>& body);

 private:
  void work(int worker);
  void run_share(int worker) const;

  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  const std::function<void(int, std::int64_t, std::int64_t)>* body_ = nullptr;
  std::int64_t count_ = 0;
  std::uint64_t round_ = 0;
  int busy_ = 0;
  bool stop_ = false;
};

}  // namespace foretoken::kernels
