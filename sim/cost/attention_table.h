// Measured attention calls. Samples of a profile, by the width of the KV cache (bf16, fp8, ...):
//   attention.prefill.FORMAT  heads, kv_heads, head_dim, window, batch, prompt
//   attention.decode.FORMAT   heads, kv_heads, head_dim, window, batch, cached tokens of each
//   attention.mixed.FORMAT    heads, kv_heads, head_dim, window, chunk, context, batch, cached
// heads are per rank. A layout that was not measured borrows the nearest one with the same head
// size and window, scaled by its work. A chunk with context is priced as the prompt with as many
// pairs of query and key. Where mixed calls were measured, decode beside prompts costs what it adds
// to them.
//
// Calls of one kind are interpolated as multiples of the time that their work takes at the device's
// rates, so that beyond the last sample the time grows with the work: tables end at batches that
// engines exceed. Decode keeps there the better multiple of the longest calls of its batch and the
// largest batches of its length.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "sim/cost/sample_grid.h"
#include "sim/model/operator.h"
#include "sim/spec/profile.h"

namespace foretoken {

class AttentionTable {
 public:
  // Throws InputError when a sample has the wrong number of columns or a value out of range.
  explicit AttentionTable(const Profile& profile);

  struct Price {
    double seconds = 0;
    bool inside = true;
    Provenance provenance = Provenance::imported;
  };
  // Nothing: no samples for this cache format and kind of call.
  std::optional<Price> price(const AttentionOp& op) const;

 private:
  enum class Kind { prefill, decode, mixed };
  struct Layout {
    int heads = 0, kv_heads = 0, head_dim = 0;
    std::int64_t window = 0;
    auto operator<=>(const Layout&) const = default;  // NOLINT(modernize-use-nullptr): false
  };
  struct Entry {
    Layout layout;
    SampleGrid grid;
    // Decode: the same samples, by length first.
    std::optional<SampleGrid> by_length;
  };
  struct Rates {
    double bandwidth = 0;  // bytes/s
    double peak = 0;       // op/s; 0: unknown
  };
  struct Table {
    Kind kind;
    Format format;
    Rates rates;
    Provenance provenance;
    std::vector<Entry> entries;
  };
  static constexpr std::array<std::string_view, 3> kNames{"prefill", "decode", "mixed"};

  static Table read(const Profile& profile, Kind kind, const std::string& format,
                    const SampleTable& samples);
  static std::pair<const Entry*, bool> nearest(const Table& table, const AttentionOp& op);
  const Table* find(Kind kind, const Format& format) const;
  std::optional<Price> look_up(Kind kind, const AttentionOp& op,
                               const std::array<double, SampleGrid::kMaxAxes>& where) const;
  std::optional<Price> mixed(const AttentionOp& op) const;
  // Seconds of an operator's work at the device's rates; 1 for mixed calls.
  static AttentionOp call(Kind kind, const Layout& layout, const Format& kv_cache,
                          const SampleGrid::Point& point);
  static double work_seconds(Kind kind, const Rates& rates, const AttentionOp& op);

  std::vector<Table> tables_;
};

}  // namespace foretoken
