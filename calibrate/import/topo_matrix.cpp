#include "calibrate/import/topo_matrix.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <filesystem>
#include <map>
#include <numeric>
#include <optional>
#include <sstream>
#include <vector>

#include "calibrate/import/gpu_facts.h"
#include "sim/core/error.h"
#include "sim/topology/builders.h"

namespace foretoken::importer {
namespace {

constexpr Time kNvlinkLatency{350'000};  // assumed, as in topologies/*.yaml
constexpr Time kPcieLatency{250'000};

enum class Relation { unknown, self, nvlink, pix, pxb, host, sys };

struct Cell {
  Relation relation = Relation::unknown;
  int links = 0;  // of nvlink
};

struct Matrix {
  std::vector<std::string> devices;
  std::vector<std::vector<Cell>> cells;
  std::vector<std::string> home;  // NUMA node, else CPU list; empty: not stated
  bool is_gpu(std::size_t device) const { return devices[device].starts_with("GPU"); }
};

std::vector<std::string> words(std::string line) {
  // Terminals get the header underlined: ESC [ ... m.
  for (std::size_t begin = line.find('\x1b'); begin != std::string::npos;
       begin = line.find('\x1b')) {
    const std::size_t end = line.find('m', begin);
    line.erase(begin, end == std::string::npos ? std::string::npos : end - begin + 1);
  }
  std::istringstream stream(line);
  std::vector<std::string> found;
  for (std::string word; stream >> word;) {
    found.push_back(word);
  }
  return found;
}

std::optional<Cell> read_cell(const std::string& word) {
  if (word == "X") {
    return Cell{Relation::self, 0};
  }
  if (word == "PIX") {
    return Cell{Relation::pix, 0};
  }
  if (word == "PXB") {
    return Cell{Relation::pxb, 0};
  }
  if (word == "PHB" || word == "NODE") {
    return Cell{Relation::host, 0};
  }
  if (word == "SYS" || word == "SOC") {
    return Cell{Relation::sys, 0};
  }
  int links = 0;
  if (word.starts_with("NV")) {
    const char* end = word.data() + word.size();
    const auto [rest, code] = std::from_chars(word.data() + 2, end, links);
    if (code == std::errc() && rest == end && links > 0) {
      return Cell{Relation::nvlink, links};
    }
  }
  return std::nullopt;
}

class MatrixReader {
 public:
  explicit MatrixReader(const TopoMatrixOptions& options) : options_(&options) {}

  Matrix read(const std::string& text) {
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) {
      ++line_;
      const std::vector<std::string> row = words(line);
      if (row.empty() || row.front().starts_with("#")) {
        continue;
      }
      if (matrix_.devices.empty()) {
        read_header(row);
      } else if (row.front() == "Legend:" || row.front() == "NIC") {
        break;
      } else {
        read_row(row);
      }
    }
    if (matrix_.devices.empty()) {
      throw InputError(SourceMark{options_->file, 0, 0}, "",
                       "holds no matrix; paste what `nvidia-smi topo -m` prints, with its header "
                       "line that starts with GPU0");
    }
    mirror();
    return std::move(matrix_);
  }

 private:
  [[noreturn]] void refuse(const std::string& message) const {
    throw InputError(SourceMark{options_->file, line_, 0}, "", message);
  }

  void read_header(const std::vector<std::string>& row) {
    if (row.front() != "GPU0" || (row.size() > 1 && row[1] == "X")) {
      return;  // a prompt, a comment, a date
    }
    for (const std::string& word : row) {
      if (word.starts_with("CPU")) {
        break;
      }
      if (std::find(matrix_.devices.begin(), matrix_.devices.end(), word) !=
          matrix_.devices.end()) {
        refuse(fmt::format("duplicate device \"{}\" in the header", word));
      }
      matrix_.devices.push_back(word);
    }
    const std::size_t count = matrix_.devices.size();
    matrix_.cells.assign(count, std::vector<Cell>(count));
    matrix_.home.resize(count);
  }

  void read_row(const std::vector<std::string>& row) {
    const auto it = std::find(matrix_.devices.begin(), matrix_.devices.end(), row.front());
    if (it == matrix_.devices.end()) {
      return;  // the NIC legend
    }
    const auto device = static_cast<std::size_t>(it - matrix_.devices.begin());
    const std::size_t count = matrix_.devices.size();
    if (row.size() < count + 1) {
      refuse(
          fmt::format("the row of {} has {} entries, the header {} devices; paste the whole line",
                      row.front(), row.size() - 1, count));
    }
    for (std::size_t i = 0; i < count; ++i) {
      const std::optional<Cell> cell = read_cell(row[i + 1]);
      if (!cell) {
        refuse(fmt::format("\"{}\" is none of X, NV1.., PIX, PXB, PHB, NODE, SYS", row[i + 1]));
      }
      if ((cell->relation == Relation::self) != (i == device)) {
        refuse(fmt::format("the X of {} stands in another column", row.front()));
      }
      matrix_.cells[device][i] = *cell;
    }
    read_home(device, {row.begin() + static_cast<std::ptrdiff_t>(count) + 1, row.end()});
  }

  // What follows the relations: CPU affinity, NUMA affinity, and on newer drivers a GPU NUMA id.
  void read_home(std::size_t device, const std::vector<std::string>& rest) {
    if (rest.size() > 1 && rest[1] != "N/A" && !rest[1].starts_with("(")) {
      matrix_.home[device] = "NUMA " + rest[1];
    } else if (!rest.empty() && !rest[0].starts_with("(")) {
      matrix_.home[device] = "CPU " + rest[0];
    }
  }

  // Missing rows from the columns; the two triangles must agree.
  void mirror() {
    for (std::size_t i = 0; i < matrix_.devices.size(); ++i) {
      for (std::size_t j = 0; j < i; ++j) {
        Cell& a = matrix_.cells[i][j];
        Cell& b = matrix_.cells[j][i];
        if (a.relation == Relation::unknown) {
          a = b;
        } else if (b.relation == Relation::unknown) {
          b = a;
        } else if (a.relation != b.relation || a.links != b.links) {
          throw InputError(SourceMark{options_->file, 0, 0}, "",
                           fmt::format("{} and {} disagree about their relation; paste the matrix "
                                       "anew",
                                       matrix_.devices[i], matrix_.devices[j]));
        }
      }
    }
  }

  const TopoMatrixOptions* options_;
  Matrix matrix_;
  int line_ = 0;
};

// Sets of devices that hang together by some relation.
class Sets {
 public:
  explicit Sets(std::size_t count) : parent_(count) {
    std::iota(parent_.begin(), parent_.end(), std::size_t{0});
  }
  std::size_t find(std::size_t i) {
    while (parent_[i] != i) {
      i = parent_[i] = parent_[parent_[i]];
    }
    return i;
  }
  // The smaller index stands for the set.
  void join(std::size_t a, std::size_t b) {
    a = find(a);
    b = find(b);
    parent_[std::max(a, b)] = std::min(a, b);
  }

 private:
  std::vector<std::size_t> parent_;
};

class TreeBuilder {
 public:
  TreeBuilder(const Matrix& matrix, const GpuFacts& facts, const TopoMatrixOptions& options)
      : matrix_(&matrix),
        facts_(&facts),
        options_(&options),
        builder_(spec_),
        switch_(joined({Relation::pix})),
        upper_(joined({Relation::pix, Relation::pxb})),
        socket_(joined({Relation::pix, Relation::pxb, Relation::host})) {}

  ClusterSpec build() {
    join_by_home();
    for (std::size_t i = 0; i < matrix_->devices.size(); ++i) {
      const bool gpu = matrix_->is_gpu(i);
      std::string id = matrix_->devices[i];
      std::transform(id.begin(), id.end(), id.begin(),
                     [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
      if (!near_gpu(i)) {
        vertex_.push_back(-1);
        continue;
      }
      vertex_.push_back(builder_.add_vertex(id, gpu ? VertexKind::gpu : VertexKind::nic));
    }
    add_nvlink();
    for (std::size_t i = 0; i < matrix_->devices.size(); ++i) {
      if (vertex_[i] >= 0) {
        builder_.add_link(vertex_[i], parent_of(i), pcie());
      }
    }
    add_socket_links();
    return std::move(spec_);
  }

 private:
  // A NIC that is SYS to every GPU (storage, front end) has no known place in the tree.
  bool near_gpu(std::size_t device) const {
    if (matrix_->is_gpu(device)) {
      return true;
    }
    for (std::size_t i = 0; i < matrix_->devices.size(); ++i) {
      const Relation relation = matrix_->cells[device][i].relation;
      if (matrix_->is_gpu(i) && relation != Relation::sys && relation != Relation::unknown) {
        return true;
      }
    }
    return false;
  }

  LinkParameters pcie() const { return {{facts_->pcie}, kPcieLatency}; }

  Sets joined(const std::vector<Relation>& relations) const {
    const std::size_t count = matrix_->devices.size();
    Sets sets(count);
    for (std::size_t i = 0; i < count; ++i) {
      for (std::size_t j = 0; j < i; ++j) {
        const Relation relation = matrix_->cells[i][j].relation;
        if (std::find(relations.begin(), relations.end(), relation) != relations.end()) {
          sets.join(i, j);
        }
      }
    }
    return sets;
  }

  // Devices of one NUMA node share a socket, also where an NVn entry hides it.
  void join_by_home() {
    std::map<std::string, std::size_t> first;
    for (std::size_t i = 0; i < matrix_->devices.size(); ++i) {
      if (!matrix_->home[i].empty()) {
        const auto [it, fresh] = first.emplace(matrix_->home[i], i);
        if (!fresh && matrix_->cells[i][it->second].relation != Relation::sys) {
          socket_.join(i, it->second);
        }
      }
    }
  }

  std::size_t members(Sets& sets, std::size_t of) {
    std::size_t count = 0;
    for (std::size_t i = 0; i < matrix_->devices.size(); ++i) {
      count += sets.find(i) == sets.find(of) ? 1 : 0;
    }
    return count;
  }

  int root_of(std::size_t device) {
    const std::size_t set = socket_.find(device);
    if (const auto it = roots_.find(set); it != roots_.end()) {
      return it->second;
    }
    const int root =
        builder_.add_vertex(fmt::format("socket{}", roots_.size()), VertexKind::root_complex);
    return roots_.emplace(set, root).first->second;
  }

  int upper_of(std::size_t device) {
    const std::size_t set = upper_.find(device);
    // An upper switch only where it joins several switches.
    if (members(upper_, device) == members(switch_, device)) {
      return root_of(device);
    }
    if (const auto it = uppers_.find(set); it != uppers_.end()) {
      return it->second;
    }
    const int upper =
        builder_.add_vertex(fmt::format("upper_switch{}", uppers_.size()), VertexKind::pcie_switch);
    builder_.add_link(upper, root_of(device), pcie());
    return uppers_.emplace(set, upper).first->second;
  }

  // A switch of its own for a device that is PXB to others: they are two switches apart.
  int parent_of(std::size_t device) {
    const std::size_t set = switch_.find(device);
    const bool alone = members(switch_, device) == 1;
    if (alone && members(upper_, device) == 1) {
      return root_of(device);
    }
    if (const auto it = switches_.find(set); it != switches_.end()) {
      return it->second;
    }
    const int pcie_switch = builder_.add_vertex(fmt::format("pcie_switch{}", switches_.size()),
                                                VertexKind::pcie_switch);
    builder_.add_link(pcie_switch, upper_of(device), pcie());
    return switches_.emplace(set, pcie_switch).first->second;
  }

  // All pairs alike and more than two GPUs: NVSwitch. Else links between pairs.
  void add_nvlink() {
    std::vector<std::pair<std::size_t, std::size_t>> pairs;
    int links = 0;
    bool alike = true;
    int gpus = 0;
    for (std::size_t i = 0; i < matrix_->devices.size(); ++i) {
      gpus += matrix_->is_gpu(i) ? 1 : 0;
      for (std::size_t j = 0; j < i; ++j) {
        const Cell& cell = matrix_->cells[i][j];
        if (cell.relation == Relation::nvlink) {
          pairs.emplace_back(j, i);
          alike &= links == 0 || links == cell.links;
          links = cell.links;
        } else if (matrix_->is_gpu(i) && cell.relation != Relation::unknown) {
          alike = false;
        }
      }
    }
    if (pairs.empty()) {
      return;
    }
    if (facts_->nvlink_per_link == 0) {
      throw InputError(SourceMark{options_->file, 0, 0}, "",
                       fmt::format("the matrix shows NVLink, but \"{}\" has none; name the right "
                                   "--gpu",
                                   facts_->name));
    }
    const auto link = [&](int count) {
      return LinkParameters{{count * facts_->nvlink_per_link}, kNvlinkLatency};
    };
    if (alike && gpus > 2) {
      const int nvswitch =
          builder_.add_vertex("nvswitch", VertexKind::nvswitch, 0, facts_->multicast);
      for (std::size_t i = 0; i < matrix_->devices.size(); ++i) {
        if (matrix_->is_gpu(i)) {
          builder_.add_link(vertex_[i], nvswitch, link(links));
        }
      }
      return;
    }
    for (const auto& [a, b] : pairs) {
      builder_.add_link(vertex_[a], vertex_[b], link(matrix_->cells[a][b].links));
    }
  }

  void add_socket_links() {
    const LinkParameters between{{options_->socket_link}, kPcieLatency};
    for (auto a = roots_.begin(); a != roots_.end(); ++a) {
      for (auto b = std::next(a); b != roots_.end(); ++b) {
        builder_.add_link(a->second, b->second, between);
      }
    }
  }

  const Matrix* matrix_;
  const GpuFacts* facts_;
  const TopoMatrixOptions* options_;
  ClusterSpec spec_;
  ClusterBuilder builder_;
  Sets switch_, upper_, socket_;
  std::vector<int> vertex_;  // by device
  std::map<std::size_t, int> roots_, uppers_, switches_;
};

}  // namespace

ClusterSpec import_topo_matrix(const std::string& text, const TopoMatrixOptions& options) {
  const GpuFacts& facts = gpu_facts(options.gpu);
  const Matrix matrix = MatrixReader(options).read(text);
  ClusterSpec spec = TreeBuilder(matrix, facts, options).build();
  spec.name = std::filesystem::path(options.file).stem().string();
  spec.profile = std::string(facts.name);
  spec.file = options.file;
  spec.source = fmt::format(
      "nvidia-smi topo -m in {} with {} facts; latencies and the link between sockets are assumed",
      std::filesystem::path(options.file).filename().string(), facts.name);
  return spec;
}

}  // namespace foretoken::importer
