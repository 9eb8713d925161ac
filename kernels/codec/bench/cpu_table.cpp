#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "kernels/base/cpu_features.h"
#include "kernels/base/report_header.h"
#include "kernels/base/rounds.h"
#include "kernels/codec/bench/tables.h"
#include "kernels/codec/bench/work.h"
#include "kernels/codec/numeric_error.h"

namespace foretoken::kernels {
namespace {

constexpr std::size_t kRounds = 61;
constexpr std::size_t kInL2 = std::size_t{1} << 17;  // 512 KiB of fp32: source and target fit
constexpr std::size_t kInL1 = std::size_t{1} << 12;  // 16 KiB of fp32

struct Speeds {
  double pack_scalar, unpack_scalar;  // times the scalar reference
  double pack_copy, unpack_copy;      // times memcpy of the uncompressed bytes
  double unpack_fill;                 // times memset of the uncompressed bytes
  double fill_scalar;                 // memset, times the scalar reference's dequantise
};

Contestant timed(CodecWork& work, int repeats, void (*step)(CodecWork&)) {
  return {"", [&work, repeats, step](std::size_t) {
            return wall_seconds(repeats, [&] {
              step(work);
              benchmark::ClobberMemory();
            });
          }};
}

// Everything in turn within each round; medians of the ratios of a round.
Speeds measure(CodecWork& work, int repeats) {
  std::vector<Contestant> all;
  all.push_back(timed(work, repeats, [](CodecWork& w) { w.copy(); }));
  all.push_back(timed(work, repeats, [](CodecWork& w) { w.fill(); }));
  all.push_back(timed(work, repeats, [](CodecWork& w) { w.pack(best_codec()); }));
  all.push_back(timed(work, repeats, [](CodecWork& w) { w.unpack(best_codec()); }));
  all.push_back(timed(work, 1 + repeats / 10, [](CodecWork& w) { w.pack(reference_codec()); }));
  all.push_back(timed(work, 1 + repeats / 10, [](CodecWork& w) { w.unpack(reference_codec()); }));
  time_rounds(all, {.fewest = kRounds, .warm = 1});
  return {median_speed(all[2], all[4]), median_speed(all[3], all[5]), median_speed(all[2], all[0]),
          median_speed(all[3], all[0]), median_speed(all[3], all[1]), median_speed(all[1], all[5])};
}

bool same_as_reference(CodecWork& work) {
  work.pack(best_codec());
  std::vector<std::uint8_t> packed(work.packed.size());
  reference_codec().pack(work.format, {work.in.data(), work.type}, work.count, packed.data());
  work.unpack(best_codec());
  std::vector<std::uint8_t> out(work.out.size());
  reference_codec().unpack(work.format, packed.data(), work.count, {out.data(), work.type});
  return std::equal(packed.begin(), packed.end(), work.packed.begin()) &&
         std::equal(out.begin(), out.end(), work.out.begin());
}

// From here on the time of a dequantise is that of its stores: it also reads the packed bytes.
constexpr double kStoreBound = 0.8;  // of memset

struct Tally {
  int rows = 0;
  int met = 0;
  std::vector<std::string> store_bound;  // short only of ten times the reference's dequantise
  std::vector<std::string> rest;
};

// One word of the last column; counts the row.
std::string verdict(const std::string& row, const Speeds& l2, double goal, Tally& tally) {
  tally.rows += 1;
  const bool copies = l2.pack_copy >= goal && l2.unpack_copy >= goal && l2.pack_scalar >= 10;
  if (copies && l2.unpack_scalar >= 10) {
    tally.met += 1;
    return "met";
  }
  const bool store_bound = copies && l2.unpack_fill >= kStoreBound;
  (store_bound ? tally.store_bound : tally.rest)
      .push_back(fmt::format("{} ({:.0f} % of memset, which is {:.1f} times the reference)", row,
                             100 * l2.unpack_fill, l2.fill_scalar));
  return store_bound ? "short: store-bound" : "short";
}

std::string listed(const std::vector<std::string>& rows) {
  return rows.empty() ? "none" : fmt::format("{}", fmt::join(rows, ", "));
}

constexpr std::size_t kHugePage = std::size_t{1} << 21;

// memset, GB/s, in pages of 2 MiB where the system gives them on request.
double fill_speed(std::size_t bytes, bool huge_pages) {
  AlignedBuffer<std::uint8_t, kHugePage> room(kHugePage);
  ::madvise(room.data(), room.size(), huge_pages ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
  ::madvise(room.data(), room.size(), MADV_DONTNEED);  // the next touch takes the pages asked for
  const int repeats = static_cast<int>((std::size_t{4} << 20) / bytes);
  std::vector<Contestant> one{{"", [&](std::size_t) {
                                 return wall_seconds(repeats, [&] {
                                   std::memset(room.data(), 1, bytes);
                                   benchmark::ClobberMemory();
                                 });
                               }}};
  time_rounds(one, {.fewest = 21, .warm = 2});
  return static_cast<double>(bytes) / median(one[0].seconds) * 1e-9;
}

void print_fill_speeds() {
  fmt::print("What stores cost, memset in GB/s:");
  for (const std::size_t kib : {16, 64, 160, 512, 1024}) {
    fmt::print(" {} KiB {:.0f},", kib, fill_speed(kib << 10, false));
  }
  fmt::print(" 512 KiB in a page of 2 MiB {:.0f}.", fill_speed(std::size_t{512} << 10, true));
}

void print_row(const WireFormat& format, ValueType type, Tally& tally) {
  CodecWork work(format, type, kInL2);
  CodecWork small(format, type, kInL1);
  const bool same = same_as_reference(work);
  const Speeds l2 = measure(work, 10);
  const Speeds l1 = measure(small, 100);
  const double snr =
      codec_error(best_codec(), format, sample_values(SampleKind::normal, kInL2, 1)).snr_db;
  const double goal = (type == ValueType::fp32 ? 0.5 : 0.3) * (format.spike ? 0.5 : 1.0);
  const std::string row = fmt::format("{} {}", to_string(format), to_string(type));
  fmt::print(
      "| {} | {} | {:.1f} | {} | {:.1f} / {:.1f} | {:.1f} / {:.1f} | {:.1f} | {:.0f} % | {:.0f} % "
      "| {:.0f} % | {:.0f} % | {} |\n",
      to_string(format), to_string(type), snr, same ? "yes" : "NO", l2.pack_scalar, l1.pack_scalar,
      l2.unpack_scalar, l1.unpack_scalar, l2.fill_scalar, 100 * l2.pack_copy, 100 * l2.unpack_copy,
      100 * l2.unpack_fill, 100 * goal, verdict(row, l2, goal, tally));
}

}  // namespace

void print_cpu_table() {
  fmt::print(
      "# The wire codec on a CPU\n\n"
      "{}; codec {}; {}. One core. {} values (L2: source and target fit the second-level cache) "
      "and "
      "{} values (L1); medians over {} rounds of ratios within a round, every contestant in "
      "turn.\n\n"
      "\"Same\": bytes and values equal the scalar reference's. \"x scalar\": speed over the "
      "scalar "
      "reference, built without automatic vectorisation, in L2 / in L1; asked for: 10 in L2. "
      "\"memset x scalar\": how "
      "much faster than the scalar dequantise it is to only fill as many bytes, in L2. \"of "
      "memcpy\", \"of memset\": speed over copying, or filling, the uncompressed bytes, in L2. SNR "
      "of "
      "normal values. \"met\": both shares of memcpy and both factors over the scalar "
      "reference. \"store-bound\": short only of ten times the reference's dequantise, at {:.0f} % "
      "of "
      "memset's speed or more.\n\n"
      "Made by `build/release/codec_bench --targets`.\n\n"
      "| format | in | SNR dB | same | quantise x scalar | dequantise x scalar | memset x scalar | "
      "quantise of "
      "memcpy "
      "| dequantise of memcpy | dequantise of memset | goal | |\n"
      "|---|---|---|---|---|---|---|---|---|---|---|---|\n",
      cpu_report_line(), best_codec().name(), to_string(cpu_features()), kInL2, kInL1, kRounds,
      100 * kStoreBound);
  Tally tally;
  for (const auto type : {ValueType::fp32, ValueType::bf16}) {
    for (int bits = 8; bits >= 2; --bits) {
      for (const char* kind : {"/affine", "/spike/affine", "/sym", "/log8", "/spike/log8"}) {
        print_row(parse_wire_format(fmt::format("int{}/g128{}", bits, kind)), type, tally);
      }
    }
    print_row(parse_wire_format("fp8/g128"), type, tally);
  }
  fmt::print("\n{} of {} rows meet every goal. Store-bound: {}. Short otherwise: {}.\n\n",
             tally.met, tally.rows, listed(tally.store_bound), listed(tally.rest));
  print_fill_speeds();
  fmt::print(
      " A line that does not stay in L1 is fetched from L2 and written back to it, whatever stores "
      "it, whatever the size of the buffer and of its pages.\n\n"
      "Dequantise of 8-bit codes to fp32: the scalar reference has no planes to unpack there and "
      "writes four bytes a value. Where memset of the same bytes is itself not ten times as fast, "
      "nothing that stores the values can be; in L1, where stores cost less, dequantise is.\n");
}

}  // namespace foretoken::kernels
