// The dumps here were written for these tests, in the shape of NCCL's.
#include "calibrate/import/nccl_topo_xml.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "sim/config/cluster_reader.h"
#include "sim/config/cluster_writer.h"
#include "sim/core/error.h"
#include "sim/topology/topology.h"

namespace foretoken::importer {
namespace {

using testing::AllOf;
using testing::HasSubstr;

ClusterSpec import(const std::string& text, const std::string& gpu = "h100-sxm") {
  return import_topo_xml(text, {gpu, 40e9, "dump.xml"});
}

std::string message(const std::string& text, const std::string& gpu = "h100-sxm") {
  try {
    import(text, gpu);
  } catch (const InputError& error) {
    return error.what();
  }
  return "no error";
}

std::string read(const char* file) {
  std::ifstream stream(std::string("tests/calibrate/import/dumps/") + file);
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

double first_link(const Topology& topology, int from, int to) {
  return topology.link(topology.route(from, to).links.front()).bandwidth.bytes_per_second;
}

constexpr auto kNoNvlink = R"(<system version="1">
 <cpu numaid="0">
  <pci busid="0000:01:00.0" class="0x030000" link_speed="16.0 GT/s PCIe" link_width="16">
   <gpu dev="0" sm="89"/>
  </pci>
  <pci busid="0000:02:00.0" class="0x030000" link_speed="8 GT/s" link_width="8">
   <gpu dev="1" sm="89"/>
  </pci>
 </cpu>
 <cpu numaid="1">
  <pci busid="0000:81:00.0" class="0x030000" link_speed="" link_width="0">
   <gpu dev="2" sm="89"/>
  </pci>
  <pci busid="0000:82:00.0" class="0x030000" link_speed="5.0 GT/s PCIe" link_width="16">
   <gpu dev="3" sm="89"/>
  </pci>
 </cpu>
</system>
)";

TEST(TopoXml, A_box_with_nvswitch_keeps_its_tree_and_its_rates) {
  const Topology topology(import(read("nvswitch_box.xml")));
  ASSERT_EQ(topology.gpu_count(), 3);
  EXPECT_EQ(topology.spec().profile, "h100-sxm");
  // 5 + 4 + 4 + 5 NVLinks of 25 GB/s, and 18.
  EXPECT_EQ(first_link(topology, 0, 1), 450e9);
  EXPECT_EQ(first_link(topology, 2, 0), 450e9);
  EXPECT_EQ(topology.route_class(0, 2), LinkClass::nvlink);
  EXPECT_TRUE(topology.vertex(topology.vertices_of_kind(VertexKind::nvswitch).at(0)).multicast);
  EXPECT_EQ(topology.vertices_of_kind(VertexKind::nic).size(), 1u);  // the SSD is no NIC
  EXPECT_EQ(topology.vertices_of_kind(VertexKind::pcie_switch).size(), 3u);
  EXPECT_EQ(topology.vertices_of_kind(VertexKind::root_complex).size(), 2u);
  // GPU 2 stands two switches deep, on half as many lanes: 32 GT/s x 8 / 8.
  bool narrow = false;
  for (LinkId l = 0; l < topology.link_count(); ++l) {
    narrow |= topology.link(l).bandwidth.bytes_per_second == 32e9 &&
              topology.link(l).link_class == LinkClass::pxb;
  }
  EXPECT_TRUE(narrow);
}

TEST(TopoXml, Gpus_on_root_ports_get_their_slots_and_what_is_hidden_is_the_gpus_own) {
  const Topology topology(import(kNoNvlink, "l40s"));
  EXPECT_EQ(topology.route_class(0, 1), LinkClass::phb);
  EXPECT_EQ(topology.route_class(0, 2), LinkClass::sys);
  EXPECT_EQ(first_link(topology, 0, 1), 32e9);  // 16 GT/s x 16 lanes / 8
  EXPECT_EQ(first_link(topology, 1, 0), 8e9);
  EXPECT_EQ(first_link(topology, 2, 0), 32e9);  // hidden: the L40S's Gen4 x16
  EXPECT_EQ(first_link(topology, 3, 0), 8e9);   // 8b/10b
  const std::vector<LinkId> links = topology.route(0, 2).links;
  ASSERT_EQ(links.size(), 3u);
  EXPECT_EQ(topology.link(links[1]).bandwidth.bytes_per_second, 40e9);
}

constexpr auto kBridges = R"(<system version="1">
 <cpu numaid="0">
  <pci busid="0000:06:00.0" class="0x030200" link_speed="8.0 GT/s PCIe" link_width="16">
   <gpu dev="0" sm="70">
    <nvlink target="0000:07:00.0" count="2" tclass="0x030200"/>
   </gpu>
  </pci>
  <pci busid="0000:07:00.0" class="0x030200" link_speed="8.0 GT/s PCIe" link_width="16">
   <gpu dev="1" sm="70">
    <nvlink target="0000:06:00.0" count="2" tclass="0x030200"/>
   </gpu>
  </pci>
  <pci busid="0000:0A:00.0" class="0x030200" link_speed="8.0 GT/s PCIe" link_width="16">
   <gpu dev="2" sm="70"/>
  </pci>
 </cpu>
</system>
)";

TEST(TopoXml, Direct_nvlinks_join_pairs_once) {
  const Topology topology(import(kBridges, "v100-sxm2"));
  EXPECT_EQ(topology.route(0, 1).links.size(), 1u);
  EXPECT_EQ(first_link(topology, 0, 1), 50e9);
  EXPECT_EQ(topology.route_class(0, 2), LinkClass::phb);
  EXPECT_EQ(topology.link_count(), 2 * 4);
}

TEST(TopoXml, What_is_written_reads_back) {
  const std::filesystem::path path =
      std::filesystem::path(testing::TempDir()) / "imported_xml.yaml";
  std::ofstream(path) << config::write_cluster(import(read("nvswitch_box.xml")));
  const Topology again(config::read_cluster(path.string()));
  std::filesystem::remove(path);
  EXPECT_EQ(again.gpu_count(), 3);
  EXPECT_EQ(first_link(again, 0, 1), 450e9);
}

std::string replaced(std::string text, const std::string& what, const std::string& by) {
  const auto at = text.find(what);
  EXPECT_NE(at, std::string::npos) << what;
  return at == std::string::npos ? text : text.replace(at, what.size(), by);
}

TEST(TopoXml, Broken_dumps_are_refused_with_line_and_remedy) {
  EXPECT_THAT(message("hello"), AllOf(HasSubstr("dump.xml:1"), HasSubstr("no XML")));
  EXPECT_THAT(message(""), HasSubstr("no XML"));
  EXPECT_THAT(message("<system>\n<cpu numaid=\"0\">\n</system>"),
              AllOf(HasSubstr("dump.xml:3"), HasSubstr("no XML")));
  EXPECT_THAT(message("<graphs/>"), HasSubstr("no <system>"));
  EXPECT_THAT(message("<system version=\"1\"/>"), HasSubstr("no <gpu>"));
  EXPECT_THAT(message(replaced(kNoNvlink, "busid=\"0000:02:00.0\" ", ""), "l40s"),
              AllOf(HasSubstr("dump.xml:6"), HasSubstr("without a busid")));
  EXPECT_THAT(message(replaced(kNoNvlink, "0000:02:00.0", "0000:01:00.0"), "l40s"),
              AllOf(HasSubstr("dump.xml:6"), HasSubstr("stands twice")));
  EXPECT_THAT(message(replaced(kNoNvlink, "dev=\"1\"", "dev=\"0\""), "l40s"),
              AllOf(HasSubstr("dump.xml:"), HasSubstr("two GPUs with dev=0")));
  EXPECT_THAT(message(replaced(kNoNvlink, "dev=\"1\"", "dev=\"one\""), "l40s"),
              AllOf(HasSubstr("dump.xml:7"), HasSubstr("whole number")));
  EXPECT_THAT(message(replaced(kNoNvlink, "16.0 GT/s PCIe", "17 GT/s"), "l40s"),
              AllOf(HasSubstr("dump.xml:3"), HasSubstr("link_speed=\"17 GT/s\"")));
  EXPECT_THAT(message(replaced(kNoNvlink, "width=\"8\"", "width=\"64\""), "l40s"),
              AllOf(HasSubstr("dump.xml:6"), HasSubstr("at most 32 lanes")));
  EXPECT_THAT(message(replaced(kNoNvlink, "numaid=\"1\"", "numaid=\"0\""), "l40s"),
              AllOf(HasSubstr("dump.xml:10"), HasSubstr("two <cpu>")));
  EXPECT_THAT(message(kBridges, "l40s"), AllOf(HasSubstr("dump.xml:5"), HasSubstr("shows NVLink")));
  EXPECT_THAT(message(replaced(kBridges, "target=\"0000:07:00.0\"", "target=\"0000:77:00.0\""),
                      "v100-sxm2"),
              AllOf(HasSubstr("dump.xml:5"), HasSubstr("no GPU of this dump")));
  EXPECT_THAT(message(replaced(kBridges, "count=\"2\"", "count=\"1\""), "v100-sxm2"),
              AllOf(HasSubstr("dump.xml:5"), HasSubstr("which shows 2 back")));
  EXPECT_THAT(message(kNoNvlink, "l40z"), HasSubstr("l40"));
}

// Whatever is cut off or struck out, a dump is read or refused in one line.
TEST(TopoXml, Mutilated_dumps_never_do_worse_than_be_refused) {
  const std::string whole = read("nvswitch_box.xml");
  int refused = 0;
  const auto attempt = [&](const std::string& text) {
    try {
      Topology(import(text)).gpu_count();
    } catch (const InputError&) {
      ++refused;
    }
  };
  for (std::size_t at = 0; at < whole.size(); at += 7) {
    attempt(whole.substr(0, at));
    attempt(whole.substr(0, at) + whole.substr(std::min(at + 11, whole.size())));
    std::string struck = whole;
    struck[at] = static_cast<char>('0' + at % 10);
    attempt(struck);
  }
  EXPECT_GT(refused, 100);
}

TEST(TopoXml, A_dump_nested_without_end_is_refused) {
  std::string text = "<system><cpu numaid=\"0\">";
  for (int i = 0; i < 10'000; ++i) {
    text += "<pci busid=\"" + std::to_string(i) + "\">";
  }
  for (int i = 0; i < 10'000; ++i) {
    text += "</pci>";
  }
  EXPECT_THAT(message(text + "</cpu></system>"), HasSubstr("more than 16"));
}

}  // namespace
}  // namespace foretoken::importer
