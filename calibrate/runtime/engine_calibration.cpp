#include "calibrate/runtime/engine_calibration.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>
#include <numeric>
#include <tuple>

#include "calibrate/bench/machine.h"
#include "calibrate/bench/pace.h"
#include "calibrate/bench/timing.h"
#include "calibrate/fit/gemm_fit.h"
#include "calibrate/fit/search.h"
#include "calibrate/runtime/engine.h"
#include "calibrate/runtime/quiet.h"
#include "calibrate/runtime/server.h"
#include "kernels/base/rounds.h"
#include "sim/core/error.h"
#include "sim/cost/cost_model.h"
#include "sim/cost/gemm_format.h"
#include "sim/cost/work.h"

namespace foretoken::runtime {
namespace {

using calibrate::quantile;

constexpr double kMixed = 0.8;  // pace elasticity of many operators' time together

// The operator as a sample; nothing for collectives, whose link is measured by itself, and for
// mixed lengths.
std::optional<SampleKey> key_of(const Operator& op) {
  if (const auto* gemm = std::get_if<GemmOp>(&op.what)) {
    return SampleKey{"gemm." + gemm_format_name(gemm->weights, gemm->activations),
                     {gemm->m, gemm->n, gemm->k}};
  }
  if (const auto* pass = std::get_if<ElementwiseOp>(&op.what)) {
    return SampleKey{"elementwise." + op.name, {pass->bytes_read + pass->bytes_written}};
  }
  const auto* attention = std::get_if<AttentionOp>(&op.what);
  if (attention == nullptr || (attention->decode && !attention->chunks.empty())) {
    return std::nullopt;
  }
  const std::int64_t batch = attention->decode
                                 ? attention->sequences
                                 : static_cast<std::int64_t>(attention->chunks.size());
  const std::int64_t tokens =
      attention->decode ? attention->kv_tokens / batch : attention->chunks.front().new_tokens;
  return SampleKey{fmt::format("attention.{}.{}", attention->decode ? "decode" : "prefill",
                               to_string(attention->kv_cache)),
                   {attention->heads, attention->kv_heads, attention->head_dim, attention->window,
                    batch, tokens}};
}

// Prompts of equal length, without context.
StepInput prompts(std::int64_t batch, std::int64_t tokens, std::int64_t vocab) {
  StepInput input;
  std::int32_t block = 0;
  for (std::int64_t i = 0; i < batch; ++i) {
    input.prefill.push_back({random_prompt(1, i, tokens, vocab), 0, {}});
    for (std::int64_t at = 0; at < tokens; at += kernels::kKvBlockTokens) {
      input.prefill.back().blocks.push_back(block++);
    }
  }
  return input;
}

// The last of `context` tokens of each sequence.
StepInput decodes(std::int64_t batch, std::int64_t context) {
  StepInput input;
  std::int32_t block = 0;
  for (std::int64_t i = 0; i < batch; ++i) {
    input.decode.push_back({{static_cast<std::int32_t>(17 * i + 3)}, context - 1, {}});
    for (std::int64_t at = 0; at < context; at += kernels::kKvBlockTokens) {
      input.decode.back().blocks.push_back(block++);
    }
  }
  return input;
}

constexpr std::int64_t kLongest = 1024;
constexpr std::int64_t kMostSequences = 16;

std::vector<StepInput> steps(std::int64_t vocab) {
  std::vector<StepInput> inputs;
  for (const std::int64_t tokens : {16, 32, 64, 128, 256, 512, 1024}) {
    inputs.push_back(prompts(1, tokens, vocab));
  }
  for (const auto& [batch, tokens] : {std::pair{2, 64}, {4, 32}, {4, 128}, {16, 4}, {16, 32}}) {
    inputs.push_back(prompts(batch, tokens, vocab));
  }
  for (const std::int64_t batch : {1, 2, 4, 8, 16}) {
    for (const std::int64_t context : {6, 40, 512}) {
      inputs.push_back(decodes(batch, context));
    }
  }
  for (const auto& [batch, context] : {std::pair{1, 160}, {16, 160}, {1, 1024}, {16, 1024}}) {
    inputs.push_back(decodes(batch, context));
  }
  return inputs;
}

class ProfileMaker {
 public:
  explicit ProfileMaker(const EngineSamples& samples) : samples_(samples) {}

