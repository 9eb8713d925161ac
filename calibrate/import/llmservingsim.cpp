#include "calibrate/import/llmservingsim.h"

#include <array>

#include "calibrate/import/csv_table.h"
#include "sim/core/error.h"

namespace foretoken::calibrate {
namespace {

constexpr double kMicrosecond = 1e-6;

// A measured layer and the operator it is.
struct LayerName {
  std::string_view layer, op;
};
constexpr std::array kLayers{LayerName{"qkv_proj", "qkv_proj"},
                             LayerName{"o_proj", "o_proj"},
                             LayerName{"gate_up_proj", "gate_up_proj"},
                             LayerName{"down_proj", "down_proj"},
                             LayerName{"act_fn", "silu_mul"},
                             LayerName{"rotary_emb", "rope"},
                             LayerName{"layernorm", "add_norm"},
                             LayerName{"final_layernorm", "input_layernorm"},
                             LayerName{"embedding", "embed_tokens"},
                             LayerName{"lm_head", "lm_head"},
                             LayerName{"sampler", "sample"}};

std::string_view op_of(std::string_view layer) {
  for (const LayerName& name : kLayers) {
    if (name.layer == layer) {
      return name.op;
    }
  }
  return {};
}

const Operator* find_operator(const StepGraph& graph, std::string_view name) {
  for (const Segment& segment : graph.segments) {
    for (const Operator& op : segment.operators) {
      if (op.name == name) {
        return &op;
      }
    }
  }
  return nullptr;
}

class Importer {
 public:
  Importer(const GraphBuilder& builder, Profile& out) : builder_(builder), out_(out) {}

  // `count`: "tokens" or "sequences".
  void add_layers(const std::string& path, const std::string& count) {
    const CsvTable table(path, {"layer", count, "time_us"});
    for (std::size_t row = 0; row < table.rows(); ++row) {
      const std::string_view name = op_of(table.text(row, "layer"));
      if (name.empty()) {
        continue;  // layers of other kinds of models
      }
      add(table, row, name, table.integer(row, count));
    }
  }

  void add_attention(const std::string& path) {
    const CsvTable table(path, {"prefill_chunk", "kv_prefill", "n_decode", "kv_decode", "time_us"});
    const ModelSpec& model = builder_.model();
    const int ranks = builder_.parallel().tensor;
    SampleTable& samples =
        samples_of("attention.mixed." + to_string(builder_.precision().kv_cache), table.remark());
    for (std::size_t row = 0; row < table.rows(); ++row) {
      samples.samples.push_back(
          {{model.heads / ranks, std::max(1, model.kv_heads / ranks), model.head_dim, 0,
            table.integer(row, "prefill_chunk"), table.integer(row, "kv_prefill"),
            table.integer(row, "n_decode"), table.integer(row, "kv_decode")},
           table.number(row, "time_us") * kMicrosecond});
    }
  }

 private:
  SampleTable& samples_of(const std::string& name, const std::string& source) {
    SampleTable& table = out_.samples[name];
    table.provenance = Provenance::imported;
    table.source = source;
    return table;
  }

  void add(const CsvTable& table, std::size_t row, std::string_view name, std::int64_t count) {
    BatchShape batch;
    batch.prefill.push_back({count, 0});
    batch.rows = count;
    const StepGraph graph = builder_.build(batch, 0);
    const Operator* op = find_operator(graph, name);
    if (op == nullptr) {
      return;
    }
    const double seconds = table.number(row, "time_us") * kMicrosecond;
    if (const auto* gemm = std::get_if<GemmOp>(&op->what)) {
      samples_of("gemm.bf16", table.remark())
          .samples.push_back({{gemm->m, gemm->n, gemm->k}, seconds});
    } else if (const auto* kernel = std::get_if<ElementwiseOp>(&op->what)) {
      samples_of("elementwise." + op->name, table.remark())
          .samples.push_back({{kernel->bytes_read + kernel->bytes_written}, seconds});
    }
  }

  const GraphBuilder& builder_;
  Profile& out_;
};

}  // namespace

Profile import_llmservingsim(const std::string& prefix, const GraphBuilder& builder) {
  Profile profile;
  profile.name = "llmservingsim";
  profile.file = prefix + "attention.csv";
  Importer importer(builder, profile);
  importer.add_layers(prefix + "dense.csv", "tokens");
  importer.add_layers(prefix + "per_sequence.csv", "sequences");
  importer.add_attention(prefix + "attention.csv");
  // Inside the attention rows: vLLM's attention layer writes the cache itself.
  SampleTable& write = profile.samples["elementwise.kv_cache_write"];
  write.provenance = Provenance::imported;
  write.source = "inside the attention rows";
  write.samples = {{{1}, 1e-12}, {{std::int64_t{1} << 40}, 1e-12}};
  const auto set = [&](const char* key, double value) {
    profile.parameters[key] = {value, Provenance::assumed,
                               "spread of repeated kernel timings on one machine"};
  };
  set("gemm.bf16.sd_family", 0.03);
  set("gemm.bf16.sd_shape", 0.03);
  set("attention.sd_family", 0.05);
  set("elementwise.sd_family", 0.05);
  return profile;
}

}  // namespace foretoken::calibrate
