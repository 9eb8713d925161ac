// Random damage to a text, for readers that must either read it or refuse it with an InputError.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "sim/core/error.h"
#include "sim/core/random.h"

namespace foretoken::testing {

// One to four edits: a byte changed, a piece cut out, repeated or replaced by something awkward.
inline std::string mutate(std::string text, RandomStream& random) {
  static const std::string kAwkward[] = {"nan",     "-1",    "1e999", "99999999999999999999",
                                         "{",       "}",     "[",     "\"",
                                         ":",       "\n",    "\xff",  "~",
                                         "*a",      "&a ",   "null",  "0",
                                         ",",       "1GB/s", ".",     "/",
                                         "\\u0000", "- "};
  const std::int64_t edits = random.uniform_int(1, 4);
  for (std::int64_t edit = 0; edit < edits && !text.empty(); ++edit) {
    const auto size = static_cast<std::int64_t>(text.size());
    const auto at = static_cast<std::size_t>(random.uniform_int(0, size - 1));
    const auto length = static_cast<std::size_t>(random.uniform_int(1, 12));
    switch (random.uniform_int(0, 3)) {
      case 0:
        text[at] = static_cast<char>(random.uniform_int(0, 255));
        break;
      case 1:
        text.erase(at, length);
        break;
      case 2:
        text.insert(at, text.substr(at, length));
        break;
      default:
        text.replace(at, length, kAwkward[random.uniform_int(0, std::size(kAwkward) - 1)]);
    }
  }
  return text;
}

// Feeds `count` damaged copies to `read`; returns how many of them it refused.
template <class Read>
int survive_mutations(const std::string& text, std::uint64_t seed, int count, Read read) {
  RandomStream random(seed, "mutation");
  int refused = 0;
  for (int i = 0; i < count; ++i) {
    const std::string damaged = mutate(text, random);
    try {
      read(damaged);
    } catch (const InputError& error) {
      ++refused;
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos)
          << "seed " << seed << " round " << i << ": more than one line: " << error.what();
    } catch (const std::exception& error) {
      ADD_FAILURE() << "seed " << seed << " round " << i << ": " << error.what() << "\n" << damaged;
    }
  }
  return refused;
}

}  // namespace foretoken::testing
