#include "sim/cost/gemm_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "sim/core/error.h"

namespace foretoken {
namespace {

using Kind = Format::Kind;

constexpr Format float_format(Kind kind) {
  switch (kind) {
    case Kind::fp32:
      return kFp32;
    case Kind::fp16:
      return kFp16;
    case Kind::fp8:
      return kFp8;
    case Kind::fp4:
      return {Kind::fp4, 4, 0, false, Format::Scale::none};
    case Kind::bf16:
    case Kind::integer:
      break;
  }
  return kBf16;
}

// "16", "8", "fp8", "fp4" or "32" after the "a" of "w4a16".
std::string_view activation_tag(const Format& format) {
  switch (format.kind) {
    case Kind::fp32:
      return "32";
    case Kind::bf16:
    case Kind::fp16:
      return "16";
    case Kind::fp8:
      return "fp8";
    case Kind::fp4:
      return "fp4";
    case Kind::integer:
      break;
  }
  return "8";
}

std::optional<Format> parse_activation_tag(std::string_view tag) {
  constexpr std::pair<std::string_view, Format> kTags[] = {
      {"32", kFp32}, {"16", kBf16}, {"8", kInt8}, {"fp8", kFp8}, {"fp4", float_format(Kind::fp4)}};
  for (const auto& [text, format] : kTags) {
    if (text == tag) {
      return format;
    }
  }
  return std::nullopt;
}

bool sixteen_bit(const Format& format) {
  return format.kind == Kind::bf16 || format.kind == Kind::fp16;
}

std::string options(const Format& weights) {
  std::string text;
  if (weights.group != 0) {
    text += fmt::format("/g{}", weights.group);
  }
  if (weights.scale == Format::Scale::integer_scale) {
    text += "/integer-scale";
  }
  return text;
}

// The name without options.
std::string stem(const Format& weights, const Format& activations) {
  if (weights.kind == Kind::integer) {
    return fmt::format("w{}a{}", weights.bits, activation_tag(activations));
  }
  if (sixteen_bit(weights) && sixteen_bit(activations)) {
    return weights.kind == Kind::fp16 && activations.kind == Kind::fp16 ? "fp16" : "bf16";
  }
  if (weights.kind == activations.kind) {
    return to_string(float_format(weights.kind));
  }
  const Kind kind = weights.kind == Kind::fp16 ? Kind::bf16 : weights.kind;
  return fmt::format("w{}a{}", to_string(float_format(kind)), activation_tag(activations));
}

// The format whose arithmetic units a GEMM uses: the wider of the two operands.
std::string arithmetic(const Format& weights, const Format& activations) {
  if (weights.kind == Kind::fp32 || activations.kind == Kind::fp32) {
    return "fp32";
  }
  if (sixteen_bit(weights) || sixteen_bit(activations)) {
    return "bf16";
  }
  if (activations.kind == Kind::integer) {
    return "w8a8";
  }
  return weights.kind == Kind::fp4 && activations.kind == Kind::fp4 ? "fp4" : "fp8";
}

bool parse_options(std::string_view text, Format& weights) {
  while (true) {
    const auto end = text.find('/');
    const std::string_view part = text.substr(0, end);
    if (part == "integer-scale" && weights.kind == Kind::integer) {
      weights.scale = Format::Scale::integer_scale;
    } else if (part.starts_with('g') && weights.quantised()) {
      const auto [last, code] =
          std::from_chars(part.data() + 1, part.data() + part.size(), weights.group);
      if (code != std::errc() || last != part.data() + part.size() || weights.group <= 0) {
        return false;
      }
    } else {
      return false;
    }
    if (end == std::string_view::npos) {
      return true;
    }
    text.remove_prefix(end + 1);
  }
}

std::optional<GemmFormats> parse_stem(std::string_view head) {
  for (const Kind kind : {Kind::fp32, Kind::bf16, Kind::fp16, Kind::fp8, Kind::fp4}) {
    if (head == to_string(float_format(kind))) {
      return GemmFormats{float_format(kind), float_format(kind)};
    }
  }
  const auto a = head.find('a');
  if (!head.starts_with('w') || a == std::string_view::npos) {
    return std::nullopt;
  }
  const auto activations = parse_activation_tag(head.substr(a + 1));
  if (!activations) {
    return std::nullopt;
  }
  const std::string_view weights = head.substr(1, a - 1);
  for (const Kind kind : {Kind::fp32, Kind::bf16, Kind::fp8, Kind::fp4}) {
    if (weights == to_string(float_format(kind))) {
      return GemmFormats{float_format(kind), *activations};
    }
  }
  if (weights.size() == 1 && weights[0] >= '2' && weights[0] <= '8') {
    return GemmFormats{{Kind::integer, weights[0] - '0', 0, false, Format::Scale::float_scale},
                       *activations};
  }
  return std::nullopt;
}

}  // namespace

std::string gemm_format_name(const Format& weights, const Format& activations) {
  return stem(weights, activations) + options(weights);
}

std::optional<GemmFormats> parse_gemm_format_name(std::string_view name) {
  const auto slash = name.find('/');
  auto formats = parse_stem(name.substr(0, slash));
  if (!formats || slash == std::string_view::npos) {
    return formats;
  }
  if (!parse_options(name.substr(slash + 1), formats->weights)) {
    return std::nullopt;
  }
  return formats;
}

std::vector<std::string> gemm_format_fallbacks(const Format& weights, const Format& activations) {
  std::vector<std::string> names{gemm_format_name(weights, activations)};
  const auto add = [&names](std::string name) {
    if (std::find(names.begin(), names.end(), name) == names.end()) {
      names.push_back(std::move(name));
    }
  };
  Format plain = weights;
  if (plain.scale == Format::Scale::integer_scale) {
    plain.scale = Format::Scale::float_scale;
    add(gemm_format_name(plain, activations));
  }
  plain.group = 0;
  add(gemm_format_name(plain, activations));
  add(arithmetic(weights, activations));
  return names;
}

}  // namespace foretoken
