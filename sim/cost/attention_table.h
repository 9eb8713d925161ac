// Measured attention calls. Samples of a profile, by the width of the KV cache (bf16, fp8, ...):
//   attention.prefill.FORMAT  heads, kv_heads, head_dim, window, batch, prompt
//   attention.decode.FORMAT   heads, kv_heads, head_dim, window, batch, cached tokens of each
//   attention.mixed.FORMAT    heads, kv_heads, head_dim, window, chunk, context, batch, cached
// heads are per rank. What a kernel does depends on whether and how many query heads share a KV
// head, and on how many KV heads (decode) or query heads (prefill) the batch has in all: so another
// layout stands for a call at the batch with as many of them, scaled by the work. It does where the
// call's own layout was not measured, and where its samples end. reports/published/cost-models.md
// has the errors: of layouts nobody measured 2 .. 9 % in the mean (6 .. 17 % from the nearest
// layout at the same batch), of the largest calls of a layout, left out, 3 .. 7 % for prefill
// (16 .. 31 % from the layout's other calls) and 1 .. 6 % for decode (5 .. 15 %). A chunk with
// context is priced as the prompt with as many pairs of query and key. Where mixed calls were
// measured, decode beside prompts costs what it adds to them.
//
// Calls of one kind are interpolated as multiples of the time that their work takes at the device's
// rates, so that beyond all samples the time grows with the work. Decode keeps there the better
// multiple of the longest calls of its batch and the largest batches of its length.
#pragma once

#include <array>
#include <limits>
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
  // Logarithms to base 2.
  struct Doublings {
    explicit Doublings(const Layout& layout);
    double kv_heads, shared, head_dim;  // shared: query heads of a KV head
  };
  struct Entry {
    Layout layout;
    Doublings doublings;
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
  using Where = std::array<double, SampleGrid::kMaxAxes>;
  struct Found {
    const Entry* entry = nullptr;
    double distance = std::numeric_limits<double>::infinity();
    SampleGrid::Prediction call;  // seconds: as a multiple of the work's
  };
  // From here on another kernel runs.
  static constexpr double kOtherKernel = 4;
  // How unlike a call of one layout is to the call of the other that stands for it.
  static double distance(const Layout& wanted, const Doublings& doublings, const Entry& has);
  static SampleGrid::Prediction stand_in(Kind kind, const Entry& entry, const AttentionOp& op,
                                         Where where);
  static Found nearest(const Table& table, const AttentionOp& op, const Where& where);
  const Table* find(Kind kind, const Format& format) const;
  std::optional<Price> look_up(Kind kind, const AttentionOp& op, const Where& where) const;
  std::optional<Price> mixed(const AttentionOp& op) const;
  // Seconds of an operator's work at the device's rates; 1 for mixed calls.
  static AttentionOp call(Kind kind, const Layout& layout, const Format& kv_cache,
                          const SampleGrid::Point& point);
  static double work_seconds(Kind kind, const Rates& rates, const AttentionOp& op);

  std::vector<Table> tables_;
};

}  // namespace foretoken
