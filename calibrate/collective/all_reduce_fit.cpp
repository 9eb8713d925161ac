#include "calibrate/collective/all_reduce_fit.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <utility>

#include "calibrate/fit/search.h"
#include "sim/core/error.h"
#include "sim/network/algorithms/algorithm.h"
#include "sim/topology/builders.h"

namespace foretoken::calibrate {
namespace {

constexpr int kGpus = 8;
constexpr int kValueBytes = 2;
// Weight of one squared typical deviation against the mean |log ratio|.
constexpr double kPull = 0.006;
constexpr double kSpread[] = {0.7, 0.7, 0.4};  // of the logarithms of t0, step and efficiency
constexpr double kSpreadBridge = 0.7;

Topology topology_of(const AllReduceBox& box) {
  const LinkParameters link{{box.link}, kTimeZero};
  ClusterSpec spec;
  ClusterBuilder builder(spec);
  if (box.nvswitch) {
    builder.build(Switched{kGpus, link, box.multicast});
  } else {
    builder.build(PcieTree{.sockets = 2,
                           .switches_per_socket = 2,
                           .gpus_per_switch = 2,
                           .link = link,
                           .uplink = link,
                           .socket_link = link});
  }
  return Topology(std::move(spec));
}

CollectiveRequest request_of(const AllReduceKernel& kernel, int ranks, std::int64_t bytes) {
  CollectiveRequest request;
  request.values = std::max<std::int64_t>(bytes / kValueBytes, 1);
  request.gpus.resize(ranks);
  std::iota(request.gpus.begin(), request.gpus.end(), 0);
  request.algorithm = kernel.algorithm;
  request.protocol = Protocol::simple;
  request.chunks = 1;
  return request;
}

bool offered(const AllReduceModel& model, const Topology& topology, const AllReduceKernel& kernel,
             int ranks) {
  const bool custom =
      kernel.algorithm == Algorithm::one_shot || kernel.algorithm == Algorithm::two_step;
  if (custom && model.pairs_only && ranks > 2) {
    return false;
  }
  return collective_algorithm(kernel.algorithm)
      .refusal(topology, request_of(kernel, ranks, 1 << 20))
      .empty();
}

// Steps on the critical path and the wire time of a byte at full efficiency, as simulated.
struct Shape {
  double steps = 0;
  double wire_per_byte = 0;
  bool crosses_bridge = false;
};

class Shapes {
 public:
  explicit Shapes(const AllReduceModel& model) : topology_(topology_of(model.box)) {}

  const Topology& topology() const { return topology_; }
  const Shape& of(const AllReduceKernel& kernel, int ranks) {
    const auto [it, fresh] = known_.try_emplace({kernel.algorithm, ranks});
    if (fresh) {
      constexpr std::int64_t kBytes = std::int64_t{1} << 30;
      CollectiveCosts costs;
      costs.step_latency = Time(1'000'000);
      const CollectiveTime time =
          simulate_alone(topology_, costs, request_of(kernel, ranks, kBytes));
      it->second.steps = to_micros(time.latency);
      it->second.wire_per_byte = to_seconds(time.wire) / static_cast<double>(kBytes);
      it->second.crosses_bridge = topology_.route_class(0, ranks - 1) > LinkClass::pxb;
    }
    return it->second;
  }

