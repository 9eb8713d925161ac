// What a program does next with the result of an all-reduce: reads it.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

namespace foretoken::kernels {

// A number that depends on every value; fast enough that the cache is what it waits for.
inline std::uint64_t read_result(const std::vector<float>& values) {
  std::uint64_t all = 0;
  for (std::size_t i = 0; i + 2 <= values.size(); i += 2) {
    std::uint64_t two = 0;
    std::memcpy(&two, &values[i], sizeof(two));
    all += two;
  }
  return all;
}

}  // namespace foretoken::kernels
