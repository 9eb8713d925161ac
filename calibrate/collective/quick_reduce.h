// AMD's QuickReduce on eight MI300X: a two-step all-reduce in one fused kernel, raw or quantised.
// Predicted for four and eight GPUs, and for the sizes where quantising starts to pay.
#pragma once

#include <string>
#include <vector>

namespace foretoken::calibrate {

struct QuickReduceRow {
  std::string wire;
  int ranks = 0;
  double measured = 0;   // s, 64 MiB of fp16
  double predicted = 0;  // s
  bool fitted = false;   // took part in the fit
  double error() const { return predicted / measured - 1; }
};

struct QuickReduceCrossover {
  int ranks = 0;
  double measured = 0;   // bytes from which int4 beats fp16, as published ("about")
  double predicted = 0;  // bytes
};

struct QuickReducePrediction {
  double link_efficiency = 0;  // of 64 GB/s
  double pass = 0;             // s per value: what the raw kernel itself does
  std::vector<QuickReduceRow> rows;
  std::vector<QuickReduceCrossover> crossovers;
  // Predicted and measured time of fp16 over that of int4.
  double gain(int ranks, bool measured) const;
};

// The link and the raw kernel's pass are fitted on the fp16 rows, one codec rate per format on two
// GPUs.
QuickReducePrediction predict_quick_reduce();

std::string to_markdown(const QuickReducePrediction& prediction);

}  // namespace foretoken::calibrate
