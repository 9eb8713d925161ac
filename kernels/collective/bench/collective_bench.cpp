// collective_bench: what the collectives cost on real wires, and what they do to values.
//
//   collective_bench [--benchmark_...]      Google Benchmark rows, two threads in shared memory
//   collective_bench --tcp [RANKS]          processes on this machine over TCP, all algorithms
//   collective_bench --paced [RATE]         two processes over a paced link ("1gbit", "unpaced")
//   collective_bench --openmpi              two threads against MPI_Allreduce of two processes
//   collective_bench --error [FILE [NAME]]  numeric error of whole all-reduces against an fp64 sum
//   collective_bench --report               the tables of reports/published/collectives-cpu.md
//   collective_bench --cuda                 virtual ranks, pinned host memory, peers, NCCL
//   mpirun -n N collective_bench --mpi      ranks started by a launcher (FORETOKEN_ROOT=host:port)
#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/base/report_header.h"
#include "kernels/base/rounds.h"
#include "kernels/base/tensor_file.h"
#include "kernels/codec/numeric_error.h"
#include "kernels/collective/bench/cuda_table.h"
#include "kernels/collective/bench/read_result.h"
#include "kernels/collective/collective.h"
#include "kernels/collective/paced_link.h"
#include "kernels/collective/tcp_transport.h"
#include "kernels/collective/thread_transport.h"
#include "kernels/collective/timing.h"

