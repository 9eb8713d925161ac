// What NVIDIA's management library says of this machine's GPUs. Loaded at run time: our programs
// start without it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace foretoken::calibrate {

struct NvmlGpu {
  std::string name;    // "NVIDIA H100 80GB HBM3"
  std::string bus_id;  // 0000:17:00.0, lower case
  double pcie = 0;     // bytes/s one way of the fastest link of GPU and slot; 0: unknown
  // One entry per NVLink that is up.
  struct Link {
    enum class To : std::uint8_t { gpu, nvswitch, other } to = To::gpu;
    std::string bus_id;  // of the other end
  };
  std::vector<Link> links;
};

struct NvmlReport {
  std::vector<NvmlGpu> gpus;  // in NVML's order, which is that of the bus
  std::string missing;        // why there is no answer; empty: there is
};

// `library`: the file to load; empty: the driver's.
NvmlReport read_nvml(const std::string& library = "");

}  // namespace foretoken::calibrate
