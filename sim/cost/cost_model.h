// Prices operators from a profile. Immutable after construction, safe to share between threads.
// Collectives are simulated as flows (sim/network), with constants from the same profile through
// collective_constants(); only all-reduces that were measured just so are priced here.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "sim/cost/estimate.h"
#include "sim/cost/gemm_format.h"
#include "sim/cost/gemm_roofline.h"
#include "sim/model/operator.h"
#include "sim/spec/cluster.h"
#include "sim/spec/profile.h"

namespace foretoken {

// Host times of an engine, seconds. Their estimates share one draw.
struct HostCosts {
  double step = 0, sequence = 0, prefill_step = 0, request = 0, ranks = 0;
  double sd = 0;                                         // of the logarithm
  Provenance provenance = Provenance::measured;          // of the step's times
  Provenance request_provenance = Provenance::measured;  // of the front end's
};

class CostModel {
 public:
  // Throws InputError when the profile lacks a number that every scenario needs (memory,
  // bandwidth), or holds samples of a GEMM format nobody knows.
  explicit CostModel(Profile profile);
  // The same tables beside another host; profile() still tells the host times of the first.
  CostModel with_host(const HostCosts& host) const;

  // Throws InputError when the profile has neither samples nor a peak for the op's format.
  // REQUIRES: a GEMM, attention or elementwise operator.
  Estimate price(const Operator& op) const;
  // REQUIRES: m, n, k > 0.
  Estimate gemm(const GemmOp& op) const;
  // The closed form behind it: peak and bandwidth that GEMMs of this format reach.
  const GemmRoofline& gemm_roofline(const GemmOp& op) const;
  Estimate attention(const AttentionOp& op) const;
  Estimate elementwise(const ElementwiseOp& op) const;
  // Codec work of one rank that reads or writes so many unpacked values; nothing where the profile
  // has no samples of that phase and wire (codec.quantise.int8/g128, ...).
  std::optional<Estimate> codec(CodecPhase phase, std::int64_t values, const Format& wire) const;
  // An all-reduce of so many bf16 values on each rank, where the profile has measured calls with
  // this wire between as many ranks: an engine's own kernels on its cluster (`engine_all_reduce`),
  // or ours on this machine, in one memory (`all_reduce`) or over a network (`tcp_all_reduce`).
  // Nothing: simulate it. `link` is the weakest between two of the ranks.
  std::optional<Estimate> all_reduce(int ranks, LinkClass link, std::int64_t values,
                                     const Format& wire) const;
  // Host time of one step (profile or preset; the caller has merged them into the profile).
  Estimate host(bool has_prefill, std::int64_t sequences, int ranks = 1) const;
  Estimate host_request() const;

  const Profile& profile() const;

 private:
  struct Impl;
  std::shared_ptr<const Impl> impl_;
  HostCosts host_;
};

}  // namespace foretoken
