#include "calibrate/detect/detect.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "calibrate/import/gpu_facts.h"
#include "sim/core/error.h"
#include "sim/topology/topology.h"

namespace foretoken::calibrate {
namespace {

using testing::HasSubstr;

std::string package(int index, const std::string& io) {
  const std::string set = index == 0 ? "0x00000001" : "0x00000002";
  const std::string sets = "cpuset=\"" + set + "\" complete_cpuset=\"" + set + "\" nodeset=\"" +
                           set + "\" complete_nodeset=\"" + set + "\"";
  const std::string n = std::to_string(index);
  return "<object type=\"Package\" os_index=\"" + n + "\" " + sets + " gp_index=\"1" + n +
         "\"><info name=\"CPUModel\" value=\"Some CPU\"/><object type=\"NUMANode\" os_index=\"" +
         n + "\" " + sets + " gp_index=\"2" + n +
         "\" local_memory=\"1073741824\"/><object type=\"Core\" os_index=\"" + n + "\" " + sets +
         " gp_index=\"3" + n + "\"><object type=\"PU\" os_index=\"" + n + "\" " + sets +
         " gp_index=\"4" + n + "\"/></object>" + io + "</object>\n";
}

std::string bridge(int id, int depth, const std::string& rate, const std::string& below) {
  const std::string n = std::to_string(id);
  const std::string what =
      depth == 0 ? "bridge_type=\"0-1\" depth=\"0\" bridge_pci=\"0000:[00-ff]\""
                 : "bridge_type=\"1-1\" depth=\"" + std::to_string(depth) +
                       "\" bridge_pci=\"0000:[01-ff]\" pci_busid=\"0000:" + n +
                       ":00.0\" pci_type=\"0604 [1000:c030] [0000:0000] 00\" pci_link_speed=\"" +
                       rate + "\"";
  return "<object type=\"Bridge\" gp_index=\"" + n + "\" " + what + ">" + below + "</object>";
}

std::string device(int id, const std::string& bus, const std::string& type, const std::string& rate,
                   const std::string& name = "") {
  return "<object type=\"PCIDev\" gp_index=\"" + std::to_string(id) + "\" pci_busid=\"0000:" + bus +
         ":00.0\" pci_type=\"" + type + " [0000:0000] 00\" pci_link_speed=\"" + rate + "\">" +
         (name.empty() ? ""
                       : "<object type=\"OSDev\" gp_index=\"1" + std::to_string(id) + "\" name=\"" +
                             name + "\" osdev_type=\"2\"/>") +
         "</object>";
}

// Two sockets. On the first a root port and a switch with an H100 that idles at Gen1 and a NIC; on
// the second a root port with an H100, and an ASPEED display, which is no GPU.
class Box {
 public:
  Box()
      : path_(std::filesystem::path(testing::TempDir()) /
              ("detect_box." + std::to_string(getpid()) + ".xml")) {
    const std::string gpu = "0302 [10de:2330]";
    const std::string first = bridge(
        50, 0, "",
        bridge(51, 1, "63.0",
               bridge(52, 2, "63.0",
                      bridge(53, 3, "63.0", device(60, "19", gpu, "4.0")) +
                          bridge(54, 3, "63.0",
                                 device(61, "18", "0207 [15b3:1021]", "63.015385", "mlx5_0")))));
    const std::string second =
        bridge(70, 0, "",
               bridge(71, 1, "63.0", device(62, "9b", gpu, "63.0")) +
                   bridge(72, 1, "0.5", device(63, "03", "0300 [1a03:2000]", "0.25")));
    const std::string sets =
        "cpuset=\"0x00000003\" complete_cpuset=\"0x00000003\" allowed_cpuset=\"0x00000003\" "
        "nodeset=\"0x00000003\" complete_nodeset=\"0x00000003\" allowed_nodeset=\"0x00000003\"";
    std::ofstream(path_) << "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                            "<!DOCTYPE topology SYSTEM \"hwloc2.dtd\">\n"
                            "<topology version=\"2.0\">\n<object type=\"Machine\" os_index=\"0\" "
                         << sets << " gp_index=\"1\">\n"
                         << package(0, first) << package(1, second) << "</object>\n</topology>\n";
  }
  ~Box() { std::filesystem::remove(path_); }
  MachineTree read() const { return read_machine(path_.string()); }

 private:
  std::filesystem::path path_;
};

LinkSpec link_of(const Topology& topology, int vertex, VertexKind other) {
  for (LinkId l = 0; l < topology.link_count(); ++l) {
    const LinkSpec& link = topology.link(l);
    if (link.from == vertex && topology.vertex(link.to).kind == other) {
      return link;
    }
  }
  ADD_FAILURE() << "no such link";
  return {};
}

TEST(MachineTree, Keeps_switches_and_passes_over_bridges_to_one_device) {
  const MachineTree machine = Box().read();
  ASSERT_EQ(machine.sockets.size(), 2u);
  EXPECT_EQ(machine.sockets[1].name, "Some CPU");
  EXPECT_EQ(machine.sockets[1].cores, 1);
  EXPECT_EQ(machine.sockets[1].memory, std::vector<std::uint64_t>{1U << 30U});
  ASSERT_EQ(machine.devices.size(), 4u);
  EXPECT_EQ(machine.count(PciDevice::Kind::pcie_switch), 1);
  EXPECT_EQ(machine.count(PciDevice::Kind::gpu), 2);
  EXPECT_EQ(machine.devices[1].parent, 0);
  EXPECT_EQ(machine.devices[2].name, "mlx5_0");
  EXPECT_EQ(machine.devices[3].bus_id, "0000:9b:00.0");
  EXPECT_EQ(machine.devices[3].socket, 1);
  EXPECT_EQ(machine.devices[3].parent, -1);
  const std::string text = describe(machine);
  EXPECT_THAT(text, HasSubstr("    nic 0000:18:00.0 mlx5_0"));
  EXPECT_THAT(text, HasSubstr("  gpu 0000:9b:00.0"));
}

TEST(MachineTree, A_file_that_is_not_hwlocs_is_refused) {
  try {
    read_machine("CMakeLists.txt");
    FAIL();
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), HasSubstr("CMakeLists.txt"));
    EXPECT_THAT(error.what(), HasSubstr("lstopo"));
  }
}