  Profile profile() const {
    const calibrate::Machine machine = calibrate::this_machine();
    Profile profile;
    profile.device = fmt::format("{}, one core of {} at work", machine.cpu, samples_.tensor);
    profile.fingerprint = machine.fingerprint();
    profile.date = machine.date;
    for (const auto& [key, seconds] : samples_.operators) {
      SampleTable& table = profile.samples[key.first];
      // The same operator occurs in several steps and models.
      table.samples.push_back({key.second, quantile(seconds, 0.5)});
      table.source = fmt::format(
          "foretoken verify, {}: operators of synthetic models executed step by step, {} rank(s), "
          "median of the quietest three of {} rounds",
          profile.date, samples_.tensor, samples_.rounds);
    }
    set(profile, "device.memory", static_cast<double>(machine.memory) / 2,
        "half of the machine's memory", Provenance::derived);
    set(profile, "device.sms", 1, "a core is the device");
    set(profile, "device.pace", samples_.pace, "all samples are stated at it");
    set(profile, "device.context_memory", 64 << 20, "workspaces", Provenance::assumed);
    const double repeatability = this->repeatability();
    double bandwidth = 0;
    std::map<std::string, calibrate::GemmFit> fits;
    for (const auto& [name, table] : profile.samples) {
      if (name.starts_with("gemm.")) {
        const auto formats = parse_gemm_format_name(name.substr(5));
        GemmOp like;
        like.weights = formats->weights;
        like.activations = formats->activations;
        fits[name] = calibrate::fit_gemm(table.samples, like, 1, repeatability);
        bandwidth = std::max(bandwidth, fits[name].roofline.bandwidth);
      }
    }
    set(profile, "device.memory_bandwidth", bandwidth, "fastest weights of a GEMM");
    for (const auto& [name, fit] : fits) {
      const std::string how =
          fmt::format("fit over GEMM samples; held-out shapes: {:.1f} % mean, {:.1f} % p90",
                      100 * fit.unseen_shapes.mean, 100 * fit.unseen_shapes.p90);
      set(profile, name + ".peak", fit.roofline.peak, how);
      set(profile, name + ".efficiency", 1, how);
      set(profile, name + ".bandwidth_efficiency", fit.roofline.bandwidth / bandwidth, how);
      set(profile, name + ".t0", fit.roofline.t0, how);
      set(profile, name + ".sd_family", fit.sd_family, how);
      set(profile, name + ".sd_shape", fit.sd_shape, how);
      set(profile, name + ".sd_distance", fit.sd_distance, how);
    }
    host(profile);
    waits(profile);
    spread(profile, "attention", "attention.", repeatability);
    spread(profile, "elementwise", "elementwise.", repeatability);
    return profile;
  }

 private:
  // sd of the logarithm of one quiet run about another, at once or later: what the machine adds to
  // any prediction.
  double repeatability() const {
    // For a standard normal: the median range of three; the median distance of two, and what nine
    // tenths of those distances stay within. The larger counts: drifts have heavier tails than
    // their median tells, and one that all steps share has no tail.
    constexpr double kLeast = 0.01, kRangeOfThree = 1.588, kMedianDistance = 0.954;
    constexpr double kDistance90 = kQuantile90 * std::numbers::sqrt2;
    double sd = kLeast;
    if (!samples_.spreads.empty()) {
      sd = std::max(sd, quantile(samples_.spreads, 0.5) / kRangeOfThree);
    }
    if (!samples_.drifts.empty()) {
      std::vector<double> distances(samples_.drifts.size());
      std::transform(samples_.drifts.begin(), samples_.drifts.end(), distances.begin(),
                     [](double drift) { return std::abs(drift); });
      sd = std::max(
          {sd, quantile(distances, 0.5) / kMedianDistance, quantile(distances, 0.9) / kDistance90});
    }
    return sd;
  }

