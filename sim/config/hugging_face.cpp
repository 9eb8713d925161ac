// Shapes from a Hugging Face config.json.
#include <algorithm>
#include <array>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "sim/config/model_reader.h"
#include "sim/core/error.h"
#include "sim/core/quantity.h"

namespace foretoken::config {
namespace {

using nlohmann::json;

// What a model type implies besides its config.json: the class defaults of transformers.
struct Family {
  std::string_view model_type;
  bool gated = true;
  bool bias = false;  // of Q, K and V, unless `attention_bias` says otherwise
  bool qk_norm = false;
  bool post_norms = false;
  bool tied = false;     // default of `tie_word_embeddings`
  int window_every = 1;  // default pattern of `sliding_window`; 0: the key is not used
};

constexpr std::array kFamilies{
    Family{"llama", true, false, false, false, false, 0},
    Family{"mistral", true, false, false, false, false, 1},
    Family{"mixtral", true, false, false, false, false, 1},
    Family{"qwen2", true, true, false, false, false, 1},
    Family{"qwen2_moe", true, true, false, false, false, 1},
    Family{"qwen3", true, false, true, false, false, 1},
    Family{"qwen3_moe", true, false, true, false, false, 1},
    Family{"gemma", true, false, false, false, true, 0},
    Family{"gemma2", true, false, false, true, true, 2},
    Family{"gemma3", true, false, true, true, true, 6},
    Family{"gemma3_text", true, false, true, true, true, 6},
    Family{"deepseek_v2", true, false, false, false, false, 0},
    Family{"deepseek_v3", true, false, false, false, false, 0},
    Family{"gpt_oss", true, true, false, false, false, 2},
    Family{"llama4", true, false, false, false, false, 0},
    Family{"llama4_text", true, false, false, false, false, 0},
    Family{"phi3", true, false, false, false, false, 1},
    Family{"phi", false, true, false, false, false, 0},
    Family{"gptj", false, false, false, false, false, 0},
    Family{"opt", false, true, false, false, true, 0},
    Family{"gpt2", false, true, false, false, true, 0},
};

const Family& find_family(const std::string& model_type, const std::string& file) {
  std::vector<std::string_view> known;
  for (const Family& family : kFamilies) {
    if (family.model_type == model_type) {
      return family;
    }
    known.push_back(family.model_type);
  }
  throw InputError(SourceMark{file, 0, 0}, "model_type",
                   fmt::format("\"{}\" is not known (known: {}); write the shape as a model YAML",
                               model_type, fmt::join(known, ", ")));
}

// A value in a message: short, and never a whole tree.
std::string show(const json& value) {
  return value.is_primitive() ? value.dump().substr(0, 60) : std::string(value.type_name());
}

// Typed access to one JSON object; null counts as absent, as it does in transformers.
class Fields {
 public:
  Fields(const json& object, std::string file, std::string path)
      : object_(object), file_(std::move(file)), path_(std::move(path)) {}

  const json* find(const std::string& key) const {
    const auto it = object_.find(key);
    return it == object_.end() || it->is_null() ? nullptr : &*it;
  }

  // The first of several names for the same thing.
  std::optional<std::int64_t> integer(std::initializer_list<const char*> keys, std::int64_t low = 1,
                                      std::int64_t high = 1'000'000'000) const {
    for (const char* key : keys) {
      if (const json* value = find(key)) {
        return checked_integer(key, *value, low, high);
      }
    }
    return std::nullopt;
  }

  std::int64_t require(std::initializer_list<const char*> keys,
                       std::int64_t high = 10'000'000) const {
    if (const auto value = integer(keys, 1, high)) {
      return *value;
    }
    refuse(*keys.begin(), "this key is required; it decides the model's shape");
  }

  bool boolean(const char* key, bool fallback) const {
    const json* value = find(key);
    if (value != nullptr && !value->is_boolean()) {
      refuse(key, fmt::format("{} is not true or false", show(*value)));
    }
    return value ? value->get<bool>() : fallback;
  }

  std::string string(const char* key) const {
    const json* value = find(key);
    if (value != nullptr && !value->is_string()) {
      refuse(key, fmt::format("{} is not text", show(*value)));
    }
    return value ? value->get<std::string>() : std::string();
  }

  [[noreturn]] void refuse(const std::string& key, const std::string& message) const {
    throw InputError(SourceMark{file_, 0, 0}, path_ + key, message);
  }

 private:
  std::int64_t checked_integer(const char* key, const json& value, std::int64_t low,
                               std::int64_t high) const {
    const bool fits = value.is_number_unsigned()
                          ? value.get<std::uint64_t>() <= static_cast<std::uint64_t>(high)
                          : value.is_number_integer() && value.get<std::int64_t>() <= high;
    if (!fits || value.get<std::int64_t>() < low) {
      refuse(key, fmt::format("{} is not a whole number from {} to {}", show(value), low, high));
    }
    return value.get<std::int64_t>();
  }

