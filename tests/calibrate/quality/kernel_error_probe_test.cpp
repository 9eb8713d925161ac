#include "calibrate/quality/kernel_error_probe.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "sim/core/error.h"

namespace foretoken::quality {
namespace {

Format weights(const char* text) { return parse_format(text, FormatRole::weights); }
Format activations(const char* text) { return parse_format(text, FormatRole::activations); }
Format wire(const char* text) { return parse_format(text, FormatRole::wire); }

TEST(KernelErrorProbe, Bf16_weights_lose_nothing) {
  const auto probe = make_kernel_error_probe({});
  EXPECT_TRUE(std::isinf(probe->weights(weights("bf16"))->all.db));
  // The kernel sums in fp32: better than 100 dB.
  EXPECT_GT(probe->gemm(weights("bf16"), activations("bf16"))->all.db, 100);
}

// A symmetric grid of 2^(b-1) - 1 steps up to the maximum of a group: a bit fewer halves the steps
// to half and a little less, so that it costs 6 dB and a little more.
TEST(KernelErrorProbe, A_bit_of_weights_is_worth_six_decibels_and_a_little) {
  const auto probe = make_kernel_error_probe({});
  const double eight = probe->weights(weights("int8/g128"))->all.db;
  const double six = probe->weights(weights("int6/g128"))->all.db;
  const double four = probe->weights(weights("int4/g128"))->all.db;
  EXPECT_NEAR(eight - six, 12.2, 0.3);
  EXPECT_NEAR(six - four, 12.8, 0.4);
  // Scales of their own for fewer values are closer to the values.
  EXPECT_GT(probe->weights(weights("int4/g32"))->all.db, four + 1);
}

// With exact activations the output's relative error is that of the weights: both are sums over the
// same independent errors.
TEST(KernelErrorProbe, A_gemm_with_exact_activations_has_the_error_of_its_weights) {
  const auto probe = make_kernel_error_probe({});
  for (const char* format : {"int4/g128", "int3/g128", "fp8", "int8"}) {
    const auto gemm = probe->gemm(weights(format), activations("bf16"));
    ASSERT_TRUE(gemm) << format;
    EXPECT_NEAR(gemm->all.db, probe->weights(weights(format))->all.db, 0.7) << format;
  }
  EXPECT_EQ(probe->gemm(weights("int4/g128"), activations("bf16"))->method, "w4a16_g128 kernel");
  EXPECT_EQ(probe->gemm(weights("int8"), activations("bf16"))->method,
            "rounded operands, exact products");
  const double w8a8 = probe->gemm(weights("int8"), activations("int8"))->all.db;
  EXPECT_LT(w8a8, probe->gemm(weights("int8"), activations("bf16"))->all.db - 3);
}

// One quantisation of normal data in groups of 128, affine: 44.6 (8 bits), 32.5 (6), 26.3 (5) dB.
// The error variance of N inputs is N of one quantisation, as is the signal's. A two-step
// all-reduce quantises the sum once more: half the ratio, 3.01 dB; the hierarchical one twice
// more: 4.77 dB.
TEST(KernelErrorProbe, All_reduces_lose_as_often_as_they_quantise) {
  const auto probe = make_kernel_error_probe({});
  for (const auto& [format, once] : {std::pair("int8", 44.6), {"int6", 32.5}, {"int5", 26.3}}) {
    EXPECT_NEAR(probe->all_reduce(wire(format), 4, "one_shot")->plain->db, once, 0.3) << format;
    EXPECT_NEAR(probe->all_reduce(wire(format), 4, "two_step")->plain->db, once - 3.01, 0.3)
        << format;
    EXPECT_NEAR(probe->all_reduce(wire(format), 8, "hierarchical")->plain->db, once - 4.77, 0.3)
        << format;
  }
}

TEST(KernelErrorProbe, Reserved_spikes_save_the_values_beside_them) {
  const auto probe = make_kernel_error_probe({});
  const auto plain = probe->all_reduce(wire("int3"), 4, "two_step");
  const auto reserved = probe->all_reduce(wire("int3/spike"), 4, "two_step");
  EXPECT_GT(reserved->bulk.db, plain->bulk.db + 15);
  // With spikes kept, what lies beside them is as exact as without any.
  EXPECT_NEAR(reserved->bulk.db, reserved->plain->db, 0.5);
}

TEST(KernelErrorProbe, The_same_question_has_the_same_answer_and_its_interval_holds_it) {
  const auto one = make_kernel_error_probe({}), two = make_kernel_error_probe({});
  const auto a = one->all_reduce(wire("int4"), 4, "two_step");
  one->weights(weights("int4/g128"));
  const auto b = two->all_reduce(wire("int4"), 4, "two_step");
  EXPECT_EQ(a->all.db, b->all.db);
  EXPECT_EQ(a->bulk.interval.low, b->bulk.interval.low);
  EXPECT_LE(a->all.interval.low, a->all.db);
  EXPECT_GE(a->all.interval.high, a->all.db);
  ErrorProbeOptions other;
  other.seed = 2;
  EXPECT_NE(make_kernel_error_probe(other)->all_reduce(wire("int4"), 4, "two_step")->all.db,
            a->all.db);
}

TEST(KernelErrorProbe, Formats_without_a_quantiser_have_no_figure) {
  const auto probe = make_kernel_error_probe({});
  EXPECT_FALSE(probe->weights(weights("fp4")));
  EXPECT_FALSE(probe->gemm(weights("fp4"), activations("bf16")));
}

class OwnData : public ::testing::Test {
 protected:
  void TearDown() override {
    for (const std::string& file : files_) {
      std::filesystem::remove(file);
    }
  }

