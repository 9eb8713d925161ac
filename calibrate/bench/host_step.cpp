#include "calibrate/bench/host_step.h"

#include <sched.h>

#include <numeric>

#include "calibrate/bench/machine.h"
#include "sim/core/error.h"

namespace foretoken::calibrate {
namespace {

constexpr int kBlock = 16;
constexpr int kStartLength = 256;  // a prompt of typical size
constexpr int kLongest = 512;      // then the sequence ends and another takes its place

}  // namespace

StepWorker::StepWorker(int core) : thread_([this, core] { loop(core); }) {}

StepWorker::~StepWorker() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  submitted_.notify_one();
  thread_.join();
}

std::int64_t StepWorker::step(const std::vector<std::int32_t>& inputs) {
  std::unique_lock lock(mutex_);
  inputs_ = &inputs;
  done_ = false;
  submitted_.notify_one();
  finished_.wait(lock, [this] { return done_; });
  return result_;
}

void StepWorker::loop(int core) {
  pin_to_core(core);
  std::unique_lock lock(mutex_);
  while (true) {
    submitted_.wait(lock, [this] { return stop_ || inputs_ != nullptr; });
    if (stop_) {
      return;
    }
    result_ = std::accumulate(inputs_->begin(), inputs_->end(), std::int64_t{0});
    inputs_ = nullptr;
    done_ = true;
    finished_.notify_one();
  }
}

HostBatch::HostBatch(int sequences) : sequences_(static_cast<std::size_t>(sequences)) {
  const int blocks = (sequences + 1) * (kLongest / kBlock + 1);
  free_blocks_.resize(static_cast<std::size_t>(blocks));
  std::iota(free_blocks_.begin(), free_blocks_.end(), 0);
  for (std::size_t i = 0; i < sequences_.size(); ++i) {
    sequences_[i].length = kStartLength - static_cast<std::int32_t>(i % kBlock);
    for (int have = 0; have < sequences_[i].length; have += kBlock) {
      sequences_[i].blocks.push_back(free_blocks_.back());
      free_blocks_.pop_back();
    }
  }
}

const std::vector<std::int32_t>& HostBatch::build(int prefill) {
  inputs_.clear();
  for (Sequence& sequence : sequences_) {
    if (sequence.length % kBlock == 0) {
      sequence.blocks.push_back(free_blocks_.back());
      free_blocks_.pop_back();
    }
    const std::int32_t position = sequence.length++;
    const auto slot =
        sequence.blocks[static_cast<std::size_t>(position / kBlock)] * kBlock + position % kBlock;
    inputs_.insert(inputs_.end(), {sequence.last_token, position, slot});
    inputs_.insert(inputs_.end(), sequence.blocks.begin(), sequence.blocks.end());
    sequence.last_token = (sequence.last_token * 31 + 7) % 32000;
    if (sequence.length >= kLongest) {
      while (static_cast<int>(sequence.blocks.size()) > kStartLength / kBlock) {
        free_blocks_.push_back(sequence.blocks.back());
        sequence.blocks.pop_back();
      }
      sequence.length = kStartLength;
    }
  }
  prompt_.resize(static_cast<std::size_t>(prefill));
  for (int i = 0; i < prefill; ++i) {
    prompt_[static_cast<std::size_t>(i)] = (i * 31 + 7) % 32000;
    inputs_.insert(inputs_.end(), {prompt_[static_cast<std::size_t>(i)], i, i});
  }
  return inputs_;
}

std::vector<HostCase> host_cases() {
  return {{1, 0}, {4, 0}, {16, 0}, {64, 0}, {128, 0}, {1, 512}, {16, 512}, {64, 512}};
}

Timing time_host_step(int engine_core, int device_core, const HostCase& host, double seconds) {
  cpu_set_t before;
  CPU_ZERO(&before);
  sched_getaffinity(0, sizeof before, &before);
  pin_to_core(engine_core);
  StepWorker worker(device_core);
  HostBatch batch(host.sequences);
  TimingLimits limits;
  limits.seconds = seconds;
  limits.most_samples = 2000;
  limits.shortest_sample = 0;  // one step a sample: the hand-over is what takes the time
  std::int64_t sum = 0;
  const Timing timing =
      time_calls([&](int) { sum += worker.step(batch.build(host.prefill)); }, limits);
  FT_CHECK(sum > 0, "the device thread saw no inputs");
  sched_setaffinity(0, sizeof before, &before);
  return timing;
}

}  // namespace foretoken::calibrate
