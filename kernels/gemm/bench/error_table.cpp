#include "kernels/gemm/bench/error_table.h"

#include <fmt/format.h>

#include <algorithm>

#include "kernels/base/error.h"
#include "kernels/gemm/format_error.h"
#include "kernels/gemm/safetensors.h"
#include "kernels/gemm/synthetic.h"

namespace foretoken::kernels {
namespace {

constexpr std::int64_t kTokens = 32, kChannels = 256, kDepth = 4096;
constexpr SyntheticKind kKinds[] = {SyntheticKind::normal, SyntheticKind::heavy_tailed,
                                    SyntheticKind::outlier_channels};

void print_header(const std::string& weights) {
  fmt::print("weights: {}; SNR in dB (largest error / rms of the output), activations ...\n{:<20}",
             weights, "format");
  for (const SyntheticKind kind : kKinds) {
    fmt::print(" {:>18}", to_string(kind));
  }
  fmt::print("\n");
}

void print_table(const std::string& name, const std::vector<float>& weights, std::int64_t n,
                 std::int64_t k, bool search_clipping) {
  WorkerPool pool(1);
  print_header(name);
  for (const GemmFormat& format : all_gemm_formats()) {
    fmt::print("{:<20}", to_string(format));
    for (const SyntheticKind kind : kKinds) {
      const FormatError error =
          measure_format_error(format, weights, synthetic_matrix(kind, kTokens, k, 2), kTokens, n,
                               k, search_clipping, pool);
      fmt::print(" {:>9.2f} ({:>6.3f})", error.snr_db, error.largest);
    }
    fmt::print("\n");
  }
}

}  // namespace

void print_error_table(const ErrorTableOptions& options) {
  if (options.safetensors.empty()) {
    for (const SyntheticKind kind : {SyntheticKind::normal, SyntheticKind::heavy_tailed}) {
      print_table(to_string(kind) + fmt::format(" {} x {}", kChannels, kDepth),
                  synthetic_matrix(kind, kChannels, kDepth, 1), kChannels, kDepth,
                  options.search_clipping);
    }
    return;
  }
  const SafetensorsFile file(options.safetensors);
  int matrices = 0;
  const std::vector<std::string> names =
      options.tensor.empty() ? file.names() : std::vector<std::string>(1, options.tensor);
  for (const std::string& name : names) {
    Tensor tensor = file.read(name);
    if (tensor.shape.size() != 2) {
      continue;
    }
    ++matrices;
    // The first channels stand for all: fp64 products of a whole layer would take minutes.
    const std::int64_t n = std::min(tensor.shape[0], kChannels), k = tensor.shape[1];
    tensor.values.resize(static_cast<std::size_t>(n * k));
    print_table(fmt::format("{} ({} of {} channels)", name, n, tensor.shape[0]), tensor.values, n,
                k, options.search_clipping);
  }
  if (matrices == 0) {
    throw KernelError(options.safetensors + ": " +
                      (options.tensor.empty() ? "holds no matrix [n][k]"
                                              : "\"" + options.tensor + "\" is no matrix [n][k]"));
  }
}

}  // namespace foretoken::kernels