  const json& object_;
  std::string file_;
  std::string path_;
};

// nlohmann-json counts bytes; people count lines.
SourceMark mark_of_byte(const std::string& text, std::size_t byte, const std::string& file) {
  const std::size_t end = std::min(byte == 0 ? 0 : byte - 1, text.size());
  const auto begin = text.begin();
  const auto stop = begin + static_cast<std::ptrdiff_t>(end);
  const auto line_start = text.rfind('\n', end == 0 ? 0 : end - 1);
  const std::size_t before = line_start == std::string::npos || end == 0 ? 0 : line_start + 1;
  return {file, static_cast<int>(std::count(begin, stop, '\n')) + 1,
          static_cast<int>(end - before) + 1};
}

json parse_json(const std::string& text, const std::string& file) {
  try {
    json document = json::parse(text);
    if (!document.is_object()) {
      throw InputError(SourceMark{file, 1, 1}, "", "this is not a config.json: no JSON object");
    }
    return document;
  } catch (const json::parse_error& error) {
    throw InputError(mark_of_byte(text, error.byte, file), "",
                     "this is not valid JSON; fetch config.json again");
  } catch (const json::out_of_range&) {  // without a position
    throw InputError(SourceMark{file, 0, 0}, "",
                     "holds a number beyond a double's range; fetch config.json again");
  }
}

// The directory's name for ".../Llama-3.1-8B/config.json", else the file's.
std::string name_of(const std::string& file) {
  const std::filesystem::path path(file);
  const std::string stem = path.stem().string();
  const std::string folder = path.parent_path().filename().string();
  return stem == "config" && !folder.empty() ? folder : stem;
}

void read_shape(const Fields& fields, ModelSpec& model) {
  model.layers = static_cast<int>(fields.require({"num_hidden_layers", "n_layer"}, 100'000));
  model.hidden = fields.require({"hidden_size", "n_embd"});
  model.heads = static_cast<int>(fields.require({"num_attention_heads", "n_head"}, 100'000));
  model.kv_heads =
      static_cast<int>(fields.integer({"num_key_value_heads"}, 1, 100'000).value_or(model.heads));
  if (const auto dim = fields.integer({"head_dim"}, 1, 100'000)) {
    model.head_dim = static_cast<int>(*dim);
  } else if (model.hidden % model.heads == 0) {
    model.head_dim = static_cast<int>(model.hidden / model.heads);
  } else {
    fields.refuse("head_dim", fmt::format("{} heads do not divide hidden_size {}; state head_dim",
                                          model.heads, model.hidden));
  }
}

// The feed-forward width of dense layers, where each model type keeps it.
void read_widths(const Fields& fields, const Family& family, ModelSpec& model) {
  const bool gpt = family.model_type == "gptj" || family.model_type == "gpt2";
  const bool gemma3 = family.model_type.starts_with("gemma3");
  if (gpt) {
    model.intermediate = fields.integer({"n_inner"}, 1, 10'000'000).value_or(4 * model.hidden);
  } else {
    model.intermediate = fields.require({"intermediate_size_mlp", "intermediate_size", "ffn_dim"});
  }
  // Gemma-3 leaves these two to Gemma3TextConfig's defaults.
  const auto vocab = fields.integer({"vocab_size"}, 1, 10'000'000);
  model.vocab = vocab || !gemma3 ? fields.require({"vocab_size"}) : 262'208;
  const auto positions = fields.integer({"max_position_embeddings", "n_positions"});
  model.max_positions =
      positions || !gemma3
          ? fields.require({"max_position_embeddings", "n_positions"}, 1'000'000'000)
          : 131'072;
}

void read_moe(const Fields& fields, const Family& family, ModelSpec& model) {
  const auto experts =
      fields.integer({"num_local_experts", "num_experts", "n_routed_experts"}, 0, 100'000);
  if (experts.value_or(0) == 0) {
    return;
  }
  MoeSpec& moe = model.moe;
  moe.experts = static_cast<int>(*experts);
  moe.active = static_cast<int>(fields.require({"num_experts_per_tok", "experts_per_token"}));
  moe.intermediate = fields.require({"moe_intermediate_size", "intermediate_size"});
  moe.shared_experts =
      static_cast<int>(fields.integer({"n_shared_experts"}, 0, 100'000).value_or(0));
  if (const auto width = fields.integer({"shared_expert_intermediate_size"}, 0)) {
    moe.shared_experts = static_cast<int>(*width / moe.intermediate);
  }
  if (family.model_type.starts_with("llama4")) {
    moe.shared_experts = 1;  // always, without a key for it
  }
  moe.first_dense_layers =
      static_cast<int>(fields.integer({"first_k_dense_replace"}, 0, 100'000).value_or(0));
}

void read_mla(const Fields& fields, ModelSpec& model) {
  const auto rank = fields.integer({"kv_lora_rank"}, 1, 100'000);
  if (!rank) {
    return;
  }
  MlaSpec& mla = model.mla;
  mla.kv_lora_rank = static_cast<int>(*rank);
  mla.q_lora_rank = static_cast<int>(fields.integer({"q_lora_rank"}, 1, 100'000).value_or(0));
  mla.qk_nope_dim = static_cast<int>(fields.require({"qk_nope_head_dim"}, 100'000));
  mla.qk_rope_dim = static_cast<int>(fields.require({"qk_rope_head_dim"}, 100'000));
  mla.v_head_dim = static_cast<int>(fields.require({"v_head_dim"}, 100'000));
  model.head_dim = mla.qk_nope_dim + mla.qk_rope_dim;  // what Q and K have; V has v_head_dim
}

// `layer_types` as a repeating pattern in which all layers but the last of each period have
// windows.
void read_layer_types(const Fields& fields, const json& types, ModelSpec& model) {
  std::vector<bool> windowed;
  for (const json& type : types) {
    const bool sliding = type == "sliding_attention";
    if (!sliding && type != "full_attention") {
      fields.refuse("layer_types", fmt::format("{} is neither \"sliding_attention\" nor "
                                               "\"full_attention\"",
                                               show(type)));
    }
    windowed.push_back(sliding);
  }
  if (windowed.size() != static_cast<std::size_t>(model.layers)) {
    fields.refuse("layer_types",
                  fmt::format("{} entries for {} layers", windowed.size(), model.layers));
  }
  const auto full = std::find(windowed.begin(), windowed.end(), false);
  model.window_every = full == windowed.end() ? 1 : static_cast<int>(full - windowed.begin()) + 1;
  if (full == windowed.begin()) {
    model.sliding_window = 0;  // the first layer is full: only "all are" can be stated
  }
  for (int layer = 0; layer < model.layers; ++layer) {
    if (windowed[static_cast<std::size_t>(layer)] != model.windowed(layer)) {
      fields.refuse("layer_types",
                    fmt::format("layer {} breaks the pattern of {} layers; only a pattern whose "
                                "last layer is full can be stated",
                                layer, model.window_every));
    }
  }
}

void read_window(const Fields& fields, const Family& family, ModelSpec& model) {
  // Qwen states a window that is switched off, and off is its default.
  const bool by_default = !family.model_type.starts_with("qwen");
  if (family.window_every == 0 || !fields.boolean("use_sliding_window", by_default)) {
    return;
  }
  model.sliding_window = fields.integer({"sliding_window"}, 0).value_or(0);
  model.window_every = static_cast<int>(
      fields.integer({"sliding_window_pattern"}, 1, 100'000).value_or(family.window_every));
  if (model.sliding_window == 0) {
    model.window_every = 1;
    return;
  }
  if (const json* types = fields.find("layer_types"); types != nullptr && types->is_array()) {
    read_layer_types(fields, *types, model);
  } else if (fields.integer({"max_window_layers"}, 0).value_or(0) > 0) {
    fields.refuse("max_window_layers",
                  "windows from some layer on cannot be stated; set use_sliding_window: false");
  }
}

}  // namespace

ModelSpec parse_hugging_face(const std::string& text, const std::string& file) {
  const json document = parse_json(text, file);
  const auto nested = document.find("text_config");
  const bool is_nested = nested != document.end() && nested->is_object();
  const Fields outer(document, file, "");
  const Fields fields(is_nested ? *nested : document, file, is_nested ? "text_config." : "");

  std::string model_type = fields.string("model_type");
  if (model_type.empty()) {
    model_type = outer.string("model_type");
  }
  if (model_type.empty()) {
    outer.refuse("model_type", "this key is required; is this a Hugging Face config.json?");
  }
  const Family& family = find_family(model_type, file);

  ModelSpec model;
  model.name = name_of(file);
  model.source = "Hugging Face config.json, model type " + model_type;
  read_shape(fields, model);
  read_widths(fields, family, model);
  model.gated_mlp = family.gated;
  const bool outer_tied = outer.boolean("tie_word_embeddings", family.tied);
  model.tied_embeddings = fields.boolean("tie_word_embeddings", outer_tied);
  model.qkv_bias = fields.boolean("attention_bias", family.bias);
  model.qk_norm = fields.boolean("use_qk_norm", family.qk_norm);
  model.post_norms = family.post_norms;
  read_moe(fields, family, model);
  read_mla(fields, model);
  read_window(fields, family, model);
  check_model(model, file);
  return model;
}

}  // namespace foretoken::config
