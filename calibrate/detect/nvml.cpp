#include "calibrate/detect/nvml.h"

#include <fmt/format.h>

#include <array>

#include "kernels/base/dynamic_library.h"
#include "kernels/base/error.h"

namespace foretoken::calibrate {
namespace {

// The few declarations of nvml.h that are used here; stable since driver 450.
using Device = void*;
struct PciInfo {
  std::array<char, 16> bus_id_legacy;
  unsigned domain, bus, device, device_id, subsystem_id;
  std::array<char, 32> bus_id;
};
constexpr int kSuccess = 0;
constexpr unsigned kMaxLinks = 18;
constexpr int kRemoteGpu = 0;
constexpr int kRemoteSwitch = 2;

// 00000000:17:00.0 to 0000:17:00.0, as hwloc writes it.
std::string bus_id_of(const PciInfo& pci) {
  return fmt::format("{:04x}:{:02x}:{:02x}.0", pci.domain, pci.bus, pci.device);
}

// Nominal, as topologies state it: 8 GT/s and 16 lanes are 16 GB/s.
double pcie_rate(unsigned generation, unsigned lanes) {
  if (generation < 1 || generation > 6 || lanes == 0 || lanes > 32) {
    return 0;
  }
  const double coding = generation <= 2 ? 0.8 : 1;
  const double transfers = generation == 1   ? 2.5e9
                           : generation == 2 ? 5e9
                                             : 1e9 * (1U << generation);
  return coding * transfers * lanes / 8;
}

class Nvml {
 public:
  explicit Nvml(const std::string& library)
      : library_("NVML", {library.empty() ? "libnvidia-ml.so.1" : library}) {
    init_ = library_.symbol<int()>("nvmlInit_v2");
    shutdown_ = library_.symbol<int()>("nvmlShutdown");
    error_ = library_.symbol<const char*(int)>("nvmlErrorString");
    count_ = library_.symbol<int(unsigned*)>("nvmlDeviceGetCount_v2");
    handle_ = library_.symbol<int(unsigned, Device*)>("nvmlDeviceGetHandleByIndex_v2");
    name_ = library_.symbol<int(Device, char*, unsigned)>("nvmlDeviceGetName");
    pci_ = library_.symbol<int(Device, PciInfo*)>("nvmlDeviceGetPciInfo_v3");
    generation_ = library_.symbol<int(Device, unsigned*)>("nvmlDeviceGetMaxPcieLinkGeneration");
    width_ = library_.symbol<int(Device, unsigned*)>("nvmlDeviceGetMaxPcieLinkWidth");
    link_state_ = library_.symbol<int(Device, unsigned, int*)>("nvmlDeviceGetNvLinkState");
    link_pci_ =
        library_.symbol<int(Device, unsigned, PciInfo*)>("nvmlDeviceGetNvLinkRemotePciInfo_v2");
    link_type_ =
        library_.symbol<int(Device, unsigned, int*)>("nvmlDeviceGetNvLinkRemoteDeviceType");
    check(init_(), "nvmlInit_v2");
    running_ = true;
  }
  Nvml(const Nvml&) = delete;
  Nvml& operator=(const Nvml&) = delete;
  ~Nvml() {
    if (running_) {
      shutdown_();
    }
  }

  std::vector<NvmlGpu> gpus() const {
    unsigned count = 0;
    check(count_(&count), "nvmlDeviceGetCount_v2");
    std::vector<NvmlGpu> gpus;
    for (unsigned i = 0; i < count; ++i) {
      gpus.push_back(gpu(i));
    }
    return gpus;
  }

 private:
  void check(int result, const char* call) const {
    if (result != kSuccess) {
      throw kernels::KernelError(fmt::format("NVML: {}: {}", call, error_(result)));
    }
  }

  NvmlGpu gpu(unsigned index) const {
    Device device = nullptr;
    check(handle_(index, &device), "nvmlDeviceGetHandleByIndex_v2");
    std::array<char, 96> name{};
    check(name_(device, name.data(), name.size() - 1), "nvmlDeviceGetName");
    PciInfo pci{};
    check(pci_(device, &pci), "nvmlDeviceGetPciInfo_v3");
    NvmlGpu gpu;
    gpu.name = name.data();
    gpu.bus_id = bus_id_of(pci);
    unsigned generation = 0;
    unsigned lanes = 0;
    if (generation_(device, &generation) == kSuccess && width_(device, &lanes) == kSuccess) {
      gpu.pcie = pcie_rate(generation, lanes);
    }
    for (unsigned link = 0; link < kMaxLinks; ++link) {
      int up = 0;
      if (link_state_(device, link, &up) != kSuccess || up == 0) {
        continue;  // no such link, or none up
      }
      PciInfo remote{};
      int type = kRemoteGpu;
      check(link_pci_(device, link, &remote), "nvmlDeviceGetNvLinkRemotePciInfo_v2");
      check(link_type_(device, link, &type), "nvmlDeviceGetNvLinkRemoteDeviceType");
      gpu.links.push_back({type == kRemoteGpu      ? NvmlGpu::Link::To::gpu
                           : type == kRemoteSwitch ? NvmlGpu::Link::To::nvswitch
                                                   : NvmlGpu::Link::To::other,
                           bus_id_of(remote)});
    }
    return gpu;
  }

  kernels::DynamicLibrary library_;
  bool running_ = false;
  int (*init_)();
  int (*shutdown_)();
  const char* (*error_)(int);
  int (*count_)(unsigned*);
  int (*handle_)(unsigned, Device*);
  int (*name_)(Device, char*, unsigned);
  int (*pci_)(Device, PciInfo*);
  int (*generation_)(Device, unsigned*);
  int (*width_)(Device, unsigned*);
  int (*link_state_)(Device, unsigned, int*);
  int (*link_pci_)(Device, unsigned, PciInfo*);
  int (*link_type_)(Device, unsigned, int*);
};

}  // namespace

NvmlReport read_nvml(const std::string& library) {
  try {
    return {Nvml(library).gpus(), ""};
  } catch (const kernels::KernelError& error) {
    return {{}, error.what()};
  }
}

}  // namespace foretoken::calibrate
