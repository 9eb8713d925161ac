// codec_bench: what the wire codec costs and what it does to values.
//
//   codec_bench [--benchmark_...]     Google Benchmark rows, values in the second-level cache
//   codec_bench --targets             table: this processor against scalar code, memcpy, memset
//   codec_bench --cuda                table: the GPU against a device copy and an empty kernel
//   codec_bench --device              names the GPU; one line and exit status 2 where there is none
//   codec_bench --error [FILE [NAME]] numeric error of every format; .npy or .safetensors
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include "kernels/base/error.h"
#include "kernels/codec/bench/tables.h"
#include "kernels/codec/bench/work.h"

namespace foretoken::kernels {
namespace {

constexpr std::size_t kCount = std::size_t{1} << 17;  // 512 KiB of fp32

void register_rows(const Codec& codec, const WireFormat& format, ValueType type) {
  const std::string tail =
      fmt::format("{}/{}/{}", to_string(format), to_string(type), codec.name());
  const auto add = [&](const std::string& name, void (CodecWork::*step)(const Codec&)) {
    benchmark::RegisterBenchmark(
        (name + "/" + tail).c_str(), [format, type, step, &codec](benchmark::State& state) {
          CodecWork work(format, type, kCount);
          for (auto _ : state) {
            (work.*step)(codec);
            benchmark::ClobberMemory();
          }
          state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kCount));
          state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(work.in.size()));
          state.counters["wire_bytes"] = static_cast<double>(work.packed.size());
        });
  };
  add("quantise", &CodecWork::pack);
  add("dequantise", &CodecWork::unpack);
}

void register_copy(ValueType type) {
  benchmark::RegisterBenchmark(
      fmt::format("memcpy/{}", to_string(type)).c_str(), [type](benchmark::State& state) {
        CodecWork work(parse_wire_format("bf16"), type, kCount);
        for (auto _ : state) {
          work.copy();
          benchmark::ClobberMemory();
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
  register_cuda_rows();
}

int run(int argc, char** argv) {
  const std::string mode = argc > 1 ? argv[1] : "";
  if (mode == "--targets") {
    print_cpu_table();
    return 0;
  }
  if (mode == "--cuda") {
    print_cuda_table();
    return 0;
  }
  if (mode == "--device") {
    return print_cuda_device() ? 0 : 2;
  }
  if (mode == "--error") {
    print_error_tables(argc > 2 ? argv[2] : "", argc > 3 ? argv[3] : "");
    return 0;
  }
  register_all();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
    return 2;
  }
  benchmark::AddCustomContext("codec", std::string(best_codec().name()));
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace
}  // namespace foretoken::kernels

int main(int argc, char** argv) {
  try {
    return foretoken::kernels::run(argc, argv);
  } catch (const foretoken::kernels::KernelError& e) {
    fmt::print(stderr, "{}\n", e.what());
    return 2;
  }
}