namespace foretoken::kernels {
namespace {

constexpr std::chrono::milliseconds kTimeout{30000};

CollectiveDesc all_reduce(Algorithm algorithm, const std::string& first, const std::string& second,
                          std::size_t values, std::size_t chunks = 1) {
  CollectiveDesc desc;
  desc.algorithm = algorithm;
  desc.values = values;
  desc.first = parse_wire_format(first);
  desc.second = parse_wire_format(second);
  desc.chunks = chunks;
  return desc;
}

void pin_to_core(int rank) {
  const unsigned cores = std::thread::hardware_concurrency();
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<unsigned>(rank) % cores, &set);
  pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

using RankBody = std::function<void(Transport&)>;

// An exception of any rank ends the program: with it the others would only wait.
void run_threads(int ranks, const RankBody& body) {
  auto transports = make_thread_transports(ranks, kTimeout);
  std::vector<std::thread> threads;
  threads.reserve(static_cast<std::size_t>(ranks));
  for (int rank = 0; rank < ranks; ++rank) {
    threads.emplace_back([&, rank] {
      pin_to_core(rank);
      body(*transports[static_cast<std::size_t>(rank)]);
    });
  }
  for (std::thread& t : threads) {
    t.join();
  }
}

// Runs every rank in a child process; `enter` prepares the child (a network namespace, say).
int run_processes(int ranks, TcpOptions options, const std::function<void(int)>& enter,
                  const RankBody& body) {
  std::fflush(stdout);
  std::vector<pid_t> children;
  for (int rank = 0; rank < ranks; ++rank) {
    const pid_t child = ::fork();
    if (child == 0) {
      int status = 0;
      try {
        enter(rank);
        options.rank = rank;
        options.ranks = ranks;
        options.timeout = kTimeout;
        const auto transport = connect_tcp(options);
        body(*transport);
      } catch (const std::exception& e) {
        fmt::print(stderr, "rank {}: {}\n", rank, e.what());
        status = 1;
      }
      std::fflush(stdout);
      ::_exit(status);
    }
    children.push_back(child);
  }
  int failed = 0;
  for (const pid_t child : children) {
    int status = 0;
    ::waitpid(child, &status, 0);
    failed |= status;
  }
  return failed == 0 ? 0 : 1;
}

// ---- tables -------------------------------------------------------------------------------------

std::string formats_of(const CollectiveDesc& d) {
  const std::string first = to_string(d.first);
  const std::string second = to_string(d.second);
  return first == second ? first : first + " then " + second;
}

void print_header() {
  fmt::print("{:>10} {:13} {:24} {:>6} {:>12} {:>9} {:>9} {:>12} {:>8} {:>7}\n", "bytes",
             "algorithm", "wire", "chunks", "us", "algbw", "busbw", "wire bytes", "vs fp32",
             "SNR dB");
}

// The first description is the anchor of the last column. algbw = M / T, busbw = algbw 2 (N-1)/N,
// on uncompressed bytes, GB/s.
void print_times(const std::vector<CollectiveDesc>& descs, const std::vector<CollectiveTime>& times,
                 int ranks) {
  for (std::size_t i = 0; i < descs.size(); ++i) {
    const double bytes = static_cast<double>(descs[i].values * value_bytes(descs[i].type));
    const double algbw = bytes / times[i].seconds * 1e-9;
    fmt::print("{:10.0f} {:13} {:24} {:6} {:12.1f} {:9.3f} {:9.3f} {:12} {:7.2f}x {:7.1f}\n", bytes,
               to_string(descs[i].algorithm), formats_of(descs[i]), descs[i].chunks,
               times[i].seconds * 1e6, algbw, algbw * 2 * (ranks - 1) / ranks, times[i].wire_bytes,
               times[0].seconds / times[i].seconds, times[i].snr_db);
  }
}

std::vector<CollectiveDesc> compared(std::size_t values, int ranks, std::size_t chunks) {
  std::vector<CollectiveDesc> descs;
  for (const char* format : {"fp32", "bf16", "int8", "int5/spike", "int4", "int4/g128"}) {
    descs.push_back(all_reduce(Algorithm::two_step, format, format, values, chunks));
  }
  descs.push_back(all_reduce(Algorithm::two_step, "int4", "int8", values, chunks));
  descs.push_back(all_reduce(Algorithm::ring, "fp32", "fp32", values));
  descs.push_back(all_reduce(Algorithm::one_shot, "int8", "int8", values, chunks));
  if (ranks % 2 == 0 && ranks > 2) {
    descs.push_back(all_reduce(Algorithm::hierarchical, "int8", "int8", values, chunks));
  }
  return descs;
}

// Seconds of the two-step all-reduces by wire format, one map a size.
using Sweep = std::vector<std::pair<std::size_t, std::map<std::string, double>>>;

// The least size from which `format` beats `anchor` at every larger one too.
std::string crossover(const Sweep& sweep, const std::string& format, const std::string& anchor) {
  std::size_t from = 0;
  for (auto row = sweep.rbegin(); row != sweep.rend(); ++row) {
    if (row->second.at(format) >= row->second.at(anchor)) {
      break;
    }
    from = row->first;
  }
  return from == 0
             ? fmt::format("{} does not beat {} up to {} bytes", format, anchor, sweep.back().first)
             : fmt::format("{} beats {} from {} bytes on", format, anchor, from);
}

void print_crossovers(const Sweep& sweep) {
  for (const char* format : {"int8", "int4/g128"}) {
    for (const char* anchor : {"fp32", "bf16"}) {
      fmt::print("{}\n", crossover(sweep, format, anchor));
    }
  }
  const auto& [bytes, last] = sweep.back();
  fmt::print("{} bytes: int8 {:.2f}x and int4/g128 {:.2f}x of fp32, {:.2f}x and {:.2f}x of bf16\n",
             bytes, last.at("fp32") / last.at("int8"), last.at("fp32") / last.at("int4/g128"),
             last.at("bf16") / last.at("int8"), last.at("bf16") / last.at("int4/g128"));
}

void compare_on(Transport& transport, int rounds) {
  if (transport.rank() == 0) {
    print_header();
  }
  Sweep sweep;
  for (std::size_t values = 256; values <= (1U << 20); values *= 4) {  // 1 KiB to 4 MiB
    const auto descs = compared(values, transport.ranks(), values >= 65536 ? 4 : 1);
    const auto times = time_collectives(transport, descs, rounds, values >= 65536 ? 1 : 10);
    sweep.emplace_back(4 * values, std::map<std::string, double>{});
    for (std::size_t i = 0; i < descs.size(); ++i) {
      if (descs[i].algorithm == Algorithm::two_step) {
        sweep.back().second[formats_of(descs[i])] = times[i].seconds;
      }
    }
    if (transport.rank() == 0) {
      print_times(descs, times, transport.ranks());
    }
  }
  if (transport.rank() == 0) {
    print_crossovers(sweep);
  }
}

int tcp(int ranks) {
  TcpOptions options;
  options.root_port = 47101;
  fmt::print("{} processes over TCP on this machine, not paced\n", ranks);
  return run_processes(
      ranks, options, [](int) {}, [](Transport& t) { compare_on(t, 9); });
}

// ---- a paced link -------------------------------------------------------------------------------

int paced(const std::string& rate) {
  if (const std::string why = PacedLink::obstacle(); !why.empty()) {
    fmt::print("SKIPPED: {}\n", why);
    return 0;
  }
  const PacedLink link(rate == "unpaced" ? "" : rate);
  TcpOptions options;
  options.root_host = link.address(0);
  options.root_port = 47102;
  fmt::print("two processes, veth between two network namespaces, {}\n",
             rate == "unpaced" ? "not paced" : "each direction paced to " + rate);
  return run_processes(
      2, options, [&](int rank) { link.enter(rank); }, [](Transport& t) { compare_on(t, 7); });
}

// ---- OpenMPI ------------------------------------------------------------------------------------

const std::vector<std::size_t> kMpiSizes{8, 1024, 16384, 65536, 262144, 1048576};

std::string beside_this_program(const std::string& name) {
  char path[4096] = {};
  const ssize_t n = ::readlink("/proc/self/exe", path, sizeof(path) - 1);
  const std::string self(path, n > 0 ? static_cast<std::size_t>(n) : 0);
  return self.substr(0, self.rfind('/') + 1) + name;
}

std::string first_line_of(const std::string& command) {
  FILE* pipe = ::popen((command + " 2>/dev/null").c_str(), "r");
  char line[200] = {};
  if (pipe != nullptr && std::fgets(line, sizeof(line), pipe) == nullptr) {
    line[0] = 0;
  }
  if (pipe != nullptr) {
    ::pclose(pipe);
  }
  const std::string text(line);
  return text.substr(0, text.find('\n'));
}

struct TheirTime {
  double seconds;
  double with_reading;  // every rank reads its result after every all-reduce
};

std::map<std::size_t, TheirTime> run_openmpi() {
  std::string command =
      "mpirun --allow-run-as-root -n 2 " + beside_this_program("openmpi_all_reduce");
  for (const std::size_t size : kMpiSizes) {
    command += fmt::format(" {}", size);
  }
  std::map<std::size_t, TheirTime> times;
  FILE* pipe = ::popen((command + " 2>/dev/null").c_str(), "r");
  std::size_t bytes = 0;
  TheirTime time{};
  while (pipe != nullptr &&
         std::fscanf(pipe, "%zu %lf %lf", &bytes, &time.seconds, &time.with_reading) == 3) {
    times[bytes] = time;
  }
  if (pipe != nullptr) {
    ::pclose(pipe);
  }
  return times;
}

double greatest(const std::vector<double>& values) {
  return *std::max_element(values.begin(), values.end());
}

// The same all-reduce without the other rank: what the program itself costs.
CollectiveDesc without_wire(CollectiveDesc desc) {
  desc.phases.wire = false;
  return desc;
}

struct OwnTime {
  double seconds;       // the fastest of one-shot and two-step, whole and in micro-chunks
  double with_reading;  // every rank reads its result after every all-reduce
  double software;      // of the same without its wire
  double copy;          // both threads copy input to output at once
};

// Uncompressed.
std::vector<CollectiveDesc> own_candidates(std::size_t size) {
  std::vector<CollectiveDesc> descs;
  for (const Algorithm a : {Algorithm::one_shot, Algorithm::two_step}) {
    for (const std::size_t chunks : {1, 8, 16, 32, 64}) {
      descs.push_back(all_reduce(a, "fp32", "fp32", size / 4, chunks));
    }
  }
  return descs;
}

template <typename Body>
double both_ranks_seconds(Transport& t, int runs, Body body) {
  std::vector<Contestant> one{{"", [&](std::size_t) {
                                 barrier(t);
                                 return wall_seconds(runs, body);
                               }}};
  time_rounds(one, {.fewest = 21, .warm = 1});
  return median(one[0].seconds);
}

double copy_seconds(Transport& t, std::size_t size) {
  const std::vector<char> in(size, 1);
  std::vector<char> out(size, 2);
  return both_ranks_seconds(t, 20, [&] {
    std::memcpy(out.data(), in.data(), size);
    benchmark::ClobberMemory();
  });
}

double seconds_with_reading(Transport& t, const CollectiveDesc& desc, int runs) {
  Collective collective(t, desc);
  const std::vector<float> in(desc.values, 0.5F + static_cast<float>(t.rank()));
  std::vector<float> out(desc.values);
  return both_ranks_seconds(t, runs, [&] {
    collective.run(in.data(), out.data());
    benchmark::DoNotOptimize(read_result(out));
  });
}

// What the loop around a run costs.
double empty_loop_seconds() {
  double seconds = 0;
  run_threads(2, [&](Transport& t) {
    const double mine = both_ranks_seconds(t, 200, [] { benchmark::ClobberMemory(); });
    if (t.rank() == 0) {
      seconds = mine;
    }
  });
  return seconds;
}

std::map<std::size_t, OwnTime> run_own() {
  std::map<std::size_t, OwnTime> best;
  run_threads(2, [&](Transport& t) {
    for (const std::size_t size : kMpiSizes) {
      const auto descs = own_candidates(size);
      const int runs = size <= 65536 ? 200 : 20;
      const auto times = time_collectives(t, descs, 21, runs);
      const auto fastest = std::min_element(
          times.begin(), times.end(),
          [](const CollectiveTime& x, const CollectiveTime& y) { return x.seconds < y.seconds; });
      const auto index = static_cast<std::size_t>(fastest - times.begin());
      // Every rank measures the same candidate: the index must be rank 0's.
      auto chosen = static_cast<std::uint8_t>(index);
      Exchange tell;
      t.rank() == 0 ? tell.send(1, {&chosen, 1}) : tell.receive(0, {&chosen, 1});
      t.exchange(tell);
      const auto software = time_collectives(t, {without_wire(descs[chosen])}, 21, runs);
      const double with_reading = seconds_with_reading(t, descs[chosen], runs);
      const double copy = copy_seconds(t, size);
      if (t.rank() == 0) {
        best[size] = {fastest->seconds, with_reading, software[0].seconds, copy};
      }
    }
  });
  return best;
}

int openmpi() {
  constexpr int kRounds = 5;
  std::map<std::size_t, std::vector<double>> ratios, read_ratios, own_us, their_us, software_us,
      copy_us;
  for (int round = 0; round < kRounds; ++round) {
    const auto theirs = run_openmpi();
    if (theirs.empty()) {
      fmt::print("SKIPPED: OpenMPI is not here (libopenmpi-dev when building, mpirun to run)\n");
      return 0;
    }
    const auto own = run_own();
    for (const std::size_t size : kMpiSizes) {
      ratios[size].push_back(theirs.at(size).seconds / own.at(size).seconds);
      read_ratios[size].push_back(theirs.at(size).with_reading / own.at(size).with_reading);
      own_us[size].push_back(own.at(size).seconds * 1e6);
      their_us[size].push_back(theirs.at(size).seconds * 1e6);
      software_us[size].push_back(own.at(size).software * 1e6);
      copy_us[size].push_back(own.at(size).copy * 1e6);
    }
  }
  fmt::print(
      "all-reduce of fp32, two threads against two OpenMPI processes, medians of {} rounds in "
      "turn\n{:>10} {:>10} {:>12} {:>8} {:>16} {:>8} {:>16} {:>15} {:>10}\n",
      kRounds, "bytes", "own us", "OpenMPI us", "ratio", "least, most", "read", "least, most",
      "without wire us", "memcpy us");
  for (const std::size_t size : kMpiSizes) {
    fmt::print(
        "{:10} {:10.2f} {:12.2f} {:7.2f}x {:7.2f}, {:6.2f}x {:7.2f}x {:7.2f}, {:6.2f}x {:15.3f} "
        "{:10.2f}\n",
        size, median(own_us[size]), median(their_us[size]), median(ratios[size]),
        least(ratios[size]), greatest(ratios[size]), median(read_ratios[size]),
        least(read_ratios[size]), greatest(read_ratios[size]), median(software_us[size]),
        median(copy_us[size]));
  }
  fmt::print("the loop around our runs takes {:.4f} us of each; {}\n", empty_loop_seconds() * 1e6,
             first_line_of("mpirun --version"));
  return 0;
}

// ---- numeric error ------------------------------------------------------------------------------

// Inputs of the ranks: parts of one tensor, one after the other.
NumericError all_reduce_error(int ranks, CollectiveDesc desc, const std::vector<float>& data) {
  desc.values = data.size() / static_cast<std::size_t>(ranks);
  std::vector<double> exact(desc.values);
  for (std::size_t i = 0; i < desc.values * static_cast<std::size_t>(ranks); ++i) {
    exact[i % desc.values] += data[i];
  }
  std::vector<float> result(desc.values);
  run_threads(ranks, [&](Transport& t) {
    Collective collective(t, desc);
    const float* own = data.data() + desc.values * static_cast<std::size_t>(t.rank());
    std::vector<float> out(desc.values);
    collective.run(own, out.data());
    if (t.rank() == 0) {
      result = out;
    }
  });
  return numeric_error(exact, result);
}

void print_errors(const std::string& what, const std::vector<float>& data) {
  constexpr int kRanks = 8;
  fmt::print("{}: all-reduce of {} ranks\n{:13} {:28} {:>12} {:>9} {:>12}\n", what, kRanks,
             "algorithm", "wire", "relative", "SNR dB", "max error");
  const auto row = [&](Algorithm a, const char* first, const char* second) {
    const CollectiveDesc desc = all_reduce(a, first, second, 1);
    const NumericError e = all_reduce_error(kRanks, desc, data);
    fmt::print("{:13} {:28} {:12.3e} {:9.2f} {:12.4g}\n", to_string(a), formats_of(desc),
               e.relative, e.snr_db, e.maximum);
  };
  for (const char* format :
       {"bf16", "fp8/g128", "int8", "int6", "int5", "int5/spike", "int4", "int4/g32/spike",
        "int3/g32/spike", "int2", "int2/g32/spike", "int2/g32/spike/log8"}) {
    row(Algorithm::two_step, format, format);
  }
  row(Algorithm::two_step, "int4", "int8");
  row(Algorithm::one_shot, "int4", "int4");
  row(Algorithm::hierarchical, "int4", "int4");
  row(Algorithm::ring, "int4", "int4");
}

void error_tables(int argc, char** argv) {
  if (argc > 2) {
    print_errors(argv[2], read_tensor(argv[2], argc > 3 ? argv[3] : "").values);
    return;
  }
  for (const SampleKind kind : kSampleKinds) {
    print_errors(std::string(to_string(kind)), sample_values(kind, std::size_t{1} << 20, 1));
  }
}

// ---- Google Benchmark ---------------------------------------------------------------------------

// Rank 1 runs in a second thread for as long as rank 0 asks for more.
void benchmark_row(benchmark::State& state, const CollectiveDesc& desc) {
  std::uint64_t wire_bytes = 0;
  const auto timed = [&](Transport& t) {
    while (true) {
      std::uint8_t more = t.rank() == 0 && state.KeepRunning() ? 1 : 0;
      Exchange say;
      t.rank() == 0 ? say.send(1, {&more, 1}) : say.receive(0, {&more, 1});
      t.exchange(say);
      if (more == 0) {
        return;
      }
      const auto times = time_collectives(t, {desc}, 1, 10);
      if (t.rank() == 0) {
        state.SetIterationTime(times[0].seconds);
        wire_bytes = times[0].wire_bytes;
      }
    }
  };
  run_threads(2, timed);
  state.SetBytesProcessed(state.iterations() *
                          static_cast<std::int64_t>(desc.values * value_bytes(desc.type)));
  state.counters["wire_bytes"] = static_cast<double>(wire_bytes);
}

void register_rows() {
  for (const std::size_t values :
       {std::size_t{1} << 12, std::size_t{1} << 16, std::size_t{1} << 20}) {
    for (const CollectiveDesc& desc : compared(values, 2, values >= 65536 ? 4 : 1)) {
      benchmark::RegisterBenchmark(
          fmt::format("threads/{}/{}/{}", to_string(desc.algorithm), formats_of(desc), 4 * values)
              .c_str(),
          [desc](benchmark::State& state) { benchmark_row(state, desc); })
          ->UseManualTime()
          ->Iterations(5);
    }
  }
  register_cuda_rows();
}

int mpi() {
  TcpOptions options;
  if (!tcp_options_from_launcher(options)) {
    fmt::print(stderr, "--mpi: no launcher; use mpirun -n N collective_bench --mpi\n");
    return 2;
  }
  options.timeout = kTimeout;
  const auto transport = connect_tcp(options);
  compare_on(*transport, 9);
  return 0;
}

int report() {
  fmt::print(
      "# Compressed collectives on a CPU\n\n{}; codec {}. Medians over interleaved rounds. SNR: "
      "of the result against the fp64 sum. algbw = bytes / time, busbw = algbw 2 (N-1)/N, GB/s, "
      "on uncompressed bytes.\n\nMade by `build/release/collective_bench --report`, as root "
      "(network namespaces).\n\n## Against OpenMPI\n\n```\n",
      cpu_report_line(), best_codec().name());
  openmpi();
  fmt::print(
      "```\n\nThe same work on both sides: two ranks, pinned to one core each, sum one constant "
      "vector a rank into another, out of place, 200 times in a row (20 from 256 KiB on) between "
      "two looks at the clock, with a barrier before but none within; medians over 21 such rows. "
      "OpenMPI runs as it is installed and chooses its algorithm itself; ours is the fastest of "
      "one-shot and two-step, whole or in micro-chunks, by measurement at each size.\n\n"
      "\"Read\": the ratio where every rank also reads its whole result after every all-reduce. "
      "\"Without wire\": the same all-reduce with its exchanges switched off. \"memcpy\": both "
      "threads copy input to output at once. Up to 1 KiB nearly all of the time is cache lines on "
      "their way between the cores, which OpenMPI waits for as well. From 16 KiB on the fastest is "
      "two-step: each thread sums half of the vector straight from both inputs into both "
      "outputs. So half of a result lies in the other core's cache until it is read.\n\n## A link "
      "paced to 1 Gbit/s\n\n```\n");
  paced("1gbit");
  fmt::print("```\n\n## The same link, not paced\n\n```\n");
  paced("unpaced");
  fmt::print("```\n\n## Numeric error\n\n```\n");
  print_errors("normal", sample_values(SampleKind::normal, std::size_t{1} << 20, 1));
  print_errors("spikes", sample_values(SampleKind::spikes, std::size_t{1} << 20, 1));
  fmt::print("```\n");
  return 0;
}

int run(int argc, char** argv) {
  const std::string mode = argc > 1 ? argv[1] : "";
  if (mode == "--tcp") {
    return tcp(argc > 2 ? std::atoi(argv[2]) : 2);
  }
  if (mode == "--paced") {
    return paced(argc > 2 ? argv[2] : "1gbit");
  }
  if (mode == "--openmpi") {
    return openmpi();
  }
  if (mode == "--report") {
    return report();
  }
  if (mode == "--cuda") {
    print_cuda_collectives();
    return 0;
  }
  if (mode == "--mpi") {
    return mpi();
  }
  if (mode == "--error") {
    error_tables(argc, argv);
    return 0;
  }
  register_rows();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
    return 2;
  }
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
