// What the collectives on CUDA must give, from the scalar reference and their definitions. Tiles
// are packed one by one whoever owns them, so the whole vector is one slice here.
#pragma once

#include <vector>

#include "group_runner.h"

namespace foretoken::kernels {

using Message = std::vector<std::uint8_t>;

inline Message packed_values(const WireFormat& format, const std::vector<float>& x) {
  Message out(packed_bytes(format, x.size()));
  reference_codec().pack(format, {x.data(), ValueType::fp32}, x.size(), out.data());
  return out;
}

inline std::vector<float> unpacked_values(const WireFormat& format, const Message& in,
                                          std::size_t n) {
  std::vector<float> out(n);
  reference_codec().unpack(format, in.data(), n, {out.data(), ValueType::fp32});
  return out;
}

inline Message packed_sum(const WireFormat& from, const std::vector<Message>& inputs, std::size_t n,
                          const WireFormat& to) {
  std::vector<const std::uint8_t*> pointers;
  pointers.reserve(inputs.size());
  for (const Message& m : inputs) {
    pointers.push_back(m.data());
  }
  Message out(packed_bytes(to, n));
  reference_codec().unpack_reduce_pack(from, pointers, n, to, out.data());
  return out;
}

inline Message group_sum(const CollectiveDesc& d, const std::vector<int>& group,
                         const WireFormat& to) {
  std::vector<Message> messages;
  messages.reserve(group.size());
  for (const int rank : group) {
    messages.push_back(packed_values(d.first, rank_values(rank, d.values)));
  }
  return packed_sum(d.first, messages, d.values, to);
}

// The output of `rank`; inputs are rank_values.
inline std::vector<float> cuda_expected(const CollectiveDesc& d, int ranks, int rank) {
  if (d.operation == Operation::all_to_all) {
    const std::size_t each = d.values / static_cast<std::size_t>(ranks);
    std::vector<float> out;
    for (int from = 0; from < ranks; ++from) {
      const auto theirs = rank_values(from, d.values);
      const auto begin = theirs.begin() + static_cast<long>(each) * rank;
      std::vector<float> slice(begin, begin + static_cast<long>(each));
      if (from != rank) {
        slice = unpacked_values(d.first, packed_values(d.first, slice), each);
      }
      out.insert(out.end(), slice.begin(), slice.end());
    }
    return out;
  }
  std::vector<int> all(static_cast<std::size_t>(ranks));
  std::iota(all.begin(), all.end(), 0);
  if (d.algorithm == Algorithm::two_step) {
    return unpacked_values(d.second, group_sum(d, all, d.second), d.values);
  }
  const auto half = all.begin() + ranks / 2;
  const std::vector<int> a = d.group_a.empty() ? std::vector<int>(all.begin(), half) : d.group_a;
  const std::vector<int> b = d.group_b.empty() ? std::vector<int>(half, all.end()) : d.group_b;
  const Message sum =
      packed_sum(d.first, {group_sum(d, a, d.first), group_sum(d, b, d.first)}, d.values, d.second);
  return unpacked_values(d.second, sum, d.values);
}

struct CudaCase {
  Operation operation;
  Algorithm algorithm;
  const char* first;
  const char* second;
  std::size_t chunks;
};

inline constexpr CudaCase kCudaCases[] = {
    {Operation::all_reduce, Algorithm::two_step, "int8", "int8", 1},
    {Operation::all_reduce, Algorithm::two_step, "int4/g32/spike", "int8", 3},
    {Operation::all_reduce, Algorithm::two_step, "fp32", "fp32", 1},
    {Operation::all_reduce, Algorithm::two_step, "int2/spike/log8", "int5", 2},
    {Operation::all_reduce, Algorithm::hierarchical, "int8", "int8", 1},
    {Operation::all_reduce, Algorithm::hierarchical, "int6/g64", "int5/spike", 4},
    {Operation::all_to_all, Algorithm::two_step, "int8", "int8", 1},
    {Operation::all_to_all, Algorithm::two_step, "int3/spike", "int8", 2},
};

// Values are filled up to a multiple of the ranks where the operation asks for it.
inline CollectiveDesc cuda_desc(const CudaCase& c, int ranks, std::size_t values) {
  CollectiveDesc d;
  d.operation = c.operation;
  d.algorithm = c.algorithm;
  d.first = parse_wire_format(c.first);
  d.second = parse_wire_format(c.second);
  d.chunks = c.chunks;
  const auto n = static_cast<std::size_t>(ranks);
  d.values = c.operation == Operation::all_to_all ? (values + n - 1) / n * n : values;
  return d;
}

inline bool cuda_can(const CudaCase& c, int ranks) {
  return c.algorithm != Algorithm::hierarchical || ranks % 2 == 0;
}

inline std::string describe(const CudaCase& c, int ranks, std::size_t n) {
  return std::string(to_string(c.operation)) + " " + std::string(to_string(c.algorithm)) + " " +
         c.first + " " + c.second + ", " + std::to_string(ranks) + " ranks, " + std::to_string(n) +
         " values, " + std::to_string(c.chunks) + " chunks";
}

}  // namespace foretoken::kernels
