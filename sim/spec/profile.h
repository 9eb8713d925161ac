// A profile: what one device costs. A flat table of named numbers, each with its provenance, and
// sample tables of measured operators. Profiles stack: a later one overrides an earlier one number
// by number, sample table by sample table.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sim/core/quantity.h"
#include "sim/spec/provenance.h"

namespace foretoken {

struct Parameter {
  double value = 0;  // SI base units: s, bytes, bytes/s, op/s, 1
  Provenance provenance = Provenance::assumed;
  std::string source;  // who says so: a file, a paper, a command and its date
};

// The names a profile may use. `*` stands for one path element, such as a GEMM format or link
// class. `foretoken list profiles` and the strict reader both use this table.
struct ProfileKey {
  std::string_view pattern;
  Unit unit;
  std::string_view meaning;
};
std::span<const ProfileKey> profile_keys();
const ProfileKey* find_profile_key(std::string_view name);

// One measured operator call. What `shape` holds depends on the family:
//   gemm.FORMAT        m, n, k
//   all_reduce.FORMAT  ranks, bytes per rank
//   engine_all_reduce.FORMAT  the same, of an engine's own kernels: used instead of a simulation
//   quantise.FORMAT    m, k: what a GEMM sample with dynamic scales contains besides the GEMM
//   elementwise.NAME   bytes read and written by the operator of this name
//   codec.quantise.WIRE, codec.reduce.WIRE, codec.dequantise.WIRE  values read or written unpacked
//   tcp_all_reduce.WIRE  like all_reduce, between two processes over the loopback
//   pinned_all_reduce.WIRE  like all_reduce, between virtual ranks of one GPU through host memory
//   virtual_ranks.WIRE      the same in the GPU's own memory: launch, barriers and codec, no link
//   launch.kernel, launch.graph  kernels, nodes launched one after the other
//   host.decode, host.prefill  sequences of a step
//   memory.read, memory.copy   bytes, cores that do it at once
//   attention.*        sim/cost/attention_table.h
//   latent_attention.prefill.FORMAT, latent_attention.decode.FORMAT  heads, batch, tokens of each
//   moe.FORMAT         hidden, inter, experts, chosen, tensor and expert degree, 100 x the exponent
//   of
//                      the power law of loads, tokens. The cost model does not read these two yet.
struct Sample {
  std::vector<std::int64_t> shape;
  double seconds = 0;
};

struct SampleTable {
  std::vector<Sample> samples;
  Provenance provenance = Provenance::measured;
  std::string source;
};

struct Profile {
  std::string name;
  std::string device;       // "H100-SXM5-80GB", "Intel Xeon, 2 cores"
  std::string fingerprint;  // of the machine it was measured on; empty for datasheets
  std::string date;
  std::string file;  // where it was read from
  std::map<std::string, Parameter, std::less<>> parameters;
  std::map<std::string, SampleTable, std::less<>> samples;

  const Parameter* find(std::string_view key) const;
  // Throws InputError with the key, its meaning and the profile's name when absent.
  const Parameter& at(std::string_view key) const;
  double value_or(std::string_view key, double fallback) const;

  // `later` wins wherever it has a number.
  void override_with(const Profile& later);
};

}  // namespace foretoken
