// How much of a prompt's time communication takes, and what a narrower all-reduce gains: a 70B
// model under tensor parallelism of four, predicted from shipped topologies and profiles and set
// beside what was published.
#pragma once

#include <string>
#include <vector>

namespace foretoken::calibrate {

struct PrefillPrediction {
  std::string box;                            // "4x L40, PCIe"
  std::string wire;                           // of the compressed all-reduce
  double raw = 0;                             // s, the step with a bf16 all-reduce
  double share = 0;                           // of it in collectives
  double narrow = 0;                          // s, with the compressed all-reduce
  std::string measured_share, measured_gain;  // as published; empty: not stated

  double gain() const { return raw / narrow; }
  // Amdahl: the gain were the collectives free.
  double bound() const { return 1 / (1 - share); }
};

// One step of eight prompts of 1,024 tokens of a Llama-3-70B, bf16, on four GPUs; the host's time
// is not in it. Uncompressed all-reduces are the library's (ring, or reductions in the switch),
// compressed ones the fastest of ours.
std::vector<PrefillPrediction> predict_prefill();

std::string to_markdown(const std::vector<PrefillPrediction>& rows);

}  // namespace foretoken::calibrate
