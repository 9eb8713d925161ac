#include "sim/config/cluster_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "sim/core/error.h"

namespace foretoken::config {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class ClusterReaderTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(testing::TempDir()) /
              ("cluster_reader_" +
               std::string(testing::UnitTest::GetInstance()->current_test_info()->name()));
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string write(const std::string& name, const std::string& text) {
    const std::filesystem::path path = folder_ / name;
    std::ofstream(path) << text;
    return path.string();
  }
  ClusterSpec read(const std::string& body) {
    return read_cluster(write("t.yaml", "schema: 1\n" + body));
  }
  std::string message(const std::string& body) {
    try {
      read(body);
    } catch (const InputError& error) {
      return error.what();
    }
    return "no error";
  }

  std::filesystem::path folder_;
};

TEST_F(ClusterReaderTest, Explicit_devices_and_links_make_both_directions) {
  const ClusterSpec spec = read(
      "name: pair\n"
      "vertices:\n"
      "  - {id: a, kind: gpu}\n"
      "  - {id: b, kind: gpu, node: 1}\n"
      "links:\n"
      "  - {from: a, to: b, bandwidth: 450GB/s, latency: 700ns}\n");
  ASSERT_EQ(spec.vertices.size(), 2u);
  EXPECT_EQ(spec.vertices[1].node, 1);
  ASSERT_EQ(spec.links.size(), 2u);
  EXPECT_EQ(spec.links[0].bandwidth.bytes_per_second, 450e9);
  EXPECT_EQ(spec.links[0].latency, Time(700'000));
  EXPECT_EQ(spec.links[1].from, 1);
  EXPECT_EQ(spec.links[1].link_class, LinkClass::nvlink);
}

TEST_F(ClusterReaderTest, A_link_can_be_one_way_and_state_its_class) {
  const ClusterSpec spec = read(
      "vertices: [{id: a, kind: gpu}, {id: b, kind: gpu}]\n"
      "links: [{from: a, to: b, bandwidth: 1GB/s, class: sys, one_way: true}]\n");
  ASSERT_EQ(spec.links.size(), 1u);
  EXPECT_EQ(spec.links[0].link_class, LinkClass::sys);
}

TEST_F(ClusterReaderTest, Steps_and_explicit_devices_mix) {
  const ClusterSpec spec = read(
      "build:\n"
      "  - switched: {gpus: 2, bandwidth: 100GB/s, multicast: true}\n"
      "vertices: [{id: extra, kind: gpu}]\n"
      "links: [{from: extra, to: nvswitch, bandwidth: 50GB/s}]\n");
  EXPECT_EQ(spec.vertices.size(), 4u);
  EXPECT_EQ(spec.links.size(), 6u);
}

TEST_F(ClusterReaderTest, A_pod_reads_its_node_from_the_file_beside_it) {
  write("box.yaml",
        "schema: 1\n"
        "build:\n"
        "  - pcie_tree: {gpus_per_switch: 2, nics_per_switch: 1, link: {bandwidth: 32GB/s}}\n");
  const ClusterSpec spec =
      read("build: [{pod: {node: box, count: 3, nic: {bandwidth: 200Gbit/s}}}]\n");
  // 3 x (2 GPUs, NIC, switch, socket) + 1 leaf.
  EXPECT_EQ(spec.vertices.size(), 16u);
  EXPECT_EQ(spec.vertices[0].id, "node0.gpu0");
}

TEST_F(ClusterReaderTest, A_node_that_contains_itself_is_refused) {
  EXPECT_THAT(message("build: [{pod: {node: t, count: 2, nic: {bandwidth: 1GB/s}}}]\n"),
              AllOf(HasSubstr("t.yaml:2:"), HasSubstr("contains itself")));
}

TEST_F(ClusterReaderTest, A_missing_node_file_is_named) {
  EXPECT_THAT(message("build: [{pod: {node: nobody, count: 2, nic: {bandwidth: 1GB/s}}}]\n"),
              AllOf(HasSubstr("build[0].pod.node"), HasSubstr("nobody.yaml")));
}

TEST_F(ClusterReaderTest, A_missing_file_is_named) {
  try {
    read_cluster((folder_ / "absent.yaml").string());
    FAIL();
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), HasSubstr("absent.yaml"));
  }
}

TEST_F(ClusterReaderTest, An_unknown_builder_or_key_names_the_nearest) {
  EXPECT_THAT(message("build:\n  - swiched: {gpus: 2}\n"),
              AllOf(HasSubstr("t.yaml:3:5"), HasSubstr("switched")));
  EXPECT_THAT(message("build:\n  - switched: {gpus: 2, bandwith: 1GB/s}\n"),
              AllOf(HasSubstr("bandwith"), HasSubstr("\"bandwidth\"")));
}

TEST_F(ClusterReaderTest, Bandwidths_that_are_not_positive_are_refused) {
  for (const char* bandwidth : {"0GB/s", "-1GB/s"}) {
    EXPECT_THAT(
        message(fmt::format("vertices: [{{id: a, kind: gpu}}, {{id: b, kind: gpu}}]\n"
                            "links:\n"
                            "  - {{from: a, to: b, bandwidth: {}}}\n",
                            bandwidth)),
        AllOf(HasSubstr("t.yaml:4:"), HasSubstr("links[0].bandwidth"), HasSubstr("more than 0")));
  }
}

TEST_F(ClusterReaderTest, A_quantity_without_a_unit_is_refused) {
  EXPECT_THAT(message("build: [{ring: {gpus: 4, bandwidth: 450}}]\n"),
              AllOf(HasSubstr("bandwidth"), HasSubstr("450GB/s")));
}

TEST_F(ClusterReaderTest, A_duplicate_device_is_refused_with_both_places) {
  EXPECT_THAT(
      message("vertices:\n  - {id: a, kind: gpu}\n  - {id: a, kind: gpu}\n"),
      AllOf(HasSubstr("t.yaml:4:"), HasSubstr("duplicate device \"a\""), HasSubstr("t.yaml:3:")));
}

TEST_F(ClusterReaderTest, A_link_to_an_unknown_device_names_the_nearest) {
  EXPECT_THAT(message("build: [{switched: {gpus: 2, bandwidth: 1GB/s}}]\n"
                      "links: [{from: gpu0, to: nvswich, bandwidth: 1GB/s}]\n"),
              AllOf(HasSubstr("links[0].to"), HasSubstr("unknown device \"nvswich\""),
                    HasSubstr("\"nvswitch\"")));
}

TEST_F(ClusterReaderTest, Unknown_kinds_and_classes_are_refused) {
  EXPECT_THAT(message("vertices: [{id: a, kind: gpv}]\n"), HasSubstr("\"gpu\""));
  EXPECT_THAT(message("vertices: [{id: a, kind: gpu}, {id: b, kind: gpu}]\n"
                      "links: [{from: a, to: b, bandwidth: 1GB/s, class: nvlnk}]\n"),
              HasSubstr("\"nvlink\""));
}

TEST_F(ClusterReaderTest, A_cluster_without_gpus_is_refused) {
  EXPECT_THAT(message("name: nothing\n"), HasSubstr("no gpu"));
}

TEST_F(ClusterReaderTest, An_absurdly_large_cluster_is_refused_before_it_is_built) {
  EXPECT_THAT(message("build: [{fully_connected: {gpus: 60000, bandwidth: 1GB/s}}]\n"),
              HasSubstr("state fewer"));
}

}  // namespace
}  // namespace foretoken::config
