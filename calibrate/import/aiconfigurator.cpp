#include "calibrate/import/aiconfigurator.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "calibrate/import/table.h"
#include "sim/core/error.h"

namespace foretoken::importer {
namespace {

constexpr double kMicro = 1e-6;

constexpr std::pair<std::string_view, std::string_view> kGemmTypes[] = {
    {"bfloat16", "gemm.bf16"}, {"fp8", "gemm.fp8"},       {"fp8_block", "gemm.fp8/g128"},
    {"nvfp4", "gemm.fp4/g16"}, {"int8_wo", "gemm.w8a16"}, {"int4_wo", "gemm.w4a16"},
    {"sq", "gemm.w8a8"}};

std::string_view gemm_name(const TableRow& row) {
  for (const auto& [theirs, ours] : kGemmTypes) {
    if (theirs == row.text(0)) {
      return ours;
    }
  }
  row.fail(0, fmt::format("unknown GEMM type \"{}\" (known: bfloat16, fp8, fp8_block, nvfp4, "
                          "int8_wo, int4_wo, sq)",
                          row.text(0)));
}

struct MoeType {
  std::string_view theirs, ours;
};
constexpr MoeType kMoeTypes[] = {
    {"bfloat16", "bf16"},           {"fp8", "fp8"},
    {"fp8_block", "fp8/g128"},      {"nvfp4", "fp4/g16"},
    {"w4a16_mxfp4", "wfp4a16/g32"}, {"w4a8_mxfp4_mxfp8", "wfp4afp8/g32"}};

std::string moe_format(const TableRow& row, int column) {
  for (const MoeType& type : kMoeTypes) {
    if (type.theirs == row.text(column)) {
      return std::string(type.ours);
    }
  }
  row.fail(column, fmt::format("unknown type \"{}\" (known: bfloat16, fp8, fp8_block, nvfp4, "
                               "w4a16_mxfp4, w4a8_mxfp4_mxfp8)",
                               row.text(column)));
}

// "balanced" or "power_law_1.2".
double skew_of(const TableRow& row, int column) {
  constexpr std::string_view kPowerLaw = "power_law_";
  const std::string_view name = row.text(column);
  double skew = 0;
  if (name == "balanced") {
    return skew;
  }
  if (name.starts_with(kPowerLaw)) {
    const std::string_view number = name.substr(kPowerLaw.size());
    const auto [end, code] = std::from_chars(number.data(), number.data() + number.size(), skew);
    if (code == std::errc() && end == number.data() + number.size() && skew > 0) {
      return skew;
    }
  }
  row.fail(column,
           fmt::format("unknown distribution \"{}\" (known: balanced, power_law_1.2)", name));
}

// Width in bytes of a type as these tables spell it.
int element_bytes(const TableRow& row, int column) {
  const std::string_view dtype = row.text(column);
  if (dtype == "half" || dtype == "bfloat16" || dtype == "float16") {
    return 2;
  }
  if (dtype == "float" || dtype == "float32") {
    return 4;
  }
  if (dtype == "int8" || dtype == "fp8") {
    return 1;
  }
  row.fail(column,
           fmt::format("unknown type \"{}\" (known: half, bfloat16, float, int8, fp8)", dtype));
}

}  // namespace

std::map<std::string, SampleTable> read_gemm_table(const std::string& path) {
  std::map<std::string, SampleTable> tables;
  std::string source;
  read_table(
      path,
      [&](const Table& table) {
        expect_columns(table, {"dtype", "m", "n", "k", "latency_us"});
        source = table.source.empty() ? path : table.source;
      },
      [&](const TableRow& row) {
        SampleTable& table = tables[std::string(gemm_name(row))];
        table.provenance = Provenance::imported;
        table.source = source;
        table.samples.push_back(
            {{row.count(1), row.count(2), row.count(3)}, kMicro * row.positive(4)});
      });
  return tables;
}

std::vector<AttentionMeasurement> read_attention_table(const std::string& path) {
  std::vector<AttentionMeasurement> rows;
  bool decode = false;
  read_table(
      path,
      [&](const Table& table) {
        std::vector<std::string> columns{"attn_dtype", "kv_dtype", "head_dim",
                                         "q_heads",    "kv_heads", "window",
                                         "batch",      "isl",      "latency_us"};
        decode = table.header.size() == columns.size() && table.header[7] == "kv_len";
        if (decode) {
          columns[7] = "kv_len";
        }
        expect_columns(table, columns);
      },
      [&](const TableRow& row) {
        AttentionMeasurement m;
        m.op.decode = decode;
        m.compute = element_bytes(row, 0) == 1 ? kFp8 : kBf16;
        m.op.kv_cache = element_bytes(row, 1) == 1 ? kFp8 : kBf16;
        m.op.head_dim = static_cast<int>(row.count(2));
        m.op.heads = static_cast<int>(row.count(3));
        m.op.kv_heads = static_cast<int>(row.count(4));
        m.op.window = row.count(5);
        m.batch = row.count(6);
        m.tokens = row.count(7);
        const std::int64_t tokens = m.tokens;
        m.seconds = kMicro * row.positive(8);
        if (decode) {
          m.op.sequences = m.batch;
          m.op.kv_tokens = m.batch * (m.op.window > 0 ? std::min(tokens, m.op.window) : tokens);
        } else {
          m.op.chunks.assign(static_cast<std::size_t>(m.batch), {tokens, 0});
        }
        rows.push_back(std::move(m));
      });
  return rows;
}

std::vector<LatentAttentionMeasurement> read_latent_attention_table(const std::string& path) {
  std::vector<LatentAttentionMeasurement> rows;
  read_table(
      path,
      [](const Table& table) {
        expect_columns(table, {"mla_dtype", "kv_dtype", "num_heads", "tp_size", "batch", "isl",
                               "step", "latency_us"});
      },
      [&](const TableRow& row) {
        LatentAttentionMeasurement m;
        m.kv_cache = element_bytes(row, 1) == 1 ? kFp8 : kBf16;
        m.heads = row.count(2);
        m.batch = row.count(4);
        const std::int64_t tokens = row.count(5);
        const std::int64_t cached = row.count(6);
        m.decode = cached > 0;
        if (m.decode && tokens != 1) {
          row.fail(5, fmt::format("{} new tokens over a cache; expected 1", tokens));
        }
        m.tokens = tokens + cached;
        m.seconds = kMicro * row.positive(7);
        rows.push_back(m);
      });
  return rows;
}

std::vector<MoeMeasurement> read_moe_table(const std::string& path) {
  std::vector<MoeMeasurement> rows;
  read_table(
      path,
      [](const Table& table) {
        expect_columns(table, {"model", "hidden", "inter", "topk", "experts", "dtype", "moe_tp",
                               "moe_ep", "distribution", "num_tokens", "latency_us"});
      },
      [&](const TableRow& row) {
        MoeMeasurement m;
        m.model = row.text(0);
        m.hidden = row.count(1);
        m.inter = row.count(2);
        m.chosen = row.count(3);
        m.experts = row.count(4);
        m.format = moe_format(row, 5);
        m.tensor = row.count(6);
        m.expert = row.count(7);
        m.skew = skew_of(row, 8);
        m.tokens = row.count(9);
        m.seconds = kMicro * row.positive(10);
        if (m.tensor < 1 || m.expert < 1 || m.experts < 1 || m.experts % m.expert != 0) {
          row.fail(7,
                   fmt::format("{} experts cannot be spread over {} ranks", m.experts, m.expert));
        }
        rows.push_back(std::move(m));
      });
  return rows;
}

SampleTable read_quantise_table(const std::string& path) {
  SampleTable samples;
  samples.provenance = Provenance::imported;
  read_table(
      path,
      [&](const Table& table) {
        expect_columns(table, {"dtype", "m", "k", "latency_us"});
        samples.source = table.source.empty() ? path : table.source;
      },
      [&](const TableRow& row) {
        element_bytes(row, 0);
        samples.samples.push_back({{row.count(1), row.count(2)}, kMicro * row.positive(3)});
      });
  return samples;
}

std::vector<AllReduceMeasurement> read_collective_table(const std::string& path) {
  std::vector<AllReduceMeasurement> rows;
  bool custom = false;
  read_table(
      path,
      [&](const Table& table) {
        custom = table.header.size() == 9;
        expect_columns(
            table,
            custom ? std::vector<std::string>{"system", "framework", "version", "backend", "dtype",
                                              "num_gpus", "elements", "bytes", "latency_us"}
                   : std::vector<std::string>{"system", "nccl_version", "op", "dtype", "num_gpus",
                                              "elements", "bytes", "latency_us"});
      },
      [&](const TableRow& row) {
        AllReduceMeasurement m;
        m.system = row.text(0);
        m.framework = custom ? std::string(row.text(1)) : "nccl";
        m.version = row.text(custom ? 2 : 1);
        m.backend = custom ? std::string(row.text(3)) : "";
        m.operation = custom ? "all_reduce" : std::string(row.text(2));
        const int dtype = custom ? 4 : 3;
        m.ranks = static_cast<int>(row.count(dtype + 1));
        const std::int64_t elements = row.count(dtype + 2);
        m.bytes = row.count(dtype + 3);
        m.element_bytes = element_bytes(row, dtype);
        if (m.bytes != elements * m.element_bytes) {
          row.fail(dtype + 3, fmt::format("{} bytes are not {} elements of {}", m.bytes, elements,
                                          row.text(dtype)));
        }
        m.seconds = kMicro * row.positive(dtype + 4);
        rows.push_back(std::move(m));
      });
  return rows;
}

}  // namespace foretoken::importer
