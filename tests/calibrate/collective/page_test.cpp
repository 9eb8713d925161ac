// What reports/published/collectives.md claims, and that the page is what the program prints.
#include "calibrate/collective/page.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "calibrate/collective/all_reduce_fit.h"
#include "calibrate/collective/prediction_table.h"
#include "calibrate/collective/prefill_prediction.h"
#include "calibrate/collective/quick_reduce.h"
#include "calibrate/collective/socket_link.h"
#include "sim/config/paths.h"
#include "sim/config/profile_reader.h"

namespace foretoken::calibrate {
namespace {

constexpr const char* kTables = "../shared/reference/ops/comm";

double shipped(const std::string& profile, const std::string& key) {
  return config::read_profile(config::find_file(profile, {}, "calibrate/profiles").string())
      .find(key)
      ->value;
}

TEST(CollectivesPage, Is_what_the_program_prints) {
  if (!std::filesystem::exists(kTables)) {
    GTEST_SKIP() << kTables << " is not here";
  }
  std::ifstream file("reports/published/collectives.md");
  std::ostringstream text;
  text << file.rdbuf();
  EXPECT_EQ(text.str(), collectives_page(kTables));
}

TEST(CollectivesPage, Link_shares_in_the_profiles_are_those_fitted_here) {
  if (!std::filesystem::exists(kTables)) {
    GTEST_SKIP() << kTables << " is not here";
  }
  const std::map<std::string, AllReduceModel> models = fitted_nccl_models(kTables);
  const auto ring = [&](const std::string& system) {
    for (const AllReduceKernel& kernel : models.at(system).kernels) {
      if (kernel.name == "ring/simple") {
        return kernel.efficiency;
      }
    }
    return 0.0;
  };
  const double pcie = ring("rtx_pro_6000_server");
  EXPECT_NEAR(shipped("l40", "collective.pix.link_efficiency"), pcie, 0.005);
  const double bridge = pcie * models.at("rtx_pro_6000_server").host_bridge;
  EXPECT_NEAR(shipped("l40", "collective.phb.link_efficiency"), bridge, 0.005);
  EXPECT_NEAR(shipped("l40", "collective.sys.link_efficiency"), bridge, 0.005);
}

// The three protocols of a profile are the three rings of the fit; the links' 0.7 us a step apart.
TEST(CollectivesPage, Protocols_in_the_profiles_are_the_rings_fitted_here) {
  if (!std::filesystem::exists(kTables)) {
    GTEST_SKIP() << kTables << " is not here";
  }
  const std::map<std::string, AllReduceModel> models = fitted_nccl_models(kTables);
  for (const auto& [profile, system] :
       {std::pair("a100-sxm-80gb", "a100_sxm"), std::pair("a100-sxm-40gb", "a100_sxm"),
        std::pair("h100-sxm", "h100_sxm"), std::pair("h200-sxm", "h200_sxm")}) {
    const double t0 = shipped(profile, "collective.t0");
    const double step = shipped(profile, "collective.nvlink.step_latency");
    const double link = shipped(profile, "collective.nvlink.link_efficiency");
    for (const AllReduceKernel& kernel : models.at(system).kernels) {
      SCOPED_TRACE(fmt::format("{} {}", profile, kernel.name));
      if (kernel.name == "nvls") {
        const double simple = shipped(profile, "collective.protocol.simple.t0");
        EXPECT_NEAR(t0 + simple + shipped(profile, "collective.algorithm.nvls.t0"), kernel.t0,
                    0.3e-6);
        continue;
      }
      const std::string prefix = "collective.protocol." + kernel.name.substr(5) + ".";
      const bool base = kernel.name == "ring/ll";
      EXPECT_NEAR(t0 + (base ? 0 : shipped(profile, prefix + "t0")), kernel.t0, 0.2e-6);
      EXPECT_NEAR(step + 0.7e-6 + (base ? 0 : shipped(profile, prefix + "step_latency")),
                  kernel.step, 0.05e-6);
      EXPECT_NEAR(link * shipped(profile, prefix + "efficiency"), kernel.efficiency, 0.01);
    }
  }
}

TEST(Prefill, Shares_and_gains_of_a_70b_lie_where_they_were_measured) {
  const std::vector<PrefillPrediction> rows = predict_prefill();
  ASSERT_EQ(rows.size(), 5u);
  for (const PrefillPrediction& row : rows) {
    EXPECT_GT(row.gain(), 1) << row.box;
    EXPECT_LE(row.gain(), row.bound()) << row.box;
  }
  const PrefillPrediction& l40 = rows[0];
  EXPECT_GE(l40.share, 0.55);
  EXPECT_LE(l40.share, 0.75);
  EXPECT_GE(l40.gain(), 1.6);
  EXPECT_LE(l40.gain(), 2.1);
  const PrefillPrediction& a800 = rows[1];
  EXPECT_GE(a800.share, 0.14);
  EXPECT_LE(a800.share, 0.26);
  EXPECT_GE(a800.gain(), 1.08);
  EXPECT_LE(a800.gain(), 1.20);
  // With the full NVLink the share is missed, as the page says.
  EXPECT_LT(rows[2].share, 0.14);
  EXPECT_GE(rows[2].gain(), 1.08);
  for (const std::size_t h100 : {3, 4}) {
    EXPECT_GE(rows[h100].gain(), 1.02);
    EXPECT_LE(rows[h100].gain(), 1.10);
  }
}

TEST(QuickReduce, Four_and_eight_gpus_are_predicted_within_30_percent) {
  const QuickReducePrediction prediction = predict_quick_reduce();
  int predicted = 0;
  for (const QuickReduceRow& row : prediction.rows) {
    EXPECT_LE(std::abs(row.error()), 0.30) << row.wire << " on " << row.ranks;
    predicted += row.fitted ? 0 : 1;
  }
  EXPECT_EQ(predicted, 6);
  EXPECT_LE(prediction.link_efficiency, 1.005);
  EXPECT_GT(prediction.gain(2, false), prediction.gain(4, false));
  EXPECT_GT(prediction.gain(4, false), prediction.gain(8, false));
  ASSERT_EQ(prediction.crossovers.size(), 3u);
  for (const QuickReduceCrossover& crossing : prediction.crossovers) {
    EXPECT_LE(crossing.predicted, 2 * crossing.measured) << crossing.ranks;
    EXPECT_GE(crossing.predicted, crossing.measured / 2) << crossing.ranks;
  }
}

TEST(SocketLink, Carries_the_derived_bytes) {
  for (const SocketBytes& row : socket_bytes()) {
    EXPECT_NEAR(row.simulated, row.derived, 1e-4) << row.algorithm;
  }
}

TEST(SocketLink, Int4_on_eight_l40_gains_what_was_published_and_flat_two_step_wastes_it) {
  bool as_published = false;
  bool flat_wastes = false;
  for (const SocketGain& row : socket_gains()) {
    const double best = std::max(row.flat_gain(), row.deep_gain());
    as_published |= best >= 2.6 && best <= 3.8;
    flat_wastes |= row.flat_gain() < 0.6 * row.deep_gain();
  }
  EXPECT_TRUE(as_published);
  EXPECT_TRUE(flat_wastes);
}

TEST(SocketLink, Without_codec_and_latency_the_gain_is_the_ratio_of_bytes) {
  const ByteRatio ratio = byte_ratio();
  EXPECT_NEAR(ratio.simulated, ratio.derived, 0.01 * ratio.derived);
}

}  // namespace
}  // namespace foretoken::calibrate
