#include "calibrate/fit/device_profile.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <set>
#include <utility>

#include "calibrate/fit/held_out.h"
#include "calibrate/fit/line_fit.h"
#include "calibrate/fit/link_fit.h"
#include "calibrate/fit/sample_price.h"
#include "calibrate/fit/search.h"
#include "sim/core/error.h"
#include "sim/cost/gemm_format.h"
#include "sim/cost/work.h"

namespace foretoken::calibrate {
namespace {

constexpr int kFolds = 5;

using Fold = std::function<int(const Sample&)>;

// Every fifth size in turn; the smallest and the largest stay, as beyond them nothing is promised.
Fold by_size(const std::vector<Sample>& samples) {
  std::set<std::vector<std::int64_t>> shapes;
  for (const Sample& sample : samples) {
    shapes.insert(sample.shape);
  }
  const std::vector<std::vector<std::int64_t>> order(shapes.begin(), shapes.end());
  return [order](const Sample& sample) {
    const auto at = std::lower_bound(order.begin(), order.end(), sample.shape) - order.begin();
    const bool inner = at > 0 && at + 1 < static_cast<std::ptrdiff_t>(order.size());
    return inner ? static_cast<int>(at) % kFolds : -1;
  };
}

class ProfileBuilder {
 public:
  ProfileBuilder(const DeviceMeasurements& measured, const std::vector<PairLink>& links)
      : measured_(measured), links_(links) {}

  DeviceProfile build() {
    header();
    tables();
    for (const auto& [key, samples] : tables_of("gemm.")) {
      fit_gemm_format(key, samples);
    }
    device();
    gemm();
    attention();
    elementwise();
    codec();
    collectives();
    host();
    return std::move(out_);
  }

 private:
  void set(const std::string& key, double value, const std::string& how,
           Provenance provenance = Provenance::measured) {
    out_.profile.parameters[key] = {
        value, provenance, fmt::format("foretoken calibrate, {}: {}", measured_.date, how)};
  }

  void report(const std::string& family, std::size_t samples, std::vector<Trial> trials) {
    const HeldOut held_out = summarise(trials);
    out_.families.push_back({family, static_cast<int>(samples), std::move(trials), held_out});
  }

  // Interpolation between the sizes of a table, which goes into `all` as well.
  void sizes_left_out(const std::string& table, std::vector<Trial>& all) {
    const std::vector<Sample>& samples = measured_.samples.at(table);
    auto trials = hold_out(out_.profile, table, by_size(samples), sample_price(table),
                           measured_.repeatability);
    all.insert(all.end(), trials.begin(), trials.end());
    report(table, samples.size(), std::move(trials));
  }

  // The measured tables whose key begins so, by what follows.
  std::map<std::string, std::vector<Sample>> tables_of(const std::string& prefix) const {
    std::map<std::string, std::vector<Sample>> tables;
    for (const auto& [key, samples] : measured_.samples) {
      if (key.starts_with(prefix)) {
        tables[key.substr(prefix.size())] = samples;
      }
    }
    return tables;
  }

  void header() {
    Profile& profile = out_.profile;
    profile.device = measured_.device;
    profile.fingerprint = measured_.fingerprint;
    profile.date = measured_.date;
  }

  void tables() {
    for (const auto& [key, samples] : measured_.samples) {
      out_.profile.samples[key] = {
          samples, Provenance::measured,
          fmt::format("foretoken calibrate, {}: {}", measured_.date, measured_.method)};
    }
  }

  void fit_gemm_format(const std::string& format, const std::vector<Sample>& samples) {
    const auto formats = parse_gemm_format_name(format);
    FT_CHECK(formats.has_value(), "GEMM format {}", format);
    GemmOp like;
    like.weights = formats->weights;
    like.activations = formats->activations;
    gemm_[format] = fit_gemm(samples, like, measured_.sms, measured_.repeatability);
  }

  // A kernel may stream faster than our plain read loop (it prefetches better): the bandwidth is
  // the fastest anybody reached, so that shares of it stay below one.
  void device() {
    if (measured_.memory > 0) {
      set("device.memory", measured_.memory, "as the system reports it", Provenance::derived);
      set("device.l2", measured_.l2, "as the system reports it", Provenance::derived);
      set("device.context_memory", 64 << 20, "library code and workspaces", Provenance::assumed);
    }
    set("device.sms", measured_.sms, "as the system reports it", Provenance::derived);
    double read = 0, copy = 0;
    for (const auto& [key, samples] : tables_of("memory.")) {
      for (const Sample& sample : samples) {
        const double rate = static_cast<double>(sample.shape[0]) / sample.seconds;
        if (sample.shape[1] == 1) {
          (key == "read" ? read : copy) = key == "read" ? rate : 2 * rate;
        }
      }
    }
    bandwidth_ = std::max(read, copy);
    for (const auto& [format, fit] : gemm_) {
      bandwidth_ = std::max(bandwidth_, fit.roofline.bandwidth);
    }
    if (bandwidth_ == 0) {
      return;
    }
    set("device.memory_bandwidth", bandwidth_,
        fmt::format("fastest of a read loop ({:.1f} GB/s), a copy ({:.1f} read plus written) and "
                    "GEMM weights",
                    read / 1e9, copy / 1e9));
    if (std::max(read, copy) > 0) {
      set("device.bandwidth_efficiency", std::max(read, copy) / bandwidth_, "read loop or copy");
    }
  }

