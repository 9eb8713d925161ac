#include "sim/cost/collective_constants.h"

#include <fmt/format.h>

#include <array>
#include <optional>
#include <string_view>

#include "sim/cost/assumptions.h"

namespace foretoken {
namespace {

constexpr std::array kLinkClasses{LinkClass::nvlink, LinkClass::pix, LinkClass::pxb,
                                  LinkClass::phb,    LinkClass::sys, LinkClass::network};

// NCCL's.
constexpr std::array<std::string_view, 3> kProtocols{"simple", "ll128", "ll"};

// The value under `key`, or `fallback` as assumed; weakens `provenance` accordingly.
double read(const Profile& profile, const std::string& key, double fallback,
            Provenance& provenance) {
  const Parameter* parameter = profile.find(key);
  provenance = weakest(provenance, parameter ? parameter->provenance : Provenance::assumed);
  return parameter ? parameter->value : fallback;
}

}  // namespace

CollectiveConstants collective_constants(const Profile& profile) {
  CollectiveConstants constants;
  Provenance common = Provenance::measured;
  constants.t0 = read(profile, "collective.t0", assumed::kCollectiveT0, common);
  const Parameter* step = profile.find("collective.step_latency");
  if (step != nullptr) {
    constants.step_latency = step->value;
    common = weakest(common, step->provenance);
  }
  for (const std::string_view protocol : kProtocols) {
    const std::string prefix = fmt::format("collective.protocol.{}.", protocol);
    if (const Parameter* efficiency = profile.find(prefix + "efficiency")) {
      common = weakest(common, efficiency->provenance);
      constants.protocols[std::string(protocol)] = {efficiency->value,
                                                    profile.value_or(prefix + "t0", 0),
                                                    profile.value_or(prefix + "step_latency", 0)};
    }
  }
  if (const Parameter* nvls = profile.find("collective.algorithm.nvls.t0")) {
    common = weakest(common, nvls->provenance);
    constants.algorithm_t0["nvls"] = nvls->value;
  }
  std::optional<Provenance> overall;
  for (const LinkClass link_class : kLinkClasses) {
    const std::string prefix = fmt::format("collective.{}.", name(link_class));
    const std::string step_key = prefix + "step_latency";
    Provenance provenance = common;
    CollectiveConstants::PerClass& per = constants.per_class[link_class];
    per.efficiency =
        read(profile, prefix + "link_efficiency", assumed::kLinkEfficiency, provenance);
    // A step needs a latency from somewhere; where the common one is stated, a class may stay
    // silent.
    if (step == nullptr || profile.find(step_key) != nullptr) {
      per.step_latency = read(profile, step_key, assumed::kCollectiveStep, provenance);
    }
    constants.provenance_of[link_class] = provenance;
    if (profile.find(prefix + "link_efficiency") != nullptr) {
      overall = overall ? weakest(*overall, provenance) : provenance;
    }
  }
  constants.provenance = overall.value_or(Provenance::assumed);
  constants.sd_family = profile.value_or("collective.sd_family", assumed::kSdCollective);
  return constants;
}

}  // namespace foretoken
