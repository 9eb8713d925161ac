// foretoken collective: how long one collective takes, per size, wire format and algorithm.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "sim/cli/commands.h"
#include "sim/cli/load.h"
#include "sim/cli/progress.h"
#include "sim/config/output.h"
#include "sim/core/error.h"
#include "sim/core/quantity.h"
#include "sim/network/algorithms/algorithm.h"
#include "sim/step/step_timer.h"

namespace foretoken::cli {
namespace {

constexpr int kRawBytes = 2;  // bf16 in memory
constexpr std::int64_t kMaxSize = std::int64_t{1} << 40;

struct CollectiveOptions {
  std::string topology;
  std::vector<std::string> profiles;
  std::string op = "all_reduce";
  int ranks = 0;
  std::vector<int> gpus;
  std::string sizes = "64KiB..512MiB";
  std::vector<std::string> wires{"bf16"};
  std::string second_wire;
  std::vector<std::string> algorithms{"auto"};
  std::string protocol = "auto";
  int chunks = 0;
  std::string json, csv;
};

struct Row {
  std::int64_t size = 0;
  std::string wire;
  std::string asked;  // algorithm as asked for
  CollectiveTime time;
  double algbw = 0;
  double busbw = 0;
  std::string reason;
};

std::int64_t read_size(std::string_view text) {
  const ParsedQuantity parsed = parse_quantity(text, Unit::bytes);
  if (!parsed.value) {
    throw InputError(fmt::format("--sizes: {}", parsed.error));
  }
  if (*parsed.value < kRawBytes || *parsed.value > static_cast<double>(kMaxSize)) {
    throw InputError(fmt::format("--sizes: \"{}\" is not between 2B and 1TiB", text));
  }
  return static_cast<std::int64_t>(*parsed.value);
}

// "64KiB..512MiB" doubles from one to the other; "1MiB,16MiB" lists.
std::vector<std::int64_t> read_sizes(const std::string& text) {
  std::vector<std::int64_t> sizes;
  if (const auto dots = text.find(".."); dots != std::string::npos) {
    const std::int64_t last = read_size(text.substr(dots + 2));
    for (std::int64_t size = read_size(text.substr(0, dots)); size <= last; size *= 2) {
      sizes.push_back(size);
    }
    if (sizes.empty()) {
      throw InputError(
          fmt::format("--sizes: \"{}\" runs backwards; write the smaller first", text));
    }
    return sizes;
  }
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t comma = std::min(text.find(',', begin), text.size());
    sizes.push_back(read_size(text.substr(begin, comma - begin)));
    begin = comma + 1;
  }
  return sizes;
}

CollectiveKind read_kind(const std::string& text) {
  for (std::size_t i = 0; i < kCollectiveKindNames.size(); ++i) {
    if (kCollectiveKindNames[i] == text) {
      return static_cast<CollectiveKind>(i);
    }
  }
  const std::string_view near = nearest(text, kCollectiveKindNames);
  throw InputError(fmt::format("--op: unknown collective \"{}\" (try {})", text,
                               near.empty() ? "all_reduce" : near));
}

std::vector<int> read_gpus(const CollectiveOptions& options, const Topology& topology) {
  if (!options.gpus.empty()) {
    if (options.gpus.size() < 2) {
      throw InputError("--gpus: a collective needs two ranks or more; name more GPUs");
    }
    return options.gpus;
  }
  const int ranks = options.ranks == 0 ? topology.gpu_count() : options.ranks;
  if (ranks < 2 || ranks > topology.gpu_count()) {
    throw InputError(fmt::format("--ranks: a collective needs 2 to {} ranks on this topology",
                                 topology.gpu_count()));
  }
  std::vector<int> gpus(ranks);
  std::iota(gpus.begin(), gpus.end(), 0);
  return gpus;
}

// The factor of nccl-tests (doc/PERFORMANCE.md): bus bandwidth = size / time x factor.
double bus_factor(CollectiveKind kind, int ranks) {
  switch (kind) {
    case CollectiveKind::all_reduce:
      return 2.0 * (ranks - 1) / ranks;
    case CollectiveKind::all_gather:
    case CollectiveKind::reduce_scatter:
    case CollectiveKind::all_to_all:
      return 1.0 * (ranks - 1) / ranks;
    case CollectiveKind::send_recv:
      break;
  }
  return 1;
}

std::vector<Row> simulate_rows(const CollectiveOptions& options, const Topology& topology,
                               const CollectiveCosts& costs) {
  CollectiveRequest request;
  request.kind = read_kind(options.op);
  request.gpus = read_gpus(options, topology);
  request.raw_bytes_per_value = kRawBytes;
  request.protocol = parse_protocol(options.protocol);
  request.chunks = options.chunks;
  if (!options.second_wire.empty()) {
    request.second_wire = parse_format(options.second_wire, FormatRole::wire);
  }
  const double factor = bus_factor(request.kind, static_cast<int>(request.gpus.size()));
  std::vector<Row> rows;
  const std::vector<std::int64_t> sizes = read_sizes(options.sizes);
  const std::size_t count = sizes.size() * options.wires.size() * options.algorithms.size();
  Progress progress("rows");
  for (const std::int64_t size : sizes) {
    request.values = size / kRawBytes;
    for (const std::string& wire : options.wires) {
      request.wire = parse_format(wire, FormatRole::wire);
      for (const std::string& algorithm : options.algorithms) {
        request.algorithm = parse_algorithm(algorithm);
        const CollectiveChoice choice = choose(topology, costs, request);
        const double seconds = to_seconds(choice.best.total);
        const double algbw = static_cast<double>(size) / seconds;
        progress.update(static_cast<std::int64_t>(rows.size()), static_cast<std::int64_t>(count));
        rows.push_back({size, to_string(request.wire), algorithm, choice.best, algbw,
                        algbw * factor, choice.reason});
      }
    }
  }
  return rows;
}

std::string label(const Row& row) {
  std::string text(name(row.time.algorithm));
  if (row.time.protocol != Protocol::simple) {
    text += fmt::format("/{}", name(row.time.protocol));
  }
  if (row.time.chunks > 1) {
    text += fmt::format(" x{}", row.time.chunks);
  }
  return text;
}

std::string size_text(std::int64_t size) {
  for (const auto& [unit, text] :
       {std::pair(std::int64_t{1} << 30, "GiB"), std::pair(std::int64_t{1} << 20, "MiB"),
        std::pair(std::int64_t{1} << 10, "KiB")}) {
    if (size >= unit && size % unit == 0) {
      return fmt::format("{} {}", size / unit, text);
    }
  }
  return fmt::format("{} B", size);
}

void print_table(const std::vector<Row>& rows) {
  fmt::print("{:>8}  {:<21}{:<17}{:>10}{:>8}{:>8}{:>11}{:>5}{:>5}{:>5}\n", "size", "wire",
             "algorithm", "time us", "algbw", "busbw", "wire bytes", "lat%", "wir%", "cod%");
  bool raw = false;
  for (const Row& row : rows) {
    const double total = to_seconds(row.time.total);
    const auto share = [&](Time part) { return 100 * to_seconds(part) / total; };
    std::string wire = to_string(row.time.wire_format);
    if (wire != row.wire) {
      wire += "*";
      raw = true;
    }
    fmt::print("{:>8}  {:<21}{:<17}{:>10.1f}{:>8.1f}{:>8.1f}{:>11}{:>5.0f}{:>5.0f}{:>5.0f}\n",
               size_text(row.size), wire, label(row), to_micros(row.time.total), row.algbw / 1e9,
               row.busbw / 1e9, row.time.wire_bytes_per_rank, share(row.time.latency),
               share(row.time.wire), share(row.time.codec));
  }
  fmt::print("bandwidths in GB/s of uncompressed bytes; wire bytes as sent by one rank\n");
  if (raw) {
    fmt::print("* asked for quantised, but that short a vector would be mostly padding\n");
  }
}

using Series = std::pair<std::string, std::vector<const Row*>>;

// One series per wire and asked-for algorithm, over the sizes.
std::vector<Series> series_of(const std::vector<Row>& rows) {
  std::vector<Series> series;
  for (const Row& row : rows) {
    const std::string key = fmt::format("{} {}", row.wire, row.asked);
    auto it =
        std::find_if(series.begin(), series.end(), [&](const Series& s) { return s.first == key; });
    if (it == series.end()) {
      it = series.insert(series.end(), {key, {}});
    }
    it->second.push_back(&row);
  }
  return series;
}

struct Crossover {
  std::string faster, slower;
  double size = 0;  // bytes from which `faster` stays faster; 0: always
};

// Where two series cross, by interpolation of the ratio of times over the logarithm of the size.
std::optional<Crossover> crossover(const Series& base, const Series& other) {
  const auto gain = [&](std::size_t i) {
    return std::log(to_seconds(base.second[i]->time.total) /
                    to_seconds(other.second[i]->time.total));
  };
  const std::size_t count = base.second.size();
  if (count < 1 || gain(count - 1) <= 0) {
    return std::nullopt;
  }
  std::size_t first = count - 1;
  while (first > 0 && gain(first - 1) > 0) {
    --first;
  }
  if (first == 0) {
    return Crossover{other.first, base.first, 0};
  }
  const double below = gain(first - 1);
  const double x = -below / (gain(first) - below);
  const double low = std::log(static_cast<double>(base.second[first - 1]->size));
  const double high = std::log(static_cast<double>(base.second[first]->size));
  return Crossover{other.first, base.first, std::exp(low + x * (high - low))};
}

std::vector<Crossover> crossovers(const std::vector<Row>& rows) {
  const std::vector<Series> series = series_of(rows);
  std::vector<Crossover> found;
  for (std::size_t i = 1; i < series.size(); ++i) {
    if (const auto crossing = crossover(series.front(), series[i])) {
      found.push_back(*crossing);
    }
  }
  return found;
}

void print_crossovers(const std::vector<Row>& rows) {
  const std::vector<Series> series = series_of(rows);
  const std::vector<Crossover> found = crossovers(rows);
  for (std::size_t i = 1; i < series.size(); ++i) {
    const auto it = std::find_if(found.begin(), found.end(),
                                 [&](const Crossover& c) { return c.faster == series[i].first; });
    if (it == found.end()) {
      fmt::print("{} is not faster than {} at the largest size\n", series[i].first,
                 series.front().first);
    } else if (it->size == 0) {
      fmt::print("{} is faster than {} at every size\n", it->faster, it->slower);
    } else {
      fmt::print("{} is faster than {} from {:.0f} KiB on\n", it->faster, it->slower,
                 it->size / 1024);
    }
  }
}

nlohmann::ordered_json to_json(const std::vector<Row>& rows, const CollectiveOptions& options,
                               int ranks) {
  nlohmann::ordered_json json;
  json["schema"] = 1;
  json["version"] = FORETOKEN_VERSION;
  json["topology"] = options.topology;
  json["op"] = options.op;
  auto& list = json["rows"] = nlohmann::ordered_json::array();
  for (const Row& row : rows) {
    nlohmann::ordered_json entry;
    entry["size_bytes"] = row.size;
    entry["wire"] = row.wire;
    entry["algorithm"] = name(row.time.algorithm);
    entry["ranks"] = ranks;
    entry["time_us"] = to_micros(row.time.total);
    entry["algbw_gb_per_s"] = row.algbw / 1e9;
    entry["busbw_gb_per_s"] = row.busbw / 1e9;
    entry["wire_bytes_per_rank"] = row.time.wire_bytes_per_rank;
    entry["codec_us"] = to_micros(row.time.codec);
    entry["wire_us"] = to_micros(row.time.wire);
    entry["latency_us"] = to_micros(row.time.latency);
    entry["protocol"] = name(row.time.protocol);
    entry["chunks"] = row.time.chunks;
    entry["sent_as"] = to_string(row.time.wire_format);
    entry["reason"] = row.reason;
    list.push_back(std::move(entry));
  }
  auto& crossings = json["crossovers"] = nlohmann::ordered_json::array();
  for (const Crossover& crossing : crossovers(rows)) {
    crossings.push_back({{"faster", crossing.faster},
                         {"slower", crossing.slower},
                         {"from_size_bytes", crossing.size}});
  }
  return json;
}

std::string to_csv(const std::vector<Row>& rows, int ranks) {
  std::string text =
      "size_bytes,wire,algorithm,ranks,time_us,algbw_gb_per_s,busbw_gb_per_s,wire_bytes_per_rank,"
      "codec_us,wire_us,latency_us,protocol,chunks\n";
  for (const Row& row : rows) {
    text += fmt::format("{},{},{},{},{},{},{},{},{},{},{},{},{}\n", row.size, row.wire,
                        name(row.time.algorithm), ranks, to_micros(row.time.total), row.algbw / 1e9,
                        row.busbw / 1e9, row.time.wire_bytes_per_rank, to_micros(row.time.codec),
                        to_micros(row.time.wire), to_micros(row.time.latency),
                        name(row.time.protocol), row.time.chunks);
  }
  return text;
}

int run_collective(const CollectiveOptions& options) {
  const Topology topology = load_topology(options.topology);
  const Profile profile = load_device_profile(options.profiles, topology.spec());
  const CostModel cost(profile);
  const CollectiveCosts costs = collective_costs(cost);
  const std::vector<Row> rows = simulate_rows(options, topology, costs);
  const auto ranks = static_cast<int>(read_gpus(options, topology).size());
  if (options.json != "-" && options.csv != "-") {
    fmt::print("{} over {} GPUs of {}, profile {}; link constants: {}\n", options.op, ranks,
               topology.spec().name, profile.name, name(costs.provenance));
    print_table(rows);
    print_crossovers(rows);
  }
  if (!options.json.empty()) {
    config::write_output(options.json, to_json(rows, options, ranks).dump(1) + "\n");
  }
  if (!options.csv.empty()) {
    config::write_output(options.csv, to_csv(rows, ranks));
  }
  return 0;
}

}  // namespace

