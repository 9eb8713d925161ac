// Method: random values; buffers rotate through at least three times the second-level cache; the
// launches of one rotation are captured as a graph and timed with events; passes visit the
// contestants in shuffled order. Bandwidth counts every byte read and written once.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "kernels/base/cuda_timing.h"
#include "kernels/base/empty_kernel.h"
#include "kernels/base/report_header.h"
#include "kernels/base/rounds.h"
#include "kernels/codec/bench/tables.h"
#include "kernels/codec/bench/work.h"
#include "kernels/codec/codec_cuda.h"

namespace foretoken::kernels {
namespace {

constexpr std::size_t kLarge = std::size_t{1} << 25;  // 64 MiB of bf16
constexpr std::size_t kSmall = std::size_t{1} << 15;  // 64 KiB of bf16
constexpr int kPasses = 9;

// One set of buffers on the device.
struct DeviceSet {
  DeviceSet(const CodecWork& work, std::size_t copies)
      : in(work.in.size() * copies), packed(work.packed.size() * copies), out(in.size()) {
    for (std::size_t i = 0; i < copies; ++i) {
      FT_CUDA_CHECK(cudaMemcpy(in.data() + i * work.in.size(), work.in.data(), work.in.size(),
                               cudaMemcpyHostToDevice));
      FT_CUDA_CHECK(cudaMemcpy(packed.data() + i * work.packed.size(), work.packed.data(),
                               work.packed.size(), cudaMemcpyHostToDevice));
    }
  }
  DeviceBuffer<std::uint8_t> in, packed, out;
};

std::size_t rotation(std::size_t bytes) {
  int device = 0;
  int cache = 0;
  FT_CUDA_CHECK(cudaGetDevice(&device));
  FT_CUDA_CHECK(cudaDeviceGetAttribute(&cache, cudaDevAttrL2CacheSize, device));
  return std::clamp<std::size_t>(3 * static_cast<std::size_t>(cache) / bytes + 1, 3, 64);
}

using Launch = std::function<void(std::size_t copy, cudaStream_t stream)>;

Contestant contestant(std::size_t copies, cudaStream_t stream, const Launch& launch) {
  const auto graph = std::make_shared<CudaGraph>(stream, [&] {
    for (std::size_t copy = 0; copy < copies; ++copy) {
      launch(copy, stream);
    }
  });
  const double once = graph->time(3);
  const int replays = 1 + static_cast<int>(1e-3 / once);
  return {"", [=](std::size_t) { return graph->time(replays) / static_cast<double>(copies); }};
}

struct CudaTimes {
  std::size_t values_bytes = 0;
  std::size_t packed_bytes = 0;
  double copy = 0;   // seconds; a copy reads and writes values_bytes
  double empty = 0;  // seconds of an empty kernel
  double pack = 0, unpack = 0;
  bool same = false;
};

// The bytes that the last launches left against those of the CPU's codec.
bool same_as_cpu(CodecWork& work, const DeviceSet& set) {
  std::vector<std::uint8_t> packed(work.packed.size());
  std::vector<std::uint8_t> out(work.out.size());
  set.packed.download(packed.data(), packed.size());
  set.out.download(out.data(), out.size());
  work.unpack(best_codec());
  return std::equal(packed.begin(), packed.end(), work.packed.begin()) &&
         std::equal(out.begin(), out.end(), work.out.begin());
}

CudaTimes measure(const WireFormat& format, ValueType type, std::size_t count) {
  CodecWork work(format, type, count);
  const std::size_t copies = rotation(work.in.size());
  DeviceSet set(work, copies);
  const CudaStream stream;
  const std::size_t values = work.in.size();
  const std::size_t bytes = work.packed.size();
  std::vector<Contestant> all;
  all.push_back(contestant(copies, stream.get(), [&](std::size_t i, cudaStream_t s) {
    FT_CUDA_CHECK(cudaMemcpyAsync(set.out.data() + i * values, set.in.data() + i * values, values,
                                  cudaMemcpyDeviceToDevice, s));
  }));
  all.push_back(contestant(copies, stream.get(),
                           [](std::size_t, cudaStream_t s) { launch_empty_kernel(s); }));
  all.push_back(contestant(copies, stream.get(), [&](std::size_t i, cudaStream_t s) {
    cuda_pack(format, {set.in.data() + i * values, type}, count, set.packed.data() + i * bytes, s);
  }));
  all.push_back(contestant(copies, stream.get(), [&](std::size_t i, cudaStream_t s) {
    cuda_unpack(format, set.packed.data() + i * bytes, count, {set.out.data() + i * values, type},
                s);
  }));
  FT_CUDA_CHECK(cudaMemset(set.packed.data(), 0xee, set.packed.size()));
  FT_CUDA_CHECK(cudaMemset(set.out.data(), 0xee, set.out.size()));
  all[2].time(0);
  all[3].time(0);
  CudaTimes t{values, bytes};
  t.same = same_as_cpu(work, set);
  time_rounds(all, {.fewest = kPasses, .warm = 1, .shuffled = true});
  t.copy = median(all[0].seconds);
  t.empty = median(all[1].seconds);
  t.pack = median(all[2].seconds);
  t.unpack = median(all[3].seconds);
  return t;
}

void print_row(const WireFormat& format, ValueType type) {
  const CudaTimes large = measure(format, type, kLarge);
  const CudaTimes small = measure(format, type, kSmall);
  const double copy = 2 * static_cast<double>(large.values_bytes) / large.copy;
  const double moved = static_cast<double>(large.values_bytes + large.packed_bytes);
  const double pack = moved / large.pack / copy;
  const double unpack = moved / large.unpack / copy;
  const double slowest = std::max(small.pack, small.unpack) / small.empty;
  const bool met = pack >= 0.8 && unpack >= 0.8 && slowest <= 2 && large.same && small.same;
  fmt::print("| {} | {} | {} | {:.0f} | {:.0f} % | {:.0f} % | {:.2f} | {:.2f} | {:.2f} | {} |\n",
             to_string(format), to_string(type), large.same && small.same ? "yes" : "NO",
             copy * 1e-9, 100 * pack, 100 * unpack, small.empty * 1e6, small.pack * 1e6,
             small.unpack * 1e6, met ? "met" : "short");
  std::fflush(stdout);
}

void benchmark_row(benchmark::State& state, const WireFormat& format, bool pack) {
  CodecWork work(format, ValueType::bf16, kLarge);
  DeviceSet set(work, 1);
  const CudaStream stream;
  const CudaGraph graph(stream.get(), [&] {
    if (pack) {
      cuda_pack(format, {set.in.data(), work.type}, kLarge, set.packed.data(), stream.get());
    } else {
      cuda_unpack(format, set.packed.data(), kLarge, {set.out.data(), work.type}, stream.get());
    }
  });
  for (auto _ : state) {
    state.SetIterationTime(graph.time(5));
  }
  state.SetBytesProcessed(state.iterations() *
                          static_cast<std::int64_t>(work.in.size() + work.packed.size()));
}

}  // namespace

bool print_cuda_device() {
  const bool present = cuda_device_count() != 0;
  fmt::print("{}\n", present ? cuda_device_line() : "no CUDA device on this machine");
  return present;
}

void print_cuda_table() {
  if (cuda_device_count() == 0) {
    fmt::print("SKIPPED: no CUDA device on this machine\n");
    return;
  }
  fmt::print(
      "# The wire codec on a GPU\n\n"
      "{}, {}, commit {}. 64 MiB and 64 KiB of values, operands rotating through three times the "
      "second-level cache, medians of {} passes. \"Same\": bytes and values equal the CPU's. Copy: "
      "GB/s of a device copy, read and write counted. Goals: 80 % of the copy, at 64 KiB twice an "
      "empty kernel.\n\nMade by `codec_bench --cuda`.\n\n"
      "| format | in | same | copy GB/s | quantise of copy | dequantise of copy | empty us | 64 "
      "KiB "
      "quantise us | 64 KiB dequantise us | |\n|---|---|---|---|---|---|---|---|---|---|\n",
      cuda_device_line(), today(), commit(), kPasses);
  for (int bits = 8; bits >= 2; --bits) {
    for (const char* kind : {"/g128", "/g128/spike", "/g32/log8", "/g32/spike/log8"}) {
      print_row(parse_wire_format(fmt::format("int{}{}", bits, kind)), ValueType::bf16);
    }
  }
  print_row(parse_wire_format("fp8/g128"), ValueType::bf16);
  for (const char* format : {"int8", "int4/g128", "int2/g32/spike"}) {
    print_row(parse_wire_format(format), ValueType::fp32);
  }
}

void register_cuda_rows() {
  if (cuda_device_count() == 0) {
    return;
  }
  for (const char* name : {"int8", "int5/spike", "int4/g128", "int2/g32/spike", "fp8/g128"}) {
    for (const bool pack : {true, false}) {
      benchmark::RegisterBenchmark(
          fmt::format("cuda/{}/{}/bf16", pack ? "quantise" : "dequantise", name).c_str(),
          [format = parse_wire_format(name), pack](benchmark::State& state) {
            benchmark_row(state, format, pack);
          })
          ->UseManualTime();
    }
  }
}

}  // namespace foretoken::kernels
