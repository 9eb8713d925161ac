// Fits the constants of all-reduce kernels to measured times by inverting their schedules, and
// predicts other group sizes by simulating with those constants.
//
// A library picks the fastest of a few kernels, each an algorithm with its own fixed time, time per
// step and share of the link: t = t0 + steps x step + wire bytes / (bandwidth x efficiency). Steps
// and bytes come from the simulated schedule, so a group size that was not measured needs no new
// constant.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/network/collective.h"
#include "sim/topology/topology.h"

namespace foretoken::calibrate {

struct AllReduceKernel {
  std::string name;  // "ring/ll", "one_shot"
  Algorithm algorithm = Algorithm::ring;
  double t0 = 0;          // s
  double step = 0;        // s
  double efficiency = 0;  // of the link
};

struct AllReducePoint {
  int ranks = 0;
  std::int64_t bytes = 0;
  double seconds = 0;
};

// A box as the measurements saw it: GPUs behind one NVSwitch, or two sockets of two PCIe switches
// with two GPUs each, where what crosses a host bridge reaches a smaller share of the link.
struct AllReduceBox {
  double link = 0;  // bytes/s one way per GPU
  bool nvswitch = true;
  bool multicast = false;  // offers nvls
};

struct AllReduceModel {
  AllReduceBox box;
  std::vector<AllReduceKernel> kernels;
  double host_bridge = 1;  // share of the link's efficiency left beyond the PCIe switch
  // Custom kernels that a library only offers to pairs on boxes without NVLink (vLLM's rule).
  bool pairs_only = false;
};

// Typical values before any measurement: NCCL's protocols after the constants in its
// src/graph/tuning.cc, one-shot and two-step kernels after TensorRT-LLM's.
AllReduceModel nccl_model(const AllReduceBox& box);
void add_custom_kernels(AllReduceModel& model);

// Fits the kernels from `first` on, and the host bridge when `first` is 0: minimises the mean |log
// ratio| with a weak pull towards the typical values, without which kernels that are never the
// fastest would drift anywhere.
AllReduceModel fit(AllReduceModel model, const std::vector<AllReducePoint>& points,
                   std::size_t first = 0);

// Simulated, every transfer a flow: the fastest kernel.
double predict(const AllReduceModel& model, int ranks, std::int64_t bytes);
// Mean of |predicted / measured - 1|.
double mean_error(const AllReduceModel& model, const std::vector<AllReducePoint>& points);

}  // namespace foretoken::calibrate
