#include "calibrate/import/topo_matrix.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

#include "sim/config/cluster_reader.h"
#include "sim/config/cluster_writer.h"
#include "sim/core/error.h"
#include "sim/topology/topology.h"

namespace foretoken::importer {
namespace {

using testing::HasSubstr;

ClusterSpec import(const std::string& text, const std::string& gpu) {
  return import_topo_matrix(text, {gpu, 40e9, "box.txt"});
}

std::string message(const std::string& text, const std::string& gpu = "l40s") {
  try {
    import(text, gpu);
  } catch (const InputError& error) {
    return error.what();
  }
  return "no error";
}

// As printed by a driver: underlined header, two-word columns, a NIC and the legend.
constexpr const char* kPasted =
    "$ nvidia-smi topo -m\n"
    "\x1b[4m\tGPU0\tGPU1\tGPU2\tGPU3\tNIC0\tCPU Affinity\tNUMA Affinity\tGPU NUMA ID\x1b[0m\n"
    "GPU0\t X \tPIX\tPXB\tSYS\tPIX\t0-31\t0\t\tN/A\n"
    "GPU1\tPIX\t X \tPXB\tSYS\tPIX\t0-31\t0\t\tN/A\n"
    "GPU2\tPXB\tPXB\t X \tSYS\tPXB\t0-31\t0\t\tN/A\n"
    "GPU3\tSYS\tSYS\tSYS\t X \tSYS\t32-63\t1\t\tN/A\n"
    "NIC0\tPIX\tPIX\tPXB\tSYS\t X \t\t\t\t\n"
    "\n"
    "Legend:\n"
    "\n"
    "  X    = Self\n"
    "  SYS  = Connection traversing PCIe as well as the SMP interconnect between NUMA nodes\n"
    "\n"
    "NIC Legend:\n"
    "\n"
    "  NIC0: mlx5_0\n";

TEST(TopoMatrix, A_pasted_matrix_becomes_a_tree_with_its_routes) {
  const Topology topology(import(kPasted, "l40s"));
  EXPECT_EQ(topology.gpu_count(), 4);
  EXPECT_EQ(topology.spec().profile, "l40s");
  EXPECT_EQ(topology.route_class(0, 1), LinkClass::pix);
  EXPECT_EQ(topology.route_class(0, 2), LinkClass::pxb);
  EXPECT_EQ(topology.route_class(0, 3), LinkClass::sys);
  EXPECT_EQ(topology.vertices_of_kind(VertexKind::nic).size(), 1u);
  EXPECT_EQ(topology.vertices_of_kind(VertexKind::root_complex).size(), 2u);
  EXPECT_EQ(topology.link(topology.route(0, 1).links[0]).bandwidth.bytes_per_second, 32e9);
}

TEST(TopoMatrix, Bridges_join_pairs_and_equal_links_mean_a_switch) {
  const Topology pairs(
      import("GPU0 GPU1 GPU2 GPU3 CPU-affinity\n"
             "GPU0 X NV12 SYS SYS 0-15\nGPU1 NV12 X SYS SYS 0-15\n"
             "GPU2 SYS SYS X NV12 16-31\nGPU3 SYS SYS NV12 X 16-31\n",
             "a100-pcie-80gb"));
  EXPECT_EQ(pairs.route(0, 1).links.size(), 1u);
  EXPECT_EQ(pairs.link(pairs.route(0, 1).links[0]).bandwidth.bytes_per_second, 300e9);
  EXPECT_EQ(pairs.route_class(1, 2), LinkClass::sys);
  const Topology box(
      import("GPU0 GPU1 GPU2\nGPU0 X NV18 NV18\nGPU1 NV18 X NV18\nGPU2 NV18 NV18 X\n", "h100-sxm"));
  EXPECT_EQ(box.route(0, 2).links.size(), 2u);
  EXPECT_EQ(box.link(box.route(0, 2).links[0]).bandwidth.bytes_per_second, 450e9);
  EXPECT_TRUE(box.vertex(box.vertices_of_kind(VertexKind::nvswitch).at(0)).multicast);
}

TEST(TopoMatrix, A_nic_far_from_every_gpu_is_left_out) {
  const ClusterSpec spec = import(
      "GPU0 GPU1 NIC0 NIC1\nGPU0 X PIX PIX SYS\nGPU1 PIX X PIX SYS\n"
      "NIC0 PIX PIX X SYS\nNIC1 SYS SYS SYS X\n",
      "l40s");
  const Topology topology(spec);
  EXPECT_EQ(topology.vertices_of_kind(VertexKind::nic).size(), 1u);
  EXPECT_EQ(topology.vertices_of_kind(VertexKind::root_complex).size(), 1u);
}

TEST(TopoMatrix, What_is_written_reads_back_the_same) {
  const ClusterSpec spec = import(kPasted, "l40s");
  const std::filesystem::path path =
      std::filesystem::path(testing::TempDir()) / "imported_topology.yaml";
  std::ofstream(path) << config::write_cluster(spec);
  const ClusterSpec again = config::read_cluster(path.string());
  std::filesystem::remove(path);
  EXPECT_EQ(again.name, spec.name);
  EXPECT_EQ(again.source, spec.source);
  ASSERT_EQ(again.vertices.size(), spec.vertices.size());
  for (std::size_t i = 0; i < spec.vertices.size(); ++i) {
    EXPECT_EQ(again.vertices[i].id, spec.vertices[i].id);
    EXPECT_EQ(again.vertices[i].kind, spec.vertices[i].kind);
  }
  ASSERT_EQ(again.links.size(), spec.links.size());
  for (std::size_t i = 0; i < spec.links.size(); ++i) {
    EXPECT_EQ(again.links[i].from, spec.links[i].from);
    EXPECT_EQ(again.links[i].to, spec.links[i].to);
    EXPECT_EQ(again.links[i].bandwidth, spec.links[i].bandwidth);
    EXPECT_EQ(again.links[i].latency, spec.links[i].latency);
    EXPECT_EQ(again.links[i].link_class, spec.links[i].link_class);
  }
}

TEST(TopoMatrix, Broken_matrices_are_refused_with_the_line) {
  EXPECT_THAT(message("hello\n"), HasSubstr("holds no matrix"));
  EXPECT_THAT(message("GPU0 GPU1\nGPU0 X PIX\nGPU1 PIX\n"),
              testing::AllOf(HasSubstr("box.txt:3"), HasSubstr("GPU1 has 1 entries")));
  EXPECT_THAT(message("GPU0 GPU1\nGPU0 X PIC\nGPU1 PIX X\n"),
              testing::AllOf(HasSubstr("box.txt:2"), HasSubstr("\"PIC\"")));
  EXPECT_THAT(message("GPU0 GPU1\nGPU0 X PIX\nGPU1 PXB X\n"), HasSubstr("disagree"));
  EXPECT_THAT(message("GPU0 GPU0\nGPU0 X PIX\n"), HasSubstr("duplicate"));
  EXPECT_THAT(message("GPU0 GPU1\nGPU0 PIX X\nGPU1 X PIX\n"), HasSubstr("another column"));
  EXPECT_THAT(message("GPU0 GPU1\nGPU0 X NV4\nGPU1 NV4 X\n"), HasSubstr("shows NVLink"));
  EXPECT_THAT(message("GPU0 GPU1\nGPU0 X PIX\nGPU1 PIX X\n", "l40z"), HasSubstr("l40"));
}

// Matrices from public threads: every pair of GPUs gets the route the matrix says.
struct Published {
  const char* file;
  const char* gpu;
  int gpus;
};

void check_routes(const std::string& text, const Topology& topology) {
  std::istringstream stream(text);
  int checked = 0;
  for (std::string line; std::getline(stream, line);) {
    std::istringstream cells(line);
    std::string row, cell;
    cells >> row;
    if (!row.starts_with("GPU")) {
      continue;
    }
    for (int column = 0; column < topology.gpu_count() && cells >> cell; ++column) {
      if (cell.starts_with("GPU")) {
        break;  // the header
      }
      const int gpu = std::stoi(row.substr(3));
      if (cell == "X") {
        continue;
      }
      const LinkClass expected = cell.starts_with("NV") ? LinkClass::nvlink
                                 : cell == "PIX"        ? LinkClass::pix
                                 : cell == "PXB"        ? LinkClass::pxb
                                 : cell == "SYS"        ? LinkClass::sys
                                                        : LinkClass::phb;
      EXPECT_EQ(topology.route_class(gpu, column), expected) << row << " to " << column;
      ++checked;
    }
  }
  EXPECT_GE(checked, topology.gpu_count());
}

TEST(TopoMatrix, Published_matrices_give_every_pair_its_route) {
  const std::filesystem::path folder = "../shared/reference/hardware/topologies";
  if (!std::filesystem::exists(folder)) {
    GTEST_SKIP() << folder << " is not here";
  }
  for (const auto& [file, gpu, gpus] :
       {Published{"dgx_a100.txt", "a100-sxm-40gb", 8}, Published{"hgx_h100_a.txt", "h100-sxm", 8},
        Published{"hgx_h100_b.txt", "h100-sxm", 8},
        Published{"pcie_4xl40s_dual_socket.txt", "l40s", 4},
        Published{"pcie_8gpu_pix_pxb_sys.txt", "gtx-1080ti", 8},
        Published{"pcie_8x4090_two_switches.txt", "rtx-4090", 8}}) {
    SCOPED_TRACE(file);
    std::ifstream stream(folder / file);
    std::ostringstream text;
    text << stream.rdbuf();
    const Topology topology(import_topo_matrix(text.str(), {gpu, 40e9, file}));
    EXPECT_EQ(topology.gpu_count(), gpus);
    check_routes(text.str(), topology);
  }
  // These three describe their box in words and hold no matrix.
  for (const char* file : {"a800_nv8.txt", "dgx1_v100_partial.txt", "dgx2_v100_16gpu.txt"}) {
    std::ifstream stream(folder / file);
    std::ostringstream text;
    text << stream.rdbuf();
    EXPECT_THROW(import_topo_matrix(text.str(), {"v100-sxm2", 40e9, file}), InputError) << file;
  }
}

}  // namespace
}  // namespace foretoken::importer
