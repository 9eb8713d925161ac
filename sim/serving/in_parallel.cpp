#include "sim/serving/in_parallel.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace foretoken {

void in_parallel(int count, int threads, const std::function<void(int done, int total)>& progress,
                 const std::function<void(int index)>& work) {
  std::atomic<int> next{0};
  int done = 0;
  std::mutex mutex;
  std::exception_ptr failure;
  const auto take = [&] {
    for (int i = next++; i < count; i = next++) {
      try {
        work(i);
      } catch (...) {
        const std::lock_guard lock(mutex);
        failure = failure ? failure : std::current_exception();
      }
      const std::lock_guard lock(mutex);
      ++done;
      if (progress) {
        progress(done, count);
      }
    }
  };
  const int cores = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  std::vector<std::thread> workers(
      static_cast<std::size_t>(std::max(0, std::min(threads > 0 ? threads : cores, count))));
  for (std::thread& worker : workers) {
    worker = std::thread(take);
  }
  for (std::thread& worker : workers) {
    worker.join();
  }
  if (failure) {
    std::rethrow_exception(failure);
  }
}

}  // namespace foretoken