  // NumPy's format 1.0 with f4 values: value i of the array is make(i).
  template <class Make>
  std::string npy(const std::string& name, int rows, int columns, const Make& make) {
    std::string path = testing::TempDir() + "/probe-" + std::to_string(getpid()) + name;
    std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (" +
                         std::to_string(rows) + ", " + std::to_string(columns) + "), }";
    header.resize((10 + header.size() + 64) / 64 * 64 - 11, ' ');
    header += '\n';
    std::ofstream out(path, std::ios::binary);
    const auto size = static_cast<std::uint16_t>(header.size());
    out << "\x93NUMPY" << '\x01' << '\x00';
    out.write(reinterpret_cast<const char*>(&size), 2);
    out << header;
    for (int i = 0; i < rows * columns; ++i) {
      const float value = make(i);
      out.write(reinterpret_cast<const char*>(&value), 4);
    }
    files_.push_back(path);
    return path;
  }

 private:
  std::vector<std::string> files_;
};

// Values that an 8-bit grid holds exactly: nothing is lost.
TEST_F(OwnData, Weights_on_the_grid_lose_nothing) {
  ErrorProbeOptions options;
  options.weights =
      npy("grid.npy", 16, 256, [](int i) { return static_cast<float>(i % 255 - 127); });
  const auto probe = make_kernel_error_probe(options);
  EXPECT_TRUE(std::isinf(probe->weights(weights("int8"))->all.db));
  EXPECT_FALSE(std::isinf(probe->weights(weights("int4"))->all.db));
  EXPECT_NE(probe->data().find("grid.npy"), std::string::npos);
}

TEST_F(OwnData, What_does_not_suit_is_refused_in_one_line) {
  const auto refused = [](const ErrorProbeOptions& options, const std::string& what) {
    try {
      make_kernel_error_probe(options)->all_reduce(wire("int8"), 4, "two_step");
      ADD_FAILURE() << what;
    } catch (const InputError& error) {
      EXPECT_NE(std::string(error.what()).find(what), std::string::npos) << error.what();
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    }
  };
  const auto wave = [](int i) { return std::sin(static_cast<float>(i)); };
  ErrorProbeOptions options;
  options.activations = "nowhere.npy";
  refused(options, "nowhere.npy");
  options.activations = npy("few.npy", 3, 128, wave);
  refused(options, "3 rows");
  options.activations = npy("nan.npy", 8, 128, [](int i) { return i == 5 ? NAN : 1.0F; });
  refused(options, "not finite");
  options.activations = npy("narrow.npy", 8, 128, wave);
  options.weights = npy("wide.npy", 8, 256, wave);
  refused(options, "rows of 128");
  options.weights.clear();
  EXPECT_FALSE(make_kernel_error_probe(options)->all_reduce(wire("int8"), 4, "two_step")->plain);
}

}  // namespace
}  // namespace foretoken::quality
