#include "kernels/gemm/descriptor.h"

#include <fmt/format.h>

#include <charconv>

#include "kernels/base/error.h"

namespace foretoken::kernels {
namespace {

constexpr GemmFormat kBf16Format{};

GemmFormat fp8(ScaleKind scale, int group) {
  return {WeightFormat::fp8_e4m3, 8, ActivationFormat::fp8_e4m3, scale, group};
}

GemmFormat integer(int bits, ActivationFormat activations, ScaleKind scale, int group) {
  return {WeightFormat::integer, bits, activations, scale, group};
}

[[noreturn]] void unknown(std::string_view name) {
  std::string known;
  for (const GemmFormat& format : all_gemm_formats()) {
    known += (known.empty() ? "" : ", ") + to_string(format);
  }
  throw KernelError(fmt::format("unknown GEMM format \"{}\" (known: {})", name, known));
}

// Reads "_g64" at the front of `text`; 0 when there is none.
int take_group(std::string_view& text) {
  if (!text.starts_with("_g")) {
    return 0;
  }
  int group = 0;
  const char* const first = text.data() + 2;
  const auto [end, error] = std::from_chars(first, text.data() + text.size(), group);
  if (error != std::errc()) {
    return 0;
  }
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return group;
}

bool known_bits(int bits) { return bits >= 2 && bits <= 8 && bits != 7; }

}  // namespace

GemmFormat parse_gemm_format(std::string_view name) {
  if (name == "bf16") {
    return kBf16Format;
  }
  if (name == "fp8_tensor") {
    return fp8(ScaleKind::per_tensor, 0);
  }
  if (name == "fp8_token_channel") {
    return fp8(ScaleKind::per_channel, 0);
  }
  if (name == "fp8_block128") {
    return fp8(ScaleKind::block_128, 128);
  }
  if (name.size() < 4 || name[0] != 'w' || name[2] != 'a') {
    unknown(name);
  }
  const int bits = name[1] - '0';
  std::string_view rest = name.substr(3);
  ActivationFormat activations = ActivationFormat::int8;
  if (rest.starts_with("16")) {
    activations = ActivationFormat::bf16;
    rest.remove_prefix(2);
  } else if (rest.starts_with("8")) {
    rest.remove_prefix(1);
  } else {
    unknown(name);
  }
  const int group = take_group(rest);
  ScaleKind scale = group == 0 ? ScaleKind::per_channel : ScaleKind::group_float;
  if (rest == "_integer" && group != 0) {
    scale = ScaleKind::group_integer;
  } else if (rest == "_float" ? group == 0 : !rest.empty()) {
    unknown(name);
  }
  const GemmFormat format = integer(bits, activations, scale, group);
  try {
    check_gemm_format(format);
  } catch (const KernelError&) {
    unknown(name);
  }
  return format;
}

std::string to_string(const GemmFormat& format) {
  switch (format.weights) {
    case WeightFormat::bf16:
      return "bf16";
    case WeightFormat::fp8_e4m3:
      return format.scale == ScaleKind::per_tensor    ? "fp8_tensor"
             : format.scale == ScaleKind::per_channel ? "fp8_token_channel"
                                                      : "fp8_block128";
    case WeightFormat::integer:
      break;
  }
  const bool a16 = format.activations == ActivationFormat::bf16;
  std::string name = fmt::format("w{}a{}", format.weight_bits, a16 ? 16 : 8);
  if (format.grouped()) {
    name += fmt::format("_g{}", format.group);
    if (!a16) {
      name += format.scale == ScaleKind::group_integer ? "_integer" : "_float";
    }
  }
  return name;
}

std::string to_string(const GemmDescriptor& descriptor) {
  return fmt::format("{} m={} n={} k={} -> {}", to_string(descriptor.format), descriptor.m,
                     descriptor.n, descriptor.k,
                     descriptor.output == OutputType::fp32 ? "fp32" : "bf16");
}

std::vector<GemmFormat> all_gemm_formats() {
  std::vector<GemmFormat> formats{
      kBf16Format,
      fp8(ScaleKind::per_tensor, 0),
      fp8(ScaleKind::per_channel, 0),
      fp8(ScaleKind::block_128, 128),
      integer(8, ActivationFormat::int8, ScaleKind::per_channel, 0),
      integer(4, ActivationFormat::int8, ScaleKind::per_channel, 0),
      integer(4, ActivationFormat::int8, ScaleKind::group_float, 128),
      integer(4, ActivationFormat::int8, ScaleKind::group_integer, 128),
  };
  for (const int bits : {2, 3, 4, 5, 6, 8}) {
    formats.push_back(integer(bits, ActivationFormat::bf16, ScaleKind::group_float, 128));
  }
  return formats;
}

void check_gemm_format(const GemmFormat& format) {
  const auto require = [&](bool condition, const char* what) {
    if (!condition) {
      throw KernelError(fmt::format("GEMM format: {}", what));
    }
  };
  if (format.weights != WeightFormat::integer) {
    return;
  }
  if (format.activations == ActivationFormat::int8) {
    require(format.weight_bits == 8 || format.weight_bits == 4,
            "int8 activations take weights of 4 or 8 bits");
    require(format.weight_bits == 4 || !format.grouped(), "8-bit weights are per channel");
    require(format.group == 0 || format.group == 64 || format.group == 128,
            "int8 activations take groups of 64 or 128");
  } else {
    require(format.activations == ActivationFormat::bf16, "fp8 activations take fp8 weights");
    require(known_bits(format.weight_bits), "weights have 2, 3, 4, 5, 6 or 8 bits");
    require(format.group == 32 || format.group == 64 || format.group == 128,
            "16-bit activations take groups of 32, 64 or 128");
    require(format.scale == ScaleKind::group_float, "16-bit activations take float scales");
  }
}

std::int64_t weight_bytes(const GemmFormat& format, std::int64_t n, std::int64_t k) {
  const std::int64_t values = n * k * format.weight_bits / 8;
  switch (format.scale) {
    case ScaleKind::none:
      return values;
    case ScaleKind::per_tensor:
      return values + 4;
    case ScaleKind::per_channel:
      return values + 4 * n;
    case ScaleKind::group_float:
    case ScaleKind::group_integer:
      return values + 4 * n * ((k + format.group - 1) / format.group);
    case ScaleKind::block_128:
      return values + 4 * ((n + 127) / 128) * ((k + 127) / 128);
  }
  return values;
}

}  // namespace foretoken::kernels
