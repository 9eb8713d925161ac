#include "sim/config/model_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "mutation.h"
#include "sim/core/error.h"

namespace foretoken::config {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr const char* kModels = "scenarios/models";
constexpr const char* kReference = "../shared/reference/models";

std::vector<std::string> files_in(const std::string& folder, const std::string& extension) {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == extension) {
      files.push_back(entry.path().string());
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

template <class Parse>
std::string refusal(Parse parse) {
  try {
    parse();
  } catch (const InputError& error) {
    return error.what();
  }
  return "accepted";
}

std::string yaml_refusal(const std::string& text) {
  return refusal([&] { parse_model_yaml(text, "m.yaml"); });
}

std::string json_refusal(const std::string& text) {
  return refusal([&] { parse_hugging_face(text, "config.json"); });
}

constexpr const char* kYaml =
    "schema: 1\nsource: me\nlayers: 2\nhidden: 64\nheads: 4\nintermediate: 128\nvocab: 100\n"
    "max_positions: 512\n";

constexpr const char* kLlama = R"({"model_type": "llama", "num_hidden_layers": 2,
  "hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 128, "vocab_size": 100,
  "max_position_embeddings": 512, "unknown_key": [1, 2]})";

// kLlama with one value replaced.
std::string llama_with(const std::string& from, const std::string& to) {
  std::string text = kLlama;
  text.replace(text.find(from), from.size(), to);
  return text;
}

TEST(ModelReader, Every_shipped_model_loads_under_its_own_name) {
  const auto files = files_in(kModels, ".yaml");
  EXPECT_GE(files.size(), 29u);
  for (const std::string& file : files) {
    const ModelSpec model = read_model(file);
    EXPECT_EQ(model.name, std::filesystem::path(file).stem().string());
    EXPECT_FALSE(model.source.empty()) << file;
  }
}

TEST(ModelReader, Raw_configs_of_public_models_agree_with_the_shipped_descriptions) {
  const std::string raw = std::string(kReference) + "/raw";
  if (!std::filesystem::exists(raw)) {
    GTEST_SKIP() << raw << " is not here";
  }
  const auto files = files_in(raw, ".json");
  ASSERT_FALSE(files.empty());
  for (const std::string& file : files) {
    ModelSpec theirs = read_model(file);
    const ModelSpec ours = read_model(std::string(kModels) + "/" + lower(theirs.name) + ".yaml");
    theirs.name = ours.name;
    theirs.source = ours.source;
    EXPECT_EQ(theirs, ours) << file;
  }
}

// Columns of one line of the reference table; no quoted fields there.
std::vector<std::string> columns(const std::string& line) {
  std::vector<std::string> found;
  std::stringstream stream(line + ",");
  for (std::string column; std::getline(stream, column, ',');) {
    found.push_back(column);
  }
  return found;
}

TEST(ModelReader, Shipped_models_agree_with_the_reference_table) {
  std::ifstream table(std::string(kReference) + "/models.csv");
  if (!table) {
    GTEST_SKIP() << "the reference table is not here";
  }
  std::string line;
  std::getline(table, line);  // the comment that names sources
  std::getline(table, line);
  const std::vector<std::string> header = columns(line);
  int models = 0;
  while (std::getline(table, line)) {
    const std::vector<std::string> row = columns(line);
    std::map<std::string, std::string> cell;
    for (std::size_t i = 0; i < header.size(); ++i) {
      cell[header[i]] = row.at(i);
    }
    const ModelSpec model = read_model(std::string(kModels) + "/" + lower(row[0]) + ".yaml");
    const auto expect = [&](const std::string& column, std::int64_t value) {
      if (!cell[column].empty()) {
        EXPECT_EQ(cell[column], std::to_string(value)) << row[0] << ' ' << column;
      }
    };
    expect("layers", model.layers);
    expect("hidden", model.hidden);
    expect("q_heads", model.heads);
    expect("kv_heads", model.kv_heads);
    expect("head_dim", model.head_dim);
    expect("intermediate", model.intermediate);
    expect("vocab", model.vocab);
    expect("max_pos", model.max_positions);
    expect("sliding_window", model.sliding_window);
    expect("n_experts", model.moe.experts);
    expect("topk", model.moe.active);
    expect("moe_intermediate", model.moe.intermediate);
    expect("n_shared_experts", model.moe.shared_experts);
    expect("first_dense_layers", model.moe.first_dense_layers);
    expect("kv_lora_rank", model.mla.kv_lora_rank);
    expect("q_lora_rank", model.mla.q_lora_rank);
    expect("qk_nope_dim", model.mla.qk_nope_dim);
    expect("qk_rope_dim", model.mla.qk_rope_dim);
    expect("v_head_dim", model.mla.v_head_dim);
    EXPECT_EQ(model.is_mla(), cell["attention"] == "MLA") << row[0];
    ++models;
  }
  EXPECT_EQ(models, 26);
}

