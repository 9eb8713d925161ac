#include "kernels/codec/wire_format.h"

#include <fmt/format.h>

#include <charconv>

#include "kernels/base/error.h"

namespace foretoken::kernels {
namespace {

using Kind = WireFormat::Kind;
using Scale = WireFormat::Scale;

[[noreturn]] void refuse(std::string_view text, const std::string& remedy) {
  throw KernelError(fmt::format("unknown wire format \"{}\" ({})", text, remedy));
}

bool parse_int(std::string_view text, int& value) {
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  return code == std::errc() && end == text.data() + text.size() && !text.empty();
}

WireFormat parse_head(std::string_view text, std::string_view head) {
  if (head == "fp32") {
    return {Kind::fp32, 32, 0, false, Scale::none};
  }
  if (head == "bf16") {
    return {Kind::bf16, 16, 0, false, Scale::none};
  }
  if (head == "fp16") {
    return {Kind::fp16, 16, 0, false, Scale::none};
  }
  if (head == "fp8") {
    return {Kind::fp8, 8, 0, false, Scale::none};
  }
  int bits = 0;
  if (!head.starts_with("int") || !parse_int(head.substr(3), bits)) {
    refuse(text, "fp32, bf16, fp16, fp8 or int2 to int8");
  }
  if (bits < 2 || bits > 8) {
    refuse(text, bits > 8 ? "2..8 bits; try int8" : "2..8 bits; try int2");
  }
  return {Kind::integer, bits, 0, false, Scale::none};
}

Scale parse_scale(std::string_view part) {
  if (part == "affine") {
    return Scale::affine;
  }
  if (part == "sym") {
    return Scale::symmetric;
  }
  return part == "log8" ? Scale::log8 : Scale::none;
}

bool parse_group(std::string_view part, int& group) {
  return part.starts_with("g") && parse_int(part.substr(1), group);
}

void parse_option(std::string_view text, std::string_view part, WireFormat& format) {
  const bool integer = format.kind == Kind::integer;
  int group = 0;
  if (part == "spike" && integer && !format.spike) {
    format.spike = true;
  } else if (parse_group(part, group) && format.group == 0 &&
             (integer || format.kind == Kind::fp8)) {
    if (group != 32 && group != 64 && group != 128) {
      refuse(text, "a wire group is g32, g64 or g128");
    }
    format.group = group;
  } else if (const Scale scale = parse_scale(part);
             scale != Scale::none && integer && format.scale == Scale::none) {
    format.scale = scale;
  } else {
    refuse(text, fmt::format("\"{}\" does not belong here", part));
  }
}

int default_group(int bits) { return bits >= 5 ? 128 : 32; }

}  // namespace

WireFormat parse_wire_format(std::string_view text) {
  std::string_view rest = text;
  auto slash = rest.find('/');
  WireFormat format = parse_head(text, rest.substr(0, slash));
  while (slash != std::string_view::npos) {
    rest.remove_prefix(slash + 1);
    slash = rest.find('/');
    parse_option(text, rest.substr(0, slash), format);
  }
  if (format.kind == Kind::integer) {
    format.group = format.group == 0 ? default_group(format.bits) : format.group;
    format.scale = format.scale == Scale::none ? Scale::affine : format.scale;
  } else if (format.grouped()) {
    format.scale = Scale::fp32;
  }
  return format;
}

std::string to_string(const WireFormat& format) {
  switch (format.kind) {
    case Kind::fp32:
      return "fp32";
    case Kind::bf16:
      return "bf16";
    case Kind::fp16:
      return "fp16";
    case Kind::fp8:
      return format.grouped() ? fmt::format("fp8/g{}", format.group) : "fp8";
    case Kind::integer:
      break;
  }
  std::string text = fmt::format("int{}", format.bits);
  if (format.group != default_group(format.bits)) {
    text += fmt::format("/g{}", format.group);
  }
  text += format.spike ? "/spike" : "";
  if (format.scale == Scale::symmetric) {
    text += "/sym";
  } else if (format.scale == Scale::log8) {
    text += "/log8";
  }
  return text;
}

std::vector<WireFormat> all_wire_formats() {
  std::vector<WireFormat> formats{parse_wire_format("fp32"), parse_wire_format("bf16"),
                                  parse_wire_format("fp16"), parse_wire_format("fp8")};
  for (const int group : {32, 64, 128}) {
    formats.push_back({Kind::fp8, 8, group, false, Scale::fp32});
    for (int bits = 2; bits <= 8; ++bits) {
      for (const Scale scale : {Scale::affine, Scale::symmetric, Scale::log8}) {
        for (const bool spike : {false, true}) {
          formats.push_back({Kind::integer, bits, group, spike, scale});
        }
      }
    }
  }
  return formats;
}

std::size_t scale_bytes(const WireFormat& format) {
  switch (format.scale) {
    case Scale::none:
      return 0;
    case Scale::affine:
    case Scale::fp32:
      return 4;
    case Scale::symmetric:
    case Scale::log8:
      return 2;
  }
  return 0;
}

std::size_t metadata_bytes(const WireFormat& format) {
  return scale_bytes(format) + (format.spike ? 6 : 0);
}

std::size_t group_count(const WireFormat& format, std::size_t n) {
  const auto group = static_cast<std::size_t>(format.group);
  return group == 0 ? 0 : (n + group - 1) / group;
}

std::size_t packed_bytes(const WireFormat& format, std::size_t n) {
  const auto bits = static_cast<std::size_t>(format.bits);
  if (!format.grouped()) {
    return n * bits / 8;
  }
  const auto group = static_cast<std::size_t>(format.group);
  return group_count(format, n) * (group * bits / 8 + metadata_bytes(format));
}

}  // namespace foretoken::kernels
