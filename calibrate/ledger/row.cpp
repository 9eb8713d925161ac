#include "calibrate/ledger/row.h"

#include <algorithm>
#include <cmath>

#include "calibrate/import/csv_table.h"
#include "calibrate/ledger/mlperf.h"

namespace foretoken::calibrate {
namespace {

// The fallback stands for an empty field and for words ("inflight").
int integer_or(const CsvTable& table, std::size_t row, std::string_view column, int fallback) {
  const std::string_view text = table.text(row, column);
  const bool number = !text.empty() && text.find_first_not_of("0123456789") == text.npos;
  return number ? static_cast<int>(table.integer(row, column)) : fallback;
}

void read_serving(const std::string& folder, std::vector<LedgerRow>& out) {
  const std::string file = "serving_ttft_tpot_agg.csv";
  const CsvTable table(folder + "/e2e/" + file,
                       {"id", "backend", "model_path", "system", "silicon_ttft_ms"});
  for (std::size_t i = 0; i < table.rows(); ++i) {
    LedgerRow row;
    row.file = file;
    row.id = table.text(i, "id");
    row.gpu = table.text(i, "system");
    row.model = table.text(i, "model_path");
    row.engine = table.text(i, "backend");
    row.version = table.text(i, "backend_version");
    row.weights = table.empty(i, "gemm_quant_mode") ? "bf16" : table.text(i, "gemm_quant_mode");
    row.origin = table.text(i, "origin");
    row.tensor = integer_or(table, i, "tp_size", 1);
    row.pipeline = integer_or(table, i, "pp_size", 1);
    row.replicas = integer_or(table, i, "attention_dp_size", 1);
    row.concurrency = integer_or(table, i, "concurrency", 0);
    row.batch_size = integer_or(table, i, "batch_size", 0);
    row.input = table.integer(i, "isl");
    row.output = table.integer(i, "osl");
    row.ttft_unexplained = !table.empty(i, "ttft_flag");
    row.measured["ttft_ms"] = table.number(i, "silicon_ttft_ms");
    row.measured["tpot_ms"] = table.number(i, "silicon_tpot_ms");
    out.push_back(row);
  }
}

std::string overview_weights(std::string_view precision) {
  if (precision == "fp16" || precision == "bf16") {
    return "bf16";
  }
  return precision == "fp4" ? "nvfp4" : std::string(precision);
}

void read_overview(const std::string& folder, std::vector<LedgerRow>& out) {
  const std::string file = "trtllm_perf_overview.csv";
  const CsvTable table(folder + "/e2e/" + file, {"source_version", "model", "metric", "value"});
  for (std::size_t i = 0; i < table.rows(); ++i) {
    const std::string_view metric = table.text(i, "metric");
    LedgerRow row;
    row.file = file;
    row.id = std::to_string(i + 1);
    row.gpu = table.text(i, "gpu");
    row.model = table.text(i, "model");
    row.engine = "trtllm";
    row.version = table.text(i, "source_version").substr(13);
    row.weights = overview_weights(table.text(i, "precision"));
    row.tensor = integer_or(table, i, "tp", 1);
    row.pipeline = integer_or(table, i, "pp", 1);
    row.input = table.empty(i, "isl") ? 0 : table.integer(i, "isl");
    row.output = table.empty(i, "osl") ? 0 : table.integer(i, "osl");
    row.requests = integer_or(table, i, "num_requests", 0);
    row.batch_size = integer_or(table, i, "batch", 0);
    const double gpus = row.tensor * row.pipeline;
    const bool per_gpu = table.text(i, "unit").find("/GPU") != std::string_view::npos;
    if (metric == "output_throughput_max_load") {
      row.harness = Harness::offline;
      row.measured["output_tok_s"] = table.number(i, "value") * (per_gpu ? gpus : 1);
    } else if (metric == "first_token_latency") {
      row.harness = Harness::fixed_batch;
      row.requests = row.batch_size;
      row.measured["latency_s"] = 1e-3 * table.number(i, "value");
    } else {  // a static batch: from its rate, how long it took
      row.harness = Harness::fixed_batch;
      row.requests = row.batch_size;
      row.measured["latency_s"] = static_cast<double>(row.batch_size * row.output) /
                                  (table.number(i, "value") * (per_gpu ? gpus : 1));
    }
    row.origin = metric;
    out.push_back(row);
  }
}

// The file's header names Polaris, whose nodes have four A100-SXM4 of 40 GB; the collection filed
// them as 80 GB for want of a size. The rows agree: the latency of Llama-2-70B on four GPUs doubles
// where its cache outgrows what 40 GB leave beside the weights (18 thousand tokens), at batch 16
// between 512 + 512 and 1024 + 1024 tokens (in one of two series), at batch 64 between 128 + 128
// and 256 + 256.
constexpr const char* kArgonneA100 = "A100S-40GB";

void read_argonne(const std::string& folder, const std::string& file, bool layouts,
                  std::vector<LedgerRow>& out) {
  const CsvTable table(folder + "/e2e/" + file, {"gpu", "framework", "model", "latency_s"});
  for (std::size_t i = 0; i < table.rows(); ++i) {
    LedgerRow row;
    row.file = file;
    row.id = std::to_string(i + 1);
    row.harness = Harness::fixed_batch;
    row.gpu = table.text(i, "gpu");
    if (row.gpu == "A100S") {
      row.gpu = kArgonneA100;
    }
    row.model = table.text(i, "model");
    row.engine = table.text(i, "framework");
    row.origin = layouts ? table.text(i, "parallelism") : "Tensor Parallelism";
    row.weights = table.has("quant") ? std::string(table.text(i, "quant")) : "bf16";
    const int gpus = static_cast<int>(table.integer(i, "n_gpus"));
    (row.origin == "Pipeline Parallelism" ? row.pipeline : row.tensor) = gpus;
    row.input = table.integer(i, "isl");
    row.output = table.integer(i, "osl");
    row.requests = row.batch_size = table.integer(i, "batch");
    row.measured["latency_s"] = table.number(i, "latency_s");
    out.push_back(row);
  }
}

// The tables tell what a whole system did, of which one engine is scored, and no lengths: of the
// output the mean is the ratio of the two rates, the input is the data set's (mlperf.cpp).
void state_mlperf(const MlperfSettings& settings, int accelerators, double queries_per_s,
                  LedgerRow& row) {
  row.tensor = settings.tensor;
  row.pipeline = settings.pipeline;
  row.weights = settings.weights;
  row.batch_size = settings.max_batch;
  const int engines = std::max(1, accelerators / (settings.tensor * settings.pipeline));
  // LoadGen asks for a tenth more than the expected rate would answer in the least time.
  const auto wanted = static_cast<std::int64_t>(1.1 * queries_per_s * settings.least_seconds);
  row.requests = std::max(settings.least_run, wanted) / engines;
  row.measured["output_tok_s"] /= engines;
}

void read_mlperf(const std::string& folder, std::vector<LedgerRow>& out) {
  const std::string file = "mlperf_inference_v4.1_v5.1.csv";
  const CsvTable table(folder + "/e2e/" + file,
                       {"round", "gpu", "model", "scenario", "tokens_per_s", "samples_per_s"});
  for (std::size_t i = 0; i < table.rows(); ++i) {
    LedgerRow row;
    row.file = file;
    row.id = std::to_string(i + 1);
    row.harness = Harness::mlperf_offline;
    row.gpu = table.text(i, "gpu");
    row.model = table.text(i, "model");
    row.engine = table.text(i, "framework").starts_with("TensorRT") ? "trtllm" : "vLLM";
    row.version = table.text(i, "round");
    row.origin = table.text(i, "scenario");
    row.system = table.text(i, "system");
    const MlperfSettings* const settings = mlperf_settings(row);
    if (settings != nullptr && !table.empty(i, "tokens_per_s") && row.origin == "Offline") {
      const double tokens = table.number(i, "tokens_per_s");
      row.output = std::llround(tokens / table.number(i, "samples_per_s"));
      row.measured["output_tok_s"] = tokens;
      const auto accelerators = table.integer(i, "n_accel_per_node") * table.integer(i, "nodes");
      state_mlperf(*settings, static_cast<int>(accelerators), table.number(i, "target_qps"), row);
    }
    out.push_back(row);
  }
}

}  // namespace

std::vector<LedgerRow> read_rows(const std::string& folder) {
  std::vector<LedgerRow> rows;
  read_serving(folder, rows);
  read_overview(folder, rows);
  read_mlperf(folder, rows);
  read_argonne(folder, "argonne_llm_inference_bench.csv", false, rows);
  read_argonne(folder, "argonne_quant.csv", false, rows);
  read_argonne(folder, "argonne_tp_pp_ep.csv", true, rows);
  return rows;
}

}  // namespace foretoken::calibrate
