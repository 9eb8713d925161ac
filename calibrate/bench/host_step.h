// Host work of an inference engine's step: choose the batch, fill its input arrays, hand it to the
// device thread and wait for the answer.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#include "calibrate/bench/timing.h"

namespace foretoken::calibrate {

// The device thread of a miniature engine: takes one step at a time through a condition variable.
class StepWorker {
 public:
  explicit StepWorker(int core);
  ~StepWorker();
  StepWorker(const StepWorker&) = delete;
  StepWorker& operator=(const StepWorker&) = delete;
  // Hands `inputs` over and waits. Returns their checksum, the proof that the worker saw them.
  std::int64_t step(const std::vector<std::int32_t>& inputs);

 private:
  void loop(int core);
  std::mutex mutex_;
  std::condition_variable submitted_, finished_;
  const std::vector<std::int32_t>* inputs_ = nullptr;
  std::int64_t result_ = 0;
  bool done_ = false, stop_ = false;
  std::thread thread_;
};

// Running sequences with paged KV blocks of 16 tokens, as a continuous-batching engine keeps them.
class HostBatch {
 public:
  explicit HostBatch(int sequences);
  // Appends a token to each sequence, takes blocks as needed, and fills token ids, positions, slots
  // and block tables; `prefill` tokens of a new prompt join them.
  const std::vector<std::int32_t>& build(int prefill);

 private:
  struct Sequence {
    std::int32_t length = 0;
    std::int32_t last_token = 0;
    std::vector<std::int32_t> blocks;
  };
  std::vector<Sequence> sequences_;
  std::vector<std::int32_t> free_blocks_, prompt_, inputs_;
};

struct HostCase {
  int sequences = 0;
  int prefill = 0;  // tokens
};
std::vector<HostCase> host_cases();
Timing time_host_step(int engine_core, int device_core, const HostCase& host, double seconds);

}  // namespace foretoken::calibrate
