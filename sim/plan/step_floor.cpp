#include "sim/plan/step_floor.h"

#include <algorithm>
#include <limits>

namespace foretoken::plan {
namespace {

// Powers of two and, from 64 on, the multiples of 32 half-way between: where GEMM tiles are full.
std::vector<std::int64_t> token_samples(std::int64_t max_tokens) {
  std::vector<std::int64_t> samples;
  for (std::int64_t tokens = 1; tokens < max_tokens; tokens *= 2) {
    samples.push_back(tokens);
    if (tokens >= 64 && tokens * 3 / 2 < max_tokens) {
      samples.push_back(tokens * 3 / 2);
    }
  }
  samples.push_back(max_tokens);
  return samples;
}

double without_attention(StepTimer& timer, std::int64_t tokens) {
  BatchShape batch;
  batch.prefill.push_back({tokens, 0});
  batch.rows = 1;
  const TimeShare share = timer.time(batch).share;
  return to_seconds(share.total -
                    share.by_family[static_cast<std::size_t>(OpFamily::attention_prefill)]);
}

double least_per_kv_token(StepTimer& timer) {
  double least = std::numeric_limits<double>::infinity();
  for (const std::int64_t sequences : {1, 16, 256}) {
    for (const std::int64_t context : {64, 1024, 16384}) {
      BatchShape batch;
      batch.decode_sequences = batch.rows = sequences;
      batch.decode_kv_tokens = batch.decode_kv_tokens_windowed = sequences * context;
      const Time attention =
          timer.time(batch).share.by_family[static_cast<std::size_t>(OpFamily::attention_decode)];
      least = std::min(least, to_seconds(attention) / static_cast<double>(sequences * context));
    }
  }
  return least;
}

double slope(const std::vector<double>& x, const std::vector<double>& y, std::size_t from,
             std::size_t to) {
  return (y[to] - y[from]) / (x[to] - x[from]);
}

std::vector<std::size_t> lower_hull(const std::vector<double>& x, const std::vector<double>& y) {
  std::vector<std::size_t> hull;
  for (std::size_t i = 0; i < x.size(); ++i) {
    while (hull.size() >= 2 && slope(x, y, hull[hull.size() - 2], hull.back()) >=
                                   slope(x, y, hull[hull.size() - 2], i)) {
      hull.pop_back();
    }
    hull.push_back(i);
  }
  return hull;
}

}  // namespace

double Floor::time(double steps, double tokens) const {
  double most = 0;
  for (const FloorLine& line : lines) {
    most = std::max(most, line.fixed * steps + line.per_token * tokens);
  }
  return most;
}

double Floor::tokens_within(double seconds) const {
  double most = std::numeric_limits<double>::infinity();
  for (const FloorLine& line : lines) {
    if (line.per_token > 0) {
      most = std::min(most, (seconds - line.fixed) / line.per_token);
    } else if (line.fixed > seconds) {
      most = 0;
    }
  }
  return std::max(most, 0.0);
}

Floor floor_of(const std::vector<double>& x, const std::vector<double>& y) {
  Floor floor;
  double ratio = std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < x.size(); ++i) {
    ratio = std::min(ratio, y[i] / x[i]);
  }
  floor.lines.push_back({0, ratio});
  const std::vector<std::size_t> hull = lower_hull(x, y);
  for (std::size_t i = 1; i < hull.size(); ++i) {
    const double per_token = slope(x, y, hull[i - 1], hull[i]);
    const double fixed = y[hull[i]] - per_token * x[hull[i]];
    if (fixed >= 0 && per_token >= 0) {
      floor.lines.push_back({fixed, per_token});
    }
  }
  return floor;
}

StepFloor step_floor(const StepContext& context, const std::vector<StagePlacement>& stages,
                     std::int64_t max_tokens) {
  const std::vector<std::int64_t> samples = token_samples(max_tokens);
  const std::vector<double> x(samples.begin(), samples.end());
  std::vector<double> sum(x.size());
  StepFloor result;
  for (std::size_t stage = 0; stage < stages.size(); ++stage) {
    StepTimer timer(context, stages[stage], static_cast<int>(stage), CostDraw(), false);
    std::vector<double> y;
    for (std::size_t i = 0; i < samples.size(); ++i) {
      y.push_back((1 - kMargin) * without_attention(timer, samples[i]));
      sum[i] += y.back();
    }
    result.stages.push_back(floor_of(x, y));
    // With collectives that overlap, attention may hide one; with a window it does not read the
    // whole cache. It then adds nothing for certain.
    const bool adds = !context.overlap && context.builder->model().sliding_window == 0;
    result.kv_token.push_back(adds ? (1 - kMargin) * least_per_kv_token(timer) : 0);
  }
  result.whole = floor_of(x, sum);
  return result;
}

}  // namespace foretoken::plan