TEST(ModelReader, Heads_and_head_width_have_the_usual_defaults) {
  const ModelSpec model = parse_model_yaml(kYaml, "dir/small.yaml");
  EXPECT_EQ(model.name, "small");
  EXPECT_EQ(model.kv_heads, 4);
  EXPECT_EQ(model.head_dim, 16);
  EXPECT_TRUE(model.gated_mlp);
  const ModelSpec same = parse_hugging_face(kLlama, "dir/small/config.json");
  EXPECT_EQ(same.name, "small");
  EXPECT_EQ(same.kv_heads, 4);
  EXPECT_EQ(same.head_dim, 16);
}

TEST(ModelReader, Our_format_is_strict) {
  EXPECT_EQ(yaml_refusal(std::string(kYaml) + "kv_head: 2\n"),
            "m.yaml:9:1: kv_head: unknown key (did you mean \"kv_heads\"?)");
  EXPECT_EQ(yaml_refusal(std::string(kYaml) + "kv_heads: 3\n"),
            "m.yaml:9:11: kv_heads: 3 KV heads do not divide the 4 heads; state a divisor of 4");
  EXPECT_THAT(yaml_refusal(std::string(kYaml) + "moe: {experts: 2, active: 3, intermediate: 8}\n"),
              HasSubstr("moe.active: 3 active of 2 experts"));
  EXPECT_THAT(yaml_refusal("schema: 2\n"), StartsWith("m.yaml:1:9: schema: "));
  EXPECT_THAT(yaml_refusal("schema: 1\nsource: x\nlayers: 0\n"), StartsWith("m.yaml:3:9: layers"));
}

TEST(ModelReader, A_broken_config_json_is_refused_with_line_and_column) {
  // The second line's sixth column is where the value should begin.
  EXPECT_EQ(json_refusal("{\n\"a\": }"),
            "config.json:2:6: this is not valid JSON; fetch config.json again");
  EXPECT_THAT(json_refusal(""), StartsWith("config.json:1:1: "));
  EXPECT_THAT(json_refusal("[1]"), HasSubstr("no JSON object"));
  EXPECT_THAT(json_refusal("{\"a\": 1e999}"), HasSubstr("beyond a double's range"));
}

TEST(ModelReader, A_config_json_needs_sane_numbers_where_they_decide_the_shape) {
  EXPECT_EQ(json_refusal(llama_with("\"hidden_size\": 64", "\"hidden\": 64")),
            "config.json: hidden_size: this key is required; it decides the model's shape");
  EXPECT_EQ(json_refusal(llama_with("64", "-64")),
            "config.json: hidden_size: -64 is not a whole number from 1 to 10000000");
  EXPECT_THAT(json_refusal(llama_with("64", "64.5")), HasSubstr("hidden_size: 64.5"));
  EXPECT_THAT(json_refusal(llama_with("64", "\"64\"")), HasSubstr("hidden_size: \"64\""));
  EXPECT_THAT(json_refusal(llama_with("64", "[[64]]")), HasSubstr("hidden_size: array"));
  EXPECT_THAT(json_refusal(llama_with("64", "18446744073709551615")), HasSubstr("hidden_size"));
  EXPECT_THAT(json_refusal(llama_with("64", "66")), HasSubstr("4 heads do not divide"));
  EXPECT_THAT(json_refusal(llama_with("\"llama\"", "\"bert\"")),
              HasSubstr("model_type: \"bert\" is not known"));
}

