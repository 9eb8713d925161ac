// What machine this is, and the memory that benchmarks rotate through.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace foretoken::calibrate {

struct Machine {
  std::string cpu;         // model name
  std::vector<int> cores;  // this process may run on, by number
  std::size_t l2 = 0;      // bytes of one core's
  std::size_t l3 = 0;      // bytes, 0 when unknown
  std::size_t memory = 0;
  std::string governor;  // "unknown" on most virtual machines
  std::string compiler;
  std::string commit;  // of the sources, as far as the build knew
  std::string date;    // UTC, 2026-11-21

  // One line that identifies all of the above.
  std::string fingerprint() const;
};

// Cores that the calling thread may run on, by number; at least one.
std::vector<int> allowed_cores();

Machine this_machine();

// Binds the calling thread to one core. Returns false where that is not allowed.
bool pin_to_core(int core);

// A large block of random numbers, every aligned 16-bit word of which is a bf16 of magnitude 2^-8
// to 1 and whose bytes serve as int8. Slices of it are the operands of benchmarks; taking them in
// turn keeps caches cold once the block is larger than the last of them.
class Pool {
 public:
  explicit Pool(std::size_t bytes);
  std::byte* data() { return data_.get(); }
  std::size_t size() const { return size_; }
  // Slice `index` of `bytes` bytes: consecutive indices are neighbours, wrapping around at the end.
  std::byte* slice(std::size_t bytes, std::size_t index);
  // The slice after the one taken last, of whatever size: cold for as long as the pool lasts.
  std::byte* next(std::size_t bytes);
  std::size_t slices(std::size_t bytes) const;

 private:
  struct Free {
    void operator()(std::byte* p) const;
  };
  std::size_t size_ = 0, cursor_ = 0;
  std::unique_ptr<std::byte, Free> data_;
};

}  // namespace foretoken::calibrate
