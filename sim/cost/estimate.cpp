#include "sim/cost/estimate.h"

#include <bit>
#include <cmath>

#include "sim/core/error.h"
#include "sim/core/random.h"

namespace foretoken {
namespace {

constexpr std::uint64_t kFamilySalt = hash_text("cost.family");
constexpr std::uint64_t kShapeSalt = hash_text("cost.shape");

double unit_interval(std::uint64_t bits) {
  return (static_cast<double>(bits >> 12) + 0.5) * 0x1p-52;  // never 0 or 1
}

// A keyed permutation of 0..size-1, evaluated at one point: multiplications by odd numbers and
// xor-shifts are bijections of the next power of two, and walking on while outside keeps it a
// bijection of the smaller range (Black and Rogaway 2002, "cycle walking").
std::uint32_t permuted(std::uint32_t index, std::uint32_t size, std::uint64_t key) {
  if (size <= 1) {
    return 0;
  }
  const int bits = std::bit_width(size - 1);
  const std::uint32_t mask = bits == 32 ? ~0U : (1U << bits) - 1;
  const int shift = (bits + 1) / 2;
  do {
    std::uint64_t round_key = key;
    for (int round = 0; round < 4; ++round) {
      round_key = mix64(round_key);
      const auto odd = static_cast<std::uint32_t>(round_key) | 1U;
      index = (index * odd + static_cast<std::uint32_t>(round_key >> 32)) & mask;
      index ^= index >> shift;
    }
  } while (index >= size);
  return index;
}

}  // namespace

CostDraw::CostDraw(std::uint64_t seed, int replication, int replications)
    : seed_(seed), replication_(replication), replications_(replications) {
  FT_CHECK(replications >= 0 && replication >= 0, "replication {} of {}", replication,
           replications);
  FT_CHECK(replications == 0 || replication < replications, "replication {} of {}", replication,
           replications);
}

double CostDraw::factor(const Estimate& estimate) const {
  if (is_point()) {
    return 1;
  }
  double log_factor = 0;
  if (estimate.sd_family > 0) {
    const std::uint64_t key = hash_combine(hash_combine(seed_, kFamilySalt), estimate.family_key);
    const auto size = static_cast<std::uint32_t>(replications_);
    const std::uint32_t stratum = permuted(static_cast<std::uint32_t>(replication_), size, key);
    const double jitter =
        unit_interval(hash_combine(key, static_cast<std::uint64_t>(replication_)));
    log_factor += estimate.sd_family * normal_quantile((stratum + jitter) / size);
  }
  if (estimate.sd_shape > 0) {
    const std::uint64_t key = hash_combine(hash_combine(seed_, kShapeSalt), estimate.shape_key);
    log_factor +=
        estimate.sd_shape *
        normal_quantile(unit_interval(hash_combine(key, static_cast<std::uint64_t>(replication_))));
  }
  return std::exp(log_factor);
}

}  // namespace foretoken