TEST(MachineTree, This_machine_has_a_socket_with_cores_and_memory) {
  const MachineTree machine = read_machine();
  ASSERT_FALSE(machine.sockets.empty());
  EXPECT_GT(machine.sockets.front().cores, 0);
  EXPECT_FALSE(machine.sockets.front().memory.empty());
}

TEST(Nvml, Is_read_from_the_library) {
  const NvmlReport report = read_nvml(FAKE_NVML);
  EXPECT_EQ(report.missing, "");
  ASSERT_EQ(report.gpus.size(), 2u);
  EXPECT_EQ(report.gpus[1].name, "NVIDIA H100 80GB HBM3");
  EXPECT_EQ(report.gpus[1].bus_id, "0000:9b:00.0");
  EXPECT_EQ(report.gpus[0].pcie, 64e9);
  ASSERT_EQ(report.gpus[0].links.size(), 3u);
  EXPECT_EQ(report.gpus[0].links[0].to, NvmlGpu::Link::To::nvswitch);
}

TEST(Nvml, Says_what_is_missing_without_a_driver) {
  const NvmlReport report = read_nvml("no-such-library.so");
  EXPECT_TRUE(report.gpus.empty());
  EXPECT_THAT(report.missing, HasSubstr("no-such-library.so"));
}

TEST(Detect, Joins_what_hwloc_and_nvml_say) {
  const Topology topology(detect_cluster(Box().read(), read_nvml(FAKE_NVML), {}));
  ASSERT_EQ(topology.gpu_count(), 2);
  EXPECT_EQ(topology.spec().profile, "h100-sxm");
  EXPECT_EQ(topology.route_class(0, 1), LinkClass::nvlink);
  EXPECT_EQ(topology.link(topology.route(0, 1).links[0]).bandwidth.bytes_per_second, 75e9);
  // NVML's fastest link counts, not the idle one that hwloc saw.
  EXPECT_EQ(link_of(topology, topology.vertex_of_gpu(0), VertexKind::pcie_switch)
                .bandwidth.bytes_per_second,
            64e9);
  EXPECT_EQ(
      link_of(topology, topology.vertices_of_kind(VertexKind::nic).at(0), VertexKind::pcie_switch)
          .bandwidth.bytes_per_second,
      64e9);  // 63.0 after coding
  EXPECT_EQ(topology.vertices_of_kind(VertexKind::host_memory).size(), 2u);
  const int far = topology.vertices_of_kind(VertexKind::host_memory).at(1);
  EXPECT_EQ(topology.route_class_between(topology.vertex_of_gpu(0), far), LinkClass::sys);
}

TEST(Detect, Gpus_that_only_one_of_the_two_sees_are_there_as_well) {
  NvmlReport nvml;
  nvml.missing = "not here";
  const Topology without(detect_cluster(Box().read(), nvml, {}));
  EXPECT_EQ(without.gpu_count(), 2);
  EXPECT_EQ(without.spec().profile, "");
  EXPECT_EQ(without.route_class(0, 1), LinkClass::sys);
  MachineTree hidden = Box().read();
  hidden.devices.clear();
  const Topology flat(detect_cluster(hidden, read_nvml(FAKE_NVML), {}));
  EXPECT_EQ(flat.gpu_count(), 2);
  EXPECT_EQ(
      link_of(flat, flat.vertex_of_gpu(1), VertexKind::root_complex).bandwidth.bytes_per_second,
      64e9);
}

TEST(Detect, Direct_nvlinks_count_once_and_an_unknown_rate_asks_for_the_gpu) {
  NvmlReport nvml;
  nvml.gpus = {{"NVIDIA Strange", "0000:19:00.0", 0, {{NvmlGpu::Link::To::gpu, "0000:9b:00.0"}}},
               {"NVIDIA Strange", "0000:9b:00.0", 0, {{NvmlGpu::Link::To::gpu, "0000:19:00.0"}}}};
  try {
    detect_cluster(Box().read(), nvml, {});
    FAIL();
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), HasSubstr("--gpu"));
  }
  DetectOptions options;
  options.gpu = "h100-sxm";
  const Topology topology(detect_cluster(Box().read(), nvml, options));
  EXPECT_EQ(topology.route(0, 1).links.size(), 1u);
  EXPECT_EQ(topology.link(topology.route(0, 1).links[0]).bandwidth.bytes_per_second, 25e9);
}

TEST(Detect, Known_names_have_facts) {
  EXPECT_EQ(facts_name("NVIDIA L40S"), "l40s");
  EXPECT_EQ(facts_name("NVIDIA L40"), "l40");
  EXPECT_EQ(facts_name("NVIDIA H200 NVL"), "");
  for (const char* name :
       {"NVIDIA A100-SXM4-80GB", "NVIDIA H200", "NVIDIA B200",
        "NVIDIA RTX PRO 6000 Blackwell Server Edition", "Tesla V100-SXM2-16GB"}) {
    EXPECT_NO_THROW(importer::gpu_facts(facts_name(name))) << name;
  }
}

}  // namespace
}  // namespace foretoken::calibrate
