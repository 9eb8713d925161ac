#include "calibrate/fit/cpu_profile.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "calibrate/fit/line_fit.h"
#include "calibrate/fit/search.h"
#include "sim/core/error.h"
#include "sim/cost/gemm_format.h"
#include "sim/cost/work.h"

namespace foretoken::calibrate {
namespace {

class ProfileBuilder {
 public:
  ProfileBuilder(const CpuMeasurements& measured, const PairLink& link)
      : measured_(measured), link_(link) {}

  CpuProfile build() {
    header();
    // A kernel may stream faster than our plain read loop (it prefetches better): the bandwidth is
    // the fastest anybody reached, so that shares of it stay below one.
    decode_ = fit_decode();
    for (const auto& [format, samples] : measured_.gemm) {
      fit_gemm_format(format, samples);
    }
    double bandwidth = std::max(measured_.read_bandwidth, measured_.copy_bandwidth);
    for (const auto& [format, fit] : gemm_) {
      bandwidth = std::max(bandwidth, fit.roofline.bandwidth);
    }
    device(bandwidth);
    gemm(bandwidth);
    attention(bandwidth);
    elementwise(bandwidth);
    collective();
    host();
    return std::move(out_);
  }

 private:
  void set(const std::string& key, double value, const std::string& how,
           Provenance provenance = Provenance::measured) {
    out_.profile.parameters[key] = {
        value, provenance, fmt::format("foretoken calibrate, {}: {}", measured_.date, how)};
  }

  void report(const std::string& family, const HeldOut& held_out, std::size_t samples) {
    out_.families.push_back({family, static_cast<int>(samples), held_out});
  }

  void header() {
    Profile& profile = out_.profile;
    profile.device = measured_.cpu + ", one core";
    profile.fingerprint = measured_.fingerprint;
    profile.date = measured_.date;
  }

  void device(double bandwidth) {
    set("device.memory", measured_.memory, "half of the machine's memory", Provenance::derived);
    set("device.l2", measured_.l2, "as the system reports it", Provenance::derived);
    set("device.sms", 1, "a core is the device");
    set("device.context_memory", 64 << 20, "library code and workspaces", Provenance::assumed);
    set("device.memory_bandwidth", bandwidth,
        fmt::format(
            "fastest of a read loop ({:.1f} GB/s alone, {:.1f} on each of two cores), a copy "
            "({:.1f} read plus written) and GEMM weights; {}",
            measured_.read_bandwidth / 1e9, measured_.read_bandwidth_of_two / 1e9,
            measured_.copy_bandwidth / 1e9, measured_.method));
    set("device.bandwidth_efficiency", measured_.read_bandwidth / bandwidth, "read loop");
  }

  void fit_gemm_format(const std::string& format, const std::vector<Sample>& samples) {
    const auto formats = parse_gemm_format_name(format);
    FT_CHECK(formats.has_value(), "GEMM format {}", format);
    GemmOp like;
    like.weights = formats->weights;
    like.activations = formats->activations;
    gemm_[format] = fit_gemm(samples, like, 1, measured_.repeatability);
  }

  void gemm(double bandwidth) {
    for (const auto& [format, fit] : gemm_) {
      const std::vector<Sample>& samples = measured_.gemm.at(format);
      double peak = fit.roofline.peak;
      for (const Sample& sample : samples) {
        GemmOp op;
        op.m = sample.shape[0];
        op.n = sample.shape[1];
        op.k = sample.shape[2];
        peak = std::max(peak, gemm_flops(op) / sample.seconds);
      }
      const std::string prefix = "gemm." + format + ".";
      const std::string how = "fit over GEMM samples";
      set(prefix + "peak", peak, "highest rate of a GEMM sample");
      set(prefix + "efficiency", fit.roofline.peak / peak, how);
      set(prefix + "bandwidth_efficiency", fit.roofline.bandwidth / bandwidth, how);
      set(prefix + "t0", fit.roofline.t0, how);
      const std::string spread =
          fmt::format("held-out shapes: {:.1f} % mean, {:.1f} % p90", 100 * fit.unseen_shapes.mean,
                      100 * fit.unseen_shapes.p90);
      set(prefix + "sd_family", fit.sd_family, spread);
      set(prefix + "sd_shape", fit.sd_shape, spread);
      set(prefix + "sd_distance", fit.sd_distance, spread);
      SampleTable& table = out_.profile.samples["gemm." + format];
      table.samples = samples;
      table.provenance = Provenance::measured;
      table.source = fmt::format("foretoken calibrate, {}: {}", measured_.date, measured_.method);
      report("gemm." + format, fit.unseen_shapes, samples.size());
    }
  }

  LineFit fit_decode() const {
    std::vector<LinePoint> points;
    for (const AttentionSample& sample : measured_.decode) {
      points.push_back({decode_bytes(sample.op), sample.seconds, 0});
    }
    return points.empty() ? LineFit{} : fit_line(points, measured_.repeatability);
  }

