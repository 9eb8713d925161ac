#include "calibrate/import/aiconfigurator.h"

#include <fmt/format.h>

#include <algorithm>
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
        const std::int64_t tokens = row.count(7);
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
        m.operation = custom ? "all_reduce" : std::string(row.text(2));
        const int dtype = custom ? 4 : 3;
        m.ranks = static_cast<int>(row.count(dtype + 1));
        const std::int64_t elements = row.count(dtype + 2);
        m.bytes = row.count(dtype + 3);
        if (m.bytes != elements * element_bytes(row, dtype)) {
          row.fail(dtype + 3, fmt::format("{} bytes are not {} elements of {}", m.bytes, elements,
                                          row.text(dtype)));
        }
        m.seconds = kMicro * row.positive(dtype + 4);
        rows.push_back(std::move(m));
      });
  return rows;
}

}  // namespace foretoken::importer
