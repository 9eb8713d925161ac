#include "calibrate/quality/kernel_error_probe.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <exception>
#include <limits>
#include <map>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "kernels/base/tensor_file.h"
#include "kernels/codec/numeric_error.h"
#include "kernels/collective/collective.h"
#include "kernels/collective/thread_transport.h"
#include "kernels/gemm/cpu_gemm.h"
#include "kernels/gemm/format_error.h"
#include "kernels/gemm/reference.h"
#include "kernels/gemm/synthetic.h"
#include "sim/core/error.h"

namespace foretoken::quality {
namespace {

using kernels::ActivationFormat;
using kernels::GemmFormat;
using kernels::ScaleKind;
using kernels::WeightFormat;

constexpr int kSamples = 8;
constexpr std::int64_t kChannels = 4096;     // k of synthetic data
constexpr std::int64_t kWeightRows = 32;     // n of one sample, at most
constexpr std::int64_t kActivationRows = 8;  // m of one sample, at most
constexpr std::int64_t kReduceRows = 4;      // of one rank in one sample, at most
constexpr double kLevel = 0.9;
constexpr double kSpikeFactor = 32;  // times the median magnitude
constexpr auto kTimeout = std::chrono::minutes(5);

// Row-major, bf16 values as fp32.
struct Matrix {
  std::int64_t rows = 0, columns = 0;
  std::vector<float> values;
};

void round_to_bf16(std::vector<float>& values) {
  for (float& value : values) {
    value = kernels::to_float(kernels::to_bf16(value));
  }
}

Matrix synthetic(kernels::SyntheticKind kind, std::int64_t rows, std::int64_t columns,
                 std::uint64_t seed) {
  Matrix matrix{rows, columns, kernels::synthetic_matrix(kind, rows, columns, seed)};
  round_to_bf16(matrix.values);
  return matrix;
}

// "FILE:TENSOR": the name follows the last colon, if what precedes it ends like a tensor file.
std::pair<std::string, std::string> split_name(const std::string& text) {
  const auto colon = text.rfind(':');
  if (colon != std::string::npos && text.substr(0, colon).ends_with(".safetensors")) {
    return {text.substr(0, colon), text.substr(colon + 1)};
  }
  return {text, ""};
}

Matrix read_matrix(const std::string& text) {
  const auto [path, name] = split_name(text);
  kernels::Tensor tensor;
  try {
    tensor = kernels::read_tensor(path, name);
  } catch (const kernels::KernelError& error) {
    throw InputError(error.what());
  }
  if (tensor.values.empty() || tensor.shape.size() < 2) {
    throw InputError(SourceMark{path, 0, 0}, name,
                     "expected a matrix with a row per channel or token; give one with two "
                     "dimensions or more");
  }
  if (!std::all_of(tensor.values.begin(), tensor.values.end(),
                   [](float v) { return std::isfinite(v); })) {
    throw InputError(SourceMark{path, 0, 0}, name,
                     "holds values that are not finite; no error can be measured on them");
  }
  const std::int64_t columns = tensor.shape.back();
  Matrix matrix{static_cast<std::int64_t>(tensor.values.size()) / columns, columns,
                std::move(tensor.values)};
  round_to_bf16(matrix.values);
  return matrix;
}

// At most `most` neighbouring rows; sample `index` of `count`, spread evenly over the matrix.
Matrix part_of(const Matrix& matrix, int index, int count, std::int64_t most) {
  const std::int64_t first = matrix.rows * index / count;
  const std::int64_t last = std::max(first + 1, matrix.rows * (index + 1) / count);
  const std::int64_t rows = std::min({most, last - first, matrix.rows - first});
  const auto begin = matrix.values.begin() + first * matrix.columns;
  return {rows, matrix.columns, {begin, begin + rows * matrix.columns}};
}

// Energies of one sample, over all values and over those that are no spikes.
struct Energies {
  double signal = 0, noise = 0, bulk_signal = 0, bulk_noise = 0;
  void add(const Energies& other) {
    signal += other.signal;
    noise += other.noise;
    bulk_signal += other.bulk_signal;
    bulk_noise += other.bulk_noise;
  }
};

// `magnitudes` say which values are spikes: those of the exact values, or of what is summed.
Energies energies(std::span<const double> exact, std::span<const float> got,
                  std::span<const float> magnitudes) {
  std::vector<float> sorted(magnitudes.begin(), magnitudes.end());
  const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2);
  std::nth_element(sorted.begin(), middle, sorted.end());
  const double limit = kSpikeFactor * *middle;
  Energies result;
  for (std::size_t i = 0; i < exact.size(); ++i) {
    const double error = static_cast<double>(got[i]) - exact[i];
    result.signal += exact[i] * exact[i];
    result.noise += error * error;
    if (magnitudes[i] <= limit) {
      result.bulk_signal += exact[i] * exact[i];
      result.bulk_noise += error * error;
    }
  }
  return result;
}

Energies energies(const std::vector<double>& exact, std::span<const float> got) {
  std::vector<float> magnitudes;
  magnitudes.reserve(exact.size());
  for (const double value : exact) {
    magnitudes.push_back(static_cast<float>(std::abs(value)));
  }
  return energies(exact, got, magnitudes);
}

// To 0.01 dB: the last bits of a sum depend on the processor's vector length.
double decibels(double signal, double noise) {
  return noise > 0 ? std::round(1000 * std::log10(signal / noise)) / 100
                   : std::numeric_limits<double>::infinity();
}

Snr snr(const std::vector<Energies>& samples, double Energies::*signal, double Energies::*noise) {
  double all_signal = 0, all_noise = 0;
  std::vector<double> apart;
  for (const Energies& sample : samples) {
    all_signal += sample.*signal;
    all_noise += sample.*noise;
    apart.push_back(decibels(sample.*signal, sample.*noise));
  }
  const double point = decibels(all_signal, all_noise);
  if (std::any_of(apart.begin(), apart.end(), [](double db) { return std::isinf(db); })) {
    const auto [low, high] = std::minmax_element(apart.begin(), apart.end());
    return {point, {*low, *high}};  // some sample lost nothing
  }
  const Interval interval = replication_interval(std::move(apart), kLevel);
  return {point, {std::min(interval.low, point), std::max(interval.high, point)}};
}

ErrorFigure figure(const std::vector<Energies>& samples, std::string method) {
  return {snr(samples, &Energies::signal, &Energies::noise),
          snr(samples, &Energies::bulk_signal, &Energies::bulk_noise), std::nullopt,
          std::move(method)};
}

std::vector<double> as_double(const std::vector<float>& values) {
  return {values.begin(), values.end()};
}

// What the format makes of a matrix; empty where kernels/ has no such quantiser.
std::optional<std::vector<float>> rounded(const Matrix& matrix, const Format& format,
                                          bool weights) {
  switch (format.kind) {
    case Format::Kind::bf16:
    case Format::Kind::fp32:
      return matrix.values;  // they are bf16 already
    case Format::Kind::fp16: {
      std::vector<float> values = matrix.values;
      for (float& value : values) {
        value = kernels::to_float(kernels::to_fp16(value));
      }
      return values;
    }
    case Format::Kind::fp8: {
      const bool blocks = format.group == 128;
      if (format.group != 0 && !blocks) {
        return std::nullopt;
      }
      return kernels::dequantize(kernels::quantize_fp8(
          matrix.values, matrix.rows, matrix.columns,
          blocks ? ScaleKind::block_128 : ScaleKind::per_channel, blocks && weights ? 128 : 1));
    }
    case Format::Kind::integer:
      if (!weights) {
        return format.bits == 8 && format.group == 0
                   ? std::optional(kernels::dequantize(
                         kernels::quantize_activations(matrix.values, matrix.rows, matrix.columns)))
                   : std::nullopt;
      }
      return kernels::dequantize(kernels::quantize_weights(std::span<const float>(matrix.values),
                                                           matrix.rows, matrix.columns,
                                                           {format.bits, format.group, false}));
    case Format::Kind::fp4:
      break;
  }
  return std::nullopt;
}

// The kernel that runs these operands as they are; empty: there is none.
std::optional<GemmFormat> kernel_of(const Format& weights, const Format& activations) {
  GemmFormat format;
  if (weights.kind == Format::Kind::bf16 && activations.kind == Format::Kind::bf16) {
    return format;
  }
  format.weight_bits = weights.bits;
  format.group = weights.group;
  if (weights.kind == Format::Kind::fp8 && activations.kind == Format::Kind::fp8) {
    format.weights = WeightFormat::fp8_e4m3;
    format.activations = ActivationFormat::fp8_e4m3;
    format.scale = weights.group == 128 ? ScaleKind::block_128 : ScaleKind::per_channel;
    return weights.group == 128 || weights.group == 0 ? std::optional(format) : std::nullopt;
  }
  const bool int8 = activations.kind == Format::Kind::integer && activations.bits == 8;
  if (weights.kind != Format::Kind::integer || (!int8 && activations.kind != Format::Kind::bf16)) {
    return std::nullopt;
  }
  format.weights = WeightFormat::integer;
  format.activations = int8 ? ActivationFormat::int8 : ActivationFormat::bf16;
  format.scale = weights.group == 0                              ? ScaleKind::per_channel
                 : weights.scale == Format::Scale::integer_scale ? ScaleKind::group_integer
                                                                 : ScaleKind::group_float;
  try {
    kernels::check_gemm_format(format);
  } catch (const kernels::KernelError&) {
    return std::nullopt;
  }
  return format;
}

// The same schedule where kernels/ has it; else one that rounds as often.
kernels::Algorithm algorithm_of(const std::string& name, int ranks) {
  if (name == "ring" || name == "tree") {
    return kernels::Algorithm::ring;
  }
  if (name == "one_shot") {
    return kernels::Algorithm::one_shot;
  }
  return name == "hierarchical" && ranks >= 4 && ranks % 2 == 0 ? kernels::Algorithm::hierarchical
                                                                : kernels::Algorithm::two_step;
}

// Each rank's input summed over threads; all end with the same values.
std::vector<float> all_reduce_over_threads(const std::vector<std::vector<float>>& inputs,
                                           const kernels::CollectiveDesc& desc) {
  const auto ranks = static_cast<int>(inputs.size());
  auto transports = kernels::make_thread_transports(ranks, kTimeout);
  std::vector<std::vector<float>> outputs(inputs.size(), std::vector<float>(desc.values));
  std::mutex mutex;
  std::exception_ptr failure;
  std::vector<std::thread> threads;
  threads.reserve(inputs.size());
  for (int rank = 0; rank < ranks; ++rank) {
    threads.emplace_back([&, rank] {
      try {
        kernels::Collective collective(*transports[rank], desc);
        collective.run(inputs[rank].data(), outputs[rank].data());
      } catch (...) {
        transports[rank].reset();  // the others need not wait
        const std::lock_guard lock(mutex);
        failure = failure ? failure : std::current_exception();
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  if (failure) {
    std::rethrow_exception(failure);
  }
  return outputs.front();
}

Energies all_reduce_energies(const std::vector<std::vector<float>>& inputs,
                             kernels::CollectiveDesc desc) {
  desc.values = inputs.front().size();
  std::vector<double> exact(desc.values);
  std::vector<float> magnitudes(desc.values);
  for (const auto& input : inputs) {
    for (std::size_t i = 0; i < desc.values; ++i) {
      exact[i] += input[i];
      magnitudes[i] = std::max(magnitudes[i], std::abs(input[i]));
    }
  }
  return energies(exact, all_reduce_over_threads(inputs, desc), magnitudes);
}

class KernelErrorProbe final : public ErrorProbe {
 public:
  explicit KernelErrorProbe(const ErrorProbeOptions& options) : options_(options) {
    if (!options.weights.empty()) {
      given_weights_ = read_matrix(options.weights);
    }
    if (!options.activations.empty()) {
      given_activations_ = read_matrix(options.activations);
    }
    if (given_weights_ && given_activations_ &&
        given_weights_->columns != given_activations_->columns) {
      throw InputError(
          fmt::format("{}: rows of {} values, but {} has rows of {}; a GEMM needs the same",
                      options.activations, given_activations_->columns, options.weights,
                      given_weights_->columns));
    }
  }

  std::optional<ErrorFigure> weights(const Format& format) override {
    std::vector<Energies> samples;
    for (int i = 0; i < kSamples; ++i) {
      const Matrix& matrix = weights_sample(i);
      const auto got = rounded(matrix, format, true);
      if (!got) {
        return std::nullopt;
      }
      samples.push_back(energies(as_double(matrix.values), *got));
    }
    return figure(samples, to_string(format));
  }

  std::optional<ErrorFigure> gemm(const Format& weights, const Format& activations) override {
    const auto kernel = kernel_of(weights, activations);
    std::vector<Energies> samples;
    for (int i = 0; i < kSamples; ++i) {
      const Matrix& w = weights_sample(i);
      const Matrix& a = activations_sample(i);
      const auto exact =
          kernels::reference_fp64_gemm(a.values, w.values, a.rows, w.rows, w.columns);
      const auto got = kernel ? kernels::format_output(*kernel, w.values, a.values, a.rows, w.rows,
                                                       w.columns, false, pool_)
                              : exact_product(w, weights, a, activations);
      if (got.empty()) {
        return std::nullopt;
      }
      samples.push_back(energies(exact, got));
    }
    return figure(samples, kernel ? kernels::to_string(*kernel) + " kernel"
                                  : "rounded operands, exact products");
  }

  std::optional<ErrorFigure> all_reduce(const Format& wire, int ranks,
                                        const std::string& algorithm) override {
    kernels::CollectiveDesc desc;
    desc.algorithm = algorithm_of(algorithm, ranks);
    desc.first = desc.second = kernels::parse_wire_format(to_string(wire));
    const auto measure = [&](kernels::SampleKind kind) {
      std::vector<Energies> samples;
      samples.reserve(kSamples);
      for (const auto& inputs : reduce_samples(kind, ranks)) {
        samples.push_back(all_reduce_energies(inputs, desc));
      }
      return figure(samples,
                    fmt::format("{} over {} ranks", kernels::to_string(desc.algorithm), ranks));
    };
    ErrorFigure result = measure(kernels::SampleKind::spikes);
    if (!given_activations_) {
      result.plain = measure(kernels::SampleKind::normal).all;
    }
    return result;
  }

  std::string data() const override {
    return fmt::format(
        "weights: {}; inputs of GEMMs: {}; inputs of all-reduces: {}; {} samples of each",
        given_weights_ ? options_.weights : "synthetic, normal",
        given_activations_ ? options_.activations
                           : "synthetic, one channel in 128 twenty times larger",
        given_activations_ ? options_.activations
                           : "synthetic, normal, without and with spikes of 500 to 5,600 in 4 "
                             "of 4,096 channels",
        kSamples);
  }

 private:
  std::uint64_t seed(int sample, int what) const {
    return options_.seed * 1'000'003 + static_cast<std::uint64_t>(what * kSamples + sample);
  }

  const Matrix& weights_sample(int index) {
    return remembered(weights_, index, [&] { return make_weights_sample(index); });
  }
  const Matrix& activations_sample(int index) {
    return remembered(activations_, index, [&] { return make_activations_sample(index); });
  }

  template <class Make>
  static const Matrix& remembered(std::vector<Matrix>& samples, int index, const Make& make) {
    samples.resize(kSamples);
    Matrix& sample = samples[static_cast<std::size_t>(index)];
    if (sample.rows == 0) {
      sample = make();
    }
    return sample;
  }

  Matrix make_weights_sample(int index) const {
    if (given_weights_) {
      return part_of(*given_weights_, index, kSamples, kWeightRows);
    }
    const std::int64_t columns = given_activations_ ? given_activations_->columns : kChannels;
    return synthetic(kernels::SyntheticKind::normal, kWeightRows, columns, seed(index, 0));
  }

  Matrix make_activations_sample(int index) const {
    if (given_activations_) {
      return part_of(*given_activations_, index, kSamples, kActivationRows);
    }
    const std::int64_t columns = given_weights_ ? given_weights_->columns : kChannels;
    return synthetic(kernels::SyntheticKind::outlier_channels, kActivationRows, columns,
                     seed(index, 1));
  }

  // By sample and rank.
  using ReduceSamples = std::vector<std::vector<std::vector<float>>>;
  const ReduceSamples& reduce_samples(kernels::SampleKind kind, int ranks) {
    ReduceSamples& samples = reduce_[{kind, ranks}];
    for (int i = static_cast<int>(samples.size()); i < kSamples; ++i) {
      samples.push_back(reduce_sample(i, ranks, kind));
    }
    return samples;
  }

  // One input per rank, the same number of values each. Of a file, other rows for each.
  std::vector<std::vector<float>> reduce_sample(int index, int ranks,
                                                kernels::SampleKind kind) const {
    std::vector<std::vector<float>> inputs;
    for (int rank = 0; rank < ranks; ++rank) {
      if (given_activations_) {
        if (given_activations_->rows < ranks) {
          throw InputError(fmt::format(
              "{}: {} rows, but each of the {} ranks of an all-reduce needs one of its own",
              options_.activations, given_activations_->rows, ranks));
        }
        const std::int64_t parts =
            std::min(given_activations_->rows, std::int64_t{kSamples} * ranks);
        const std::int64_t rows = std::min(kReduceRows, given_activations_->rows / parts);
        const auto part = static_cast<int>((index * ranks + rank) % parts);
        inputs.push_back(part_of(*given_activations_, part, static_cast<int>(parts), rows).values);
      } else {
        inputs.push_back(
            kernels::sample_values(kind, kReduceRows * kChannels, seed(index, 2 + rank)));
        round_to_bf16(inputs.back());
      }
    }
    return inputs;
  }

  static std::vector<float> exact_product(const Matrix& w, const Format& weights, const Matrix& a,
                                          const Format& activations) {
    const auto rounded_w = rounded(w, weights, true);
    const auto rounded_a = rounded(a, activations, false);
    if (!rounded_w || !rounded_a) {
      return {};
    }
    const auto product =
        kernels::reference_fp64_gemm(*rounded_a, *rounded_w, a.rows, w.rows, w.columns);
    return {product.begin(), product.end()};
  }

  ErrorProbeOptions options_;
  std::optional<Matrix> given_weights_, given_activations_;
  std::vector<Matrix> weights_, activations_;  // samples
  std::map<std::pair<kernels::SampleKind, int>, ReduceSamples> reduce_;
  kernels::WorkerPool pool_{1};
};

}  // namespace

std::unique_ptr<ErrorProbe> make_kernel_error_probe(const ErrorProbeOptions& options) {
  return std::make_unique<KernelErrorProbe>(options);
}

}  // namespace foretoken::quality