  static void set(Profile& profile, const std::string& key, double value, const std::string& how,
                  Provenance provenance = Provenance::measured) {
    profile.parameters[key] = {value, provenance,
                               fmt::format("foretoken verify, {}: {}", profile.date, how)};
  }

  // t = step + sequences x sequence, and what prompts add: medians of what is left, which a late
  // interrupt does not move.
  void host(Profile& profile) const {
    std::map<double, std::vector<double>> by_sequences;
    for (const EngineSamples::Host& sample : samples_.hosts) {
      if (!sample.prefill) {
        by_sequences[sample.sequences].push_back(sample.seconds);
      }
    }
    const auto& [few, first] = *by_sequences.begin();
    const auto& [many, last] = *by_sequences.rbegin();
    const double low = quantile(first, 0.5), high = quantile(last, 0.5);
    const double each = many > few ? std::max(0.0, (high - low) / (many - few)) : 0;
    const double step = std::max(0.0, low - each * few);
    std::vector<double> extra;
    for (const EngineSamples::Host& sample : samples_.hosts) {
      if (sample.prefill) {
        extra.push_back(std::max(0.0, sample.seconds - step - each * sample.sequences));
      }
    }
    const std::string how = "a step's time outside its operators";
    set(profile, "host.step", step, how);
    set(profile, "host.sequence", each, how);
    set(profile, "host.prefill_step", extra.empty() ? 0 : quantile(extra, 0.5), how);
    set(profile, "host.sd_family", kHostSpread, "rounded from repeated calibrations",
        Provenance::assumed);
  }

  // collective = calls x latency + bytes / rate + skew x other: the last is what the ranks wait for
  // each other. Least mean |log ratio|.
  void waits(Profile& profile) const {
    if (samples_.waits.empty()) {
      return;
    }
    const auto seconds = [](const EngineSamples::Wait& wait, const std::vector<double>& p) {
      return static_cast<double>(wait.calls) * p[0] + wait.bytes / p[1] + p[2] * wait.other;
    };
    const auto best = calibrate::minimise_log(
        [&](const std::vector<double>& p) {
          double sum = 0;
          for (const EngineSamples::Wait& wait : samples_.waits) {
            sum += std::abs(std::log(seconds(wait, p) / wait.collective));
          }
          return sum;
        },
        {5e-5, 2e9, 0.02}, 4, 40);
    set(profile, "wire.skew", best[2],
        fmt::format("collectives of {} steps, beyond {:.0f} us a call and {:.2f} GB/s",
                    samples_.waits.size(), 1e6 * best[0], best[1] / 1e9));
  }

  // Each sample predicted from the others of its table; the spread that nine tenths stay within.
  static void spread(Profile& profile, const std::string& family, const std::string& prefix,
                     double repeatability) {
    std::vector<double> errors;
    for (const auto& [name, table] : profile.samples) {
      if (!name.starts_with(prefix) || table.samples.size() < 3) {
        continue;
      }
      for (std::size_t i = 0; i < table.samples.size(); ++i) {
        Profile others = profile;
        auto& samples = others.samples[name].samples;
        const Sample left_out = samples[i];
        samples.erase(samples.begin() + static_cast<std::ptrdiff_t>(i));
        const Estimate estimate = CostModel(others).price(operator_of(name, left_out));
        if (!estimate.extrapolated) {
          errors.push_back(std::abs(std::log(estimate.seconds / left_out.seconds)));
        }
      }
    }
    const double sd = errors.empty() ? 0 : quantile(errors, 0.9) / kQuantile90;
    profile.parameters[family + ".sd_family"] = {
        std::max(sd, repeatability), Provenance::measured,
        fmt::format("foretoken verify, {}: {} samples, each predicted from the others, {:.1f} % "
                    "median error",
                    profile.date, errors.size(), errors.empty() ? 0 : 100 * quantile(errors, 0.5))};
  }

