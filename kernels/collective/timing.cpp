#include "kernels/collective/timing.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <memory>

#include "kernels/base/aligned_buffer.h"
#include "kernels/base/float_types.h"
#include "kernels/base/rounds.h"
#include "kernels/codec/numeric_error.h"

namespace foretoken::kernels {
namespace {

using Bytes = AlignedBuffer<std::uint8_t>;

// Values in (-1, 1) that differ from rank to rank.
Bytes input_for(const CollectiveDesc& desc, int rank) {
  Bytes in(desc.values * value_bytes(desc.type));
  std::uint32_t state = static_cast<std::uint32_t>(rank) * 2654435761U + 1;
  for (std::size_t i = 0; i < desc.values; ++i) {
    state = state * 1664525U + 1013904223U;
    const float x = static_cast<float>(static_cast<std::int32_t>(state)) * 0x1p-31F;
    if (desc.type == ValueType::fp32) {
      std::memcpy(&in[4 * i], &x, 4);
    } else {
      const std::uint16_t bits = desc.type == ValueType::bf16 ? to_bf16(x).bits : to_fp16(x).bits;
      std::memcpy(&in[2 * i], &bits, 2);
    }
  }
  return in;
}

// Of `out`, the all-reduce of every rank's input_for.
double snr_of(const CollectiveDesc& desc, int ranks, const Bytes& out) {
  if (desc.operation != Operation::all_reduce) {
    return 0;
  }
  const auto wide = [&](const Bytes& bytes) {
    std::vector<float> x(desc.values);
    best_codec().pack(parse_wire_format("fp32"), {bytes.data(), desc.type}, desc.values,
                      reinterpret_cast<std::uint8_t*>(x.data()));
    return x;
  };
  std::vector<double> exact(desc.values);
  for (int rank = 0; rank < ranks; ++rank) {
    const auto x = wide(input_for(desc, rank));
    std::transform(x.begin(), x.end(), exact.begin(), exact.begin(), std::plus<>());
  }
  return numeric_error(exact, wide(out)).snr_db;
}

struct Candidate {
  Candidate(Transport& transport, const CollectiveDesc& desc)
      : collective(transport, desc),
        in(input_for(desc, transport.rank())),
        out(desc.values * value_bytes(desc.type)) {}

  double run(Transport& transport, int runs) {
    barrier(transport);
    return wall_seconds(runs, [&] { collective.run(in.data(), out.data()); });
  }

  Collective collective;
  Bytes in;
  Bytes out;
};

}  // namespace

void barrier(Transport& transport) {
  const std::uint8_t token = 1;
  std::vector<std::uint8_t> tokens(static_cast<std::size_t>(transport.ranks()));
  Exchange exchange;
  for (int peer = 0; peer < transport.ranks(); ++peer) {
    if (peer != transport.rank()) {
      exchange.send(peer, {&token, 1});
      exchange.receive(peer, {&tokens[static_cast<std::size_t>(peer)], 1});
    }
  }
  transport.exchange(exchange);
}

std::vector<CollectiveTime> time_collectives(Transport& transport,
                                             const std::vector<CollectiveDesc>& descs, int rounds,
                                             int runs_a_round) {
  std::vector<std::unique_ptr<Candidate>> candidates;
  std::vector<Contestant> contestants;
  for (const CollectiveDesc& desc : descs) {
    candidates.push_back(std::make_unique<Candidate>(transport, desc));
    Candidate* c = candidates.back().get();
    c->run(transport, 1);  // touches every page
    contestants.push_back({"", [c, &transport, runs_a_round](std::size_t) {
                             return c->run(transport, runs_a_round);
                           }});
  }
  time_rounds(contestants, {.fewest = static_cast<std::size_t>(rounds)});
  std::vector<CollectiveTime> times;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    times.push_back({median(contestants[i].seconds), candidates[i]->collective.wire_bytes(),
                     snr_of(descs[i], transport.ranks(), candidates[i]->out)});
  }
  return times;
}

}  // namespace foretoken::kernels