 private:
  Topology topology_;
  std::map<std::pair<Algorithm, int>, Shape> known_;
};

double closed_form(const AllReduceKernel& kernel, const Shape& shape, double bridge,
                   std::int64_t bytes) {
  const double efficiency = kernel.efficiency * (shape.crosses_bridge ? bridge : 1);
  return kernel.t0 + shape.steps * kernel.step +
         shape.wire_per_byte * static_cast<double>(bytes) / efficiency;
}

std::vector<double> pack(const AllReduceModel& model, std::size_t first) {
  std::vector<double> x;
  for (std::size_t k = first; k < model.kernels.size(); ++k) {
    x.insert(x.end(), {model.kernels[k].t0, model.kernels[k].step, model.kernels[k].efficiency});
  }
  if (first == 0) {
    x.push_back(model.host_bridge);
  }
  return x;
}

void unpack(AllReduceModel& model, std::size_t first, const std::vector<double>& x) {
  std::size_t i = 0;
  for (std::size_t k = first; k < model.kernels.size(); ++k) {
    model.kernels[k].t0 = x[i++];
    model.kernels[k].step = x[i++];
    model.kernels[k].efficiency = x[i++];
  }
  if (first == 0) {
    model.host_bridge = x[i];
  }
}

}  // namespace

AllReduceModel nccl_model(const AllReduceBox& box) {
  AllReduceModel model;
  model.box = box;
  model.host_bridge = box.nvswitch ? 1 : 0.7;
  model.kernels = {{"ring/ll", Algorithm::ring, 6e-6, 0.9e-6, 0.06},
                   {"ring/ll128", Algorithm::ring, 7e-6, 1.2e-6, 0.35},
                   {"ring/simple", Algorithm::ring, 15e-6, 1.5e-6, 0.72}};
  if (box.multicast) {
    model.kernels.push_back({"nvls", Algorithm::nvls, 25e-6, 2e-6, 0.66});
  }
  return model;
}

void add_custom_kernels(AllReduceModel& model) {
  model.kernels.push_back({"one_shot", Algorithm::one_shot, 3e-6, 0.4e-6, 0.4});
  model.kernels.push_back({"two_step", Algorithm::two_step, 4e-6, 0.5e-6, 0.5});
}

AllReduceModel fit(AllReduceModel model, const std::vector<AllReducePoint>& points,
                   std::size_t first) {
  FT_CHECK(!points.empty());
  Shapes shapes(model);
  const std::vector<double> typical = pack(model, first);
  const auto cost = [&](const std::vector<double>& x) {
    unpack(model, first, x);
    double error = 0;
    for (const AllReducePoint& point : points) {
      double best = std::numeric_limits<double>::infinity();
      for (const AllReduceKernel& kernel : model.kernels) {
        if (offered(model, shapes.topology(), kernel, point.ranks)) {
          best = std::min(best, closed_form(kernel, shapes.of(kernel, point.ranks),
                                            model.host_bridge, point.bytes));
        }
      }
      error += std::abs(std::log(best / point.seconds));
    }
    double pull = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const bool bridge = first == 0 && i + 1 == x.size();
      const double deviation =
          std::log(x[i] / typical[i]) / (bridge ? kSpreadBridge : kSpread[i % 3]);
      pull += deviation * deviation;
      const bool share = bridge || i % 3 == 2;
      pull += share && x[i] > 1 ? 100 * std::log(x[i]) * std::log(x[i]) / kPull : 0;
    }
    return error / static_cast<double>(points.size()) + kPull * pull;
  };
  unpack(model, first, minimise_log(cost, typical, 1.5, 24));
  return model;
}

double predict(const AllReduceModel& model, int ranks, std::int64_t bytes) {
  const Topology topology = topology_of(model.box);
  double best = std::numeric_limits<double>::infinity();
  for (const AllReduceKernel& kernel : model.kernels) {
    if (!offered(model, topology, kernel, ranks)) {
      continue;
    }
    CollectiveCosts costs;
    costs.t0 = time_from_seconds(kernel.t0);
    costs.step_latency = time_from_seconds(kernel.step);
    costs.per_class[LinkClass::nvlink].efficiency = kernel.efficiency;
    costs.per_class[LinkClass::pix].efficiency = kernel.efficiency;
    costs.per_class[LinkClass::phb].efficiency = kernel.efficiency * model.host_bridge;
    costs.per_class[LinkClass::sys].efficiency = kernel.efficiency * model.host_bridge;
    best = std::min(
        best, to_seconds(simulate_alone(topology, costs, request_of(kernel, ranks, bytes)).total));
  }
  return best;
}

double mean_error(const AllReduceModel& model, const std::vector<AllReducePoint>& points) {
  double sum = 0;
  for (const AllReducePoint& point : points) {
    sum += std::abs(predict(model, point.ranks, point.bytes) / point.seconds - 1);
  }
  return sum / static_cast<double>(points.size());
}

}  // namespace foretoken::calibrate
