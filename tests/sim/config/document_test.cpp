#include "sim/config/document.h"

#include <gtest/gtest.h>

namespace foretoken::config {
namespace {

std::string refusal(const std::string& text) {
  try {
    parse_document(text, "a.yaml");
  } catch (const InputError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(Document, A_duplicate_key_is_refused_at_its_second_place) {
  EXPECT_EQ(refusal("a: 1\nb: 2\na: 3\n"),
            "a.yaml:3:1: a: duplicate key (first value on line 1); remove one");
}

TEST(Document, An_alias_inside_its_own_anchor_is_refused) {
  EXPECT_EQ(refusal("a: &x [1, *x]\n"),
            "a.yaml:1:11: an alias refers to the value it stands in; write it out");
}

TEST(Document, An_alias_bomb_is_refused_before_it_is_expanded) {
  std::string text = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n";
  for (int i = 1; i < 12; ++i) {
    text += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
    for (int j = 0; j < 10; ++j) {
      text += (j ? ", *a" : "*a") + std::to_string(i - 1);
    }
    text += "]\n";
  }
  EXPECT_NE(refusal(text).find("expands to more than"), std::string::npos);
}

TEST(Document, Deep_nesting_is_refused) {
  const std::string text = std::string(5000, '[') + std::string(5000, ']');
  EXPECT_NE(refusal(text), "accepted");
  EXPECT_NE(refusal(std::string(80, '[') + std::string(80, ']')).find("nested more than"),
            std::string::npos);
}

TEST(Document, Broken_yaml_names_line_and_column) {
  EXPECT_EQ(refusal("a: [1, 2\nb: 3\n").substr(0, 7), "a.yaml:");
  EXPECT_NE(refusal("").find("empty"), std::string::npos);
  EXPECT_NE(refusal("a: 1\n---\nb: 2\n").find("more than one document"), std::string::npos);
}

TEST(Document, An_override_replaces_adds_and_opens_maps) {
  const auto root = parse_document("engine: {block_size: 16}\nweights: int8\n", "a.yaml");
  auto changed = with_override(root, "engine.block_size=32");
  EXPECT_EQ(changed->find("engine")->find("block_size")->scalar, "32");
  EXPECT_EQ(root->find("engine")->find("block_size")->scalar, "16");
  changed = with_override(root, "workload.arrivals={poisson: 9/s}");
  EXPECT_EQ(changed->find("workload")->find("arrivals")->find("poisson")->scalar, "9/s");
  changed = with_override(root, "weights.default=int4");
  EXPECT_EQ(changed->find("weights")->find("default")->scalar, "int4");
  EXPECT_THROW(with_override(root, "nonsense"), InputError);
  EXPECT_THROW(with_override(root, "a..b=1"), InputError);
  EXPECT_THROW(with_override(root, "a="), InputError);
}

TEST(Document, The_canonical_text_does_not_depend_on_layout) {
  const auto a = parse_document("x: 1\ny: [a, b]  # note\n", "a");
  const auto b = parse_document("{y: [a, b], x: 1}\n", "b");
  const auto c = parse_document("{y: [a, c], x: 1}\n", "c");
  EXPECT_EQ(canonical_text(*a), canonical_text(*b));
  EXPECT_NE(canonical_text(*a), canonical_text(*c));
}

}  // namespace
}  // namespace foretoken::config
