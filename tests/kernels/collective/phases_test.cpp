// Phases that can be switched off take their own work away and nothing else: values quantised and
// dequantised and bytes sent, counted with each phase alone, sum up to those of the whole, and
// leaving one out takes just its share away. No clock is involved.
#include <gtest/gtest.h>

#include "group_runner.h"
#include "kernels/codec/tile_kernels.h"

namespace foretoken::kernels {
namespace {

struct Counts {
  std::uint64_t quantised = 0;
  std::uint64_t dequantised = 0;
  std::uint64_t sent = 0;
  bool operator==(const Counts&) const = default;
  Counts operator+(const Counts& o) const {
    return {quantised + o.quantised, dequantised + o.dequantised, sent + o.sent};
  }
};

std::ostream& operator<<(std::ostream& out, const Counts& c) {
  return out << c.quantised << " quantised, " << c.dequantised << " dequantised, " << c.sent
             << " bytes sent";
}

// Tile kernels are plain functions: the counters stand beside them.
std::atomic<std::uint64_t> quantised_values{0};
std::atomic<std::uint64_t> dequantised_values{0};

void counting_quantise(const WireFormat& format, const BlockLayout& layout, const TileRun& run,
                       ConstValues values) {
  quantised_values += run.tiles * layout.values;
  reference_tile_kernels().quantise(format, layout, run, values);
}

void counting_dequantise(const WireFormat& format, const BlockLayout& layout,
                         const std::uint8_t* codes, const std::uint8_t* block, MutableValues out,
                         bool accumulate) {
  dequantised_values += layout.values;
  reference_tile_kernels().dequantise(format, layout, codes, block, out, accumulate);
}

const Codec& counting_codec() {
  static const TileKernels kernels = [] {
    TileKernels k = reference_tile_kernels();
    k.quantise = counting_quantise;
    k.dequantise = counting_dequantise;
    return k;
  }();
  static const Codec codec(kernels);
  return codec;
}

class CountingTransport : public Transport {
 public:
  CountingTransport(Transport& inner, std::atomic<std::uint64_t>& sent)
      : inner_(inner), sent_(sent) {}
  int rank() const override { return inner_.rank(); }
  int ranks() const override { return inner_.ranks(); }
  void start(const Exchange& exchange) override {
    for (const Send& send : exchange.sends) {
      sent_ += send.bytes.size();
    }
    inner_.start(exchange);
  }
  void finish() override { inner_.finish(); }

 private:
  Transport& inner_;
  std::atomic<std::uint64_t>& sent_;
};

Counts count(Algorithm algorithm, const Phases& phases) {
  constexpr std::size_t kCount = 10001;
  quantised_values = dequantised_values = 0;
  std::atomic<std::uint64_t> sent{0};
  const auto outcomes = run_threads(4, [&](Transport& t) {
    CountingTransport counting(t, sent);
    CollectiveDesc desc;
    desc.algorithm = algorithm;
    desc.values = kCount;
    desc.first = parse_wire_format("int4");
    desc.second = parse_wire_format("int8/g32");
    desc.chunks = 2;
    desc.phases = phases;
    Collective collective(counting, desc, counting_codec());
    auto x = rank_values(t.rank(), kCount);
    collective.run(x.data(), x.data());
    return std::uint64_t{0};
  });
  expect_all_same(outcomes, std::string(to_string(algorithm)));
  return {quantised_values, dequantised_values, sent};
}

constexpr Phases kNone{false, false, false, false};
constexpr bool Phases::*kPhases[] = {&Phases::quantise, &Phases::wire, &Phases::reduce,
                                     &Phases::dequantise};

class PhaseSum : public testing::TestWithParam<Algorithm> {};

TEST_P(PhaseSum, Phases_alone_sum_up_to_the_whole) {
  const Counts whole = count(GetParam(), {});
  EXPECT_GT(whole.quantised, 0U);
  EXPECT_GT(whole.sent, 0U);
  EXPECT_EQ(count(GetParam(), kNone), Counts{});
  Counts sum;
  for (const auto phase : kPhases) {
    Phases only = kNone;
    only.*phase = true;
    const Counts alone = count(GetParam(), only);
    sum = sum + alone;
    Phases others;
    others.*phase = false;
    EXPECT_EQ(count(GetParam(), others) + alone, whole);
  }
  EXPECT_EQ(sum, whole);
}

// Packing is quantise's and reduce's, unpacking reduce's and dequantise's, bytes are the wire's.
TEST_P(PhaseSum, Each_phase_does_its_own_kind_of_work) {
  const auto only = [](bool Phases::*phase) {
    Phases p = kNone;
    p.*phase = true;
    return count(GetParam(), p);
  };
  EXPECT_EQ(only(&Phases::quantise).dequantised, 0U);
  EXPECT_EQ(only(&Phases::quantise).sent, 0U);
  EXPECT_EQ(only(&Phases::dequantise).quantised, 0U);
  EXPECT_EQ(only(&Phases::reduce).sent, 0U);
  const Counts wire = only(&Phases::wire);
  EXPECT_EQ(wire.quantised + wire.dequantised, 0U);
}

INSTANTIATE_TEST_SUITE_P(All, PhaseSum,
                         testing::Values(Algorithm::ring, Algorithm::one_shot, Algorithm::two_step,
                                         Algorithm::hierarchical),
                         [](const auto& test) { return std::string(to_string(test.param)); });

}  // namespace
}  // namespace foretoken::kernels
