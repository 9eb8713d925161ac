// Times several collectives against each other on one group: every round runs each once, so that
// what disturbs the machine disturbs all of them. Every rank calls it with the same arguments.
#pragma once

#include <vector>

#include "kernels/collective/collective.h"

namespace foretoken::kernels {

struct CollectiveTime {
  double seconds = 0;  // median over rounds, of one run
  std::uint64_t wire_bytes = 0;
  double snr_db = 0;  // all-reduces: of this rank's last result against the fp64 sum
};

// Meets all ranks.
void barrier(Transport& transport);

std::vector<CollectiveTime> time_collectives(Transport& transport,
                                             const std::vector<CollectiveDesc>& descs, int rounds,
                                             int runs_a_round);

}  // namespace foretoken::kernels
