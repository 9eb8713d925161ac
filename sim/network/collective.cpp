#include "sim/network/collective.h"

#include <algorithm>
#include <numeric>
#include <set>
#include <span>

#include "sim/core/error.h"
#include "sim/core/quantity.h"
#include "sim/network/algorithms/algorithm.h"
#include "sim/network/wire_size.h"

namespace foretoken {
namespace {

constexpr std::array<std::string_view, 4> kProtocolNames{"auto", "simple", "ll128", "ll"};
// Chunks tried where they are left open; more are stated by those who know their kernel.
constexpr std::array kChunkOptions{1, 4};

void check_group(const Topology& topology, const CollectiveRequest& request) {
  FT_CHECK(request.values >= 0);
  std::set<int> seen;
  for (const int gpu : request.gpus) {
    if (gpu < 0 || gpu >= topology.gpu_count()) {
      throw InputError(SourceMark{topology.spec().file, 0, 0}, "",
                       fmt::format("there is no GPU {}; the cluster has GPUs 0 to {}", gpu,
                                   topology.gpu_count() - 1));
    }
    if (!seen.insert(gpu).second) {
      throw InputError(fmt::format("GPU {} stands twice in a group; give each rank its own", gpu));
    }
  }
  const std::size_t ranks = request.gpus.size();
  if (!request.pair_values.empty()) {
    FT_CHECK(request.kind == CollectiveKind::all_to_all &&
             request.pair_values.size() == ranks * ranks);
  }
}

bool trivial(const CollectiveRequest& request) {
  return request.gpus.size() <= 1 || request.values == 0;
}

bool coded(const CollectiveCosts& costs, const CollectiveRequest& request) {
  const bool second = request.second_wire.value_or(request.wire).quantised();
  const bool any = request.wire.quantised() || second;
  const bool all = request.wire.quantised() && second;
  return (any && costs.codec != nullptr) || (!all && costs.pass != nullptr);
}

CollectiveCosts::PerProtocol constants_of(const CollectiveCosts& costs, Protocol protocol) {
  const auto it = costs.protocols.find(protocol);
  return it == costs.protocols.end() ? CollectiveCosts::PerProtocol{} : it->second;
}

struct Simulated {
  CollectiveTime time;
  int steps = 0;
};

ScheduleTime run_alone(const Schedule& schedule, std::vector<double> capacity) {
  EventQueue queue;
  FlowNetwork network(queue, std::move(capacity));
  ScheduleRun run(queue, network, schedule);
  run.start();
  queue.run();
  FT_CHECK(run.done(), "a collective stopped before its end");
  return run.time();
}

// Algorithm, protocol and chunks are stated.
Simulated simulate(const Topology& topology, const CollectiveCosts& costs,
                   const CollectiveRequest& request) {
  const Schedule schedule = make_schedule(topology, costs, request);
  const ScheduleTime time = run_alone(schedule, effective_capacity(topology, costs));
  const Time t0 = slower(fixed_time(costs, request.algorithm, request.protocol), costs);
  Simulated result;
  result.steps = time.steps;
  result.time.total = t0 + time.total;
  result.time.latency = t0 + time.latency;
  result.time.wire = time.wire;
  result.time.codec = time.work;
  for (int r = 0; r < schedule.ranks(); ++r) {
    result.time.wire_bytes_per_rank =
        std::max(result.time.wire_bytes_per_rank, schedule.bytes_sent(r));
  }
  result.time.algorithm = request.algorithm;
  result.time.protocol = request.protocol;
  result.time.chunks = request.chunks;
  result.time.wire_format = request.wire;
  return result;
}

std::vector<Protocol> open_protocols(const CollectiveCosts& costs,
                                     const CollectiveRequest& request) {
  if (request.protocol != Protocol::automatic) {
    return {request.protocol};
  }
  std::vector<Protocol> protocols;
  for (const auto& [protocol, constants] : costs.protocols) {
    protocols.push_back(protocol);
  }
  return protocols.empty() ? std::vector{Protocol::simple} : protocols;
}

// A protocol changes the latency of each step and stretches the wire: of one simulation, the others
// can be told well enough to choose. The chosen one is simulated itself.
CollectiveTime best_protocol(const Topology& topology, const CollectiveCosts& costs,
                             CollectiveRequest request, std::span<const Protocol> protocols) {
  request.protocol = protocols.front();
  const Simulated base = simulate(topology, costs, request);
  const auto from = constants_of(costs, request.protocol);
  double best = to_seconds(base.time.total);
  Protocol chosen = request.protocol;
  for (const Protocol protocol : protocols.subspan(1)) {
    const auto to = constants_of(costs, protocol);
    const double seconds = to_seconds(base.time.total + to.t0 - from.t0 +
                                      (to.step_latency - from.step_latency) * base.steps) +
                           to_seconds(base.time.wire) * (from.efficiency / to.efficiency - 1);
    if (seconds < best) {
      best = seconds;
      chosen = protocol;
    }
  }
  if (chosen == request.protocol) {
    return base.time;
  }
  request.protocol = chosen;
  return simulate(topology, costs, request).time;
}

CollectiveTime best_of_algorithm(const Topology& topology, const CollectiveCosts& costs,
                                 CollectiveRequest request, const CollectiveAlgorithm& algorithm) {
  request.algorithm = algorithm.id;
  const std::vector<Protocol> protocols = open_protocols(costs, request);
  if (request.chunks > 0) {
    return best_protocol(topology, costs, request, protocols);
  }
  CollectiveTime best;
  for (const int chunks : kChunkOptions) {
    request.chunks = chunks;
    const CollectiveTime time = best_protocol(topology, costs, request, protocols);
    if (chunks == 1 || time.total < best.total) {
      best = time;
    }
    if (!algorithm.chunked && !coded(costs, request)) {
      break;  // nothing to overlap
    }
  }
  return best;
}

// Whether quantising sends more bytes than it saves: vectors that are mostly padding.
bool padding_dominates(const CollectiveRequest& request) {
  const std::int64_t group = std::max(request.wire.group, 1);
  const auto ranks = static_cast<std::int64_t>(request.gpus.size());
  const std::int64_t slice = round_up(ceil_div(request.values, ranks), group);
  return request.wire.quantised() &&
         packed_bytes(slice, request.wire) * ranks > request.values * request.raw_bytes_per_value;
}

std::string reason_of(const CollectiveChoice& choice) {
  const auto label = [](const CollectiveTime& time) {
    return fmt::format("{}/{}{}{}", name(time.algorithm), name(time.protocol),
                       time.chunks > 1 ? fmt::format("/{} chunks", time.chunks) : "",
                       time.wire_format.quantised() ? " " + to_string(time.wire_format) : "");
  };
  const CollectiveTime& best = choice.best;
  const double total = std::max(to_seconds(best.total), 1e-12);
  std::string text =
      fmt::format("{}: {:.1f} us (latency {:.0f} %, wire {:.0f} %, codec {:.0f} %)", label(best),
                  to_micros(best.total), 100 * to_seconds(best.latency) / total,
                  100 * to_seconds(best.wire) / total, 100 * to_seconds(best.codec) / total);
  if (choice.candidates.size() > 1) {
    const CollectiveTime& next = choice.candidates[1];
    text += fmt::format("; next {}: {:.1f} us", label(next), to_micros(next.total));
  }
  return text;
}

}  // namespace

std::string_view name(Algorithm algorithm) {
  return algorithm == Algorithm::automatic ? "auto" : collective_algorithm(algorithm).name;
}

Algorithm parse_algorithm(std::string_view text) {
  std::vector<std::string_view> names{"auto"};
  for (const CollectiveAlgorithm& algorithm : collective_algorithms()) {
    if (algorithm.name == text) {
      return algorithm.id;
    }
    names.push_back(algorithm.name);
  }
  if (text == "auto") {
    return Algorithm::automatic;
  }
  const std::string_view near = nearest(text, names);
  throw InputError(
      fmt::format("unknown algorithm \"{}\" (try {})", text, near.empty() ? "auto" : near));
}

std::string_view name(Protocol protocol) {
  return kProtocolNames[static_cast<std::size_t>(protocol)];
}

Protocol parse_protocol(std::string_view text) {
  for (std::size_t i = 0; i < kProtocolNames.size(); ++i) {
    if (kProtocolNames[i] == text) {
      return static_cast<Protocol>(i);
    }
  }
  throw InputError(fmt::format("unknown protocol \"{}\" (auto, simple, ll128 or ll)", text));
}

Time fixed_time(const CollectiveCosts& costs, Algorithm algorithm, Protocol protocol) {
  const auto own = costs.algorithm_t0.find(algorithm);
  return costs.t0 + constants_of(costs, protocol).t0 +
         (own == costs.algorithm_t0.end() ? kTimeZero : own->second);
}

Time slower(Time time, const CollectiveCosts& costs) {
  return costs.slowdown == 1 ? time : time_from_seconds(to_seconds(time) * costs.slowdown);
}

std::vector<double> effective_capacity(const Topology& topology, const CollectiveCosts& costs) {
  std::array<double, 6> efficiency;
  efficiency.fill(1 / costs.slowdown);
  for (const auto& [link_class, constants] : costs.per_class) {
    efficiency[static_cast<std::size_t>(link_class)] *= constants.efficiency;
  }
  std::vector<double> capacity(topology.link_count());
  for (int l = 0; l < topology.link_count(); ++l) {
    const LinkSpec& link = topology.link(l);
    capacity[l] =
        link.bandwidth.bytes_per_second * efficiency[static_cast<std::size_t>(link.link_class)];
  }
  return capacity;
}

Schedule make_schedule(const Topology& topology, const CollectiveCosts& costs,
                       const CollectiveRequest& request) {
  check_group(topology, request);
  FT_CHECK(!trivial(request) && request.algorithm != Algorithm::automatic);
  const CollectiveAlgorithm& algorithm = collective_algorithm(request.algorithm);
  if (const std::string refusal = algorithm.refusal(topology, request); !refusal.empty()) {
    throw InputError(
        fmt::format("algorithm \"{}\" cannot run this {}: {}; try auto", algorithm.name,
                    kCollectiveKindNames[static_cast<std::size_t>(request.kind)], refusal));
  }
  ScheduleBuilder builder(topology, costs, request);
  const int chunks = request.pair_values.empty() ? std::max(request.chunks, 1) : 1;
  // Chunks are whole slices for every rank, so that cutting adds no padding.
  const std::int64_t unit = builder.slice(builder.ranks()) > 0
                                ? std::lcm<std::int64_t>(std::max(request.wire.group, 1),
                                                         std::max(builder.second_wire().group, 1)) *
                                      builder.ranks()
                                : 1;
  const std::int64_t chunk = round_up(ceil_div(request.values, chunks), unit);
  for (std::int64_t left = request.values; left > 0; left -= chunk) {
    builder.set_values(std::min(left, chunk));
    algorithm.build(builder);
  }
  return builder.take();
}

CollectiveAnatomy dissect(const Topology& topology, const CollectiveCosts& costs,
                          const CollectiveRequest& request) {
  CollectiveAnatomy anatomy;
  if (trivial(request)) {
    return anatomy;
  }
  anatomy.time = simulate(topology, costs, request).time;
  const Schedule schedule = make_schedule(topology, costs, request);
  const std::vector<double> capacity = effective_capacity(topology, costs);
  const Time whole = run_alone(schedule, capacity).total;
  const Time apart = run_alone(schedule.without_shared_middle(capacity), capacity).total;
  anatomy.contention = std::clamp(whole - apart, kTimeZero, anatomy.time.wire);
  std::vector<double> bytes(capacity.size(), 0.0);
  schedule.add_link_bytes(bytes, 1);
  double longest = 0;
  for (int link = 0; link < topology.link_count(); ++link) {
    const double busy =
        bytes[static_cast<std::size_t>(link)] / capacity[static_cast<std::size_t>(link)];
    if (busy > longest) {
      longest = busy;
      anatomy.critical_link = link;
    }
  }
  anatomy.critical_share = longest / to_seconds(anatomy.time.total);
  return anatomy;
}

CollectiveChoice choose(const Topology& topology, const CollectiveCosts& costs,
                        const CollectiveRequest& request) {
  check_group(topology, request);
  CollectiveChoice choice;
  if (trivial(request)) {
    choice.reason = "nothing to do";
    return choice;
  }
  for (const CollectiveAlgorithm& algorithm : collective_algorithms()) {
    const bool open = request.algorithm == Algorithm::automatic;
    if (open && algorithm.requantises && request.wire.quantised()) {
      continue;
    }
    if (open ? algorithm.refusal(topology, request).empty() : algorithm.id == request.algorithm) {
      choice.candidates.push_back(best_of_algorithm(topology, costs, request, algorithm));
    }
  }
  if (request.algorithm == Algorithm::automatic && padding_dominates(request)) {
    CollectiveRequest raw = request;
    raw.wire = request.raw_bytes_per_value == 4 ? kFp32 : kBf16;
    raw.second_wire.reset();
    const CollectiveChoice unquantised = choose(topology, costs, raw);
    choice.candidates.insert(choice.candidates.end(), unquantised.candidates.begin(),
                             unquantised.candidates.end());
  }
  // Stable: ties keep the order of the table.
  std::stable_sort(
      choice.candidates.begin(), choice.candidates.end(),
      [](const CollectiveTime& a, const CollectiveTime& b) { return a.total < b.total; });
  choice.best = choice.candidates.front();
  choice.reason = reason_of(choice);
  return choice;
}

CollectiveTime simulate_alone(const Topology& topology, const CollectiveCosts& costs,
                              const CollectiveRequest& request) {
  return choose(topology, costs, request).best;
}

}  // namespace foretoken
