#include "calibrate/import/gpu_facts.h"

#include <array>
#include <vector>

#include "sim/core/error.h"
#include "sim/core/quantity.h"

namespace foretoken::importer {
namespace {

// NVLink 2 to 4 carry 25 GB/s per link and direction, NVLink 5 50 GB/s; PCIe x16 one way: Gen3 16,
// Gen4 32, Gen5 64 GB/s (ai-dynamo/aiconfigurator systems/*.yaml; links per GPU from nvidia-smi).
constexpr std::array kFacts{GpuFacts{"v100-sxm2", 25e9, 16e9, false},
                            GpuFacts{"a100-sxm-80gb", 25e9, 32e9, false},
                            GpuFacts{"a100-sxm-40gb", 25e9, 32e9, false},
                            GpuFacts{"a100-pcie-80gb", 25e9, 32e9, false},
                            GpuFacts{"a800", 25e9, 32e9, false},
                            GpuFacts{"h100-sxm", 25e9, 64e9, true},
                            GpuFacts{"h200-sxm", 25e9, 64e9, true},
                            GpuFacts{"h800-sxm", 25e9, 64e9, true},
                            GpuFacts{"b200-sxm", 50e9, 64e9, true},
                            GpuFacts{"l40", 0, 32e9, false},
                            GpuFacts{"l40s", 0, 32e9, false},
                            GpuFacts{"rtx-4090", 0, 32e9, false},
                            GpuFacts{"rtx-pro-6000", 0, 64e9, false},
                            GpuFacts{"gtx-1080ti", 0, 16e9, false}};

}  // namespace

std::span<const GpuFacts> gpu_facts() { return kFacts; }

const GpuFacts& gpu_facts(std::string_view name) {
  std::vector<std::string_view> names;
  for (const GpuFacts& facts : kFacts) {
    if (facts.name == name) {
      return facts;
    }
    names.push_back(facts.name);
  }
  const std::string_view near = nearest(name, names);
  std::string known;
  for (const std::string_view candidate : names) {
    known += known.empty() ? "" : ", ";
    known += candidate;
  }
  throw InputError(
      fmt::format("--gpu: unknown GPU \"{}\" ({})", name,
                  near.empty() ? "one of " + known : fmt::format("did you mean \"{}\"?", near)));
}

}  // namespace foretoken::importer
