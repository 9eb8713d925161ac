#include "calibrate/bench/machine.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <new>

#include "commit.h"
#include "sim/core/error.h"
#include "sim/core/random.h"

namespace foretoken::calibrate {
namespace {

constexpr std::size_t kPage = 4096;

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

std::string cpu_model() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name")) {
      return line.substr(std::min(line.size(), line.find(':') + 2));
    }
  }
  return "unknown CPU";
}

// Size of the unified or data cache of that level, from /sys ("2048K"); 0 when unknown.
std::size_t cache_bytes(int level) {
  for (int index = 0; index < 8; ++index) {
    const std::string folder = fmt::format("/sys/devices/system/cpu/cpu0/cache/index{}/", index);
    if (first_line(folder + "level") != std::to_string(level) ||
        first_line(folder + "type") == "Instruction") {
      continue;
    }
    const std::string text = first_line(folder + "size");
    char* end = nullptr;
    const auto value = static_cast<std::size_t>(std::strtoull(text.c_str(), &end, 10));
    return value * (*end == 'K' ? 1024 : *end == 'M' ? 1048576 : 1);
  }
  return 0;
}

std::string compiler_name() {
#if defined(__clang__)
  return fmt::format("clang {}.{}", __clang_major__, __clang_minor__);
#elif defined(__GNUC__)
  return fmt::format("gcc {}.{}", __GNUC__, __GNUC_MINOR__);
#else
  return "unknown compiler";
#endif
}

// bf16: any sign, exponent 2^-8 to 2^-1, any mantissa.
std::uint16_t random_bf16(std::uint64_t bits) {
  const auto exponent = static_cast<std::uint16_t>(119 + ((bits >> 8) & 7));
  return static_cast<std::uint16_t>((bits & 0x8000) | (exponent << 7) | ((bits >> 16) & 0x7f));
}

}  // namespace

std::vector<int> allowed_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> cores;
  if (sched_getaffinity(0, sizeof set, &set) == 0) {
    for (int core = 0; core < CPU_SETSIZE; ++core) {
      if (CPU_ISSET(core, &set)) {
        cores.push_back(core);
      }
    }
  }
  if (cores.empty()) {
    cores.push_back(0);
  }
  return cores;
}

Machine this_machine() {
  Machine machine;
  machine.cpu = cpu_model();
  machine.cores = allowed_cores();
  machine.l2 = cache_bytes(2);
  machine.l3 = cache_bytes(3);
  machine.memory = static_cast<std::size_t>(sysconf(_SC_PHYS_PAGES)) *
                   static_cast<std::size_t>(sysconf(_SC_PAGE_SIZE));
  machine.governor = first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
  if (machine.governor.empty()) {
    machine.governor = "unknown";
  }
  machine.compiler = compiler_name();
  machine.commit = FORETOKEN_COMMIT;
  machine.date = fmt::format("{:%Y-%m-%d}", fmt::gmtime(std::time(nullptr)));
  return machine;
}

std::string Machine::fingerprint() const {
  return fmt::format("{}, {} cores, L2 {} KiB, L3 {} MiB, {:.0f} GiB, governor {}, {}, commit {}",
                     cpu, cores.size(), l2 >> 10, l3 >> 20,
                     static_cast<double>(memory) / 1073741824.0, governor, compiler, commit);
}

bool pin_to_core(int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  return sched_setaffinity(0, sizeof set, &set) == 0;
}

void Pool::Free::operator()(std::byte* p) const { std::free(p); }

Pool::Pool(std::size_t bytes) : size_(bytes / kPage * kPage) {
  data_.reset(static_cast<std::byte*>(std::aligned_alloc(kPage, size_)));
  if (!data_) {
    throw std::bad_alloc();
  }
  madvise(data_.get(), size_, MADV_HUGEPAGE);  // a hint: TLB misses are not what we measure
  // One random megabyte, repeated: repeats do not shorten the time of any kernel here.
  std::vector<std::uint16_t> block(std::min<std::size_t>(size_, 1 << 20) / 2);
  RandomStream random(1, "calibrate.pool");
  for (std::uint16_t& value : block) {
    value = random_bf16(random.next());
  }
  for (std::size_t at = 0; at < size_; at += block.size() * 2) {
    std::memcpy(data_.get() + at, block.data(), std::min(block.size() * 2, size_ - at));
  }
}

std::size_t Pool::slices(std::size_t bytes) const {
  const std::size_t each = (bytes + kPage - 1) / kPage * kPage;
  return std::max<std::size_t>(1, size_ / each);
}

std::byte* Pool::next(std::size_t bytes) {
  const std::size_t each = (bytes + kPage - 1) / kPage * kPage;
  FT_CHECK(each <= size_, "{} bytes of a pool of {}", bytes, size_);
  if (cursor_ + each > size_) {
    cursor_ = 0;
  }
  std::byte* const slice = data_.get() + cursor_;
  cursor_ += each;
  return slice;
}

std::byte* Pool::slice(std::size_t bytes, std::size_t index) {
  const std::size_t each = (bytes + kPage - 1) / kPage * kPage;
  return data_.get() + index % slices(bytes) * each;
}

}  // namespace foretoken::calibrate