  void gemm() {
    for (const auto& [format, fit] : gemm_) {
      const std::vector<Sample>& samples = measured_.samples.at("gemm." + format);
      double peak = 0;
      for (const Sample& sample : samples) {
        const double values = static_cast<double>(sample.shape[0]) *
                              static_cast<double>(sample.shape[1]) *
                              static_cast<double>(sample.shape[2]);
        peak = std::max(peak, 2 * values / sample.seconds);
      }
      const std::string prefix = "gemm." + format + ".";
      const std::string how = "fit over GEMM samples";
      set(prefix + "peak", peak, "highest rate of a GEMM sample");
      set(prefix + "efficiency", std::min(2.0, fit.roofline.peak / peak), how);
      set(prefix + "bandwidth_efficiency", fit.roofline.bandwidth / bandwidth_, how);
      set(prefix + "t0", fit.roofline.t0, how);
      const std::string spread =
          fmt::format("held-out shapes: {:.1f} % mean, {:.1f} % p90", 100 * fit.unseen_shapes.mean,
                      100 * fit.unseen_shapes.p90);
      set(prefix + "sd_family", fit.sd_family, spread);
      set(prefix + "sd_shape", fit.sd_shape, spread);
      set(prefix + "sd_distance", fit.sd_distance, spread);
      report("gemm." + format, samples.size(), fit.unseen);
    }
  }

  // Sizes within a head layout left out, then whole layouts.
  double attention_kind(bool decode) {
    double sd = 0;
    const std::string kind = decode ? "attention.decode." : "attention.prefill.";
    for (const auto& [format, samples] : tables_of(kind)) {
      auto trials = hold_out(out_.profile, kind + format, within_layout(samples),
                             sample_price(kind + format), measured_.repeatability);
      sd = std::max(sd, spread_of(trials, measured_.repeatability));
      report(kind + format, samples.size(), std::move(trials));
    }
    return sd;
  }

  // Inner sizes of each (layout, batch).
  static Fold within_layout(const std::vector<Sample>& samples) {
    std::map<std::vector<std::int64_t>, std::vector<std::int64_t>> sizes;
    for (const Sample& sample : samples) {
      sizes[{sample.shape.begin(), sample.shape.end() - 1}].push_back(sample.shape.back());
    }
    for (auto& [group, list] : sizes) {
      std::sort(list.begin(), list.end());
    }
    return [sizes](const Sample& sample) {
      const auto& list = sizes.at({sample.shape.begin(), sample.shape.end() - 1});
      const auto at =
          std::lower_bound(list.begin(), list.end(), sample.shape.back()) - list.begin();
      const bool inner = at > 0 && at + 1 < static_cast<std::ptrdiff_t>(list.size());
      return inner ? static_cast<int>(at) % 2 : -1;
    };
  }

  void attention() {
    const auto prefill = tables_of("attention.prefill.");
    const auto decode = tables_of("attention.decode.");
    if (!prefill.contains("bf16") || !decode.contains("bf16") || !gemm_.contains("bf16")) {
      return;
    }
    const Format bf16 = parse_format("bf16", FormatRole::kv_cache);
    std::vector<LinePoint> streamed, computed;
    for (const Sample& sample : decode.at("bf16")) {
      streamed.push_back({decode_bytes(attention_op(sample, true, bf16)), sample.seconds, 0});
    }
    const LineFit stream = fit_line(streamed, measured_.repeatability);
    for (const Sample& sample : prefill.at("bf16")) {
      const AttentionOp op = attention_op(sample, false, bf16);
      computed.push_back({prefill_flops(op), sample.seconds, prefill_bytes(op) / stream.rate});
    }
    const LineFit compute = fit_line(computed, measured_.repeatability);
    const std::string how = "fit over attention samples, for cache formats without samples";
    const double peak = out_.profile.parameters.at("gemm.bf16.peak").value;
    set("attention.prefill.efficiency", std::min(2.0, compute.rate / peak), how);
    set("attention.prefill.t0", compute.t0, how);
    set("attention.decode.bandwidth_efficiency", std::min(2.0, stream.rate / bandwidth_), how);
    set("attention.decode.t0", stream.t0, how);
    set("attention.sd_family", std::max(attention_kind(false), attention_kind(true)),
        "sizes left out in turn");
  }

