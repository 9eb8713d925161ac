#include "kernels/collective/bench/cuda_table.h"

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <cmath>
#include <memory>
#include <numeric>
#include <random>

#include "kernels/base/cuda_timing.h"
#include "kernels/base/empty_kernel.h"
#include "kernels/base/report_header.h"
#include "kernels/base/rounds.h"
#include "kernels/codec/numeric_error.h"
#include "kernels/collective/cuda_collective.h"
#include "kernels/collective/nccl.h"

namespace foretoken::kernels {
namespace {

constexpr std::size_t kLarge = std::size_t{1} << 24;  // 64 MiB of fp32
constexpr std::size_t kPasses = 9;

CollectiveDesc describe(Operation operation, Algorithm algorithm, const char* first,
                        const char* second, std::size_t values, std::size_t chunks = 1) {
  CollectiveDesc d;
  d.operation = operation;
  d.algorithm = algorithm;
  d.values = values;
  d.first = parse_wire_format(first);
  d.second = parse_wire_format(second);
  d.chunks = chunks;
  return d;
}

// Normal values that repeat after a million: drawing takes longer than all the rest.
std::vector<float> input_of(int rank, std::size_t n) {
  constexpr std::size_t kDrawn = std::size_t{1} << 20;
  auto x =
      sample_values(SampleKind::normal, std::min(n, kDrawn), static_cast<std::uint64_t>(rank) + 1);
  x.resize(n);
  for (std::size_t i = kDrawn; i < n; ++i) {
    x[i] = x[i - kDrawn];
  }
  return x;
}

void upload_inputs(CudaGroup& group, int ranks, std::size_t n) {
  for (int rank = 0; rank < ranks; ++rank) {
    group.upload(rank, input_of(rank, n).data());
  }
}

// All ranks' bytes alike, and SNR of rank 0's result against the fp64 sum.
std::string error_of(const CudaGroup& group, const CollectiveDesc& desc, int ranks) {
  if (desc.operation != Operation::all_reduce) {
    return "-";
  }
  std::vector<double> exact(desc.values);
  std::vector<float> first(desc.values);
  group.download(0, first.data());
  for (int rank = 0; rank < ranks; ++rank) {
    const auto x = input_of(rank, desc.values);
    std::transform(x.begin(), x.end(), exact.begin(), exact.begin(), std::plus<>());
    std::vector<float> out(desc.values);
    group.download(rank, out.data());
    if (out != first) {
      return "RANKS DIFFER";
    }
  }
  return fmt::format("{:.1f}", numeric_error(exact, first).snr_db);
}

// Not a graph: a captured launch would carry the barrier counts of one run only.
Contestant contestant(CudaGroup& group, const Phases& phases, cudaStream_t stream, int runs) {
  return {"", [=, &group](std::size_t) {
            return cuda_seconds(stream,
                                [&] {
                                  for (int i = 0; i < runs; ++i) {
                                    group.run(phases, stream);
                                  }
                                }) /
                   runs;
          }};
}

// ---- phases of virtual ranks --------------------------------------------------------------------

void print_phases(int ranks, const CollectiveDesc& desc) {
  CudaGroup group(ranks, desc, CudaGroup::Wire::device_memory);
  upload_inputs(group, ranks, desc.values);
  group.run({}, nullptr);
  group.check();
  const std::string error = error_of(group, desc, ranks);
  const CudaStream stream;
  constexpr Phases kNone{false, false, false, false};
  std::vector<Phases> phases{{}, kNone};
  for (const auto member :
       {&Phases::quantise, &Phases::wire, &Phases::reduce, &Phases::dequantise}) {
    Phases only = kNone;
    only.*member = true;
    phases.push_back(only);
  }
  std::vector<Contestant> all;
  all.reserve(phases.size());
  for (const Phases& p : phases) {
    all.push_back(contestant(group, p, stream.get(), 5));
  }
  time_rounds(all, {.fewest = kPasses, .warm = 2, .shuffled = true});
  group.check();
  std::vector<double> us;
  us.reserve(all.size());
  for (const Contestant& c : all) {
    us.push_back(median(c.seconds) * 1e6);
  }
  double sum = us[1];  // one launch, and what each phase adds to an empty one
  for (std::size_t i = 2; i < us.size(); ++i) {
    sum += us[i] - us[1];
  }
  fmt::print(
      "| {} | {} | {} | {} | {:.1f} | {:.1f} | {:.1f} | {:.1f} | {:.1f} | {:.1f} | {:+.1f} % |\n",
      to_string(desc.algorithm), ranks, to_string(desc.first), error, us[1], us[2], us[3], us[4],
      us[5], us[0], 100 * (sum / us[0] - 1));
}

void print_virtual_ranks() {
  fmt::print(
      "\n## Virtual ranks\n\nAll ranks share one device, 64 MiB of fp32 each: no link is crossed, "
      "so "
      "these are times of the codec phases and barriers, not of a collective. Each phase alone; "
      "the "
      "last column compares an empty launch and what each phase adds to it with the whole.\n\n"
      "| algorithm | ranks | wire | SNR dB | empty us | quantise | barriers | reduce | dequantise "
      "| "
      "whole us | sum - whole |\n|---|---|---|---|---|---|---|---|---|---|---|\n");
  for (const int ranks : {2, 4, 8}) {
    for (const char* wire : {"int8", "int4/g128", "int2/g32/spike"}) {
      print_phases(ranks, describe(Operation::all_reduce, Algorithm::two_step, wire, wire, kLarge));
    }
    if (ranks > 2) {
      print_phases(
          ranks, describe(Operation::all_reduce, Algorithm::hierarchical, "int8", "int8", kLarge));
    }
  }
}

// ---- wires --------------------------------------------------------------------------------------

struct Row {
  CollectiveDesc desc;
  std::unique_ptr<CudaGroup> group;
};

// The first row is the anchor of the speeds.
void print_rows(std::vector<Row>& rows, int ranks) {
  const CudaStream stream;
  std::vector<Contestant> all;
  std::vector<std::string> errors;
  for (Row& row : rows) {
    upload_inputs(*row.group, ranks, row.desc.values);
    row.group->run({}, nullptr);
    row.group->check();
    errors.push_back(error_of(*row.group, row.desc, ranks));
    all.push_back(contestant(*row.group, {}, stream.get(), 3));
  }
  time_rounds(all, {.fewest = kPasses, .warm = 1, .shuffled = true});
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const CollectiveDesc& d = rows[i].desc;
    rows[i].group->check();
    const double us = median(all[i].seconds) * 1e6;
    fmt::print(
        "| {} {} | {} | {} then {} | {} | {:.0f} | {:.2f} | {:.2f}x | {} |\n",
        to_string(d.operation), d.operation == Operation::all_reduce ? to_string(d.algorithm) : "",
        ranks, to_string(d.first), to_string(d.second), d.chunks, us,
        static_cast<double>(4 * d.values) / us * 1e-3, median_speed(all[i], all[0]), errors[i]);
  }
}

constexpr const char* kWireHeader =
    "| collective | ranks | wire | chunks | us | algbw GB/s | x fp32 | SNR dB |\n"
    "|---|---|---|---|---|---|---|---|\n";

std::vector<CollectiveDesc> compared(int ranks) {
  std::vector<CollectiveDesc> descs;
  for (const char* wire : {"fp32", "bf16", "int8", "int5/spike", "int4/g128"}) {
    descs.push_back(describe(Operation::all_reduce, Algorithm::two_step, wire, wire, kLarge));
  }
  descs.push_back(describe(Operation::all_reduce, Algorithm::two_step, "int8", "int8", kLarge, 8));
  descs.push_back(describe(Operation::all_to_all, Algorithm::two_step, "fp32", "fp32", kLarge));
  descs.push_back(describe(Operation::all_to_all, Algorithm::two_step, "int8", "int8", kLarge));
  if (ranks > 2 && ranks % 2 == 0) {
    for (const std::size_t chunks : {1, 8}) {
      descs.push_back(
          describe(Operation::all_reduce, Algorithm::hierarchical, "int8", "int8", kLarge, chunks));
    }
  }
  return descs;
}

void print_pinned_host() {
  fmt::print(
      "\n## Pinned host memory\n\nMessages lie in host memory: every packed byte crosses the "
      "PCIe link of one device. 64 MiB of fp32 a rank. Asked of two ranks: int8 1.6x, int4 "
      "2.5x of the uncompressed run.\n\n{}",
      kWireHeader);
  for (const int ranks : {2, 4}) {
    std::vector<Row> rows;
    for (const CollectiveDesc& desc : compared(ranks)) {
      rows.push_back(
          {desc, std::make_unique<CudaGroup>(ranks, desc, CudaGroup::Wire::pinned_host)});
    }
    print_rows(rows, ranks);
  }
}

void print_peers() {
  const int ranks = std::min(cuda_device_count(), 8);
  fmt::print("\n## Peers\n\n");
  if (ranks < 2) {
    fmt::print("SKIPPED: one device only.\n");
    return;
  }
  std::vector<int> devices(static_cast<std::size_t>(ranks));
  std::iota(devices.begin(), devices.end(), 0);
  std::vector<Row> rows;
  for (const CollectiveDesc& desc : compared(ranks)) {
    rows.push_back({desc, std::make_unique<CudaGroup>(devices, desc)});
  }
  fmt::print("{}", kWireHeader);
  print_rows(rows, ranks);
}

// ---- NCCL ---------------------------------------------------------------------------------------

using NcclCall = void (NcclCommunicator::*)(const void*, void*, std::size_t, ValueType, void*);

void print_nccl() {
  fmt::print("\n## NCCL\n\n");
  std::unique_ptr<NcclLibrary> library;
  try {
    library = std::make_unique<NcclLibrary>();
  } catch (const KernelError& e) {
    fmt::print("SKIPPED: {}\n", e.what());
    return;
  }
  NcclCommunicator nccl(*library, NcclCommunicator::make_id(*library), 1, 0);
  const auto x = input_of(0, kLarge);
  DeviceBuffer<float> in(kLarge);
  DeviceBuffer<float> out(kLarge);
  in.upload(x.data(), kLarge);
  fmt::print(
      "Version {}, a communicator of one rank: the cost of the calls, not of a wire.\n\n"
      "| operation | 4 KiB us | 64 MiB us | result |\n|---|---|---|---|\n",
      library->version());
  const CudaStream stream;
  const std::pair<const char*, NcclCall> calls[] = {
      {"all_reduce", &NcclCommunicator::all_reduce},
      {"all_gather", &NcclCommunicator::all_gather},
      {"reduce_scatter", &NcclCommunicator::reduce_scatter},
      {"all_to_all", &NcclCommunicator::all_to_all}};
  for (const auto& [name, call] : calls) {
    std::vector<Contestant> sizes;
    for (const std::size_t n : {std::size_t{1024}, kLarge}) {
      sizes.push_back({"", [&, n, call = call](std::size_t) {
                         return cuda_seconds(stream.get(),
                                             [&] {
                                               for (int i = 0; i < 10; ++i) {
                                                 (nccl.*call)(in.data(), out.data(), n,
                                                              ValueType::fp32, stream.get());
                                               }
                                             }) /
                                10;
                       }});
    }
    time_rounds(sizes, {.fewest = kPasses, .warm = 2});
    std::vector<float> y(kLarge);
    out.download(y.data(), kLarge);
    fmt::print("| {} | {:.1f} | {:.1f} | {} |\n", name, median(sizes[0].seconds) * 1e6,
               median(sizes[1].seconds) * 1e6, y == x ? "equal" : "WRONG");
  }
}

}  // namespace

