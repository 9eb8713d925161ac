#include "sim/core/quantity.h"

#include <gtest/gtest.h>

#include <cmath>

#include "sim/core/units.h"

namespace foretoken {
namespace {

double value(std::string_view text, Unit unit) {
  const ParsedQuantity parsed = parse_quantity(text, unit);
  EXPECT_TRUE(parsed.value.has_value()) << text << ": " << parsed.error;
  return parsed.value.value_or(std::nan(""));
}

TEST(Quantity, Decimal_prefixes_are_powers_of_ten_and_binary_ones_powers_of_two) {
  EXPECT_EQ(value("450GB/s", Unit::bandwidth), 450e9);
  EXPECT_EQ(value("400 Gbit/s", Unit::bandwidth), 50e9);
  EXPECT_EQ(value("80GiB", Unit::bytes), 80.0 * 1073741824);
  EXPECT_EQ(value("80GB", Unit::bytes), 80e9);
  EXPECT_DOUBLE_EQ(value("700ns", Unit::time), 700e-9);
  EXPECT_DOUBLE_EQ(value("1.5ms", Unit::time), 1.5e-3);
  EXPECT_DOUBLE_EQ(value("120/min", Unit::rate), 2);
  EXPECT_DOUBLE_EQ(value("5%", Unit::fraction), 0.05);
  EXPECT_DOUBLE_EQ(value("989.4TFLOPS", Unit::compute), 989.4e12);
}

TEST(Quantity, A_missing_or_wrong_unit_is_refused_with_an_example) {
  EXPECT_FALSE(parse_quantity("450", Unit::bandwidth).value);
  EXPECT_NE(parse_quantity("450", Unit::bandwidth).error.find("450GB/s"), std::string::npos);
  EXPECT_FALSE(parse_quantity("450GBs", Unit::bandwidth).value);
  EXPECT_FALSE(parse_quantity("nan", Unit::number).value);
  EXPECT_FALSE(parse_quantity("inf", Unit::number).value);
  EXPECT_FALSE(parse_quantity("", Unit::time).value);
  EXPECT_FALSE(parse_quantity("3ms", Unit::bytes).value);
}

TEST(Quantity, What_is_written_reads_back_as_the_same_double) {
  for (const Unit unit : {Unit::time, Unit::bytes, Unit::bandwidth, Unit::rate, Unit::compute,
                          Unit::number, Unit::fraction, Unit::power}) {
    for (const double x : {0.0, 1.0, 1.0 / 3, 4.7e-6, 1234.5678, 3.35e12, 1e-9, 80e9, 2.0e-12}) {
      const std::string text = format_quantity(x, unit);
      EXPECT_EQ(value(text, unit), x) << text;
    }
  }
  EXPECT_EQ(format_quantity(450e9, Unit::bandwidth), "450GB/s");
}

TEST(Quantity, The_nearest_word_is_found_only_when_it_is_near) {
  const std::string_view words[] = {"max_num_seqs", "block_size"};
  EXPECT_EQ(nearest("max_num_seq", words), "max_num_seqs");
  EXPECT_EQ(nearest("zzz", words), "");
}

TEST(Time, Durations_are_rounded_up_to_a_picosecond_and_never_vanish) {
  EXPECT_EQ(time_from_seconds(1e-13).count(), 1);
  EXPECT_EQ(time_from_seconds(0).count(), 0);
  EXPECT_EQ(transfer_time({1000}, {1e9}).count(), 1'000'000);
  EXPECT_EQ(time_from_seconds(1e30), kTimeNever);
}

}  // namespace
}  // namespace foretoken
