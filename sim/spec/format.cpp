#include "sim/spec/format.h"

#include <array>
#include <charconv>
#include <vector>

#include "sim/core/error.h"
#include "sim/core/quantity.h"

namespace foretoken {
namespace {

constexpr std::array<std::string_view, 13> kKnownHeads{"fp32", "bf16", "fp16", "fp8",  "fp4",
                                                       "int8", "int7", "int6", "int5", "int4",
                                                       "int3", "int2", "int8"};

std::vector<std::string_view> split(std::string_view text) {
  std::vector<std::string_view> parts;
  while (true) {
    const auto slash = text.find('/');
    parts.push_back(text.substr(0, slash));
    if (slash == std::string_view::npos) {
      return parts;
    }
    text.remove_prefix(slash + 1);
  }
}

bool parse_int(std::string_view text, int& value) {
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  return code == std::errc() && end == text.data() + text.size();
}

[[noreturn]] void unknown(std::string_view text, std::string_view remedy) {
  throw InputError(fmt::format("unknown format \"{}\" ({})", text, remedy));
}

Format parse_head(std::string_view text, std::string_view head) {
  if (head == "fp32") {
    return kFp32;
  }
  if (head == "bf16") {
    return kBf16;
  }
  if (head == "fp16") {
    return kFp16;
  }
  if (head == "fp8") {
    return kFp8;
  }
  if (head == "fp4") {
    return {Format::Kind::fp4, 4, 0, false, Format::Scale::none};
  }
  int bits = 0;
  if (head.starts_with("int") && parse_int(head.substr(3), bits)) {
    if (bits >= 2 && bits <= 8) {
      return {Format::Kind::integer, bits, 0, false, Format::Scale::none};
    }
    unknown(text, fmt::format("2..8 bits; try int{}", bits > 8 ? 8 : 2));
  }
  const std::string_view near = nearest(head, kKnownHeads);
  unknown(text, fmt::format("try {}", near.empty() ? "bf16, fp8, int8 or int4/g128" : near));
}

Format::Scale parse_scale(std::string_view part) {
  if (part == "affine") {
    return Format::Scale::affine;
  }
  if (part == "sym") {
    return Format::Scale::symmetric;
  }
  if (part == "log8") {
    return Format::Scale::log8;
  }
  if (part == "float-scale") {
    return Format::Scale::float_scale;
  }
  if (part == "integer-scale") {
    return Format::Scale::integer_scale;
  }
  return Format::Scale::none;
}

bool wire_scale(Format::Scale scale) {
  return scale == Format::Scale::affine || scale == Format::Scale::symmetric ||
         scale == Format::Scale::log8;
}

void check_role(std::string_view text, FormatRole role, Format& format) {
  const bool integer = format.kind == Format::Kind::integer;
  if (role == FormatRole::wire) {
    if (format.kind == Format::Kind::fp4) {
      unknown(text, "not a wire format; try int4/g32");
    }
    if (integer) {
      if (format.group == 0) {
        format.group = format.bits >= 5 ? 128 : 32;
      }
      if (format.scale == Format::Scale::none) {
        format.scale = Format::Scale::affine;
      }
      if (!wire_scale(format.scale)) {
        unknown(text, "a wire scale is affine, sym or log8");
      }
      if (format.group != 32 && format.group != 64 && format.group != 128) {
        unknown(text, "a wire group is g32, g64 or g128");
      }
    }
    return;
  }
  if (format.spike || wire_scale(format.scale)) {
    unknown(text, "spike, affine, sym and log8 are wire options");
  }
  if (integer && format.scale == Format::Scale::none) {
    format.scale = Format::Scale::float_scale;
  }
  if (format.scale == Format::Scale::integer_scale && format.group == 0) {
    unknown(text, "integer-scale needs a group; try int4/g128/integer-scale");
  }
  if (role == FormatRole::activations && integer && format.bits != 8) {
    unknown(text, "activations are bf16, fp16, fp8 or int8");
  }
  if (role == FormatRole::kv_cache && integer && format.bits != 8 && format.bits != 4) {
    unknown(text, "a KV cache is bf16, fp16, fp8, int8 or int4");
  }
}

}  // namespace

int Format::metadata_bytes() const {
  int bytes = 0;
  switch (scale) {
    case Scale::none:
      break;
    case Scale::affine:
      bytes = 4;
      break;
    case Scale::symmetric:
    case Scale::log8:
    case Scale::float_scale:
    case Scale::integer_scale:
      bytes = 2;
      break;
  }
  if (kind == Kind::fp8 || kind == Kind::fp4) {
    bytes = group == 0 ? 0 : (kind == Kind::fp8 ? 4 : 1);
  }
  return bytes + (spike ? 6 : 0);
}

double Format::bytes_per_value() const {
  const double packed = bits / 8.0;
  return group == 0 ? packed : packed + static_cast<double>(metadata_bytes()) / group;
}

std::string to_string(const Format& format) {
  std::string text;
  switch (format.kind) {
    case Format::Kind::fp32:
      text = "fp32";
      break;
    case Format::Kind::bf16:
      text = "bf16";
      break;
    case Format::Kind::fp16:
      text = "fp16";
      break;
    case Format::Kind::fp8:
      text = "fp8";
      break;
    case Format::Kind::fp4:
      text = "fp4";
      break;
    case Format::Kind::integer:
      text = fmt::format("int{}", format.bits);
      break;
  }
  if (format.group != 0) {
    text += fmt::format("/g{}", format.group);
  }
  if (format.spike) {
    text += "/spike";
  }
  switch (format.scale) {
    case Format::Scale::symmetric:
      text += "/sym";
      break;
    case Format::Scale::log8:
      text += "/log8";
      break;
    case Format::Scale::integer_scale:
      text += "/integer-scale";
      break;
    case Format::Scale::none:
    case Format::Scale::affine:
    case Format::Scale::float_scale:
      break;
  }
  return text;
}

Format parse_format(std::string_view text, FormatRole role) {
  const auto parts = split(text);
  Format format = parse_head(text, parts.front());
  for (std::size_t i = 1; i < parts.size(); ++i) {
    const std::string_view part = parts[i];
    int group = 0;
    if (part == "spike" && format.kind == Format::Kind::integer && !format.spike) {
      format.spike = true;
    } else if (part.starts_with("g") && parse_int(part.substr(1), group) && format.group == 0 &&
               format.quantised()) {
      if (group != 16 && group != 32 && group != 64 && group != 128 && group != 256) {
        unknown(text, "groups are g32, g64 or g128");
      }
      format.group = group;
    } else if (const auto scale = parse_scale(part); scale != Format::Scale::none &&
                                                     format.scale == Format::Scale::none &&
                                                     format.kind == Format::Kind::integer) {
      format.scale = scale;
    } else {
      unknown(text, fmt::format("\"{}\" does not belong here; try {}", part,
                                to_string(parse_head(text, parts.front()))));
    }
  }
  check_role(text, role, format);
  return format;
}

}  // namespace foretoken
