#include "calibrate/import/vidur.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <functional>
#include <optional>
#include <string_view>

#include "calibrate/import/table.h"
#include "sim/core/error.h"

namespace foretoken::importer {
namespace {

constexpr double kMilli = 1e-3;
constexpr std::int64_t kBytes = 2;         // of a value: fp16
constexpr double kFastestBus = 1e12;       // bytes/s; NVLink 5 carries 0.9e12 one way
constexpr double kFastestMatrix = 2.5e15;  // op/s of any GPU of these tables in fp16, with margin

// "n_embd=8192" of the first comment.
std::int64_t size_in(const Table& table, std::string_view name) {
  const std::string wanted = fmt::format(" {}=", name);
  const auto at = table.source.find(wanted);
  std::int64_t value = 0;
  if (at != std::string::npos) {
    const char* const first = table.source.data() + at + wanted.size();
    std::from_chars(first, table.source.data() + table.source.size(), value);
  }
  if (value <= 0) {
    throw InputError(SourceMark{table.file, 1, 0}, std::string(name),
                     "the first comment does not state this size of the model; add "
                     "n_head=.. n_kv_head=.. n_embd=.. n_expanded_embd=.. gated=..");
  }
  return value;
}

struct Sizes {
  std::int64_t heads, kv_heads, hidden, inter;
  bool gated;
};

// What a column measures on one of `tp` ranks.
struct Column {
  std::string_view name;
  std::string_view op;  // ours; empty: a GEMM
  std::function<std::vector<std::int64_t>(const Sizes&, std::int64_t tp, std::int64_t tokens)>
      shape;
};

const std::vector<Column>& columns() {
  using Shape = std::vector<std::int64_t>;
  static const std::vector<Column> all{
      {"attn_pre_proj_ms", "",
       [](const Sizes& s, std::int64_t tp, std::int64_t m) {
         const std::int64_t rows = s.heads / tp + 2 * std::max<std::int64_t>(1, s.kv_heads / tp);
         return Shape{m, rows * (s.hidden / s.heads), s.hidden};
       }},
      {"attn_post_proj_ms", "",
       [](const Sizes& s, std::int64_t tp, std::int64_t m) {
         return Shape{m, s.hidden, s.hidden / tp};
       }},
      {"mlp_up_proj_ms", "",
       [](const Sizes& s, std::int64_t tp, std::int64_t m) {
         return Shape{m, (s.gated ? 2 : 1) * s.inter / tp, s.hidden};
       }},
      {"mlp_down_proj_ms", "",
       [](const Sizes& s, std::int64_t tp, std::int64_t m) {
         return Shape{m, s.hidden, s.inter / tp};
       }},
      {"input_layernorm_ms", "input_layernorm",
       [](const Sizes& s, std::int64_t, std::int64_t m) {
         return Shape{2 * m * s.hidden * kBytes};
       }},
      {"attn_rope_ms", "rope",
       [](const Sizes& s, std::int64_t tp, std::int64_t m) {
         const std::int64_t rows = s.heads / tp + std::max<std::int64_t>(1, s.kv_heads / tp);
         return Shape{2 * m * rows * (s.hidden / s.heads) * kBytes};
       }},
      {"mlp_act_ms", "silu_mul",
       [](const Sizes& s, std::int64_t tp, std::int64_t m) {
         return Shape{(s.gated ? 3 : 2) * m * (s.inter / tp) * kBytes};
       }},
      {"add_ms", "add",
       [](const Sizes& s, std::int64_t, std::int64_t m) {
         return Shape{3 * m * s.hidden * kBytes};
       }},
  };
  return all;
}

SampleTable& table_of(std::map<std::string, SampleTable>& tables, const std::string& name,
                      const std::string& source) {
  SampleTable& table = tables[name];
  table.provenance = Provenance::imported;
  table.source = source;
  return table;
}

void check_gemm(const TableRow& row, int column, const std::vector<std::int64_t>& shape,
                double seconds) {
  const double flops = 2.0 * static_cast<double>(shape[0]) * static_cast<double>(shape[1]) *
                       static_cast<double>(shape[2]);
  if (flops / seconds > kFastestMatrix) {
    row.fail(column,
             fmt::format("{:.0f} TFLOPS: is the time in milliseconds?", flops / seconds / 1e12));
  }
}

}  // namespace

std::map<std::string, SampleTable> read_vidur_layers(const std::string& path) {
  std::map<std::string, SampleTable> tables;
  Sizes sizes{};
  std::string source;
  std::vector<std::pair<int, const Column*>> present;
  read_table(
      path,
      [&](const Table& table) {
        if (table.header.size() < 3 || table.header[0] != "tp" || table.header[1] != "num_tokens") {
          expect_columns(table, {"tp", "num_tokens", "emb_ms", "..."});
        }
        sizes = {size_in(table, "n_head"), size_in(table, "n_kv_head"), size_in(table, "n_embd"),
                 size_in(table, "n_expanded_embd"),
                 table.source.find(" gated=True") != std::string::npos};
        source = table.source;
        for (const Column& column : columns()) {
          const auto at = std::find(table.header.begin(), table.header.end(), column.name);
          if (at != table.header.end()) {
            present.emplace_back(static_cast<int>(at - table.header.begin()), &column);
          }
        }
      },
      [&](const TableRow& row) {
        const std::int64_t tp = row.count(0);
        const std::int64_t tokens = row.count(1);
        if (tp < 1 || tokens < 1) {
          row.fail(tp < 1 ? 0 : 1, "must be 1 or more");
        }
        for (const auto& [at, column] : present) {
          const double seconds = kMilli * row.positive(at);
          std::vector<std::int64_t> shape = column->shape(sizes, tp, tokens);
          const bool gemm = column->op.empty();
          if (gemm) {
            check_gemm(row, at, shape, seconds);
          }
          const std::string name = gemm ? "gemm.bf16" : "elementwise." + std::string(column->op);
          table_of(tables, name, source).samples.push_back({std::move(shape), seconds});
        }
      });
  return tables;
}

std::map<std::string, SampleTable> read_vidur_network(const std::string& path) {
  std::map<std::string, SampleTable> tables;
  std::string source;
  int across = 0;
  read_table(
      path,
      [&](const Table& table) {
        expect_columns(table,
                       {"op", "num_workers", "devices_per_node", "max_devices_per_node", "size_raw",
                        "rank", "min_ms", "max_ms", "mean_ms", "median_ms", "std_ms"});
        source = table.source.empty() ? path : table.source;
      },
      [&](const TableRow& row) {
        const std::string op(row.text(0));
        if (op != "all_reduce" && op != "send_recv") {
          row.fail(0, fmt::format("unknown collective \"{}\" (known: all_reduce, send_recv)", op));
        }
        const std::int64_t ranks = row.count(1);
        const std::int64_t bytes = row.count(4);
        const double seconds = kMilli * row.positive(9);
        if (ranks < 2 || bytes < 1) {
          row.fail(ranks < 2 ? 1 : 4, "must be more");
        }
        const double factor =
            op == "all_reduce" ? 2.0 * static_cast<double>(ranks - 1) / static_cast<double>(ranks)
                               : 1;
        const double bus = factor * static_cast<double>(bytes) / seconds;
        if (bus > kFastestBus) {
          row.fail(4, fmt::format("{:.0f} GB/s of bus bandwidth: does it count bytes, and the time "
                                  "milliseconds?",
                                  bus / 1e9));
        }
        if (row.count(2) < ranks) {
          ++across;
          return;
        }
        table_of(tables, op + ".bf16", source).samples.push_back({{ranks, bytes}, seconds});
      });
  for (auto& [name, table] : tables) {
    if (across > 0) {
      table.source += fmt::format(" ; {} rows across nodes left out", across);
    }
  }
  return tables;
}

}  // namespace foretoken::importer
