// codec_bench: the wire codec against the scalar reference and against memcpy of the uncompressed
// bytes, all in one process. By default everything stays in the second-level cache.
//
// `--targets` runs the comparison rows instead: every candidate interleaved with its anchor,
// medians of the per-round ratios.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "kernels/base/aligned_buffer.h"
#include "kernels/base/cpu_features.h"
#include "kernels/base/error.h"
#include "kernels/base/float_types.h"
#include "kernels/base/tensor_file.h"
#include "kernels/codec/codec.h"
#include "kernels/codec/numeric_error.h"

namespace foretoken::kernels {
namespace {

constexpr std::size_t kCount = std::size_t{1} << 17;  // 512 KiB of fp32: source and target fit L2

// Values, a packed message and room for the values again.
struct Work {
  Work(const WireFormat& wire, ValueType element, std::size_t n)
      : format(wire),
        type(element),
        count(n),
        in(n * value_bytes(element)),
        packed(packed_bytes(wire, n)),
        out(n * value_bytes(element)) {
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    for (std::size_t i = 0; i < n; ++i) {
      const float x = normal(random);
      if (element == ValueType::fp32) {
        std::memcpy(&in[4 * i], &x, 4);
      } else {
        const std::uint16_t bits = element == ValueType::bf16 ? to_bf16(x).bits : to_fp16(x).bits;
        std::memcpy(&in[2 * i], &bits, 2);
      }
    }
    best_codec().pack(format, {in.data(), type}, count, packed.data());
  }

  void pack(const Codec& codec) {
    codec.pack(format, {in.data(), type}, count, packed.data());
    benchmark::ClobberMemory();
  }
  void unpack(const Codec& codec) {
    codec.unpack(format, packed.data(), count, {out.data(), type});
    benchmark::ClobberMemory();
  }
  void copy() {
    std::memcpy(out.data(), in.data(), in.size());
    benchmark::ClobberMemory();
  }

  WireFormat format;
  ValueType type;
  std::size_t count;
  AlignedBuffer<std::uint8_t> in;
  AlignedBuffer<std::uint8_t> packed;
  AlignedBuffer<std::uint8_t> out;
};

// ---- Google Benchmark rows ----------------------------------------------------------------------

void register_rows(const Codec& codec, const WireFormat& format, ValueType type) {
  const std::string tail =
      fmt::format("{}/{}/{}", to_string(format), to_string(type), codec.name());
  const auto add = [&](const std::string& name, void (Work::*step)(const Codec&)) {
    benchmark::RegisterBenchmark(
        (name + "/" + tail).c_str(), [format, type, step, &codec](benchmark::State& state) {
          Work work(format, type, kCount);
          for (auto _ : state) {
            (work.*step)(codec);
          }
          state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kCount));
          state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(work.in.size()));
          state.counters["wire_bytes"] = static_cast<double>(work.packed.size());
        });
  };
  add("quantise", &Work::pack);
  add("dequantise", &Work::unpack);
}

void register_copy(ValueType type) {
  benchmark::RegisterBenchmark(
      fmt::format("memcpy/{}", to_string(type)).c_str(), [type](benchmark::State& state) {
        Work work(parse_wire_format("bf16"), type, kCount);
        for (auto _ : state) {
          work.copy();
        }
        state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(work.in.size()));
      });
}

void register_all() {
  for (const auto type : {ValueType::fp32, ValueType::bf16}) {
    register_copy(type);
    for (const WireFormat& format : all_wire_formats()) {
      if (format.group == 64 ||
          (format.group != 32 && type != ValueType::fp32 && format.group != 128)) {
        continue;
      }
      for (const Codec* codec : available_codecs()) {
        register_rows(*codec, format, type);
      }
    }
  }
}

// ---- targets ------------------------------------------------------------------------------------

double seconds(const std::function<void()>& step, int repeats) {
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < repeats; ++i) {
    step();
  }
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / repeats;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Median over interleaved rounds of anchor time / candidate time.
double speed_ratio(const std::function<void()>& candidate, const std::function<void()>& anchor,
                   int candidate_repeats, int anchor_repeats) {
  std::vector<double> ratios;
  for (int round = 0; round < 21; ++round) {
    const double a = seconds(anchor, anchor_repeats);
    const double c = seconds(candidate, candidate_repeats);
    ratios.push_back(a / c);
  }
  return median(ratios);
}

