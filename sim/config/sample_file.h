// Measured samples beside a profile: one CSV per operator family, `format` first, `seconds` last.
//
//   format,m,n,k,seconds            gemm
//   format,ranks,bytes,seconds      all_reduce, all_gather, reduce_scatter, all_to_all, send_recv,
//                                   engine_all_reduce
//   and those of sample_families(): attention.prefill, quantise, elementwise, moe, ...
//
// Lines that begin with # are comments. The last line ends with a newline: a file that was cut
// while it was written or copied is refused instead of read in part. yaml-cpp takes 27 us a row;
// this takes 0.2.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sim/spec/profile.h"

namespace foretoken::config {

struct SampleFamily {
  std::string_view name;
  std::vector<std::string_view> shape;  // columns between `format` and `seconds`
  std::int64_t least = 1;               // that a count may be
};
std::span<const SampleFamily> sample_families();
const SampleFamily* find_sample_family(std::string_view name);
// The family of "gemm.fp8/g128" or "attention.prefill.bf16": that whose name the key begins with.
const SampleFamily* family_of_key(std::string_view key);

using SamplesByFormat = std::map<std::string, std::vector<Sample>, std::less<>>;

// Throws InputError with file and line. `file` is used in messages.
SamplesByFormat parse_samples(std::string_view text, const SampleFamily& family,
                              const std::string& file);
// Times in the shortest form that reads back to the same double.
std::string write_samples(const std::map<std::string, const SampleTable*>& by_format,
                          const SampleFamily& family);

}  // namespace foretoken::config
