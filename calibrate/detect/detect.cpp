#include "calibrate/detect/detect.h"

#include <fmt/format.h>

#include <cmath>
#include <map>
#include <string_view>
#include <utility>

#include "calibrate/import/gpu_facts.h"
#include "sim/core/error.h"
#include "sim/topology/builders.h"

namespace foretoken::calibrate {
namespace {

constexpr Time kNvlinkLatency{350'000};  // assumed, as in topologies/*.yaml
constexpr Time kPcieLatency{250'000};
constexpr Time kMemoryLatency{100'000};
constexpr double kUnknownSlot = 32e9;  // PCIe Gen4 x16

struct KnownGpu {
  std::string_view part;  // of NVML's name; the first that is found counts
  std::string_view facts;
};
constexpr KnownGpu kKnown[]{{"V100-SXM2", "v100-sxm2"},
                            {"A100-SXM4-80GB", "a100-sxm-80gb"},
                            {"A100-SXM4-40GB", "a100-sxm-40gb"},
                            {"A100 80GB PCIe", "a100-pcie-80gb"},
                            {"A800-SXM", "a800"},
                            {"H100 80GB HBM3", "h100-sxm"},
                            {"H800", "h800-sxm"},
                            {"H200 NVL", ""},
                            {"H200", "h200-sxm"},
                            {"GB200", ""},
                            {"B200", "b200-sxm"},
                            {"L40S", "l40s"},
                            {"L40", "l40"},
                            {"RTX 4090", "rtx-4090"},
                            {"RTX PRO 6000", "rtx-pro-6000"},
                            {"GTX 1080 Ti", "gtx-1080ti"}};

// hwloc gives what is left after coding (31.5 GB/s); topologies state the round number (32).
double round_rate(double rate) {
  const double nominal = 1e9 * std::exp2(std::round(std::log2(1e-9 * rate)));
  return std::abs(rate / nominal - 1) < 0.04 ? nominal : rate;
}

class ClusterMaker {
 public:
  ClusterMaker(const MachineTree& machine, const NvmlReport& nvml, const DetectOptions& options)
      : machine_(&machine), nvml_(&nvml), options_(&options), builder_(spec_) {
    if (!options.gpu.empty()) {
      facts_ = &importer::gpu_facts(options.gpu);
    } else if (!nvml.gpus.empty()) {
      const std::string name = facts_name(nvml.gpus.front().name);
      facts_ = name.empty() ? nullptr : &importer::gpu_facts(name);
    }
  }

  ClusterSpec make() {
    add_gpus();
    add_sockets();
    add_devices();
    add_nvlinks();
    if (facts_ != nullptr && gpus_ > 0) {
      spec_.profile = facts_->name;
    }
    return std::move(spec_);
  }

 private:
  void add_gpu(const std::string& bus_id) {
    gpu_.emplace(bus_id, builder_.add_vertex(fmt::format("gpu{}", gpus_++), VertexKind::gpu));
  }

  void add_gpus() {
    for (const NvmlGpu& gpu : nvml_->gpus) {
      add_gpu(gpu.bus_id);
    }
    for (const PciDevice& device : machine_->devices) {
      if (device.kind == PciDevice::Kind::gpu && !gpu_.contains(device.bus_id)) {
        add_gpu(device.bus_id);
      }
    }
  }

  void add_sockets() {
    int memories = 0;
    for (std::size_t s = 0; s < machine_->sockets.size(); ++s) {
      sockets_.push_back(builder_.add_vertex(fmt::format("socket{}", s), VertexKind::root_complex));
      for (std::size_t m = 0; m < machine_->sockets[s].memory.size(); ++m) {
        const int memory =
            builder_.add_vertex(fmt::format("memory{}", memories++), VertexKind::host_memory);
        builder_.add_link(sockets_[s], memory, {{options_->memory}, kMemoryLatency});
      }
      for (std::size_t other = 0; other < s; ++other) {
        builder_.add_link(sockets_[other], sockets_[s], {{options_->socket_link}, kPcieLatency});
      }
    }
  }

  // GPUs slow their link down while they idle, so that NVML's greatest counts before hwloc's.
  double rate_of(const PciDevice& device) const {
    for (const NvmlGpu& gpu : nvml_->gpus) {
      if (gpu.bus_id == device.bus_id && gpu.pcie > 0) {
        return gpu.pcie;
      }
    }
    if (device.link > 0) {
      return round_rate(device.link);
    }
    return facts_ != nullptr ? facts_->pcie : kUnknownSlot;
  }

  void add_devices() {
    std::vector<int> vertex;
    std::map<std::string, bool> placed;
    int switches = 0;
    int nics = 0;
    for (const PciDevice& device : machine_->devices) {
      switch (device.kind) {
        case PciDevice::Kind::gpu:
          vertex.push_back(gpu_.at(device.bus_id));
          placed[device.bus_id] = true;
          break;
        case PciDevice::Kind::nic:
          vertex.push_back(builder_.add_vertex(fmt::format("nic{}", nics++), VertexKind::nic));
          break;
        case PciDevice::Kind::pcie_switch:
          vertex.push_back(builder_.add_vertex(fmt::format("pcie_switch{}", switches++),
                                               VertexKind::pcie_switch));
          break;
      }
      const int parent = device.parent < 0 ? sockets_.at(device.socket) : vertex[device.parent];
      builder_.add_link(vertex.back(), parent, {{rate_of(device)}, kPcieLatency});
    }
    // A container may hide the bus from hwloc.
    for (const auto& [bus_id, gpu] : gpu_) {
      if (!placed.contains(bus_id)) {
        PciDevice hidden;
        hidden.bus_id = bus_id;
        builder_.add_link(gpu, sockets_.front(), {{rate_of(hidden)}, kPcieLatency});
      }
    }
  }

  void add_nvlinks() {
    std::map<std::pair<int, int>, int> count;
    for (const NvmlGpu& gpu : nvml_->gpus) {
      const int from = gpu_.at(gpu.bus_id);
      for (const NvmlGpu::Link& link : gpu.links) {
        const auto peer = gpu_.find(link.bus_id);
        if (link.to == NvmlGpu::Link::To::nvswitch) {
          ++count[{from, -1}];
        } else if (link.to == NvmlGpu::Link::To::gpu && peer != gpu_.end() && from < peer->second) {
          ++count[{from, peer->second}];
        }
      }
    }
    if (count.empty()) {
      return;
    }
    if (facts_ == nullptr || facts_->nvlink_per_link == 0) {
      throw InputError(
          fmt::format("\"{}\" has NVLinks of a rate that is not known here; name the "
                      "nearest GPU with --gpu, such as h100-sxm",
                      nvml_->gpus.front().name));
    }
    int nvswitch = -1;
    for (const auto& [ends, links] : count) {
      int to = ends.second;
      if (to < 0) {
        nvswitch = nvswitch >= 0 ? nvswitch
                                 : builder_.add_vertex("nvswitch", VertexKind::nvswitch, 0,
                                                       facts_->multicast);
        to = nvswitch;
      }
      builder_.add_link(ends.first, to, {{links * facts_->nvlink_per_link}, kNvlinkLatency},
                        LinkClass::nvlink);
    }
  }

  const MachineTree* machine_;
  const NvmlReport* nvml_;
  const DetectOptions* options_;
  const importer::GpuFacts* facts_ = nullptr;
  ClusterSpec spec_;
  ClusterBuilder builder_;
  std::map<std::string, int> gpu_;  // vertex by bus id
  std::vector<int> sockets_;
  int gpus_ = 0;
};

}  // namespace

std::string facts_name(const std::string& nvml_name) {
  for (const KnownGpu& known : kKnown) {
    if (nvml_name.find(known.part) != std::string::npos) {
      return std::string(known.facts);
    }
  }
  return "";
}

ClusterSpec detect_cluster(const MachineTree& machine, const NvmlReport& nvml,
                           const DetectOptions& options) {
  ClusterSpec spec = ClusterMaker(machine, nvml, options).make();
  spec.name = "this-machine";
  spec.source = fmt::format(
      "foretoken topology detect: hwloc{}; latencies, memory and socket links are assumed",
      nvml.gpus.empty() ? "" : " and NVML (" + nvml.gpus.front().name + ")");
  return spec;
}

}  // namespace foretoken::calibrate
