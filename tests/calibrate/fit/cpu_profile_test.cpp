#include "calibrate/fit/cpu_profile.h"

#include <gtest/gtest.h>

#include <cmath>

#include "sim/cost/collective_constants.h"
#include "sim/cost/cost_model.h"
#include "sim/cost/work.h"

namespace foretoken::calibrate {
namespace {

constexpr double kBandwidth = 1e10;
constexpr double kPeak = 1e12;

// A machine whose kernels are exactly the formulas of sim/cost.
CpuMeasurements ideal_machine() {
  CpuMeasurements measured;
  measured.cpu = "Ideal CPU";
  measured.date = "2026-01-01";
  measured.memory = 8e9;
  measured.read_bandwidth = kBandwidth;
  measured.copy_bandwidth = kBandwidth;
  measured.repeatability = 0.01;
  for (const std::int64_t n : {512, 1024, 2048, 4096, 8192}) {
    for (std::int64_t m = 1; m <= 512; m *= 2) {
      GemmOp op;
      op.m = m;
      op.n = n;
      op.k = 1024;
      measured.gemm["bf16"].push_back(
          {{m, n, 1024}, GemmRoofline{2e-6, kPeak, kBandwidth, 1}.seconds(op)});
    }
  }
  for (std::int64_t tokens = 16; tokens <= 1024; tokens *= 2) {
    AttentionOp op;
    op.heads = op.kv_heads = 8;
    op.head_dim = 64;
    op.chunks = {{tokens, 0}};
    measured.prefill.push_back({op, 5e-6 + prefill_flops(op) / 1e11});
    op.decode = true;
    op.chunks.clear();
    op.sequences = 4;
    op.kv_tokens = 4 * tokens;
    measured.decode.push_back({op, 3e-6 + decode_bytes(op) / 8e9});
    measured.elementwise.push_back(
        {{tokens * 1000, tokens * 500}, 1e-6 + 1500.0 * static_cast<double>(tokens) / 2e10});
    // Ring of two: 2 steps of 1.1 us and the vector once over 5 GB/s.
    measured.all_reduce.push_back(
        {tokens * 1024, 2.2e-6 + 1024.0 * static_cast<double>(tokens) / 5e9});
  }
  for (const int sequences : {1, 4, 16, 64}) {
    measured.host.push_back({sequences, false, 1e-5 + 1e-7 * sequences});
    measured.host.push_back({sequences, true, 1e-5 + 1e-7 * sequences + 4e-6});
  }
  return measured;
}

const PairLink kLink{LinkClass::phb, 2e10, 1e-7};

TEST(CpuProfile, Gives_back_the_constants_of_an_ideal_machine) {
  const Profile profile = make_cpu_profile(ideal_machine(), kLink).profile;
  const auto value = [&](const char* key) { return profile.at(key).value; };
  const double bandwidth = value("device.memory_bandwidth");
  EXPECT_NEAR(value("gemm.bf16.peak") * value("gemm.bf16.efficiency") / kPeak, 1, 0.01);
  EXPECT_NEAR(bandwidth * value("gemm.bf16.bandwidth_efficiency") / kBandwidth, 1, 0.01);
  EXPECT_NEAR(value("gemm.bf16.peak") * value("attention.prefill.efficiency") / 1e11, 1, 0.01);
  EXPECT_NEAR(bandwidth * value("attention.decode.bandwidth_efficiency") / 8e9, 1, 0.01);
  EXPECT_NEAR(bandwidth * value("elementwise.bandwidth_efficiency") / 2e10, 1, 0.01);
  EXPECT_NEAR(value("collective.step_latency"), 1e-6, 2e-8);  // 1.1 us less the link's 0.1 us
  EXPECT_NEAR(value("collective.phb.link_efficiency"), 0.25, 0.003);
  EXPECT_NEAR(value("host.step"), 1e-5, 1e-7);
  EXPECT_NEAR(value("host.sequence"), 1e-7, 2e-9);
  EXPECT_NEAR(value("host.prefill_step"), 4e-6, 1e-7);
}

TEST(CpuProfile, Every_family_of_a_step_comes_out_as_measured) {
  const Profile profile = make_cpu_profile(ideal_machine(), kLink).profile;
  const CostModel model(profile);
  GemmOp gemm;
  gemm.m = 100;
  gemm.n = 3000;
  gemm.k = 1024;
  AttentionOp attention;
  attention.heads = attention.kv_heads = 8;
  attention.head_dim = 64;
  attention.chunks = {{100, 0}};
  EXPECT_EQ(model.gemm(gemm).provenance, Provenance::measured);
  EXPECT_EQ(model.attention(attention).provenance, Provenance::measured);
  attention.decode = true;
  EXPECT_EQ(model.attention(attention).provenance, Provenance::measured);
  EXPECT_EQ(model.elementwise({1000, 1000}).provenance, Provenance::measured);
  EXPECT_EQ(model.host(true, 4).provenance, Provenance::measured);
  EXPECT_EQ(collective_constants(profile).provenance, Provenance::measured);
}

TEST(CpuProfile, Every_number_stands_in_the_table_of_known_keys_and_names_its_source) {
  const CpuProfile result = make_cpu_profile(ideal_machine(), kLink);
  for (const auto& [key, parameter] : result.profile.parameters) {
    EXPECT_NE(find_profile_key(key), nullptr) << key;
    EXPECT_TRUE(std::isfinite(parameter.value) && parameter.value >= 0) << key;
    EXPECT_NE(parameter.source.find("foretoken calibrate, 2026-01-01"), std::string::npos) << key;
  }
  EXPECT_EQ(result.families.size(), 6u);
}

TEST(CpuProfile, What_was_not_measured_is_left_out) {
  CpuMeasurements measured = ideal_machine();
  measured.all_reduce.clear();
  measured.host.clear();
  const Profile profile = make_cpu_profile(measured, kLink).profile;
  EXPECT_EQ(profile.find("collective.t0"), nullptr);
  EXPECT_EQ(profile.find("host.step"), nullptr);
  EXPECT_NE(profile.find("gemm.bf16.peak"), nullptr);
}

TEST(CpuProfile, The_table_has_a_row_a_family) {
  const std::string text = describe(make_cpu_profile(ideal_machine(), kLink).families);
  for (const char* family : {"gemm.bf16", "attention.prefill", "attention.decode", "elementwise",
                             "all_reduce.bf16", "host"}) {
    EXPECT_NE(text.find(family), std::string::npos) << text;
  }
}

}  // namespace
}  // namespace foretoken::calibrate
