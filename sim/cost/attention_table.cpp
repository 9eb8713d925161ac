#include "sim/cost/attention_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "sim/core/error.h"
#include "sim/cost/assumptions.h"
#include "sim/cost/work.h"

namespace foretoken {
namespace {

constexpr std::size_t kLayoutColumns = 4;

double all_pairs(const std::vector<PrefillChunk>& chunks, std::int64_t window) {
  double pairs = 0;
  for (const PrefillChunk& chunk : chunks) {
    pairs += attended_pairs(chunk, window);
  }
  return pairs;
}

// The prompt without context that has this many pairs of query and key.
double prompt_of(double pairs) { return std::sqrt(2 * pairs + 0.25) - 0.5; }

// The one chunk with context that stands for several: as many tokens and pairs, where they are not
// fewer pairs than the tokens have among themselves; else as many pairs.
std::pair<double, double> single_chunk(const std::vector<PrefillChunk>& chunks) {
  if (chunks.size() == 1) {
    return {static_cast<double>(chunks[0].new_tokens), static_cast<double>(chunks[0].context)};
  }
  double tokens = 0;
  for (const PrefillChunk& chunk : chunks) {
    tokens += static_cast<double>(chunk.new_tokens);
  }
  const double pairs = all_pairs(chunks, 0);
  const double context = pairs / tokens - (tokens + 1) / 2;
  return context >= 0 ? std::pair(tokens, context) : std::pair(prompt_of(pairs), 0.0);
}

std::vector<SampleGrid::Point> transposed(std::vector<SampleGrid::Point> points) {
  for (SampleGrid::Point& point : points) {
    std::swap(point.at[0], point.at[1]);
  }
  return points;
}

}  // namespace

double AttentionTable::work_seconds(Kind kind, const Rates& rates, const AttentionOp& op) {
  if (kind == Kind::mixed) {
    return 1;
  }
  const double moved =
      (kind == Kind::decode ? decode_bytes(op) : prefill_bytes(op)) / rates.bandwidth;
  const double computed =
      kind == Kind::prefill && rates.peak > 0 ? prefill_flops(op) / rates.peak : 0;
  return assumed::kAttentionT0 + std::max(moved, computed);
}

// The call that a sample timed.
AttentionOp AttentionTable::call(Kind kind, const Layout& layout, const Format& kv_cache,
                                 const SampleGrid::Point& point) {
  AttentionOp op;
  op.decode = kind == Kind::decode;
  op.heads = layout.heads;
  op.kv_heads = layout.kv_heads;
  op.head_dim = layout.head_dim;
  op.window = layout.window;
  op.kv_cache = kv_cache;
  const auto batch = static_cast<std::int64_t>(point.at[0]);
  const auto tokens = static_cast<std::int64_t>(point.at[1]);
  if (kind == Kind::prefill) {
    op.chunks.assign(static_cast<std::size_t>(batch), {tokens, 0});
  } else if (kind == Kind::decode) {
    op.sequences = batch;
    op.kv_tokens = batch * tokens;
  }
  return op;
}

AttentionTable::AttentionTable(const Profile& profile) {
  for (const auto& [name, samples] : profile.samples) {
    for (std::size_t kind = 0; kind < kNames.size(); ++kind) {
      const std::string prefix = fmt::format("attention.{}.", kNames[kind]);
      if (name.starts_with(prefix) && !samples.samples.empty()) {
        tables_.push_back(
            read(profile, static_cast<Kind>(kind), name.substr(prefix.size()), samples));
      }
    }
  }
}

AttentionTable::Table AttentionTable::read(const Profile& profile, Kind kind,
                                           const std::string& format, const SampleTable& samples) {
  const std::size_t axes = kind == Kind::mixed ? 4 : 2;
  const Format kv_cache = parse_format(format, FormatRole::kv_cache);
  const Parameter* peak = profile.find("gemm.bf16.peak");
  const Rates rates{profile.at("device.memory_bandwidth").value, peak != nullptr ? peak->value : 0};
  std::map<Layout, std::vector<SampleGrid::Point>> groups;
  for (const Sample& sample : samples.samples) {
    const auto& s = sample.shape;
    const bool sane = s.size() == kLayoutColumns + axes && s[0] > 0 && s[1] > 0 && s[2] > 0 &&
                      std::all_of(s.begin(), s.end(), [](auto x) { return x >= 0; });
    if (!sane || !(sample.seconds > 0) || !std::isfinite(sample.seconds)) {
      throw InputError(
          SourceMark{profile.file, 0, 0},
          fmt::format("samples.attention.{}.{}", kNames[static_cast<std::size_t>(kind)], format),
          fmt::format("an attention sample needs {} counts and a positive time; "
                      "remove the row",
                      kLayoutColumns + axes));
    }
    SampleGrid::Point point;
    for (std::size_t i = 0; i < axes; ++i) {
      point.at[i] = static_cast<double>(s[kLayoutColumns + i]);
    }
    const Layout layout{static_cast<int>(s[0]), static_cast<int>(s[1]), static_cast<int>(s[2]),
                        s[3]};
    point.seconds = sample.seconds / work_seconds(kind, rates, call(kind, layout, kv_cache, point));
    groups[layout].push_back(point);
  }
  Table table{kind, kv_cache, rates, samples.provenance, {}};
  // Mixed calls have zeros on all axes; a 64-token offset keeps the first steps from zero short.
  const double offset = kind == Kind::mixed ? 64 : 0;
  const auto beyond = kind == Kind::mixed ? SampleGrid::Beyond::slope : SampleGrid::Beyond::hold;
  for (auto& [layout, points] : groups) {
    std::optional<SampleGrid> by_length;
    if (kind == Kind::decode) {
      by_length.emplace(transposed(points), 2, std::array<double, SampleGrid::kMaxAxes>{}, beyond);
    }
    table.entries.push_back(
        {layout, Doublings(layout),
         SampleGrid(std::move(points), static_cast<int>(axes), {offset, offset, 1, 64}, beyond),
         std::move(by_length)});
  }
  return table;
}

const AttentionTable::Table* AttentionTable::find(Kind kind, const Format& format) const {
  for (const Table& table : tables_) {
    if (table.kind == kind && table.format == format) {
      return &table;
    }
  }
  return nullptr;
}

AttentionTable::Doublings::Doublings(const Layout& layout)
    : kv_heads(std::log2(layout.kv_heads)),
      shared(std::log2(layout.heads) - kv_heads),
      head_dim(std::log2(layout.head_dim)) {}

// Doublings, weighted by how much the kernels' rates change with each, and the more for what
// selects another kernel. The weights are round numbers; 0.3 to 1 for KV heads and 1 to 2 for the
// query heads of each predict the public tables about as well.
double AttentionTable::distance(const Layout& wanted, const Doublings& doublings,
                                const Entry& has) {
  constexpr double kOtherHeadSize = 10, kOtherWindow = 40;
  double sum = std::abs(doublings.kv_heads - has.doublings.kv_heads) / 2 +
               std::abs(doublings.shared - has.doublings.shared);
  if ((wanted.heads > wanted.kv_heads) != (has.layout.heads > has.layout.kv_heads)) {
    sum += kOtherKernel;
  }
  if (wanted.head_dim != has.layout.head_dim) {
    sum += kOtherKernel + kOtherHeadSize * std::abs(doublings.head_dim - has.doublings.head_dim);
  }
  return wanted.window == has.layout.window ? sum : sum + kOtherWindow;
}

SampleGrid::Prediction AttentionTable::stand_in(Kind kind, const Entry& entry,
                                                const AttentionOp& op, Where where) {
  if (kind == Kind::decode) {
    where[0] *= static_cast<double>(op.kv_heads) / entry.layout.kv_heads;
  } else if (kind == Kind::prefill) {
    if (entry.layout.window != op.window) {
      where[1] = prompt_of(all_pairs(op.chunks, op.window) / where[0]);
    }
    where[0] *= static_cast<double>(op.heads) / entry.layout.heads;
  }
  SampleGrid::Prediction found = entry.grid.at(where);
  if (entry.by_length && !found.inside) {
    // Where tables end more work makes a kernel no less efficient, so neither the longest call of
    // a batch nor the largest batch of a length is exceeded there.
    found.seconds = std::min(found.seconds, entry.by_length->at({where[1], where[0]}).seconds);
  }
  return found;
}

// The nearest layout whose samples hold the call, as its own end where batch x length fills a
// memory and those of more KV heads go on; of none that runs the same kernel, the nearest.
// Attention within a window is a shorter call of full attention, but not the other way round.
AttentionTable::Found AttentionTable::nearest(const Table& table, const AttentionOp& op,
                                              const Where& where) {
  const Layout wanted{op.heads, op.kv_heads, op.head_dim, op.window};
  Found nearest;
  for (const Entry& entry : table.entries) {
    if (entry.layout == wanted) {
      nearest = {&entry, 0, stand_in(table.kind, entry, op, where)};
      if (nearest.call.inside) {
        return nearest;
      }
    }
  }
  const Doublings doublings(wanted);
  std::vector<std::pair<double, const Entry*>> others;
  for (const Entry& entry : table.entries) {
    const bool other_window = entry.layout.window != 0 && entry.layout.window != op.window;
    if (&entry != nearest.entry && !other_window) {
      others.emplace_back(distance(wanted, doublings, entry), &entry);
    }
  }
  std::sort(others.begin(), others.end());
  for (const auto& [far, entry] : others) {
    if (nearest.entry != nullptr && far >= kOtherKernel) {
      break;
    }
    const Found found{entry, far, stand_in(table.kind, *entry, op, where)};
    if (far < kOtherKernel && found.call.inside) {
      return found;
    }
    if (nearest.entry == nullptr) {
      nearest = found;
    }
  }
  return nearest;
}

std::optional<AttentionTable::Price> AttentionTable::look_up(Kind kind, const AttentionOp& op,
                                                             const Where& where) const {
  const Table* table = find(kind, op.kv_cache);
  if (table == nullptr) {
    return std::nullopt;
  }
  const Found found = nearest(*table, op, where);
  if (found.entry == nullptr) {
    return std::nullopt;
  }
  Price price{found.call.seconds * work_seconds(kind, table->rates, op),
              found.call.inside && found.distance < kOtherKernel, table->provenance};
  if (found.distance > 0) {
    price.provenance = weakest(price.provenance, Provenance::derived);
    const Layout& layout = found.entry->layout;
    if (kind == Kind::mixed) {  // a time and no multiple of the work
      price.seconds *= static_cast<double>(op.heads) * op.head_dim /
                       (static_cast<double>(layout.heads) * layout.head_dim);
      price.inside = false;
    }
  }
  return price;
}

std::optional<AttentionTable::Price> AttentionTable::mixed(const AttentionOp& op) const {
  const auto batch = static_cast<double>(op.sequences);
  const double cached = batch > 0 ? static_cast<double>(op.kv_tokens) / batch : 0;
  if (op.chunks.empty()) {
    return look_up(Kind::mixed, op, {0, 0, batch, cached});
  }
  const auto [tokens, context] = single_chunk(op.chunks);
  const auto alone = look_up(Kind::mixed, op, {tokens, context, 0, 0});
  if (!op.decode || !alone) {
    return alone;
  }
  auto together = look_up(Kind::mixed, op, {tokens, context, batch, cached});
  together->seconds = std::max(0.0, together->seconds - alone->seconds);
  return together;
}

std::optional<AttentionTable::Price> AttentionTable::price(const AttentionOp& op) const {
  if (tables_.empty()) {
    return std::nullopt;
  }
  if (const auto price = mixed(op)) {
    return price;
  }
  if (op.decode) {
    const auto batch = static_cast<double>(op.sequences);
    return look_up(Kind::decode, op, {batch, static_cast<double>(op.kv_tokens) / batch, 0, 0});
  }
  const auto count = static_cast<double>(op.chunks.size());
  return look_up(Kind::prefill, op, {count, prompt_of(all_pairs(op.chunks, 0) / count), 0, 0});
}

}  // namespace foretoken
