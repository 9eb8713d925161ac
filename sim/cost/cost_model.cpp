#include "sim/cost/cost_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <utility>
#include <variant>

#include "sim/core/error.h"
#include "sim/core/random.h"
#include "sim/cost/assumptions.h"
#include "sim/cost/attention_table.h"
#include "sim/cost/gemm_family.h"
#include "sim/cost/sample_grid.h"
#include "sim/cost/work.h"

namespace foretoken {
namespace {

// A fixed time plus work at a rate, with where both come from.
struct Line {
  double t0 = 0;
  double bandwidth = 0;  // bytes/s
  double peak = 0;       // op/s
  Provenance provenance = Provenance::measured;
};

double read(const Profile& profile, std::string_view key, double fallback, Provenance& provenance) {
  const Parameter* parameter = profile.find(key);
  provenance = weakest(provenance, parameter ? parameter->provenance : Provenance::assumed);
  return parameter ? parameter->value : fallback;
}

double read_bandwidth(const Profile& profile, std::string_view efficiency_key, double fallback,
                      Provenance& provenance) {
  const Parameter& bandwidth = profile.at("device.memory_bandwidth");
  provenance = weakest(provenance, bandwidth.provenance);
  return bandwidth.value * read(profile, efficiency_key, fallback, provenance);
}

Line prefill_line(const Profile& profile) {
  Line line;
  line.t0 = read(profile, "attention.prefill.t0", assumed::kAttentionT0, line.provenance);
  line.bandwidth = read_bandwidth(profile, "attention.decode.bandwidth_efficiency",
                                  assumed::kDecodeBandwidthEfficiency, line.provenance);
  const double efficiency =
      read(profile, "attention.prefill.efficiency", assumed::kPrefillEfficiency, line.provenance);
  if (const Parameter* peak = profile.find("gemm.bf16.peak")) {
    line.peak = peak->value * efficiency;
    line.provenance = weakest(line.provenance, peak->provenance);
  }
  return line;
}

Line decode_line(const Profile& profile) {
  Line line;
  line.t0 = read(profile, "attention.decode.t0", assumed::kAttentionT0, line.provenance);
  line.bandwidth = read_bandwidth(profile, "attention.decode.bandwidth_efficiency",
                                  assumed::kDecodeBandwidthEfficiency, line.provenance);
  return line;
}

Line elementwise_line(const Profile& profile) {
  Line line;
  line.t0 = read(profile, "elementwise.t0", assumed::kElementwiseT0, line.provenance);
  const bool own = profile.find("elementwise.bandwidth_efficiency") != nullptr;
  line.bandwidth = read_bandwidth(
      profile, own ? "elementwise.bandwidth_efficiency" : "device.bandwidth_efficiency",
      assumed::kBandwidthEfficiency, line.provenance);
  return line;
}

HostCosts read_host(const Profile& profile) {
  HostCosts host;
  host.step = read(profile, "host.step", 0, host.provenance);
  const auto part = [&](std::string_view key) {  // what is not stated is no part of the time
    return profile.find(key) != nullptr ? read(profile, key, 0, host.provenance) : 0;
  };
  host.sequence = part("host.sequence");
  host.prefill_step = part("host.prefill_step");
  host.request = read(profile, "host.request", 0, host.request_provenance);
  host.ranks = part("host.ranks");
  host.sd = profile.value_or("host.sd_family", assumed::kSdHost);
  return host;
}

std::uint64_t format_bits(const Format& format) {
  return static_cast<std::uint64_t>(format.kind) | static_cast<std::uint64_t>(format.bits) << 4 |
         static_cast<std::uint64_t>(format.group) << 12 |
         static_cast<std::uint64_t>(format.scale) << 24 |
         static_cast<std::uint64_t>(format.spike ? 1 : 0) << 28;
}

// Measured all-reduces of one wire, by ranks.
std::map<int, SampleGrid> all_reduce_grids(const Profile& profile, const std::string& name,
                                           const SampleTable& table) {
  std::map<int, std::vector<SampleGrid::Point>> by_ranks;
  for (const Sample& sample : table.samples) {
    if (sample.shape.size() != 2 || sample.shape[1] <= 0 || !(sample.seconds > 0)) {
      throw InputError(SourceMark{profile.file, 0, 0}, "samples." + name,
                       "this sample needs ranks, positive bytes and a positive time; remove the "
                       "row");
    }
    by_ranks[static_cast<int>(sample.shape[0])].push_back(
        {{static_cast<double>(sample.shape[1]), 0, 0, 0}, sample.seconds});
  }
  std::map<int, SampleGrid> grids;
  for (auto& [ranks, points] : by_ranks) {
    grids.emplace(ranks, SampleGrid(std::move(points), 1, {}));
  }
  return grids;
}

SampleGrid kernel_grid(const Profile& profile, const std::string& name, const SampleTable& table) {
  std::vector<SampleGrid::Point> points;
  for (const Sample& sample : table.samples) {
    if (sample.shape.size() != 1 || sample.shape[0] <= 0 || !(sample.seconds > 0)) {
      throw InputError(SourceMark{profile.file, 0, 0}, "samples." + name,
                       "this sample needs one positive size and a positive time; remove the row");
    }
    points.push_back({{static_cast<double>(sample.shape[0]), 0, 0, 0}, sample.seconds});
  }
  return SampleGrid(std::move(points), 1, {});
}

constexpr std::uint64_t kPrefillKey = hash_text("attention_prefill");
constexpr std::uint64_t kDecodeKey = hash_text("attention_decode");
constexpr std::uint64_t kElementwiseKey = hash_text("elementwise");
constexpr std::uint64_t kHostKey = hash_text("host");
constexpr std::uint64_t kCodecKey = hash_text("codec");
constexpr std::uint64_t kCollectiveKey = hash_text("collective");
constexpr double kValueBytes = 2;  // bf16

// Families without a shape effect: the spread is the family's alone.
Estimate family_estimate(double seconds, double sd, std::uint64_t key, Provenance provenance) {
  Estimate estimate;
  estimate.seconds = seconds;
  estimate.sd_family = sd;
  estimate.family_key = key;
  estimate.shape_key = key;
  estimate.provenance = provenance;
  return estimate;
}

}  // namespace

struct CostModel::Impl {
  explicit Impl(Profile p) : profile(std::move(p)) {}

