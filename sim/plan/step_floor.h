// The closed-form step cost: lines that no step of a replica lies below.
//
// A step of T tokens takes at least its layers without attention. That time is sampled at a few
// token counts and its lower convex hull taken; every edge of the hull is a line
//   time(T) >= fixed + per_token x T,
// so that S steps of N tokens in all take at least fixed x S + per_token x N. What wave
// quantisation and residuals do between the samples is covered by taking kMargin off.
// Attention over the KV cache adds at least `kv_token` seconds a cached token.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/step/step_timer.h"

namespace foretoken::plan {

// Share of the sampled times that bounds take off.
inline constexpr double kMargin = 0.10;

struct FloorLine {
  double fixed = 0;      // seconds a step, never negative
  double per_token = 0;  // seconds a token
};

// All lines at once: the highest counts.
struct Floor {
  std::vector<FloorLine> lines;
  // At least so long for `steps` steps that compute `tokens` tokens in all; seconds.
  double time(double steps, double tokens) const;
  // The most tokens whose step can end within `seconds`, at least 0.
  double tokens_within(double seconds) const;
};

// Through (x, y) with x rising: the edges of the lower convex hull with an intercept that is not
// negative, and the line through the origin that no point lies below.
Floor floor_of(const std::vector<double>& x, const std::vector<double>& y);

struct StepFloor {
  std::vector<Floor> stages;
  std::vector<double> kv_token;  // of each stage, seconds a cached token and step
  Floor whole;                   // all stages one after the other
};

// Of one replica, for steps of at most `max_tokens` tokens. Throws InputError when the profile
// lacks a cost.
StepFloor step_floor(const StepContext& context, const std::vector<StagePlacement>& stages,
                     std::int64_t max_tokens);

}  // namespace foretoken::plan