void add_collective(CLI::App& app, Action& action) {
  auto* command = app.add_subcommand(
      "collective", "How long one collective takes, per size, wire format and algorithm");
  const auto options = std::make_shared<CollectiveOptions>();
  command->add_option("--topology", options->topology, "File or shipped name")->required();
  command
      ->add_option("--profile", options->profiles,
                   "Files or shipped names, later over earlier (default: the topology's)")
      ->delimiter(',');
  command
      ->add_option("--op", options->op,
                   "all_reduce, all_gather, reduce_scatter, all_to_all or "
                   "send_recv")
      ->capture_default_str();
  command->add_option("--ranks", options->ranks, "The first so many GPUs (default: all)");
  command->add_option("--gpus", options->gpus, "These GPUs, in rank order")->delimiter(',');
  command
      ->add_option("--sizes", options->sizes,
                   "64KiB..512MiB (doubling) or a list; bytes of bf16 "
                   "per rank")
      ->capture_default_str();
  command->add_option("--wire", options->wires, "Wire formats; the first is compared with")
      ->delimiter(',')
      ->capture_default_str();
  command->add_option("--second-wire", options->second_wire,
                      "What the second half of an all_reduce sends, if not the same");
  command
      ->add_option("--algorithm", options->algorithms,
                   "auto or names of `foretoken list collectives`")
      ->delimiter(',')
      ->capture_default_str();
  command->add_option("--protocol", options->protocol, "auto, simple, ll128 or ll")
      ->capture_default_str();
  command->add_option("--chunks", options->chunks, "Pipelined chunks; 0: automatic")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  command->add_option("--json", options->json, "Write the rows as JSON (- for standard output)")
      ->type_name("FILE");
  command->add_option("--csv", options->csv, "Write the rows as CSV (- for standard output)")
      ->type_name("FILE");
  command->callback(
      [options, &action] { action = [options] { return run_collective(*options); }; });
}

}  // namespace foretoken::cli