  void elementwise() {
    std::vector<LinePoint> points;
    std::vector<Trial> all;
    const auto tables = tables_of("elementwise.");
    for (const auto& [name, samples] : tables) {
      for (const Sample& sample : samples) {
        points.push_back({static_cast<double>(sample.shape[0]), sample.seconds, 0});
      }
      sizes_left_out("elementwise." + name, all);
    }
    if (points.empty() || bandwidth_ == 0) {
      return;
    }
    const LineFit fit = fit_line(points, measured_.repeatability);
    const std::string how = "fit over all layer operators, for those without samples";
    set("elementwise.t0", fit.t0, how);
    set("elementwise.bandwidth_efficiency", std::min(2.0, fit.rate / bandwidth_), how);
    set("elementwise.sd_family", spread_of(all, measured_.repeatability), "sizes left out in turn");
  }

  void codec() {
    std::vector<Trial> all;
    for (const CodecPhase phase :
         {CodecPhase::quantise, CodecPhase::reduce, CodecPhase::dequantise}) {
      const std::string prefix =
          fmt::format("codec.{}.", kCodecPhaseNames[static_cast<std::size_t>(phase)]);
      for (const auto& [wire, samples] : tables_of(prefix)) {
        sizes_left_out(prefix + wire, all);
      }
    }
    if (!all.empty()) {
      set("codec.sd_family", spread_of(all, measured_.repeatability), "sizes left out in turn");
    }
  }

  // What was measured just so is interpolated; the simulation is for other ranks and wires.
  void collectives() {
    double sd = 0;
    std::vector<Trial> as_measured;
    for (const PairLink& link : links_) {
      const auto by_wire = tables_of(link.family + ".");
      if (by_wire.empty()) {
        continue;
      }
      const LinkFit fit = fit_link(out_.profile, link, by_wire, measured_.repeatability);
      const double nominal =
          link.topology->link(link.topology->route(0, 1).links[0]).bandwidth.bytes_per_second;
      const std::string how = link.how + ", all-reduce schedule inverted";
      const std::string prefix = fmt::format("collective.{}.", name(fit.link_class));
      set("collective.t0", 0, "two ranks cannot tell it from the step latency");
      set(prefix + "step_latency", fit.step_latency, how);
      set(prefix + "link_efficiency", fit.efficiency,
          fmt::format("{}; of a nominal {:.1f} GB/s", how, nominal / 1e9));
      sd = std::max(sd, fit.sd);
      std::size_t samples = 0;
      std::vector<Trial> simulated;
      for (const auto& [wire, trials] : fit.trials) {
        samples += by_wire.at(wire).size();
        simulated.insert(simulated.end(), trials.begin(), trials.end());
        sizes_left_out(link.family + "." + wire, as_measured);
      }
      report(link.family + ", simulated", samples, std::move(simulated));
    }
    if (sd > 0) {
      set("collective.sd_family", sd, "simulated, sizes left out in turn");
      set("all_reduce.sd_family", spread_of(as_measured, measured_.repeatability),
          "between measured sizes, sizes left out in turn");
    }
    virtual_ranks();
  }

  // Ranks that share one GPU have no link; a call on next to nothing takes a launch and two
  // barriers.
  void virtual_ranks() {
    std::vector<double> steps;
    for (const auto& [wire, samples] : tables_of("virtual_ranks.")) {
      for (const Sample& sample : samples) {
        steps.push_back(sample.seconds / 2);
      }
    }
    if (!steps.empty()) {
      set("collective.step_latency", quantile(steps, 0.5),
          "virtual ranks on one device: half of a launch with two barriers", Provenance::derived);
    }
  }

  void host() {
    const auto tables = tables_of("host.");
    if (!tables.contains("decode") || tables.at("decode").size() < 2) {
      return;
    }
    std::vector<LinePoint> decode;
    for (const Sample& sample : tables.at("decode")) {
      decode.push_back({static_cast<double>(sample.shape[0]), sample.seconds, 0});
    }
    const LineFit fit = fit_line(decode, measured_.repeatability);
    std::vector<double> extra;
    if (tables.contains("prefill")) {
      for (const Sample& sample : tables.at("prefill")) {
        const LinePoint point{static_cast<double>(sample.shape[0]), sample.seconds, 0};
        extra.push_back(std::max(0.0, sample.seconds - line_seconds(fit, point)));
      }
    }
    const std::string how =
        "batch building with paged KV tables, handed to a device thread through a condition "
        "variable";
    set("host.step", fit.t0, how);
    set("host.sequence", 1 / fit.rate, how);
    set("host.prefill_step", extra.empty() ? 0 : quantile(extra, 0.5), how);
    set("host.sd_family", fit.sd,
        fmt::format("held-out batch sizes: {:.1f} % mean", 100 * fit.held_out.mean));
    out_.families.push_back({"host", static_cast<int>(decode.size()), {}, fit.held_out});
  }

  const DeviceMeasurements& measured_;
  const std::vector<PairLink>& links_;
  std::map<std::string, GemmFit> gemm_;
  double bandwidth_ = 0;
  DeviceProfile out_;
};

}  // namespace

DeviceProfile make_device_profile(const DeviceMeasurements& measured,
                                  const std::vector<PairLink>& links) {
  return ProfileBuilder(measured, links).build();
}

}  // namespace foretoken::calibrate
