#include "kernels/gemm/worker_pool.h"

namespace foretoken::kernels {

WorkerPool::WorkerPool(int threads) {
  for (int worker = 1; worker < threads; ++worker) {
    workers_.emplace_back([this, worker] { work(worker); });
  }
}

WorkerPool::~WorkerPool() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) {
    worker.join();
  }
}

void WorkerPool::run(std::int64_t count,
                     const std::function<void(int, std::int64_t, std::int64_t)>& body) {
  {
    const std::lock_guard lock(mutex_);
    body_ = &body;
    count_ = count;
    busy_ = static_cast<int>(workers_.size());
    ++round_;
  }
  if (!workers_.empty()) {
    wake_.notify_all();
  }
  run_share(0);
  std::unique_lock lock(mutex_);
  done_.wait(lock, [this] { return busy_ == 0; });
}

void WorkerPool::run_share(int worker) const {
  const std::int64_t begin = count_ * worker / threads();
  const std::int64_t end = count_ * (worker + 1) / threads();
  if (begin < end) {
    (*body_)(worker, begin, end);
  }
}

void WorkerPool::work(int worker) {
  std::uint64_t seen = 0;
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return stop_ || round_ != seen; });
      if (stop_) {
        return;
      }
      seen = round_;
    }
    run_share(worker);
    {
      const std::lock_guard lock(mutex_);
      --busy_;
    }
    done_.notify_one();
  }
}

}  // namespace foretoken::kernels
