// What this processor and this operating system offer, found once with CPUID and XGETBV. Kernels
// are compiled with their own -m flags and chosen by these at run time; the base build stays
// portable.
#pragma once

#include <string>

namespace foretoken::kernels {

struct CpuFeatures {
  bool avx2 = false;  // with FMA and F16C, which every AVX2 processor we know has
  bool avx512f = false;
  bool avx512bw = false;
  bool avx512vl = false;
  bool avx512dq = false;
  bool avx512vbmi = false;
  bool avx512vnni = false;
  bool avx512bf16 = false;
  bool avx_vnni = false;
  bool amx_tile = false;
  bool amx_int8 = false;
  bool amx_bf16 = false;

  // The set that our AVX-512 files are compiled for (with or without VBMI and VNNI on top).
  bool avx512() const { return avx512f && avx512bw && avx512vl && avx512dq; }
};

// The same answer for the whole life of the process. The environment variable FORETOKEN_ISA lowers
// it for tests and comparisons: scalar, avx2, avx512 (no VBMI, no VNNI), avx512-vnni (no AMX).
const CpuFeatures& cpu_features();

// What a processor offers under an explicit ceiling; the environment plays no part. An unknown
// ceiling throws KernelError; an empty one is no ceiling.
CpuFeatures detect_cpu_features(const std::string& ceiling);

// Linux hands out AMX tile state on request only (arch_prctl ARCH_REQ_XCOMP_PERM), per process.
// True when tiles may be used; asks once. Call it before the first tile instruction.
bool request_amx_permission();

std::string to_string(const CpuFeatures& features);  // "avx2 avx512f avx512bw ..."

}  // namespace foretoken::kernels
