// The flow engine against SimGrid (simgrid.org), an independent and well-tried implementation of
// max-min sharing. Set up so that both compute the same thing: model CM02 without its TCP window
// bound and without cross-traffic, precision far below what is compared, and no link latency,
// because CM02 shares by inverse latency (a path's latency is a later start on both sides).
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <simgrid/s4u.hpp>
#include <string>
#include <utility>
#include <vector>

#include "sim/core/event_queue.h"
#include "sim/core/random.h"
#include "sim/network/flow_network.h"
#include "sim/topology/builders.h"
#include "sim/topology/topology.h"

namespace foretoken {
namespace {

struct Planned {
  std::vector<LinkId> links;
  double start = 0;  // seconds, path latency included
  double bytes = 0;
};

struct Scene {
  std::string name;
  std::vector<double> capacity;
  std::vector<Planned> flows;
  std::vector<double> ours;  // finishes, seconds
  std::vector<double> oracle;
};

class OurRun final : public EventHandler {
 public:
  explicit OurRun(Scene& scene) : scene_(&scene), network_(queue_, scene.capacity) {
    scene.ours.resize(scene.flows.size());
    for (std::size_t i = 0; i < scene.flows.size(); ++i) {
      queue_.schedule(time_from_seconds(scene.flows[i].start), *this, i << 1);
    }
    queue_.run();
  }

