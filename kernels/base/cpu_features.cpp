#include "kernels/base/cpu_features.h"

#include <cstdint>
#include <cstdlib>

#include "kernels/base/error.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace foretoken::kernels {
namespace {

#if defined(__x86_64__)

struct CpuidLeaf {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
};

CpuidLeaf cpuid(unsigned leaf, unsigned subleaf) {
  CpuidLeaf r;
  __get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx);
  return r;
}

bool bit(unsigned word, int index) { return ((word >> index) & 1U) != 0; }

// Which register state the operating system saves: an instruction set without it is unusable.
std::uint64_t enabled_state() {
  if (!bit(cpuid(1, 0).ecx, 27)) {  // OSXSAVE
    return 0;
  }
  unsigned low = 0;
  unsigned high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<std::uint64_t>(high) << 32) | low;
}

CpuFeatures detect_all() {
  constexpr std::uint64_t kYmm = 0x6;       // SSE and AVX state
  constexpr std::uint64_t kZmm = 0xe6;      // and opmask, ZMM_Hi256, Hi16_ZMM
  constexpr std::uint64_t kTile = 0x60000;  // TILECFG and TILEDATA
  const std::uint64_t state = enabled_state();
  const CpuidLeaf one = cpuid(1, 0);
  const CpuidLeaf seven = cpuid(7, 0);
  const CpuidLeaf seven_one = seven.eax >= 1 ? cpuid(7, 1) : CpuidLeaf{};
  const bool ymm = (state & kYmm) == kYmm;
  const bool zmm = (state & kZmm) == kZmm;
  const bool tile = (state & kTile) == kTile;
  CpuFeatures f;
  f.avx2 = ymm && bit(seven.ebx, 5) && bit(one.ecx, 12) && bit(one.ecx, 29);
  f.avx512f = zmm && bit(seven.ebx, 16);
  f.avx512dq = zmm && bit(seven.ebx, 17);
  f.avx512bw = zmm && bit(seven.ebx, 30);
  f.avx512vl = zmm && bit(seven.ebx, 31);
  f.avx512vbmi = zmm && bit(seven.ecx, 1);
  f.avx512vnni = zmm && bit(seven.ecx, 11);
  f.avx512bf16 = zmm && bit(seven_one.eax, 5);
  f.avx_vnni = ymm && bit(seven_one.eax, 4);
  f.amx_tile = tile && bit(seven.edx, 24);
  f.amx_int8 = f.amx_tile && bit(seven.edx, 25);
  f.amx_bf16 = f.amx_tile && bit(seven.edx, 22);
  return f;
}

bool ask_for_tiles() {
  constexpr long kArchReqXcompPerm = 0x1023;
  constexpr long kXfeatureTileData = 18;
  return ::syscall(SYS_arch_prctl, kArchReqXcompPerm, kXfeatureTileData) == 0;
}

#else

CpuFeatures detect_all() { return {}; }
bool ask_for_tiles() { return false; }

#endif

void drop_amx(CpuFeatures& f) { f.amx_tile = f.amx_int8 = f.amx_bf16 = false; }

}  // namespace

CpuFeatures detect_cpu_features(const std::string& ceiling) {
  CpuFeatures f = detect_all();
  if (ceiling.empty()) {
    return f;
  }
  if (ceiling == "scalar") {
    return {};
  }
  if (ceiling == "avx2") {
    CpuFeatures only;
    only.avx2 = f.avx2;
    return only;
  }
  if (ceiling == "avx512") {
    drop_amx(f);
    f.avx512vbmi = f.avx512vnni = f.avx512bf16 = f.avx_vnni = false;
    return f;
  }
  if (ceiling == "avx512-vnni") {
    drop_amx(f);
    return f;
  }
  throw KernelError("FORETOKEN_ISA: unknown instruction set \"" + ceiling +
                    "\" (scalar, avx2, avx512, avx512-vnni)");
}

const CpuFeatures& cpu_features() {
  static const CpuFeatures features = [] {
    const char* ceiling = std::getenv("FORETOKEN_ISA");
    return detect_cpu_features(ceiling == nullptr ? "" : ceiling);
  }();
  return features;
}

bool request_amx_permission() {
  static const bool granted = cpu_features().amx_tile && ask_for_tiles();
  return granted;
}

std::string to_string(const CpuFeatures& f) {
  std::string text;
  const auto add = [&text](bool present, const char* name) {
    if (present) {
      text += (text.empty() ? "" : " ");
      text += name;
    }
  };
  add(f.avx2, "avx2");
  add(f.avx_vnni, "avx_vnni");
  add(f.avx512f, "avx512f");
  add(f.avx512bw, "avx512bw");
  add(f.avx512vl, "avx512vl");
  add(f.avx512dq, "avx512dq");
  add(f.avx512vbmi, "avx512vbmi");
  add(f.avx512vnni, "avx512vnni");
  add(f.avx512bf16, "avx512bf16");
  add(f.amx_tile, "amx_tile");
  add(f.amx_int8, "amx_int8");
  add(f.amx_bf16, "amx_bf16");
  return text.empty() ? "scalar" : text;
}

}  // namespace foretoken::kernels
