#include "sim/config/model_reader.h"

#include <algorithm>
#include <filesystem>

#include "sim/config/reader.h"

namespace foretoken::config {
namespace {

// Ranges far beyond any model, so that products of them stay within 64 bits.
constexpr IntRange kCount{1, 100'000};
constexpr IntRange kWidth{1, 10'000'000};
constexpr IntRange kOptionalWidth{0, 1'000'000'000};
constexpr IntRange kOptionalCount{0, 100'000};
constexpr IntRange kPositions{1, 1'000'000'000};

int count(MapReader& map, std::string_view key) {
  return static_cast<int>(map.integer(key, kCount));
}

int optional_count(MapReader& map, std::string_view key) {
  return static_cast<int>(map.integer(key, 0, kOptionalCount));
}

MoeSpec read_moe(const Node& node, const std::string& path) {
  MapReader map(node, path);
  MoeSpec moe;
  moe.experts = count(map, "experts");
  moe.active = count(map, "active");
  moe.intermediate = map.integer("intermediate", kWidth);
  moe.shared_experts = optional_count(map, "shared_experts");
  moe.first_dense_layers = optional_count(map, "first_dense_layers");
  map.finish();
  return moe;
}

MlaSpec read_mla(const Node& node, const std::string& path) {
  MapReader map(node, path);
  MlaSpec mla;
  mla.kv_lora_rank = count(map, "kv_lora_rank");
  mla.q_lora_rank = optional_count(map, "q_lora_rank");
  mla.qk_nope_dim = count(map, "qk_nope_dim");
  mla.qk_rope_dim = count(map, "qk_rope_dim");
  mla.v_head_dim = count(map, "v_head_dim");
  map.finish();
  return mla;
}

int read_head_dim(MapReader& map, const ModelSpec& model) {
  if (const auto given = map.optional_integer("head_dim", kCount)) {
    return static_cast<int>(*given);
  }
  if (model.hidden % model.heads != 0) {
    fail(
        map.node(), map.path("head_dim"),
        fmt::format("{} heads do not divide hidden {}; state head_dim", model.heads, model.hidden));
  }
  return static_cast<int>(model.hidden / model.heads);
}

void read_shape(MapReader& map, ModelSpec& model) {
  model.layers = count(map, "layers");
  model.hidden = map.integer("hidden", kWidth);
  model.heads = count(map, "heads");
  model.kv_heads = static_cast<int>(map.integer("kv_heads", model.heads, kCount));
  model.head_dim = read_head_dim(map, model);
  model.intermediate = map.integer("intermediate", kWidth);
  model.vocab = map.integer("vocab", kWidth);
  model.max_positions = map.integer("max_positions", kPositions);
}

void read_variants(MapReader& map, ModelSpec& model) {
  model.gated_mlp = map.boolean("gated_mlp", true);
  model.tied_embeddings = map.boolean("tied_embeddings", false);
  model.qkv_bias = map.boolean("qkv_bias", false);
  model.qk_norm = map.boolean("qk_norm", false);
  model.post_norms = map.boolean("post_norms", false);
  model.parallel_blocks = map.boolean("parallel_blocks", false);
  model.sliding_window = map.integer("sliding_window", 0, kOptionalWidth);
  model.window_every = static_cast<int>(map.integer("window_every", 1, kCount));
  if (const Node* moe = map.find("moe")) {
    model.moe = read_moe(*moe, map.path("moe"));
  }
  if (const Node* mla = map.find("mla")) {
    model.mla = read_mla(*mla, map.path("mla"));
  }
}

bool ends_with_yaml(const std::string& path) {
  return path.ends_with(".yaml") || path.ends_with(".yml");
}

bool begins_with_brace(const std::string& text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  return first != std::string::npos && text[first] == '{';
}

}  // namespace

void check_model(const ModelSpec& model, const std::string& file, const Node* document) {
  const auto refuse = [&](const std::string& key, const std::string& message) {
    const Node* node = document;
    for (std::size_t begin = 0; node != nullptr && begin < key.size();) {
      const std::size_t end = std::min(key.find('.', begin), key.size());
      node = node->find(key.substr(begin, end - begin));
      begin = end + 1;
    }
    throw InputError(node != nullptr ? node->mark : SourceMark{file, 0, 0}, key, message);
  };
  if (model.heads % model.kv_heads != 0) {
    refuse("kv_heads", fmt::format("{} KV heads do not divide the {} heads; state a divisor of {}",
                                   model.kv_heads, model.heads, model.heads));
  }
  if (model.moe.active > model.moe.experts) {
    refuse("moe.active", fmt::format("{} active of {} experts; state at most {}", model.moe.active,
                                     model.moe.experts, model.moe.experts));
  }
  if (model.moe.first_dense_layers > model.layers) {
    refuse("moe.first_dense_layers",
           fmt::format("{} of {} layers; state at most {}", model.moe.first_dense_layers,
                       model.layers, model.layers));
  }
}

ModelSpec parse_model_yaml(const std::string& text, const std::string& file) {
  const auto document = parse_document(text, file);
  MapReader map(*document, "");
  read_schema(map, 1);
  ModelSpec model;
  model.name = map.string("name", std::filesystem::path(file).stem().string());
  model.source = map.string("source");
  read_shape(map, model);
  read_variants(map, model);
  map.finish();
  check_model(model, file, document.get());
  return model;
}

ModelSpec read_model(const std::string& path) {
  const std::string text = read_text_file(path);
  const bool json = path.ends_with(".json") || (!ends_with_yaml(path) && begins_with_brace(text));
  return json ? parse_hugging_face(text, path) : parse_model_yaml(text, path);
}

}  // namespace foretoken::config