  static Operator operator_of(const std::string& name, const Sample& sample) {
    const auto& s = sample.shape;
    Operator op;
    if (name.starts_with("elementwise.")) {
      op.name = name.substr(12);
      op.family = OpFamily::elementwise;
      op.what = ElementwiseOp{s[0], 0};
      return op;
    }
    AttentionOp attention;
    attention.decode = name.starts_with("attention.decode.");
    attention.heads = static_cast<int>(s[0]);
    attention.kv_heads = static_cast<int>(s[1]);
    attention.head_dim = static_cast<int>(s[2]);
    attention.window = s[3];
    attention.kv_cache = parse_format(name.substr(name.rfind('.') + 1), FormatRole::kv_cache);
    if (attention.decode) {
      attention.sequences = s[4];
      attention.kv_tokens = s[4] * s[5];
    } else {
      attention.chunks.assign(static_cast<std::size_t>(s[4]), {s[5], 0});
    }
    op.what = attention;
    return op;
  }

  static constexpr double kHostSpread = 0.2;
  static constexpr double kQuantile90 = 1.6448536269514722;

  const EngineSamples& samples_;
};

ModelSpec model_of(const char* name, int layers, std::int64_t hidden, int heads, int kv_heads,
                   int head_dim, std::int64_t intermediate, std::int64_t vocab) {
  ModelSpec model;
  model.name = name;
  model.layers = layers;
  model.hidden = hidden;
  model.heads = heads;
  model.kv_heads = kv_heads;
  model.head_dim = head_dim;
  model.intermediate = intermediate;
  model.vocab = vocab;
  model.max_positions = 8192;
  return model;
}

}  // namespace

std::vector<ModelSpec> calibration_models() {
  return {model_of("125M", 12, 768, 12, 12, 64, 2048, 32000),
          model_of("1792 wide", 12, 1792, 32, 8, 64, 6144, 64000),
          model_of("3072 wide", 3, 3072, 24, 8, 128, 8192, 128256),
          model_of("8B, two layers", 2, 4096, 32, 8, 128, 14336, 128256)};
}

std::vector<PrecisionSpec> calibration_precisions() {
  std::vector<PrecisionSpec> precisions(1);
  for (const char* weights : {"int8", "int4", "int4/g128/integer-scale"}) {
    precisions.emplace_back();
    precisions.back().weights_default = parse_format(weights, FormatRole::weights);
    precisions.back().activations = kInt8;
  }
  return precisions;
}

void EngineSamples::add(const EngineSamples& other) {
  FT_CHECK(other.tensor == tensor);
  rounds = std::max(rounds, other.rounds);
  pace = pace > 0 ? pace : other.pace;
  const auto stated = [&](double seconds, double elasticity) {
    return calibrate::at_pace(seconds, elasticity, other.pace, pace);
  };
  for (const auto& [key, list] : other.operators) {
    const double elasticity = calibrate::pace_elasticity(key.first, key.second);
    for (const double seconds : list) {
      operators[key].push_back(stated(seconds, elasticity));
    }
  }
  for (Host host : other.hosts) {
    host.seconds = stated(host.seconds, 1);
    hosts.push_back(host);
  }
  for (Wait wait : other.waits) {
    wait.collective = stated(wait.collective, kMixed);
    wait.other = stated(wait.other, kMixed);
    waits.push_back(wait);
  }
  spreads.insert(spreads.end(), other.spreads.begin(), other.spreads.end());
  for (const double seconds : other.steps) {
    steps.push_back(stated(seconds, kMixed));
  }
  drifts.insert(drifts.end(), other.drifts.begin(), other.drifts.end());
}

void EngineSamples::add_again(const EngineSamples& later) {
  FT_CHECK(later.steps.size() == steps.size());
  const std::size_t first = steps.size();
  add(later);
  for (std::size_t i = 0; i < first; ++i) {
    drifts.push_back(std::log(steps[first + i] / steps[i]));
  }
  steps.resize(first);
}

namespace {

struct StepRun {
  Engine::Step step;
  long switches = 0;    // involuntary, while it ran
  double sentinel = 0;  // s, the larger of before and after
  double pace = 0;      // s, what the quiet readings around it say
  bool quiet = false;
};

constexpr std::size_t kKept = 3;    // runs of a step
constexpr double kPatience = 0.25;  // s for a quiet moment before a step
constexpr std::ptrdiff_t kRecent = 9;
constexpr int kMostRoundsOver = 5;  // times the rounds asked for, while steps lack quiet runs

// The three during which the core was ours the most.
std::vector<StepRun> quietest(std::vector<StepRun> runs) {
  std::sort(runs.begin(), runs.end(), [](const StepRun& a, const StepRun& b) {
    return std::tuple(!a.quiet, a.switches, a.sentinel) <
           std::tuple(!b.quiet, b.switches, b.sentinel);
  });
  if (runs.size() > kKept) {
    runs.erase(runs.begin() + kKept, runs.end());
  }
  return runs;
}

// Medians over the runs, at the pace of the samples: of every operator's mean over the layers, of
// the host's part, of the waits.
void add_step(EngineSamples& samples, const StepInput& input, const std::vector<StepRun>& runs) {
  std::map<SampleKey, std::vector<double>> operators;
  std::vector<double> hosts, collectives, others;
  EngineSamples::Wait wait;
  for (const StepRun& run : runs) {
    double host = run.step.seconds, collective = 0, other = 0;
    std::map<SampleKey, std::vector<double>> layers;
    const auto stated = [&](double seconds, double elasticity) {
      return calibrate::at_pace(seconds, elasticity, run.pace, samples.pace);
    };
    wait.calls = 0;
    wait.bytes = 0;
    for_each_operator(run.step.result, [&](const Operator& op, double seconds) {
      host -= seconds;
      const auto* joint = std::get_if<CollectiveOp>(&op.what);
      (joint != nullptr ? collective : other) += seconds;
      if (joint != nullptr) {
        ++wait.calls;
        wait.bytes += 2.0 * static_cast<double>(joint->values);
      } else if (const auto key = key_of(op)) {
        layers[*key].push_back(
            stated(seconds, calibrate::pace_elasticity(key->first, key->second)));
      }
    });
    for (const auto& [key, seconds] : layers) {
      // A step takes the sum over its layers, late ones included.
      operators[key].push_back(std::accumulate(seconds.begin(), seconds.end(), 0.0) /
                               static_cast<double>(seconds.size()));
    }
    hosts.push_back(stated(host, 1));
    collectives.push_back(stated(collective, kMixed));
    others.push_back(stated(other, kMixed));
  }
  for (const auto& [key, seconds] : operators) {
    samples.operators[key].push_back(quantile(seconds, 0.5));
  }
  if (others.size() > 1) {
    const auto [least, most] = std::minmax_element(others.begin(), others.end());
    samples.spreads.push_back(std::log(*most / *least));
  }
  samples.steps.push_back(quantile(others, 0.5));
  const auto sequences = static_cast<double>(input.prefill.size() + input.decode.size());
  samples.hosts.push_back({sequences, !input.prefill.empty(), quantile(hosts, 0.5)});
  if (wait.calls > 0) {
    wait.collective = quantile(collectives, 0.5);
    wait.other = quantile(others, 0.5);
    samples.waits.push_back(wait);
  }
}

}  // namespace

EngineSamples measure_engine(const ModelSpec& model, const PrecisionSpec& precision, int tensor,
                             int rounds) {
  ParallelSpec parallel;
  parallel.tensor = tensor;
  const GraphBuilder builder(model, precision, parallel);
  const RandomWeights weights(1);
  const std::int64_t blocks = kLongest / kernels::kKvBlockTokens * kMostSequences;
  Engine engine(builder, weights, {blocks, kLongest, true}, std::nullopt);
  const std::vector<StepInput> inputs = steps(model.vocab);
  engine.step(inputs.front());
  Sentinel sentinel(engine.cores(), tensor);
  std::vector<std::vector<StepRun>> runs(inputs.size());
  std::vector<double> paces, recent;  // of quiet runs, the latest few
  for (int round = 0; round < kMostRoundsOver * rounds; ++round) {
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const auto quiet = std::count_if(runs[i].begin(), runs[i].end(),
                                       [](const StepRun& run) { return run.quiet; });
      if (round >= rounds && quiet >= std::min<std::ptrdiff_t>(kKept, rounds)) {
        continue;
      }
      const double before = sentinel.wait(kPatience);
      const long switches = calibrate::involuntary_switches();
      StepRun run;
      run.step = engine.step(inputs[i]);
      run.switches = calibrate::involuntary_switches() - switches;
      run.sentinel = std::max(before, sentinel.seconds());
      Evenness evenness;
      evenness.add(run.step.result);
      run.quiet = Sentinel::level(run.sentinel, sentinel.watched()) <= kQuietLevel &&
                  evenness.excess() <= kQuietUneven;
      if (run.quiet) {
        recent.push_back((before + run.sentinel) / 2);
        recent.erase(recent.begin(),
                     recent.end() - std::min<std::ptrdiff_t>(std::ssize(recent), kRecent));
      }
      run.pace = recent.empty() ? run.sentinel : quantile(recent, 0.5);
      paces.push_back(run.pace);
      runs[i].push_back(std::move(run));
    }
  }
  EngineSamples samples;
  samples.tensor = tensor;
  samples.rounds = rounds;
  samples.pace = quantile(paces, 0.5);
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    add_step(samples, inputs[i], quietest(std::move(runs[i])));
  }
  return samples;
}