TEST(ModelReader, Windows_follow_the_layer_types) {
  const std::string head = R"({"model_type": "gpt_oss", "num_hidden_layers": 4, "hidden_size": 64,
    "num_attention_heads": 4, "intermediate_size": 128, "vocab_size": 100,
    "max_position_embeddings": 512, "sliding_window": 128, "layer_types": )";
  const std::string slide = "\"sliding_attention\"", full = "\"full_attention\"";
  const auto types = [&](const std::string& pattern) {
    std::string list;
    for (const char c : pattern) {
      list += (list.empty() ? "" : ",") + (c == 'S' ? slide : full);
    }
    return head + "[" + list + "]}";
  };
  EXPECT_EQ(parse_hugging_face(types("SFSF"), "c.json").window_every, 2);
  EXPECT_EQ(parse_hugging_face(types("SSSS"), "c.json").window_every, 1);
  EXPECT_EQ(parse_hugging_face(types("SSSF"), "c.json").window_every, 4);
  EXPECT_EQ(parse_hugging_face(types("FFFF"), "c.json").sliding_window, 0);
  EXPECT_THAT(json_refusal(types("SFFS")), HasSubstr("layer_types: layer 2 breaks the pattern"));
  EXPECT_THAT(json_refusal(types("FSFS")), HasSubstr("layer_types: layer 1 breaks the pattern"));
  EXPECT_THAT(json_refusal(types("SF")), HasSubstr("2 entries for 4 layers"));
}

TEST(ModelReader, Gemma_3_nests_its_text_model_and_leaves_defaults_out) {
  // The keys of gemma-3-27b-it's config.json that decide its shape.
  const ModelSpec model = parse_hugging_face(
      R"({"model_type": "gemma3", "text_config": {"model_type": "gemma3_text",
          "head_dim": 128, "hidden_size": 5376, "intermediate_size": 21504,
          "num_attention_heads": 32, "num_hidden_layers": 62, "num_key_value_heads": 16,
          "sliding_window": 1024}, "vision_config": {}})",
      "gemma-3-27b.json");
  ModelSpec shipped = read_model(std::string(kModels) + "/gemma-3-27b.yaml");
  shipped.source = model.source;
  shipped.vocab = 262'208;  // transformers pads the table by a row block
  EXPECT_EQ(model, shipped);
}

TEST(ModelReader, Plain_mlps_of_older_models_are_read) {
  const ModelSpec gptj = parse_hugging_face(
      R"({"model_type": "gptj", "n_layer": 28, "n_embd": 4096, "n_head": 16, "n_inner": null,
          "vocab_size": 50400, "n_positions": 2048})",
      "gptj.json");
  EXPECT_FALSE(gptj.gated_mlp);
  EXPECT_EQ(gptj.intermediate, 4 * 4096);
  EXPECT_EQ(gptj.head_dim, 256);
  const ModelSpec opt = parse_hugging_face(
      R"({"model_type": "opt", "num_hidden_layers": 12, "hidden_size": 768, "ffn_dim": 3072,
          "num_attention_heads": 12, "vocab_size": 50272, "max_position_embeddings": 2048})",
      "opt.json");
  EXPECT_FALSE(opt.gated_mlp);
  EXPECT_TRUE(opt.tied_embeddings);
  EXPECT_TRUE(opt.qkv_bias);
  EXPECT_EQ(opt.intermediate, 3072);
}

TEST(ModelReader, Damaged_models_are_read_or_refused_in_one_line) {
  const auto yaml = [](const std::string& text) { parse_model_yaml(text, "m.yaml"); };
  const auto json = [](const std::string& text) { parse_hugging_face(text, "config.json"); };
  for (const std::uint64_t seed : {1, 2, 3}) {
    EXPECT_GT(testing::survive_mutations(kYaml, seed, 2000, yaml), 500);
    EXPECT_GT(testing::survive_mutations(kLlama, seed, 2000, json), 500);
  }
}

TEST(ModelReader, A_missing_file_is_named) {
  EXPECT_THAT(refusal([] { read_model("scenarios/models/no-such.yaml"); }),
              HasSubstr("no-such.yaml"));
}

}  // namespace
}  // namespace foretoken::config