 private:
  void handle(std::uint64_t payload) override {
    const Planned& flow = scene_->flows[payload >> 1];
    if ((payload & 1) == 0) {
      network_.start(flow.links, flow.bytes, *this, payload | 1);
    } else {
      scene_->ours[payload >> 1] = to_seconds(queue_.now());
    }
  }
  Scene* scene_;
  EventQueue queue_;
  FlowNetwork network_;
};

// Random flows between random GPUs of a cluster: some start together, some later.
Scene scene_on(std::string name, ClusterSpec spec, int flows, std::uint64_t seed) {
  const Topology topology(std::move(spec));
  RandomStream random(seed, "simgrid_test");
  Scene scene;
  scene.name = std::move(name);
  for (LinkId l = 0; l < topology.link_count(); ++l) {
    scene.capacity.push_back(topology.link(l).bandwidth.bytes_per_second);
  }
  while (static_cast<int>(scene.flows.size()) < flows) {
    const auto from = static_cast<int>(random.uniform_int(0, topology.gpu_count() - 1));
    const auto to = static_cast<int>(random.uniform_int(0, topology.gpu_count() - 1));
    if (from == to) {
      continue;
    }
    const Route route = topology.route(from, to, random.next());
    Planned flow;
    flow.links = route.links;
    flow.bytes = static_cast<double>(random.uniform_int(1'000, 100'000'000));
    flow.start = (random.uniform() < 0.5 ? 0 : random.uniform() * 5e-3) + to_seconds(route.latency);
    scene.flows.push_back(flow);
  }
  return scene;
}

constexpr LinkParameters kFast{{64e9}, Time(250'000)};
constexpr LinkParameters kSlow{{20e9}, Time(400'000)};

ClusterSpec star(int hosts) {
  ClusterSpec spec;
  ClusterBuilder(spec).build(Switched{hosts, {{12.5e9}, Time(1'000'000)}, false});
  return spec;
}

ClusterSpec fat_tree(int k) {
  ClusterSpec spec;
  ClusterBuilder(spec).build(FatTree{.k = k, .link = {{12.5e9}, Time(500'000)}, .uplink = kSlow});
  return spec;
}

ClusterSpec pcie(int sockets, int switches, int gpus) {
  ClusterSpec spec;
  ClusterBuilder(spec).build(PcieTree{.sockets = sockets,
                                      .switches_per_socket = switches,
                                      .gpus_per_switch = gpus,
                                      .link = kFast,
                                      .uplink = kFast,
                                      .socket_link = kSlow});
  return spec;
}

// Switches joined at random, each with its GPUs; links of random bandwidth.
ClusterSpec random_graph(std::uint64_t seed) {
  RandomStream random(seed, "random_graph");
  ClusterSpec spec;
  ClusterBuilder builder(spec);
  const auto bandwidth = [&] {
    return LinkParameters{{1e9 * static_cast<double>(random.uniform_int(1, 100))},
                          Time(random.uniform_int(0, 1'000'000))};
  };
  std::vector<int> switches;
  for (int i = 0; i < 12; ++i) {
    switches.push_back(builder.add_vertex("s" + std::to_string(i), VertexKind::network_switch, -1));
    if (i > 0) {  // connected
      builder.add_link(switches[i], switches[random.uniform_int(0, i - 1)], bandwidth());
    }
  }
  for (int i = 0; i < 15; ++i) {
    const auto a = random.uniform_int(0, 11);
    const auto b = random.uniform_int(0, 11);
    if (a != b) {
      builder.add_link(switches[a], switches[b], bandwidth());
    }
  }
  for (int i = 0; i < 24; ++i) {
    builder.add_link(builder.add_vertex("gpu" + std::to_string(i), VertexKind::gpu),
                     switches[i % 12], bandwidth());
  }
  return spec;
}

// SimGrid allows one engine per process, so all scenes are parts of one platform that share
// nothing.
class SimGrid {
 public:
  explicit SimGrid(std::vector<Scene>& scenes) {
    int argc = 1;
    std::string program = "oracle";
    char* argv[] = {program.data(), nullptr};
    simgrid::s4u::Engine engine(&argc, argv);
    for (const char* option :
         {"network/model:CM02", "network/TCP-gamma:0", "network/crosstraffic:0",
          "surf/precision:1e-12", "maxmin/precision:1e-12", "network/loopback-lat:0"}) {
      simgrid::s4u::Engine::set_config(option);
    }
    auto* root = simgrid::s4u::create_full_zone("root");
    for (std::size_t s = 0; s < scenes.size(); ++s) {
      add(*root, scenes[s], "scene" + std::to_string(s));
    }
    root->seal();
    engine.run();
  }

 private:
  // Two hosts of its own per flow, and the flow's links as the route between them.
  static void add(simgrid::s4u::NetZone& root, Scene& scene, const std::string& prefix) {
    std::vector<const simgrid::s4u::Link*> links;
    for (std::size_t l = 0; l < scene.capacity.size(); ++l) {
      links.push_back(root.create_link(prefix + "-link" + std::to_string(l), scene.capacity[l])
                          ->set_latency(0)
                          ->seal());
    }
    scene.oracle.resize(scene.flows.size());
    for (std::size_t i = 0; i < scene.flows.size(); ++i) {
      const std::string name = prefix + "-flow" + std::to_string(i);
      auto* from = root.create_host(name + "-from", 1e9)->seal();
      auto* to = root.create_host(name + "-to", 1e9)->seal();
      std::vector<simgrid::s4u::LinkInRoute> route;
      for (const LinkId l : scene.flows[i].links) {
        route.emplace_back(links[l]);
      }
      root.add_route(from->get_netpoint(), to->get_netpoint(), nullptr, nullptr, route, false);
      simgrid::s4u::Actor::create(name, from, [from, to, &scene, i] {
        simgrid::s4u::this_actor::sleep_until(scene.flows[i].start);
        simgrid::s4u::Comm::sendto(from, to, static_cast<std::uint64_t>(scene.flows[i].bytes));
        scene.oracle[i] = simgrid::s4u::Engine::get_clock();
      });
    }
  }
};

class Oracle : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    scenes_ = std::make_unique<std::vector<Scene>>();
    for (std::uint64_t seed = 1; seed <= 4; ++seed) {
      const std::string tail = " seed " + std::to_string(seed);
      scenes_->push_back(scene_on("star" + tail, star(16), 120, seed));
      scenes_->push_back(scene_on("fat tree" + tail, fat_tree(4), 100, seed));
      scenes_->push_back(scene_on("PCIe tree" + tail, pcie(2, 2, 2), 80, seed));
      scenes_->push_back(scene_on("random graph" + tail, random_graph(seed), 100, seed));
    }
    for (Scene& scene : *scenes_) {
      const OurRun run(scene);
    }
    const SimGrid oracle(*scenes_);
  }
  static void TearDownTestSuite() { scenes_.reset(); }

  // 1e-6 relative or 1 ns, the larger.
  static void compare(const std::string& kind) {
    double worst = 0;
    for (const Scene& scene : *scenes_) {
      if (!scene.name.starts_with(kind)) {
        continue;
      }
      for (std::size_t i = 0; i < scene.flows.size(); ++i) {
        ASSERT_GT(scene.oracle[i], scene.flows[i].start);
        const double tolerance = std::max(1e-9, 1e-6 * scene.oracle[i]);
        EXPECT_NEAR(scene.ours[i], scene.oracle[i], tolerance) << scene.name << " flow " << i;
        worst = std::max(worst, std::abs(scene.ours[i] - scene.oracle[i]));
      }
    }
    RecordProperty("worst_difference_s", std::to_string(worst));
  }

  static std::unique_ptr<std::vector<Scene>> scenes_;
};
std::unique_ptr<std::vector<Scene>> Oracle::scenes_;

TEST_F(Oracle, Flows_on_stars_finish_when_simgrid_says) { compare("star"); }
TEST_F(Oracle, Flows_on_fat_trees_finish_when_simgrid_says) { compare("fat tree"); }
TEST_F(Oracle, Flows_on_pcie_trees_finish_when_simgrid_says) { compare("PCIe tree"); }
TEST_F(Oracle, Flows_on_random_graphs_finish_when_simgrid_says) { compare("random graph"); }

}  // namespace
}  // namespace foretoken