EngineSamples together(const std::vector<EngineSamples>& samples) {
  EngineSamples all;
  all.tensor = samples.at(0).tensor;
  for (const EngineSamples& one : samples) {
    all.add(one);
  }
  return all;
}

Profile engine_profile(const EngineSamples& samples) { return ProfileMaker(samples).profile(); }

nlohmann::json to_json(const EngineSamples& samples) {
  nlohmann::json json{
      {"tensor", samples.tensor}, {"rounds", samples.rounds}, {"pace", samples.pace}};
  for (const auto& [key, seconds] : samples.operators) {
    json["operators"].push_back({key.first, key.second, seconds});
  }
  for (const EngineSamples::Host& host : samples.hosts) {
    json["hosts"].push_back({host.sequences, host.prefill, host.seconds});
  }
  json["waits"] = nlohmann::json::array();
  for (const EngineSamples::Wait& wait : samples.waits) {
    json["waits"].push_back({wait.calls, wait.bytes, wait.collective, wait.other});
  }
  json["spreads"] = samples.spreads;
  json["steps"] = samples.steps;
  return json;
}

EngineSamples samples_from_json(const nlohmann::json& json) {
  EngineSamples samples;
  samples.tensor = json.at("tensor");
  samples.rounds = json.at("rounds");
  samples.pace = json.at("pace");
  for (const auto& row : json.at("operators")) {
    samples.operators[{row.at(0), row.at(1).get<std::vector<std::int64_t>>()}] =
        row.at(2).get<std::vector<double>>();
  }
  for (const auto& row : json.at("hosts")) {
    samples.hosts.push_back({row.at(0), row.at(1), row.at(2)});
  }
  for (const auto& row : json.at("waits")) {
    samples.waits.push_back({row.at(0), row.at(1), row.at(2), row.at(3)});
  }
  samples.spreads = json.at("spreads").get<std::vector<double>>();
  samples.steps = json.at("steps").get<std::vector<double>>();
  return samples;
}

}  // namespace foretoken::runtime
