#include "sim/spec/profile.h"

#include <array>

#include "sim/core/error.h"

namespace foretoken {
namespace {

constexpr std::array kKeys{
    ProfileKey{"device.memory", Unit::bytes, "memory of one device"},
    ProfileKey{"device.memory_bandwidth", Unit::bandwidth, "peak memory bandwidth of one device"},
    ProfileKey{"device.bandwidth_efficiency", Unit::fraction, "share of that bandwidth reached"},
    ProfileKey{"device.l2", Unit::bytes, "last-level cache"},
    ProfileKey{"device.sms", Unit::number, "streaming multiprocessors, or cores"},
    ProfileKey{"device.pace", Unit::time,
               "a sentinel's fixed work on the cores while their samples were taken"},
    ProfileKey{"device.power", Unit::power, "board power limit"},
    ProfileKey{"device.context_memory", Unit::bytes, "memory taken by driver context and kernels"},
    ProfileKey{"gemm.*.peak", Unit::compute, "peak arithmetic rate in this format"},
    ProfileKey{"gemm.*.efficiency", Unit::fraction, "share of the peak reached by large GEMMs"},
    ProfileKey{"gemm.*.bandwidth_efficiency", Unit::fraction, "share of memory bandwidth in GEMM"},
    ProfileKey{"gemm.*.t0", Unit::time, "fixed time of one GEMM call"},
    ProfileKey{"gemm.*.sd_family", Unit::number, "spread (log) common to all shapes"},
    ProfileKey{"gemm.*.sd_shape", Unit::number, "spread (log) of one (n, k) shape"},
    ProfileKey{"gemm.*.sd_distance", Unit::number,
               "spread (log) per doubling of distance to the nearest sample"},
    ProfileKey{"elementwise.quantise_in_gemm", Unit::number,
               "1: GEMM samples contain the quantisation of their activations"},
    ProfileKey{"attention.prefill.efficiency", Unit::fraction, "share of peak bf16 in prefill"},
    ProfileKey{"attention.prefill.t0", Unit::time, "fixed time of one prefill attention call"},
    ProfileKey{"attention.decode.bandwidth_efficiency", Unit::fraction,
               "share of memory bandwidth in decode attention"},
    ProfileKey{"attention.decode.t0", Unit::time, "fixed time of one decode attention call"},
    ProfileKey{"attention.decode.per_head_bandwidth", Unit::bandwidth,
               "rate of keys and values from L2 to kernels that read them once a query head"},
    ProfileKey{"attention.sd_family", Unit::number, "spread (log) of attention"},
    ProfileKey{"attention.includes_rope", Unit::number,
               "1: attention samples contain rotary embedding and the write to the cache"},
    ProfileKey{"elementwise.t0", Unit::time, "fixed time of one elementwise kernel"},
    ProfileKey{"elementwise.bandwidth_efficiency", Unit::fraction,
               "share of memory bandwidth in elementwise kernels"},
    ProfileKey{"elementwise.sd_family", Unit::number, "spread (log) of elementwise kernels"},
    ProfileKey{"collective.step_latency", Unit::time, "fixed time of one step of a collective"},
    ProfileKey{"collective.*.step_latency", Unit::time,
               "fixed time of one step over this link class"},
    ProfileKey{"collective.*.link_efficiency", Unit::fraction,
               "share of this link class's bandwidth reached"},
    ProfileKey{"collective.protocol.*.efficiency", Unit::fraction,
               "share of the above that this protocol leaves to data"},
    ProfileKey{"collective.protocol.*.t0", Unit::time,
               "fixed time of one call that this protocol adds"},
    ProfileKey{"collective.protocol.*.step_latency", Unit::time,
               "fixed time of one step that this protocol adds"},
    ProfileKey{"collective.algorithm.nvls.t0", Unit::time,
               "fixed time of one call that reductions in the switch add"},
    ProfileKey{"collective.t0", Unit::time, "fixed time of one collective call"},
    ProfileKey{"collective.sd_family", Unit::number, "spread (log) of collectives"},
    ProfileKey{"all_reduce.sd_family", Unit::number,
               "spread (log) of all-reduces that were measured just so"},
    ProfileKey{"codec.*.t0", Unit::time, "fixed time of one codec kernel"},
    ProfileKey{"codec.*.bandwidth", Unit::bandwidth, "uncompressed bytes per second of the codec"},
    ProfileKey{"codec.sd_family", Unit::number, "spread (log) of the codec"},
    ProfileKey{"wire.latency", Unit::time,
               "one message over a measured wire between processes, which stands for the topology"},
    ProfileKey{"wire.pace", Unit::time, "device.pace while the wire was measured"},
    ProfileKey{"wire.bandwidth", Unit::bandwidth, "rate of that wire once its bucket is empty"},
    ProfileKey{"wire.bucket", Unit::bytes, "bytes that the wire lets through at once"},
    ProfileKey{"wire.copy_bandwidth", Unit::bandwidth,
               "bytes per second that a rank can send over it while it receives as many"},
    ProfileKey{"wire.skew", Unit::number,
               "share of the time between collectives that the ranks wait for each other"},
    ProfileKey{"wire.sd_family", Unit::number, "spread (log) of collectives over the wire"},
    ProfileKey{"host.step", Unit::time, "host time of one engine step"},
    ProfileKey{"host.sequence", Unit::time, "host time per running sequence and step"},
    ProfileKey{"host.prefill_step", Unit::time, "extra host time of a step that holds prefill"},
    ProfileKey{"host.request", Unit::time, "front-end time from arrival to the queue"},
    ProfileKey{"host.ranks", Unit::time,
               "extra time of a step in tensor parallel: the ranks wait for each other"},
    ProfileKey{"host.residual_time", Unit::number,
               "spread (log) of what an engine's constants leave unexplained"},
    ProfileKey{"host.residual_ttft", Unit::number, "the same, of TTFT"},
    ProfileKey{"host.sd_family", Unit::number, "spread (log) of host times"},
};

bool matches(std::string_view pattern, std::string_view name) {
  while (true) {
    const auto p = pattern.find('.');
    const auto n = name.find('.');
    if (pattern.substr(0, p) != "*" && pattern.substr(0, p) != name.substr(0, n)) {
      return false;
    }
    if (p == std::string_view::npos || n == std::string_view::npos) {
      return p == n;
    }
    pattern.remove_prefix(p + 1);
    name.remove_prefix(n + 1);
  }
}

}  // namespace

std::span<const ProfileKey> profile_keys() { return kKeys; }

const ProfileKey* find_profile_key(std::string_view name) {
  for (const ProfileKey& key : kKeys) {
    if (matches(key.pattern, name)) {
      return &key;
    }
  }
  return nullptr;
}

const Parameter* Profile::find(std::string_view key) const {
  const auto it = parameters.find(key);
  return it == parameters.end() ? nullptr : &it->second;
}

const Parameter& Profile::at(std::string_view key) const {
  if (const Parameter* parameter = find(key)) {
    return *parameter;
  }
  const ProfileKey* known = find_profile_key(key);
  throw InputError(SourceMark{file, 0, 0}, std::string(key),
                   fmt::format("the profile \"{}\" does not state this ({}); add it, or stack a "
                               "profile that has it",
                               name, known ? known->meaning : "unknown number"));
}

double Profile::value_or(std::string_view key, double fallback) const {
  const Parameter* parameter = find(key);
  return parameter ? parameter->value : fallback;
}

void Profile::override_with(const Profile& later) {
  for (const auto& [key, parameter] : later.parameters) {
    parameters.insert_or_assign(key, parameter);
  }
  for (const auto& [key, table] : later.samples) {
    samples.insert_or_assign(key, table);
  }
  name = name.empty() ? later.name : name + "+" + later.name;
  if (!later.device.empty()) {
    device = later.device;
  }
  if (!later.fingerprint.empty()) {
    fingerprint = later.fingerprint;
  }
  if (!later.date.empty()) {
    date = later.date;
  }
  file = later.file;
}

}  // namespace foretoken