  void attention(double bandwidth) {
    if (measured_.decode.empty() || measured_.prefill.empty() || !gemm_.contains("bf16")) {
      return;
    }
    std::vector<LinePoint> points;
    for (const AttentionSample& sample : measured_.prefill) {
      points.push_back(
          {prefill_flops(sample.op), sample.seconds, prefill_bytes(sample.op) / decode_.rate});
    }
    const LineFit prefill = fit_line(points, measured_.repeatability);
    const std::string how = "fit over attention samples";
    const double peak = out_.profile.parameters.at("gemm.bf16.peak").value;
    set("attention.prefill.efficiency", prefill.rate / peak, how);
    set("attention.prefill.t0", prefill.t0, how);
    set("attention.decode.bandwidth_efficiency", decode_.rate / bandwidth, how);
    set("attention.decode.t0", decode_.t0, how);
    set("attention.sd_family", std::max(prefill.sd, decode_.sd),
        fmt::format("held-out samples: prefill {:.1f} %, decode {:.1f} % mean",
                    100 * prefill.held_out.mean, 100 * decode_.held_out.mean));
    report("attention.prefill", prefill.held_out, points.size());
    report("attention.decode", decode_.held_out, measured_.decode.size());
  }

  void elementwise(double bandwidth) {
    std::vector<LinePoint> points;
    for (const ElementwiseSample& sample : measured_.elementwise) {
      points.push_back(
          {static_cast<double>(sample.op.bytes_read + sample.op.bytes_written), sample.seconds, 0});
    }
    if (points.empty()) {
      return;
    }
    const LineFit fit = fit_line(points, measured_.repeatability);
    const std::string how = "fit over RMS norm and SiLU-multiply, operands in cache";
    set("elementwise.t0", fit.t0, how);
    set("elementwise.bandwidth_efficiency", fit.rate / bandwidth, how);
    set("elementwise.sd_family", fit.sd,
        fmt::format("held-out samples: {:.1f} % mean", 100 * fit.held_out.mean));
    report("elementwise", fit.held_out, points.size());
  }

  // Two ranks in a ring take two steps of half the vector each: t = 2 (step + latency) + bytes /
  // rate. A fixed time per call cannot be told from one per step with two ranks, so it is part of
  // the step.
  void collective() {
    std::vector<LinePoint> points;
    SampleTable table;
    for (const AllReduceSample& sample : measured_.all_reduce) {
      points.push_back({static_cast<double>(sample.bytes), sample.seconds, 0});
      table.samples.push_back({{2, sample.bytes}, sample.seconds});
    }
    if (points.empty() || link_.bandwidth <= 0) {
      return;
    }
    const LineFit fit = fit_line(points, measured_.repeatability);
    const std::string how = "two-thread ring all-reduce, schedule inverted";
    const std::string prefix = fmt::format("collective.{}.", name(link_.link_class));
    set("collective.t0", 0, how + "; two ranks cannot tell it from the step latency");
    set("collective.step_latency", std::max(0.0, fit.t0 / 2 - link_.latency), how);
    set(prefix + "link_efficiency", fit.rate / link_.bandwidth,
        fmt::format("{}; of a nominal {:.1f} GB/s", how, link_.bandwidth / 1e9));
    set("collective.sd_family", fit.sd,
        fmt::format("held-out sizes: {:.1f} % mean", 100 * fit.held_out.mean));
    table.source =
        fmt::format("foretoken calibrate, {}: two threads, shared memory, bf16", measured_.date);
    out_.profile.samples["all_reduce.bf16"] = std::move(table);
    report("all_reduce.bf16", fit.held_out, points.size());
  }

  void host() {
    std::vector<LinePoint> decode;
    std::vector<double> extra;
    for (const HostSample& sample : measured_.host) {
      if (!sample.prefill) {
        decode.push_back({static_cast<double>(sample.sequences), sample.seconds, 0});
      }
    }
    if (decode.size() < 2) {
      return;
    }
    const LineFit fit = fit_line(decode, measured_.repeatability);
    for (const HostSample& sample : measured_.host) {
      if (sample.prefill) {
        const LinePoint point{static_cast<double>(sample.sequences), sample.seconds, 0};
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
    report("host", fit.held_out, measured_.host.size());
  }

  const CpuMeasurements& measured_;
  const PairLink& link_;
  std::map<std::string, GemmFit> gemm_;
  LineFit decode_;
  CpuProfile out_;
};

}  // namespace

CpuProfile make_cpu_profile(const CpuMeasurements& measured, const PairLink& link) {
  return ProfileBuilder(measured, link).build();
}

std::string describe(const std::vector<FamilyReport>& families) {
  std::string text = fmt::format("{:<20}{:>8}{:>14}{:>8}{:>18}{:>12}\n", "family", "samples",
                                 "held-out mean", "p90", "in 90 % interval", "half-width");
  for (const FamilyReport& row : families) {
    text += fmt::format("{:<20}{:>8}{:>12.1f} %{:>6.1f} %{:>16.0f} %{:>10.1f} %\n", row.family,
                        row.samples, 100 * row.held_out.mean, 100 * row.held_out.p90,
                        100 * row.held_out.coverage, 100 * row.held_out.half_width);
  }
  return text;
}

}  // namespace foretoken::calibrate
