#include "sim/cost/collective_constants.h"

#include <gtest/gtest.h>

namespace foretoken {
namespace {

Profile profile_with(std::initializer_list<std::pair<const char*, double>> numbers,
                     Provenance provenance = Provenance::measured) {
  Profile profile;
  for (const auto& [key, value] : numbers) {
    profile.parameters[key] = {value, provenance, "test"};
  }
  return profile;
}

TEST(CollectiveConstants, A_measured_class_is_measured_and_the_others_are_assumed) {
  const auto constants = collective_constants(profile_with({{"collective.t0", 2e-6},
                                                            {"collective.step_latency", 3e-6},
                                                            {"collective.phb.link_efficiency", 0.5},
                                                            {"collective.sd_family", 0.04}}));
  EXPECT_EQ(constants.t0, 2e-6);
  EXPECT_EQ(constants.step_latency, 3e-6);
  EXPECT_EQ(constants.per_class.at(LinkClass::phb).efficiency, 0.5);
  EXPECT_EQ(constants.per_class.at(LinkClass::phb).step_latency, 0);
  EXPECT_EQ(constants.provenance_of.at(LinkClass::phb), Provenance::measured);
  EXPECT_EQ(constants.provenance_of.at(LinkClass::nvlink), Provenance::assumed);
  EXPECT_EQ(constants.provenance, Provenance::measured);
  EXPECT_EQ(constants.sd_family, 0.04);
}

TEST(CollectiveConstants, A_step_latency_of_the_class_alone_is_not_added_to_an_assumed_one) {
  const auto constants =
      collective_constants(profile_with({{"collective.t0", 1e-6},
                                         {"collective.nvlink.link_efficiency", 0.8},
                                         {"collective.nvlink.step_latency", 2e-6}}));
  EXPECT_EQ(constants.step_latency, 0);
  EXPECT_EQ(constants.per_class.at(LinkClass::nvlink).step_latency, 2e-6);
  EXPECT_GT(constants.per_class.at(LinkClass::network).step_latency, 0);
  EXPECT_EQ(constants.provenance, Provenance::measured);
}

TEST(CollectiveConstants, A_silent_profile_is_assumed) {
  const auto constants = collective_constants(Profile{});
  EXPECT_EQ(constants.provenance, Provenance::assumed);
  EXPECT_EQ(constants.per_class.size(), 6u);
  EXPECT_GT(constants.sd_family, 0);
}

TEST(CollectiveConstants, Protocols_are_those_the_profile_states) {
  EXPECT_TRUE(collective_constants(Profile{}).protocols.empty());
  const auto constants =
      collective_constants(profile_with({{"collective.t0", 1e-6},
                                         {"collective.protocol.ll.efficiency", 0.1},
                                         {"collective.protocol.ll.t0", 2e-6},
                                         {"collective.algorithm.nvls.t0", 3e-5},
                                         {"collective.protocol.ll128.t0", 2e-6}}));
  ASSERT_EQ(constants.protocols.size(), 1u);  // a protocol without its efficiency is none
  EXPECT_EQ(constants.protocols.at("ll").efficiency, 0.1);
  EXPECT_EQ(constants.protocols.at("ll").t0, 2e-6);
  EXPECT_EQ(constants.protocols.at("ll").step_latency, 0);
  EXPECT_EQ(constants.algorithm_t0.at("nvls"), 3e-5);
}

}  // namespace
}  // namespace foretoken
