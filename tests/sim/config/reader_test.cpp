#include "sim/config/reader.h"

#include <gtest/gtest.h>

namespace foretoken::config {
namespace {

template <class Read>
std::string refusal(const std::string& text, Read read) {
  const auto node = parse_document(text, "a.yaml");
  try {
    MapReader map(*node, "engine");
    read(map);
    map.finish();
  } catch (const InputError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(MapReader, An_unknown_key_names_the_nearest_known_one) {
  EXPECT_EQ(refusal("max_num_seq: 3\n", [](MapReader& m) { m.integer("max_num_seqs", 1); }),
            "a.yaml:1:1: engine.max_num_seq: unknown key (did you mean \"max_num_seqs\"?)");
}

TEST(MapReader, A_required_key_that_is_misspelt_is_reported_as_such) {
  EXPECT_EQ(refusal("modell: x\n", [](MapReader& m) { m.string("model"); }),
            "a.yaml:1:1: engine.modell: unknown key (did you mean \"model\"?)");
  EXPECT_EQ(refusal("x: 1\n", [](MapReader& m) { m.string("model"); }),
            "a.yaml:1:1: engine.model: this key is required; add it");
}

TEST(MapReader, Values_out_of_range_or_of_the_wrong_kind_are_refused) {
  EXPECT_EQ(refusal("n: 0\n",
                    [](MapReader& m) {
                      m.integer("n", {1, 8});
                    }),
            "a.yaml:1:4: engine.n: 0 is out of range; 1 to 8");
  EXPECT_EQ(refusal("t: -3ms\n", [](MapReader& m) { m.quantity("t", Unit::time); }),
            "a.yaml:1:4: engine.t: -3ms must be at least 0");
  EXPECT_EQ(refusal("n: [1]\n", [](MapReader& m) { m.integer("n"); }),
            "a.yaml:1:4: engine.n: expected a whole number, found a list");
  EXPECT_EQ(refusal("b: maybe\n", [](MapReader& m) { m.boolean("b", true); }),
            "a.yaml:1:4: engine.b: \"maybe\" is neither true nor false");
  const std::string_view choices[] = {"poisson", "gamma"};
  EXPECT_EQ(refusal("c: poison\n", [&](MapReader& m) { m.choice("c", "gamma", choices); }),
            "a.yaml:1:4: engine.c: unknown \"poison\" (did you mean \"poisson\"? one of poisson, "
            "gamma)");
}

}  // namespace
}  // namespace foretoken::config