void print_cuda_collectives() {
  if (cuda_device_count() == 0) {
    fmt::print("SKIPPED: no CUDA device on this machine\n");
    return;
  }
  fmt::print(
      "# Compressed collectives on a GPU\n\n{}, {}, commit {}. Medians of {} shuffled passes; "
      "every result is compared before it is timed.\n\nMade by `collective_bench --cuda`.\n",
      cuda_device_line(), today(), commit(), kPasses);
  print_virtual_ranks();
  std::fflush(stdout);
  print_pinned_host();
  std::fflush(stdout);
  print_peers();
  print_nccl();
}

void register_cuda_rows() {
  if (cuda_device_count() == 0) {
    return;
  }
  for (const char* wire : {"fp32", "bf16", "int8", "int4/g128"}) {
    benchmark::RegisterBenchmark(
        fmt::format("pinned_host/two_step/{}/2 ranks", wire).c_str(),
        [wire](benchmark::State& state) {
          const auto desc =
              describe(Operation::all_reduce, Algorithm::two_step, wire, wire, kLarge);
          CudaGroup group(2, desc, CudaGroup::Wire::pinned_host);
          upload_inputs(group, 2, kLarge);
          for (auto _ : state) {
            state.SetIterationTime(cuda_seconds(nullptr, [&] { group.run({}, nullptr); }));
          }
          group.check();
          state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(4 * kLarge));
        })
        ->UseManualTime();
  }
}

}  // namespace foretoken::kernels
