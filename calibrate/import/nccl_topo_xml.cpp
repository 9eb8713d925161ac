#include "calibrate/import/nccl_topo_xml.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <map>
#include <optional>
#include <pugixml.hpp>
#include <string_view>
#include <vector>

#include "calibrate/import/gpu_facts.h"
#include "sim/core/error.h"
#include "sim/topology/builders.h"

namespace foretoken::importer {
namespace {

constexpr Time kNvlinkLatency{350'000};  // assumed, as in topologies/*.yaml
constexpr Time kPcieLatency{250'000};
constexpr int kMaxDepth = 16;  // PCIe switches below each other
constexpr int kMaxLanes = 32;
// Device classes that an NVLink's `tclass` names.
constexpr std::string_view kGpuClass = "0x03";
constexpr std::string_view kNvswitchClass = "0x068000";
constexpr std::string_view kCpuClass = "0x068001";

struct Gpu {
  pugi::xml_node pci;
  pugi::xml_node gpu;
  std::int64_t dev = 0;
  int vertex = -1;
};

class XmlImport {
 public:
  XmlImport(const std::string& text, const TopoXmlOptions& options)
      : text_(&text), options_(&options), facts_(&gpu_facts(options.gpu)), builder_(spec_) {}

  ClusterSpec build() {
    pugi::xml_document document;
    const pugi::xml_parse_result parsed =
        document.load_buffer(text_->data(), text_->size(), pugi::parse_default);
    if (!parsed) {
      refuse(parsed.offset, fmt::format("no XML: {}; dump it anew with NCCL_TOPO_DUMP_FILE",
                                        lower(parsed.description())));
    }
    const pugi::xml_node system = document.child("system");
    if (!system) {
      refuse(0, "no <system>: this is not what NCCL_TOPO_DUMP_FILE writes");
    }
    for (const pugi::xml_node cpu : system.children("cpu")) {
      collect(cpu, 0);
    }
    if (gpus_.empty()) {
      refuse(system, "no <gpu> below any <cpu>; dump it on a machine with GPUs");
    }
    add_gpus();
    for (const pugi::xml_node cpu : system.children("cpu")) {
      add_cpu(cpu);
    }
    add_socket_links();
    add_nvlinks();
    return std::move(spec_);
  }

 private:
  static std::string lower(std::string text) {
    std::transform(text.begin(), text.end(), text.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return text;
  }

  [[noreturn]] void refuse(std::ptrdiff_t offset, const std::string& message) const {
    const std::ptrdiff_t end =
        std::clamp<std::ptrdiff_t>(offset, 0, static_cast<std::ptrdiff_t>(text_->size()));
    const auto line = static_cast<int>(1 + std::count(text_->begin(), text_->begin() + end, '\n'));
    throw InputError(SourceMark{options_->file, line, 0}, "", message);
  }
  [[noreturn]] void refuse(const pugi::xml_node& node, const std::string& message) const {
    refuse(node.offset_debug(), message);
  }

  std::int64_t integer(const pugi::xml_node& node, const char* attribute) const {
    const std::string_view text = node.attribute(attribute).value();
    std::int64_t value = 0;
    const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (code != std::errc() || end != text.data() + text.size() || value < 0) {
      refuse(node,
             fmt::format("<{} {}=\"{}\">: expected a whole number", node.name(), attribute, text));
    }
    return value;
  }

  std::string bus_id(const pugi::xml_node& pci) const {
    std::string id = lower(pci.attribute("busid").value());
    if (id.empty()) {
      refuse(pci, "<pci> without a busid");
    }
    return id;
  }

  // Walks the tree once for GPUs, and for bus ids that stand twice.
  void collect(const pugi::xml_node& parent, int depth) {
    for (const pugi::xml_node pci : parent.children("pci")) {
      if (depth == kMaxDepth) {
        refuse(pci, fmt::format("more than {} PCIe switches below each other", kMaxDepth));
      }
      if (!known_.insert({bus_id(pci), -1}).second) {
        refuse(pci, fmt::format("bus id {} stands twice; remove one", bus_id(pci)));
      }
      if (const pugi::xml_node gpu = pci.child("gpu")) {
        gpus_.push_back({pci, gpu, integer(gpu, "dev")});
      }
      collect(pci, depth + 1);
    }
  }

  void add_gpus() {
    std::sort(gpus_.begin(), gpus_.end(), [](const Gpu& a, const Gpu& b) { return a.dev < b.dev; });
    for (std::size_t i = 0; i < gpus_.size(); ++i) {
      if (i > 0 && gpus_[i].dev == gpus_[i - 1].dev) {
        refuse(gpus_[i].gpu, fmt::format("two GPUs with dev={}; remove one", gpus_[i].dev));
      }
      gpus_[i].vertex = builder_.add_vertex(fmt::format("gpu{}", i), VertexKind::gpu);
      known_[bus_id(gpus_[i].pci)] = gpus_[i].vertex;
    }
  }

  void add_cpu(const pugi::xml_node& cpu) {
    if (!cpu.child("pci")) {
      return;
    }
    const std::string id = fmt::format("numa{}", integer(cpu, "numaid"));
    if (builder_.find(id) >= 0) {
      refuse(cpu, fmt::format("two <cpu> with numaid={}; remove one", integer(cpu, "numaid")));
    }
    const int root = builder_.add_vertex(id, VertexKind::root_complex);
    roots_.push_back(root);
    for (const pugi::xml_node pci : cpu.children("pci")) {
      add_pci(pci, root);
    }
  }

  void add_pci(const pugi::xml_node& pci, int parent) {
    int vertex = known_.at(bus_id(pci));
    if (vertex < 0 && pci.child("nic")) {
      vertex = builder_.add_vertex(fmt::format("nic{}", nics_++), VertexKind::nic);
    } else if (vertex < 0 && pci.child("pci")) {
      vertex =
          builder_.add_vertex(fmt::format("pcie_switch{}", switches_++), VertexKind::pcie_switch);
    } else if (vertex < 0) {
      return;  // a bridge to nothing, an SSD
    } else if (const pugi::xml_node below = pci.child("pci")) {
      refuse(below, "a <pci> below a GPU's; only switches have devices below them");
    }
    builder_.add_link(vertex, parent, {{pcie_rate(pci)}, kPcieLatency});
    for (const pugi::xml_node below : pci.children("pci")) {
      add_pci(below, vertex);
    }
  }

  // Bytes per second one way, in the round numbers by which links go: transfers x lanes / 8, with
  // the fifth that 8b/10b takes from the first two generations.
  double pcie_rate(const pugi::xml_node& pci) const {
    const std::string_view speed = pci.attribute("link_speed").value();
    const std::string_view width = pci.attribute("link_width").value();
    if (speed.empty() || speed.starts_with("Unknown") || width.empty() || width == "0" ||
        width == "255") {
      return facts_->pcie;
    }
    double transfers = 0;
    const auto [end, code] = std::from_chars(speed.data(), speed.data() + speed.size(), transfers);
    const std::string_view unit(end, static_cast<std::size_t>(speed.data() + speed.size() - end));
    constexpr double kGenerations[]{2.5, 5, 8, 16, 32, 64};
    const bool generation = std::find(std::begin(kGenerations), std::end(kGenerations),
                                      transfers) != std::end(kGenerations);
    if (code != std::errc() || !generation || !unit.starts_with(" GT/s")) {
      refuse(pci, fmt::format("link_speed=\"{}\": expected such as \"16.0 GT/s PCIe\" (2.5, 5, 8, "
                              "16, 32 or 64)",
                              speed));
    }
    const std::int64_t lanes = integer(pci, "link_width");
    if (lanes > kMaxLanes) {
      refuse(pci, fmt::format("link_width=\"{}\": PCIe has at most {} lanes", lanes, kMaxLanes));
    }
    return transfers * 1e9 * static_cast<double>(lanes) / 8 * (transfers <= 5 ? 0.8 : 1);
  }

  void add_socket_links() {
    for (std::size_t a = 0; a < roots_.size(); ++a) {
      for (std::size_t b = a + 1; b < roots_.size(); ++b) {
        builder_.add_link(roots_[a], roots_[b], {{options_->socket_link}, kPcieLatency});
      }
    }
  }

  // Links by the two ends; the end of a link to a switch is the switch's vertex.
  void add_nvlinks() {
    std::map<std::pair<int, int>, std::int64_t> count;
    std::map<std::pair<int, int>, pugi::xml_node> where;
    for (const Gpu& gpu : gpus_) {
      for (const pugi::xml_node link : gpu.gpu.children("nvlink")) {
        const std::pair ends{gpu.vertex, other_end(gpu, link)};
        count[ends] += integer(link, "count");
        where.try_emplace(ends, link);
      }
    }
    for (const auto& [ends, links] : count) {
      const auto [a, b] = ends;
      const bool between_gpus = spec_.vertices[b].kind == VertexKind::gpu;
      if (between_gpus) {
        const auto back = count.find({b, a});
        if (back == count.end() || back->second != links) {
          refuse(where.at(ends),
                 fmt::format("{} shows {} NVLinks to {}, which shows {} back", spec_.vertices[a].id,
                             links, spec_.vertices[b].id, back == count.end() ? 0 : back->second));
        }
      }
      if (links > 0 && (!between_gpus || a < b)) {
        builder_.add_link(a, b,
                          {{static_cast<double>(links) * facts_->nvlink_per_link}, kNvlinkLatency},
                          LinkClass::nvlink);
      }
    }
  }

  int other_end(const Gpu& gpu, const pugi::xml_node& link) {
    if (facts_->nvlink_per_link == 0) {
      refuse(link, fmt::format("the dump shows NVLink, but \"{}\" has none; name the right --gpu",
                               facts_->name));
    }
    const std::string target = lower(link.attribute("target").value());
    const std::string_view kind = link.attribute("tclass").value();
    if (kind.starts_with(kNvswitchClass)) {
      if (nvswitch_ < 0) {
        nvswitch_ = builder_.add_vertex("nvswitch", VertexKind::nvswitch, 0, facts_->multicast);
      }
      return nvswitch_;
    }
    if (kind.starts_with(kCpuClass)) {
      pugi::xml_node cpu = gpu.pci;
      while (cpu && std::string_view(cpu.name()) != "cpu") {
        cpu = cpu.parent();
      }
      return builder_.find(fmt::format("numa{}", integer(cpu, "numaid")));
    }
    const auto it = known_.find(target);
    if (!kind.starts_with(kGpuClass) || it == known_.end() || it->second < 0) {
      refuse(link, fmt::format("an NVLink to \"{}\" of class \"{}\", which is no GPU of this dump, "
                               "no NVSwitch (0x068000) and no CPU (0x068001)",
                               target, kind));
    }
    if (it->second == gpu.vertex) {
      refuse(link, "an NVLink from a GPU to itself");
    }
    return it->second;
  }

  const std::string* text_;
  const TopoXmlOptions* options_;
  const GpuFacts* facts_;
  ClusterSpec spec_;
  ClusterBuilder builder_;
  std::vector<Gpu> gpus_;
  std::map<std::string, int> known_;  // vertex by bus id; -1: none yet
  std::vector<int> roots_;
  int switches_ = 0;
  int nics_ = 0;
  int nvswitch_ = -1;
};

}  // namespace

ClusterSpec import_topo_xml(const std::string& text, const TopoXmlOptions& options) {
  ClusterSpec spec = XmlImport(text, options).build();
  spec.name = std::filesystem::path(options.file).stem().string();
  spec.profile = std::string(gpu_facts(options.gpu).name);
  spec.file = options.file;
  spec.source = fmt::format(
      "NCCL_TOPO_DUMP_FILE in {} with {} facts; latencies and the links between NUMA nodes are "
      "assumed",
      std::filesystem::path(options.file).filename().string(), spec.profile);
  return spec;
}

}  // namespace foretoken::importer
