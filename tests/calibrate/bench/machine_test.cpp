#include "calibrate/bench/machine.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "kernels/base/float_types.h"

namespace foretoken::calibrate {
namespace {

TEST(Machine, The_fingerprint_names_processor_compiler_and_commit) {
  const Machine machine = this_machine();
  EXPECT_FALSE(machine.cores.empty());
  EXPECT_GT(machine.memory, std::size_t{1} << 28);
  const std::string text = machine.fingerprint();
  EXPECT_NE(text.find(machine.cpu), std::string::npos);
  EXPECT_NE(text.find(machine.compiler), std::string::npos);
  EXPECT_NE(text.find("commit"), std::string::npos);
  EXPECT_EQ(machine.date.size(), 10u);
}

TEST(Pool, Slices_are_aligned_stay_inside_and_wrap_around) {
  Pool pool(1 << 16);
  EXPECT_EQ(pool.slices(5000), 8u);  // two pages each
  for (std::size_t i = 0; i < 20; ++i) {
    std::byte* slice = pool.slice(5000, i);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(slice) % 64, 0u);
    EXPECT_LE(slice + 5000, pool.data() + pool.size());
  }
  EXPECT_EQ(pool.slice(5000, 0), pool.slice(5000, 8));
  EXPECT_NE(pool.slice(5000, 0), pool.slice(5000, 1));
}

TEST(Pool, Taking_the_next_slice_walks_through_all_of_it_and_begins_again) {
  Pool pool(1 << 16);
  std::byte* const first = pool.next(5000);
  EXPECT_EQ(first, pool.data());
  EXPECT_EQ(pool.next(100), first + 8192);
  EXPECT_EQ(pool.next(1 << 16), first);  // does not fit behind
}

TEST(Pool, Holds_moderate_random_bf16_numbers) {
  Pool pool(1 << 16);
  kernels::Bf16 words[1024];
  std::memcpy(words, pool.data(), sizeof words);
  int negative = 0;
  for (const kernels::Bf16 word : words) {
    const float value = std::abs(kernels::to_float(word));
    EXPECT_GE(value, 0x1p-8F);
    EXPECT_LT(value, 1.0F);
    negative += kernels::to_float(word) < 0 ? 1 : 0;
  }
  EXPECT_GT(negative, 400);  // half of 1024, seven standard deviations of 16 allowed
  EXPECT_LT(negative, 624);
}

}  // namespace
}  // namespace foretoken::calibrate
