// Reads the `plan:` block of a scenario (sim/spec/plan.h has the defaults).
//
//   plan:
//     clusters: [hgx-h100-8, {cluster: dgx-a100-8, gpu_hour: 1.80, profile: a100-sxm-80gb}]
//     tensor: [1, 2, 4, 8]            # likewise pipeline, data
//     placement: [[tensor, expert, pipeline, data], [pipeline, tensor, expert, data]]
//     weights: [bf16, fp8]            # likewise activations, kv_cache, all_reduce
//     max_num_seqs: [128, 256]        # likewise max_num_batched_tokens, the chunk of a prompt
//     gpus: 16                        # at most
//     budget: 40                      # money per hour, at most
//     resolution: 5%
//     shared_links: false
#pragma once

#include <string>

#include "sim/config/document.h"
#include "sim/spec/plan.h"

namespace foretoken::config {

PlanSpec read_plan(const Node& node, const std::string& file);

}  // namespace foretoken::config
