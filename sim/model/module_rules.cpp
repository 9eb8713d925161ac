#include "sim/model/module_rules.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>

#include "sim/core/quantity.h"

namespace foretoken {
namespace {

struct NumberRange {
  std::int64_t low = 0, high = 0;
  std::size_t length = 0;  // characters of the pattern
};

std::optional<std::int64_t> parse_digits(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool whole = code == std::errc() && end == text.data() + text.size() && value >= 0;
  return whole ? std::optional(value) : std::nullopt;
}

// "A-B" as a whole path element at the start of `pattern`.
std::optional<NumberRange> number_range(std::string_view pattern) {
  const std::string_view element = pattern.substr(0, pattern.find('.'));
  const auto dash = element.find('-');
  if (dash == std::string_view::npos) {
    return std::nullopt;
  }
  const auto low = parse_digits(element.substr(0, dash));
  const auto high = parse_digits(element.substr(dash + 1));
  if (!low || !high) {
    return std::nullopt;
  }
  return NumberRange{*low, *high, element.size()};
}

// `reachable[i]`: the pattern so far can end before name[i].
using Reachable = std::vector<bool>;

Reachable after_range(const Reachable& from, const NumberRange& range, std::string_view name) {
  Reachable to(from.size(), false);
  for (std::size_t i = 0; i < name.size(); ++i) {
    if (!from[i] || (i > 0 && name[i - 1] != '.')) {
      continue;
    }
    const std::string_view element = name.substr(i, name.substr(i).find('.'));
    const auto value = parse_digits(element);
    if (value && *value >= range.low && *value <= range.high) {
      to[i + element.size()] = true;
    }
  }
  return to;
}

Reachable after_character(const Reachable& from, char wanted, std::string_view name) {
  Reachable to(from.size(), false);
  for (std::size_t i = 0; i < name.size(); ++i) {
    to[i + 1] = from[i] && (wanted == '?' || name[i] == wanted);
  }
  return to;
}

Reachable after_star(Reachable from) {
  std::fill(std::find(from.begin(), from.end(), true), from.end(), true);
  return from;
}

std::vector<std::string> module_names(const ModelSpec& model) {
  std::vector<std::string> names{"embed_tokens", "lm_head"};
  for (int layer = 0; layer < model.layers; ++layer) {
    for (const std::string_view module :
         {std::string_view("self_attn.qkv_proj"), std::string_view("self_attn.o_proj"),
          up_module(model), std::string_view("mlp.down_proj")}) {
      names.push_back(layer_module(layer, module));
    }
  }
  return names;
}

}  // namespace

// Simulates the pattern as an automaton, so that no pattern takes more than pattern x name steps.
bool matches_module(std::string_view pattern, std::string_view name) {
  Reachable reachable(name.size() + 1, false);
  reachable[0] = true;
  for (std::size_t i = 0; i < pattern.size();) {
    const bool element_starts = i == 0 || pattern[i - 1] == '.';
    const auto range = element_starts ? number_range(pattern.substr(i)) : std::nullopt;
    if (range) {
      reachable = after_range(reachable, *range, name);
      i += range->length;
    } else {
      reachable = pattern[i] == '*' ? after_star(std::move(reachable))
                                    : after_character(reachable, pattern[i], name);
      ++i;
    }
  }
  return reachable[name.size()];
}

std::string layer_module(int layer, std::string_view module) {
  return fmt::format("layers.{}.{}", layer, module);
}

std::string_view up_module(const ModelSpec& model) {
  return model.gated_mlp ? "mlp.gate_up_proj" : "mlp.up_proj";
}

Format weight_format(const PrecisionSpec& precision, const ModelSpec& model,
                     std::string_view name) {
  for (auto rule = precision.weights.rbegin(); rule != precision.weights.rend(); ++rule) {
    if (matches_module(rule->pattern, name)) {
      return rule->format;
    }
  }
  if (name == "lm_head" && model.tied_embeddings) {
    return weight_format(precision, model, "embed_tokens");
  }
  const bool table = name == "embed_tokens" && precision.weights_default.quantised();
  return table ? kBf16 : precision.weights_default;
}

void check_rules(const PrecisionSpec& precision, const ModelSpec& model) {
  if (precision.weights.empty()) {
    return;
  }
  const std::vector<std::string> names = module_names(model);
  for (const PrecisionSpec::Rule& rule : precision.weights) {
    const auto matched = [&](const std::string& name) {
      return matches_module(rule.pattern, name);
    };
    if (std::none_of(names.begin(), names.end(), matched)) {
      const std::string_view near = nearest(rule.pattern, names);
      throw InputError(rule.mark, "precision.weights",
                       fmt::format("\"{}\" matches no module of {} (try {})", rule.pattern,
                                   model.name, near.empty() ? "\"layers.0-1.*\"" : near));
    }
  }
}

}  // namespace foretoken
