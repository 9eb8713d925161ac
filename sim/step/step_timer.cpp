#include "sim/step/step_timer.h"

#include <algorithm>

#include "sim/core/error.h"
#include "sim/core/random.h"
#include "sim/cost/collective_constants.h"
#include "sim/network/algorithms/algorithm.h"
#include "sim/network/wire_size.h"
#include "sim/step/codec_price.h"

namespace foretoken {
namespace {

// A batch that makes the builder emit every kind of operator, to read the attention operators from.
BatchShape probe() {
  BatchShape batch;
  batch.prefill.push_back({2, 0});
  batch.decode_sequences = 1;
  batch.decode_kv_tokens = 1;
  batch.decode_kv_tokens_windowed = 1;
  batch.rows = 1;
  return batch;
}

BatchShape of_tokens(std::int64_t tokens) {
  BatchShape batch;
  batch.prefill.push_back({tokens, 0});
  batch.rows = 1;
  return batch;
}

BatchShape of_rows(std::int64_t rows) {
  BatchShape batch;
  batch.decode_sequences = rows;
  batch.decode_kv_tokens = rows;
  batch.decode_kv_tokens_windowed = rows;
  batch.rows = rows;
  return batch;
}

OpFamily family_of(const CollectiveOp& op) {
  return op.kind == CollectiveKind::send_recv ? OpFamily::send_recv : OpFamily::collective;
}

}  // namespace

CollectiveCosts collective_costs(const CostModel& cost) {
  const CollectiveConstants constants = collective_constants(cost.profile());
  CollectiveCosts costs;
  costs.t0 = time_from_seconds(constants.t0);
  costs.step_latency = time_from_seconds(constants.step_latency);
  for (const auto& [link_class, numbers] : constants.per_class) {
    costs.per_class[link_class] = {numbers.efficiency, time_from_seconds(numbers.step_latency)};
  }
  for (const auto& [protocol, numbers] : constants.protocols) {
    costs.protocols[parse_protocol(protocol)] = {numbers.efficiency, time_from_seconds(numbers.t0),
                                                 time_from_seconds(numbers.step_latency)};
  }
  for (const auto& [algorithm, t0] : constants.algorithm_t0) {
    costs.algorithm_t0[parse_algorithm(algorithm)] = time_from_seconds(t0);
  }
  costs.codec = [&cost](CodecPhase phase, std::int64_t values, const Format& wire) {
    return time_from_seconds(codec_price(cost, phase, values, wire).seconds);
  };
  // Devices whose kernels sum raw values in a pass of their own have it measured.
  if (cost.codec(CodecPhase::reduce, 1, kBf16)) {
    costs.pass = [&cost](CodecPhase phase, std::int64_t values) {
      return phase == CodecPhase::reduce
                 ? time_from_seconds(cost.codec(phase, values, kBf16)->seconds)
                 : kTimeZero;
    };
  }
  costs.provenance = constants.provenance;
  costs.sd_family = constants.sd_family;
  return costs;
}

StepTimer::StepTimer(const StepContext& context, StagePlacement placement, int stage,
                     const CostDraw& draw, bool exact)
    : context_(context),
      placement_(std::move(placement)),
      stage_(stage),
      draw_(draw),
      exact_(exact) {
  if (context_.memory) {
    shared_collectives_ = context_.memory->group(placement_.gpus, placement_.next_gpus,
                                                 context_.builder->parallel().sequence);
  }
  for (const int gpu : placement_.gpus) {
    weakest_link_ =
        std::max(weakest_link_, context_.topology->route_class(placement_.gpus.front(), gpu));
  }
  for (const Segment& segment : context_.builder->build(probe(), stage_).segments) {
    for (const Operator& op : segment.operators) {
      if (const auto* attention = std::get_if<AttentionOp>(&op.what)) {
        auto& list = attention->decode ? decode_attention_ : prefill_attention_;
        const auto same = std::find_if(list.begin(), list.end(), [&](const AttentionTemplate& t) {
          return t.op.window == attention->window;
        });
        if (same != list.end()) {
          same->times += segment.repeat;
        } else {
          list.push_back({*attention, segment.repeat});
        }
      }
    }
  }
}

std::optional<Estimate> StepTimer::measured_all_reduce(const CollectiveOp& op) const {
  if (op.kind != CollectiveKind::all_reduce || op.values == 0 || placement_.gpus.size() < 2) {
    return std::nullopt;
  }
  return context_.cost->all_reduce(ranks(), weakest_link_, op.values, op.wire);
}

CollectiveRequest StepTimer::request_of(const CollectiveOp& op) const {
  CollectiveRequest request;
  request.kind = op.kind;
  request.values = op.values;
  request.wire = op.wire;
  request.gpus = placement_.gpus;
  // Uncompressed all-reduces and their two halves are those of the engine's library, which
  // calibration measures as rings; a quantised one is ours and takes the best schedule.
  const bool halves =
      context_.builder->parallel().sequence &&
      (op.kind == CollectiveKind::reduce_scatter || op.kind == CollectiveKind::all_gather);
  if ((op.kind == CollectiveKind::all_reduce || halves) && !op.wire.quantised()) {
    request.algorithm = Algorithm::ring;
  }
  if (op.kind == CollectiveKind::send_recv) {
    // Each rank sends its share to its counterpart of the next stage, all at once.
    const std::size_t half = placement_.gpus.size();
    request.kind = CollectiveKind::all_to_all;
    request.algorithm = Algorithm::direct;
    request.gpus.insert(request.gpus.end(), placement_.next_gpus.begin(),
                        placement_.next_gpus.end());
    request.pair_values.assign(4 * half * half, 0);
    for (std::size_t i = 0; i < half; ++i) {
      request.pair_values[i * 2 * half + half + i] = op.values;
    }
  }
  return request;
}

// Alone. The library takes reductions in the switch in place of its ring where they are faster;
// what a call of them takes must have been measured.
CollectiveTime StepTimer::fastest(CollectiveRequest request) const {
  const Topology& topology = *context_.topology;
  CollectiveTime best = simulate_alone(topology, context_.collective, request);
  if (request.algorithm == Algorithm::ring && request.kind == CollectiveKind::all_reduce &&
      context_.collective.algorithm_t0.contains(Algorithm::nvls) &&
      collective_algorithm(Algorithm::nvls).refusal(topology, request).empty()) {
    request.algorithm = Algorithm::nvls;
    const CollectiveTime in_switch = simulate_alone(topology, context_.collective, request);
    best = in_switch.total < best.total ? in_switch : best;
  }
  return best;
}

bool StepTimer::over_wire(const CollectiveOp& op) const {
  return context_.wire && placement_.gpus.size() > 1 && op.kind != CollectiveKind::send_recv &&
         op.kind != CollectiveKind::all_to_all;
}

Time StepTimer::wire_time(const CollectiveOp& op) const {
  const auto packed = static_cast<double>(packed_bytes(op.values, op.wire));
  const WireWork work = wire_work(op.kind, packed, static_cast<int>(placement_.gpus.size()));
  // A pass is the mean of the phases, of which an all-reduce has about one each.
  double codec = 0;
  for (const CodecPhase phase :
       {CodecPhase::quantise, CodecPhase::reduce, CodecPhase::dequantise}) {
    codec += codec_price(*context_.cost, phase, op.values, op.wire).seconds / 3;
  }
  return time_from_seconds(context_.wire->seconds(work.bytes, work.steps) +
                           work.codec_passes * codec);
}

Time StepTimer::collective_alone(const CollectiveOp& op) const {
  if (over_wire(op)) {
    return wire_time(op);
  }
  if (const auto measured = measured_all_reduce(op)) {
    return time_from_seconds(measured->seconds);
  }
  return fastest(request_of(op)).total;
}

Provenance StepTimer::collective_provenance(const CollectiveOp& op) const {
  if (over_wire(op)) {
    return weakest(context_.wire->provenance,
                   codec_price(*context_.cost, CodecPhase::reduce, op.values, op.wire).provenance);
  }
  if (const auto measured = measured_all_reduce(op)) {
    return measured->provenance;
  }
  const Provenance provenance = context_.collective.provenance;
  return op.wire.quantised()
             ? weakest(
                   provenance,
                   codec_price(*context_.cost, CodecPhase::reduce, op.values, op.wire).provenance)
             : provenance;
}

StepTime StepTimer::collective_time(const CollectiveOp& op) {
  Time alone = kTimeZero;
  if (exact_) {
    alone = collective_alone(op);
  } else {
    const auto [it, fresh] = collectives_.try_emplace(key_of(op), kTimeZero);
    if (fresh) {
      const auto price = [&] { return collective_alone(op); };
      it->second = shared_collectives_ ? shared_collectives_->get(op, price) : price();
    }
    alone = it->second;
  }
  Estimate estimate = collective_estimate();
  StepTime time;
  if (const auto measured = over_wire(op) ? std::nullopt : measured_all_reduce(op)) {
    estimate = *measured;
    time.extrapolated = measured->extrapolated;
  }
  estimate.seconds = to_seconds(alone);
  const Time drawn = draw_.is_point() ? alone : draw_.duration(estimate);
  time.share.add(family_of(op), collective_provenance(op), drawn);
  return time;
}

Estimate StepTimer::collective_estimate() const {
  Estimate estimate;
  estimate.sd_family = context_.wire ? context_.wire->sd : context_.collective.sd_family;
  estimate.family_key = hash_text("collective");
  return estimate;
}

CollectiveCosts StepTimer::drawn_costs() const {
  CollectiveCosts costs = context_.collective;
  costs.slowdown = draw_.factor(collective_estimate());
  return costs;
}

std::vector<double> StepTimer::link_capacity() const {
  return effective_capacity(*context_.topology, drawn_costs());
}

const PlannedCollective& StepTimer::schedule(const CollectiveOp& op) {
  const CollectiveKey key = key_of(op);
  if (const auto it = planned_.find(key); it != planned_.end()) {
    return it->second;
  }
  return planned_.emplace(key, plan(op)).first->second;
}

CollectiveRequest StepTimer::chosen_request(const CollectiveOp& op) const {
  CollectiveRequest request = request_of(op);
  const CollectiveTime best = fastest(request);
  request.algorithm = best.algorithm;
  request.protocol = best.protocol;
  request.chunks = best.chunks;
  request.wire = best.wire_format;
  return request;
}

std::optional<CollectiveAnatomy> StepTimer::anatomy(const Operator& op) const {
  const auto* collective = std::get_if<CollectiveOp>(&op.what);
  if (collective == nullptr || collective->values == 0 ||
      placement_.gpus.size() + placement_.next_gpus.size() < 2 ||
      measured_all_reduce(*collective)) {
    return std::nullopt;
  }
  return dissect(*context_.topology, context_.collective, chosen_request(*collective));
}

PlannedCollective StepTimer::plan(const CollectiveOp& op) const {
  const CollectiveRequest request = chosen_request(op);
  const CollectiveCosts costs = drawn_costs();
  return {make_schedule(*context_.topology, costs, request),
          slower(fixed_time(costs, request.algorithm, request.protocol), costs),
          collective_provenance(op)};
}

std::vector<std::pair<CollectiveOp, std::int64_t>> StepTimer::collectives(
    const BatchShape& batch) const {
  std::vector<std::pair<CollectiveOp, std::int64_t>> list;
  for (const Segment& segment : context_.builder->build(batch, stage_).segments) {
    for (const Operator& op : segment.operators) {
      const auto* collective = std::get_if<CollectiveOp>(&op.what);
      if (collective != nullptr && collective->values > 0) {
        list.emplace_back(*collective, segment.repeat);
      }
    }
  }
  return list;
}

StepProgram StepTimer::program(const BatchShape& batch, bool with_work) {
  StepProgram program;
  for (const Segment& segment : context_.builder->build(batch, stage_).segments) {
    StepProgram::Run run;
    run.repeat = segment.repeat;
    StepProgram::Part part;
    for (const Operator& op : segment.operators) {
      const auto* collective = std::get_if<CollectiveOp>(&op.what);
      if (collective == nullptr || collective->values == 0 || measured_all_reduce(*collective)) {
        const StepTime time = operator_time(op);
        part.before.add(time);
        if (with_work) {
          part.work.push_back({op.name, op.family, time.share.total});
        }
        continue;
      }
      part.collective = *collective;
      run.parts.push_back(part);
      part = {};
    }
    run.parts.push_back(part);
    program.runs.push_back(std::move(run));
  }
  return program;
}

StepTime StepTimer::operator_time(const Operator& op) {
  if (const auto* collective = std::get_if<CollectiveOp>(&op.what)) {
    return collective_time(*collective);
  }
  const Estimate estimate = context_.cost->price(op);
  StepTime time;
  time.share.add(op.family, estimate.provenance, draw_.duration(estimate));
  time.extrapolated = estimate.extrapolated;
  return time;
}

StepTime StepTimer::sum(const StepGraph& graph, DependsOn part) {
  StepTime total;
  for (const Segment& segment : graph.segments) {
    for (const Operator& op : segment.operators) {
      if (op.depends_on == part) {
        total.add(operator_time(op), segment.repeat);
      }
    }
  }
  return total;
}

const StepTime& StepTimer::remembered(std::vector<std::unique_ptr<StepTime>>& memory,
                                      std::int64_t index, DependsOn part) {
  const auto i = static_cast<std::size_t>(index);
  if (i >= memory.size()) {
    memory.resize(i + 1);
  }
  if (!memory[i]) {
    const BatchShape batch = part == DependsOn::tokens ? of_tokens(index) : of_rows(index);
    memory[i] = std::make_unique<StepTime>(sum(context_.builder->build(batch, stage_), part));
  }
  return *memory[i];
}

StepTime StepTimer::attention_time(const BatchShape& batch) {
  StepTime total;
  const auto price = [&](const AttentionTemplate& attention, OpFamily family) {
    const Estimate estimate = context_.cost->attention(attention.op);
    StepTime once;
    once.share.add(family, estimate.provenance, draw_.duration(estimate));
    once.extrapolated = estimate.extrapolated;
    total.add(once, attention.times);
  };
  if (!batch.prefill.empty()) {
    for (AttentionTemplate& attention : prefill_attention_) {
      attention.op.chunks = batch.prefill;
      price(attention, OpFamily::attention_prefill);
    }
  }
  if (batch.decode_sequences > 0) {
    for (AttentionTemplate& attention : decode_attention_) {
      attention.op.sequences = batch.decode_sequences;
      attention.op.chunks = batch.prefill;
      attention.op.kv_tokens =
          attention.op.window > 0 ? batch.decode_kv_tokens_windowed : batch.decode_kv_tokens;
      price(attention, OpFamily::attention_decode);
    }
  }
  return total;
}

StepTime StepTimer::simulate_all(const BatchShape& batch) {
  StepTime total;
  for (const Segment& segment : context_.builder->build(batch, stage_).segments) {
    for (int layer = 0; layer < segment.repeat; ++layer) {
      for (const Operator& op : segment.operators) {
        total.add(operator_time(op));
      }
    }
  }
  return total;
}

Time StepTimer::seen(Time collective, Time next) const {
  if (!context_.overlap) {
    return collective;
  }
  const Time share = time_from_seconds(*context_.overlap * to_seconds(collective));
  return std::max(collective - next, share);
}

// Part by part, as StageRun goes; what follows a collective is the work of the next part.
StepTime StepTimer::overlapped(const BatchShape& batch) {
  const StepProgram program = this->program(batch);
  StepTime total;
  std::vector<const StepProgram::Part*> parts;
  for (const StepProgram::Run& run : program.runs) {
    for (int i = 0; i < run.repeat; ++i) {
      for (const StepProgram::Part& part : run.parts) {
        parts.push_back(&part);
      }
    }
  }
  for (std::size_t i = 0; i < parts.size(); ++i) {
    total.add(parts[i]->before);
    if (parts[i]->collective) {
      const StepTime whole = collective_time(*parts[i]->collective);
      const Time next = i + 1 < parts.size() ? parts[i + 1]->before.share.total : kTimeZero;
      StepTime part;
      part.share.add(family_of(*parts[i]->collective), collective_provenance(*parts[i]->collective),
                     seen(whole.share.total, next));
      total.add(part);
    }
  }
  return total;
}

// Ranks that meet in every collective wait for the slowest; where a wire was measured, so was that.
StepTime StepTimer::with_skew(StepTime time) const {
  if (context_.wire && context_.wire->skew > 0 && placement_.gpus.size() > 1) {
    const Time joint = time.share.by_family[static_cast<std::size_t>(OpFamily::collective)];
    const double work = to_seconds(time.share.total - joint);
    time.share.add(OpFamily::collective, context_.wire->provenance,
                   time_from_seconds(context_.wire->skew * work));
  }
  return time;
}

StepTime StepTimer::time(const BatchShape& batch) {
  if (context_.overlap) {
    return overlapped(batch);
  }
  if (exact_) {
    return with_skew(simulate_all(batch));
  }
  StepTime total = remembered(by_tokens_, batch.tokens(), DependsOn::tokens);
  if (batch.rows > 0) {
    total.add(remembered(by_rows_, batch.rows, DependsOn::rows));
  }
  total.add(attention_time(batch));
  return with_skew(total);
}

std::vector<StepTimer::Line> StepTimer::lines(const BatchShape& batch) {
  std::vector<Line> lines;
  for (const Segment& segment : context_.builder->build(batch, stage_).segments) {
    for (const Operator& op : segment.operators) {
      const StepTime time = operator_time(op);
      Provenance provenance = Provenance::measured;
      for (std::size_t i = 0; i < kProvenanceCount; ++i) {
        if (time.share.by_provenance[i] > kTimeZero) {
          provenance = static_cast<Provenance>(i);
        }
      }
      lines.push_back({segment.name, op.name, op.family, time.share.total, segment.repeat,
                       provenance, time.extrapolated, op, anatomy(op)});
    }
  }
  return lines;
}

}  // namespace foretoken
