// Prices operators from a profile. Immutable after construction, safe to share between threads.
// Collectives are not priced here but simulated as flows (sim/network); their constants come from
// the same profile through collective_costs().
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "sim/cost/estimate.h"
#include "sim/model/operator.h"
#include "sim/spec/profile.h"

namespace foretoken {

// The name under which a GEMM's numbers stand in a profile: "bf16", "fp8", "w8a8", "w4a16",
// "w4a16/g128", "w4a8", "w4a8/g128/integer-scale".
std::string gemm_format_name(const Format& weights, const Format& activations);

// t = (t0 + max(wave-quantised compute, bytes / bandwidth)) x residual(m, n, k). Units: s, op/s,
// bytes/s. Pure arithmetic: calibrate/fit fits exactly this.
struct GemmRoofline {
  double t0 = 0;
  double peak = 0;       // op/s reached by large GEMMs
  double bandwidth = 0;  // bytes/s reached
  int sms = 1;
  double seconds(const GemmOp& op) const;
};

class CostModel {
 public:
  // Throws InputError when the profile lacks a number that every scenario needs (memory,
  // bandwidth).
  explicit CostModel(Profile profile);
  ~CostModel();
  CostModel(CostModel&&) noexcept;
  CostModel& operator=(CostModel&&) noexcept;

  // Throws InputError when the profile has neither samples nor a peak for the op's format.
  Estimate price(const Operator& op) const;
  Estimate gemm(const GemmOp& op) const;
  Estimate attention(const AttentionOp& op) const;
  Estimate elementwise(const ElementwiseOp& op) const;
  // Host time of one step (profile or preset; the caller has merged them into the profile).
  Estimate host(bool has_prefill, std::int64_t sequences) const;
  Estimate host_request() const;

  const Profile& profile() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace foretoken