  Profile profile;
  Line prefill, decode, elementwise;
  double sd_attention = 0, sd_elementwise = 0;
  AttentionTable attention{profile};
  // Measured kernels by the operator's name, over the bytes moved.
  std::map<std::string, std::pair<SampleGrid, Provenance>, std::less<>> kernels;
  // Codec phases by "quantise.int8/g128", over the values read or written unpacked.
  std::map<std::string, std::pair<SampleGrid, Provenance>, std::less<>> codecs;
  double sd_codec = 0;
  struct AllReduces {
    std::map<int, SampleGrid> by_ranks;
    Provenance provenance;
  };
  std::map<std::string, AllReduces, std::less<>> all_reduces;  // by the table's name
  double sd_engine_all_reduce = 0, sd_all_reduce = 0;
  bool quantise_included = false;  // GEMM samples contain the quantisation of their activations
  double per_head_bandwidth = 0;   // 0: query heads of a group share their keys and values
  bool rope_included = false;      // attention samples contain rope and kv_cache_write
  // Formats are resolved when first asked for: a scenario uses two or three of the hundreds
  // possible.
  mutable AppendCache<GemmFamily, 64> families;

  const GemmFamily& family(const GemmOp& op) const {
    const std::uint64_t key = format_bits(op.weights) << 32 | format_bits(op.activations);
    return families.get(key, mix64(key),
                        [&] { return GemmFamily(profile, op.weights, op.activations); });
  }
};

CostModel::CostModel(Profile profile) {
  auto impl = std::make_shared<Impl>(std::move(profile));
  const Profile& p = impl->profile;
  p.at("device.memory");
  p.at("device.memory_bandwidth");
  for (const auto& [name, table] : p.samples) {
    if (name.starts_with("gemm.") && !parse_gemm_format_name(name.substr(5))) {
      throw InputError(SourceMark{p.file, 0, 0}, "samples." + name,
                       "unknown GEMM format (try gemm.bf16, gemm.fp8, gemm.w8a8, "
                       "gemm.w4a16/g128)");
    }
  }
  for (const auto& [name, table] : p.samples) {
    if (name.starts_with("elementwise.") && !table.samples.empty()) {
      impl->kernels.emplace(name.substr(12),
                            std::pair(kernel_grid(p, name, table), table.provenance));
    }
    if (name.starts_with("codec.") && !table.samples.empty()) {
      impl->codecs.emplace(name.substr(6),
                           std::pair(kernel_grid(p, name, table), table.provenance));
    }
    // What a library was measured at elsewhere calibrates the simulation of any cluster.
    const bool here = table.provenance == Provenance::measured &&
                      (name.starts_with("all_reduce.") || name.starts_with("tcp_all_reduce."));
    if ((here || name.starts_with("engine_all_reduce.")) && !table.samples.empty()) {
      impl->all_reduces.emplace(
          name, Impl::AllReduces{all_reduce_grids(p, name, table), table.provenance});
    }
  }
  impl->quantise_included = p.value_or("elementwise.quantise_in_gemm", 0) > 0;
  impl->rope_included = p.value_or("attention.includes_rope", 0) > 0;
  impl->per_head_bandwidth = p.value_or("attention.decode.per_head_bandwidth", 0);
  impl->prefill = prefill_line(p);
  impl->decode = decode_line(p);
  impl->elementwise = elementwise_line(p);
  impl->sd_attention = p.value_or("attention.sd_family", assumed::kSdFamily);
  impl->sd_elementwise = p.value_or("elementwise.sd_family", assumed::kSdFamily);
  impl->sd_codec = p.value_or("codec.sd_family", assumed::kSdFamily);
  impl->sd_engine_all_reduce = p.value_or("collective.sd_family", assumed::kSdFamily);
  impl->sd_all_reduce = p.value_or("all_reduce.sd_family", impl->sd_engine_all_reduce);
  impl_ = std::move(impl);
  host_ = read_host(p);
}

CostModel CostModel::with_host(const HostCosts& host) const {
  CostModel other = *this;
  other.host_ = host;
  return other;
}

const Profile& CostModel::profile() const { return impl_->profile; }

Estimate CostModel::price(const Operator& op) const {
  if (const auto* gemm_op = std::get_if<GemmOp>(&op.what)) {
    return gemm(*gemm_op);
  }
  if (const auto* attention_op = std::get_if<AttentionOp>(&op.what)) {
    return attention(*attention_op);
  }
  const auto* elementwise_op = std::get_if<ElementwiseOp>(&op.what);
  FT_CHECK(elementwise_op != nullptr, "{}: collectives are simulated, not priced", op.name);
  if ((op.name == "quantise" && impl_->quantise_included) ||
      ((op.name == "rope" || op.name == "kv_cache_write") && impl_->rope_included)) {
    return family_estimate(0, 0, kElementwiseKey, Provenance::measured);
  }
  if (const auto kernel = impl_->kernels.find(op.name); kernel != impl_->kernels.end()) {
    const auto bytes =
        static_cast<double>(elementwise_op->bytes_read + elementwise_op->bytes_written);
    const auto found = kernel->second.first.at({bytes, 0, 0, 0});
    Estimate estimate = family_estimate(found.seconds, impl_->sd_elementwise, kElementwiseKey,
                                        kernel->second.second);
    estimate.extrapolated = !found.inside;
    return estimate;
  }
  return elementwise(*elementwise_op);
}

Estimate CostModel::gemm(const GemmOp& op) const {
  FT_CHECK(op.m > 0 && op.n > 0 && op.k > 0, "GEMM of {} x {} x {}", op.m, op.n, op.k);
  return impl_->family(op).price(op);
}

const GemmRoofline& CostModel::gemm_roofline(const GemmOp& op) const {
  return impl_->family(op).roofline();
}

Estimate CostModel::attention(const AttentionOp& op) const {
  if (const auto measured = impl_->attention.price(op)) {
    double seconds = measured->seconds;
    if (op.decode && impl_->per_head_bandwidth > 0) {
      seconds = std::max(seconds, per_head_bytes(op) / impl_->per_head_bandwidth);
    }
    Estimate estimate = family_estimate(seconds, impl_->sd_attention,
                                        op.decode ? kDecodeKey : kPrefillKey, measured->provenance);
    estimate.extrapolated = !measured->inside;
    return estimate;
  }
  if (op.decode) {
    const Line& line = impl_->decode;
    return family_estimate(line.t0 + decode_bytes(op) / line.bandwidth, impl_->sd_attention,
                           kDecodeKey, line.provenance);
  }
  const Line& line = impl_->prefill;
  if (line.peak <= 0) {
    impl_->profile.at("gemm.bf16.peak");  // throws: attention computes at this rate
  }
  const double work = std::max(prefill_flops(op) / line.peak, prefill_bytes(op) / line.bandwidth);
  return family_estimate(line.t0 + work, impl_->sd_attention, kPrefillKey, line.provenance);
}

Estimate CostModel::elementwise(const ElementwiseOp& op) const {
  const Line& line = impl_->elementwise;
  const auto bytes = static_cast<double>(op.bytes_read + op.bytes_written);
  return family_estimate(line.t0 + bytes / line.bandwidth, impl_->sd_elementwise, kElementwiseKey,
                         line.provenance);
}

std::optional<Estimate> CostModel::codec(CodecPhase phase, std::int64_t values,
                                         const Format& wire) const {
  const auto found = impl_->codecs.find(
      fmt::format("{}.{}", kCodecPhaseNames[static_cast<std::size_t>(phase)], to_string(wire)));
  if (found == impl_->codecs.end()) {
    return std::nullopt;
  }
  const auto priced = found->second.first.at({static_cast<double>(values), 0, 0, 0});
  Estimate estimate =
      family_estimate(priced.seconds, impl_->sd_codec, kCodecKey, found->second.second);
  estimate.extrapolated = !priced.inside;
  return estimate;
}

std::optional<Estimate> CostModel::all_reduce(int ranks, LinkClass link, std::int64_t values,
                                              const Format& wire) const {
  if (impl_->all_reduces.empty()) {
    return std::nullopt;
  }
  const std::string text = to_string(wire);
  const std::string_view here = link == LinkClass::network ? "tcp_all_reduce" : "all_reduce";
  for (const std::string_view family : {std::string_view("engine_all_reduce"), here}) {
    const auto table = impl_->all_reduces.find(fmt::format("{}.{}", family, text));
    if (table == impl_->all_reduces.end()) {
      continue;
    }
    const auto grid = table->second.by_ranks.find(ranks);
    if (grid == table->second.by_ranks.end()) {
      continue;
    }
    const auto priced = grid->second.at({kValueBytes * static_cast<double>(values), 0, 0, 0});
    Estimate estimate = family_estimate(
        priced.seconds, family == here ? impl_->sd_all_reduce : impl_->sd_engine_all_reduce,
        kCollectiveKey, table->second.provenance);
    estimate.extrapolated = !priced.inside;
    return estimate;
  }
  return std::nullopt;
}

Estimate CostModel::host(bool has_prefill, std::int64_t sequences, int ranks) const {
  const double seconds = host_.step + host_.sequence * static_cast<double>(sequences) +
                         (has_prefill ? host_.prefill_step : 0) + (ranks > 1 ? host_.ranks : 0);
  return family_estimate(seconds, host_.sd, kHostKey, host_.provenance);
}

Estimate CostModel::host_request() const {
  return family_estimate(host_.request, host_.sd, kHostKey, host_.request_provenance);
}

}  // namespace foretoken