void print_row(const WireFormat& format, ValueType type) {
  Work work(format, type, kCount);
  const Codec& best = best_codec();
  const auto pack = [&] { work.pack(best); };
  const auto unpack = [&] { work.unpack(best); };
  const double pack_reference = speed_ratio(
      pack, [&] { work.pack(reference_codec()); }, 10, 1);
  const double unpack_reference = speed_ratio(
      unpack, [&] { work.unpack(reference_codec()); }, 10, 1);
  const double pack_copy = speed_ratio(
      pack, [&] { work.copy(); }, 10, 10);
  const double unpack_copy = speed_ratio(
      unpack, [&] { work.copy(); }, 10, 10);
  const double goal = (type == ValueType::fp32 ? 0.5 : 0.3) * (format.spike ? 0.5 : 1.0);
  const bool met =
      pack_copy >= goal && unpack_copy >= goal && pack_reference >= 10 && unpack_reference >= 10;
  fmt::print("{:22} {:5} {:9.1f}x {:9.1f}x {:9.0f}% {:9.0f}% {:7.0f}%  {}\n", to_string(format),
             to_string(type), pack_reference, unpack_reference, 100 * pack_copy, 100 * unpack_copy,
             100 * goal, met ? "met" : "short");
}

void print_targets() {
  fmt::print("codec {}, processor: {}\n", best_codec().name(), to_string(cpu_features()));
  fmt::print("{} values, in the second-level cache; medians of 21 interleaved rounds\n", kCount);
  fmt::print("{:22} {:5} {:>10} {:>10} {:>10} {:>10} {:>8}\n", "format", "in", "quantise",
             "dequant.", "quantise", "dequant.", "goal");
  fmt::print("{:22} {:5} {:>10} {:>10} {:>10} {:>10} {:>8}\n", "", "", "vs scalar", "vs scalar",
             "of memcpy", "of memcpy", "");
  for (const auto type : {ValueType::fp32, ValueType::bf16}) {
    for (int bits = 8; bits >= 2; --bits) {
      for (const char* kind : {"/affine", "/spike/affine", "/sym", "/log8", "/spike/log8"}) {
        print_row(parse_wire_format(fmt::format("int{}/g128{}", bits, kind)), type);
      }
    }
    print_row(parse_wire_format("fp8/g128"), type);
  }
}

// ---- numeric error ------------------------------------------------------------------------------

void print_errors(const std::string& what, const std::vector<float>& values) {
  fmt::print("{}: {} values\n{:24} {:>10} {:>12} {:>9} {:>12}\n", what, values.size(), "format",
             "B/value", "relative", "SNR dB", "max error");
  for (const WireFormat& format : all_wire_formats()) {
    const NumericError e = codec_error(best_codec(), format, values);
    fmt::print("{:24} {:10.4f} {:12.3e} {:9.2f} {:12.4g}\n", to_string(format),
               static_cast<double>(packed_bytes(format, values.size())) /
                   static_cast<double>(values.size()),
               e.relative, e.snr_db, e.maximum);
  }
}

void print_error_tables(int argc, char** argv) {
  if (argc > 2) {
    const Tensor tensor = read_tensor(argv[2], argc > 3 ? argv[3] : "");
    print_errors(argv[2], tensor.values);
    return;
  }
  for (const SampleKind kind : kSampleKinds) {
    print_errors(std::string(to_string(kind)), sample_values(kind, std::size_t{1} << 20, 1));
  }
}

}  // namespace
}  // namespace foretoken::kernels

int main(int argc, char** argv) {
  if (argc == 2 && std::string(argv[1]) == "--targets") {
    foretoken::kernels::print_targets();
    return 0;
  }
  if (argc >= 2 && std::string(argv[1]) == "--error") {
    try {
      foretoken::kernels::print_error_tables(argc, argv);
      return 0;
    } catch (const foretoken::kernels::KernelError& e) {
      fmt::print(stderr, "{}\n", e.what());
      return 2;
    }
  }
  foretoken::kernels::register_all();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
    return 2;
  }
  benchmark::AddCustomContext("codec", std::string(foretoken::kernels::best_codec().name()));
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
