#include "calibrate/ledger/tables.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <vector>

#include "calibrate/fit/transfer.h"
#include "calibrate/import/aiconfigurator.h"
#include "calibrate/import/csv_table.h"
#include "sim/config/profile_reader.h"
#include "sim/serving/simulation.h"

namespace foretoken::calibrate {
namespace {

constexpr double kMicrosecond = 1e-6;
// Dynamic quantisation inside fp4 rows takes about 5 us where it takes 8.6 us inside fp8 rows.
constexpr double kFp4Quantise = 5.0 / 8.6;

SampleTable& table_of(Profile& profile, const std::string& name, const std::string& source) {
  SampleTable& table = profile.samples[name];
  table.provenance = Provenance::imported;
  table.source = source;
  return table;
}

// Rows whose arithmetic is bf16: fp8 caches are converted when read, in every engine's default.
void add_attention(Profile& profile, const std::string& path, const std::string& kind) {
  for (const importer::AttentionMeasurement& row : importer::read_attention_table(path)) {
    if (!(row.compute == kBf16)) {
      continue;
    }
    const AttentionOp& op = row.op;
    const std::int64_t tokens =
        kind == "prefill" ? op.chunks.front().new_tokens : op.kv_tokens / op.sequences;
    table_of(profile, "attention." + kind + "." + to_string(op.kv_cache), path)
        .samples.push_back(
            {{op.heads, op.kv_heads, op.head_dim, op.window, row.batch, tokens}, row.seconds});
  }
}

void add_gemm(Profile& profile, const std::string& path) {
  for (auto& [name, table] : importer::read_gemm_table(path)) {
    table.provenance = Provenance::imported;
    profile.samples[name] = std::move(table);
  }
}

// What static scales save of the two kernels that dynamic quantisation is made of (as measured on
// the H100): the search for the scales, and the launch of the conversion, which another kernel then
// does in passing; the bytes of the conversion are still moved.
void add_quantise(Profile& profile, const std::string& folder) {
  const auto read = [&](const char* kernel) {
    return CsvTable(folder + "/ops/other/quantize_" + kernel + "_h100_sxm_trtllm_1.3.0rc20.csv",
                    {"m", "k", "latency_us"});
  };
  const CsvTable convert = read("scale_matrix");
  double launch_us = convert.number(0, "latency_us");
  for (std::size_t i = 0; i < convert.rows(); ++i) {
    launch_us = std::min(launch_us, convert.number(i, "latency_us"));
  }
  const CsvTable search = read("computescale");
  for (std::size_t i = 0; i < search.rows(); ++i) {
    const double seconds = (search.number(i, "latency_us") + launch_us) * kMicrosecond;
    const std::vector<std::int64_t> shape{search.integer(i, "m"), search.integer(i, "k")};
    table_of(profile, "quantise.fp8", "H100, computescale + the launch of scale_matrix")
        .samples.push_back({shape, seconds});
    table_of(profile, "quantise.fp4/g16", "0.58 x the fp8 kernels")
        .samples.push_back({shape, kFp4Quantise * seconds});
  }
}

using Samples = std::map<std::string, SampleTable, std::less<>>;

// GEMM and attention tables of a device as one engine runs them.
Samples kernel_tables(const std::string& folder, const GpuFiles& gpu, bool vllm) {
  Profile profile;
  const std::string attention = folder + "/ops/attention/";
  add_gemm(profile, folder + "/ops/gemm/" + (vllm ? gpu.vllm_gemm : gpu.gemm) + ".csv");
  add_attention(profile, attention + (vllm ? gpu.vllm_context : gpu.context) + ".csv", "prefill");
  add_attention(profile, attention + (vllm ? gpu.vllm_generation : gpu.generation) + ".csv",
                "decode");
  return std::move(profile.samples);
}

// `here` x `to` / `from` at the shapes that all three have.
Samples by_ratio(const Samples& here, const Samples& from, const Samples& to) {
  Samples result;
  for (const auto& [name, table] : here) {
    const auto old_table = from.find(name), new_table = to.find(name);
    if (old_table == from.end() || new_table == to.end()) {
      continue;
    }
    const auto by_shape = [](const SampleTable& samples) {
      std::map<std::vector<std::int64_t>, double> seconds;
      for (const Sample& sample : samples.samples) {
        seconds.emplace(sample.shape, sample.seconds);
      }
      return seconds;
    };
    const auto olds = by_shape(old_table->second), news = by_shape(new_table->second);
    SampleTable& moved = result[name];
    moved.provenance = Provenance::imported;
    moved.source =
        table.source + " x " + new_table->second.source + " / " + old_table->second.source;
    for (const Sample& sample : table.samples) {
      const auto o = olds.find(sample.shape), n = news.find(sample.shape);
      if (o != olds.end() && n != news.end()) {
        moved.samples.push_back({sample.shape, sample.seconds * n->second / o->second});
      }
    }
  }
  return result;
}

Profile datasheet(const GpuFiles& gpu) {
  return config::read_profile("calibrate/profiles/" + gpu.profile + ".yaml");
}

Samples engine_tables(const std::string& folder, const TableKey& key) {
  const GpuFiles& gpu = *key.gpu;
  if (!gpu.tables_of.empty()) {
    Profile measured;
    measured.samples = kernel_tables(folder, gpu, key.vllm);
    return transferred(measured, datasheet(*find_gpu(gpu.tables_of)), datasheet(gpu)).samples;
  }
  if (!key.vllm || gpu.vllm_as_on.empty()) {
    return kernel_tables(folder, gpu, key.vllm);
  }
  const GpuFiles& sister = *find_gpu(gpu.vllm_as_on);
  return by_ratio(kernel_tables(folder, gpu, false), kernel_tables(folder, sister, false),
                  kernel_tables(folder, sister, true));
}

// CUDA-graph rows where a framework was measured both ways. The L40S box has no working peer access
// beyond pairs, so its larger groups are simulated instead.
void add_all_reduce(Profile& profile, const std::string& folder, const TableKey& key) {
  const CsvTable table(folder + "/ops/comm/custom_allreduce_single_node.csv",
                       {"system", "framework", "backend", "num_gpus", "bytes", "latency_us"});
  const auto add = [&](std::string_view framework) {
    bool found = false;
    for (std::size_t i = 0; i < table.rows(); ++i) {
      const std::int64_t ranks = table.integer(i, "num_gpus");
      if (table.text(i, "system") != key.gpu->system || table.text(i, "framework") != framework ||
          table.text(i, "backend").ends_with("eager") || (key.gpu->name == "l40s" && ranks > 2)) {
        continue;
      }
      found = true;
      table_of(profile, "engine_all_reduce.bf16", table.remark())
          .samples.push_back(
              {{ranks, table.integer(i, "bytes")}, table.number(i, "latency_us") * kMicrosecond});
    }
    return found;
  };
  if (!add(key.all_reduce)) {
    add("trtllm");
  }
}

}  // namespace

std::shared_ptr<const CostModel> make_costs(const std::string& folder, const TableKey& key) {
  const GpuFiles& gpu = *key.gpu;
  Profile profile = datasheet(gpu);
  for (auto& [name, table] : engine_tables(folder, key)) {
    profile.samples[name] = std::move(table);
  }
  profile.parameters["elementwise.quantise_in_gemm"] = {1, Provenance::imported, gpu.gemm};
  if (!key.vllm) {  // vLLM's own fp8 rows quantise in one fused kernel
    add_quantise(profile, folder);
    // TensorRT-LLM's attention operator rotates and stores; vLLM's tables time the kernel alone.
    profile.parameters["attention.includes_rope"] = {1, Provenance::imported, gpu.context};
  }
  if (key.per_head && gpu.l2_bandwidth > 0) {
    profile.parameters["attention.decode.per_head_bandwidth"] = {gpu.l2_bandwidth,
                                                                 Provenance::assumed, "L2"};
  }
  add_all_reduce(profile, folder, key);
  // What repeated measurements of one table differ by. What versions of an engine and machines
  // differ by is in the residual that the fit of the constants leaves (constants.csv).
  const auto spread = [&](const std::string& name, double sd) {
    profile.parameters[name] = {sd, Provenance::assumed, "between repeated measurements"};
  };
  // By as much an H200 predicted from the H100's GEMMs errs more than from its own
  // (reports/published/cost-models.md).
  constexpr double kOtherDevice = 0.05;
  const double family = gpu.tables_of.empty() ? 0 : kOtherDevice;
  for (const char* format : {"bf16", "fp8", "fp4/g16"}) {
    spread(std::string("gemm.") + format + ".sd_family", std::hypot(0.02, family));
    spread(std::string("gemm.") + format + ".sd_shape", 0.02);
  }
  spread("attention.sd_family", std::hypot(0.03, family));
  return std::make_shared<const CostModel>(std::move(profile));
}

}  // namespace foretoken::calibrate
