#include "calibrate/published/operator_tables.h"

#include <cmath>
#include <map>
#include <memory>
#include <utility>

#include "sim/core/error.h"
#include "sim/cost/attention_roofline.h"
#include "sim/cost/gemm_format.h"
#include "sim/cost/kernel_rooflines.h"

namespace foretoken::calibrate {
namespace {

using Key = std::vector<double>;

// DeepSeek's latent attention: 128 + 64 values of a head in q x k, 128 in the output; a cached
// token is 512 latent and 64 rotary values.
constexpr double kLatentScore = 192, kLatentValue = 128, kLatentWidth = 512, kLatentCache = 576;

// Deals groups out to the halves.
class Dealer {
 public:
  explicit Dealer(SplitTable& out) : out_(out) {}
  void add(Key kernel_class, Key group) {
    keys_.emplace_back(std::move(kernel_class), std::move(group));
  }
  void deal() {
    std::map<Key, std::map<Key, std::pair<int, int>>> classes;  // group -> number, half
    for (const auto& [kernel_class, group] : keys_) {
      classes[kernel_class][group];
    }
    int number = 0;
    for (auto& [kernel_class, groups] : classes) {
      int turn = 0;
      for (auto& [group, place] : groups) {
        place = {number++, turn++ % 2};
      }
    }
    for (std::size_t row = 0; row < keys_.size(); ++row) {
      const auto [group, half] = classes[keys_[row].first][keys_[row].second];
      out_.table.group.push_back(group);
      out_.half[static_cast<std::size_t>(half)].push_back(row);
    }
  }

 private:
  SplitTable& out_;
  std::vector<std::pair<Key, Key>> keys_;
};

template <class Axes>
void append(OperatorTable& table, const Axes& axes, double seconds) {
  table.axes = axes.size();
  table.at.insert(table.at.end(), axes.begin(), axes.end());
  table.seconds.push_back(seconds);
}

PrefillRoofline prefill_of(const std::vector<double>& p, int sms) {
  return {p[0], p[1], p[2], p[3], sms};
}
const std::vector<double> kPrefillStart{1e-5, 5e14, 2e12, 1e-8};

DecodeRoofline decode_of(const std::vector<double>& p, int sms) {
  return {p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7], p[8], sms};
}
const std::vector<double> kDecodeStart{8e-6, 2e12, 6e12, 5e7, 1e-6, 1e-8, 1e-10, 1e-7, 5e15};

void set_attention_formula(OperatorTable& table, bool decode, std::vector<AttentionCall> calls,
                           int sms) {
  const auto shared = std::make_shared<const std::vector<AttentionCall>>(std::move(calls));
  table.start = decode ? kDecodeStart : kPrefillStart;
  table.formula = [shared, decode, sms](std::size_t row, const std::vector<double>& p) {
    return decode ? decode_of(p, sms).seconds((*shared)[row])
                  : prefill_of(p, sms).seconds((*shared)[row]);
  };
}

void append_attention(OperatorTable& table, bool decode, const AttentionCall& call,
                      double seconds) {
  if (decode) {
    append(table, decode_axes(call), seconds);
  } else {
    append(table, prefill_axes(call), seconds);
  }
}

AttentionCall latent_call(const importer::LatentAttentionMeasurement& row) {
  AttentionCall call;
  call.heads = static_cast<double>(row.heads);
  call.batch = static_cast<double>(row.batch);
  call.tokens = static_cast<double>(row.tokens);
  if (row.decode) {
    call.kv_heads = 1;
    call.score_dim = kLatentCache;
    call.value_dim = kLatentWidth;
    call.kv_bytes = kLatentCache * row.kv_cache.bytes_per_value();
  } else {
    call.kv_heads = call.heads;
    call.score_dim = kLatentScore;
    call.value_dim = kLatentValue;
    call.kv_bytes = call.heads * (kLatentScore + kLatentValue) * kBf16.bytes_per_value();
  }
  return call;
}

double weight_bytes(const std::string& format) {
  const auto formats = parse_gemm_format_name(format);
  FT_CHECK(formats.has_value(), "unknown format {}", format);
  return formats->weights.bytes_per_value();
}

}  // namespace

GemmRoofline gemm_roofline_of(const std::vector<double>& parameters, int sms) {
  return {parameters[0], parameters[1], parameters[2], sms, parameters[3]};
}

OperatorTable gemm_operator_table(std::span<const Sample> calibration,
                                  std::span<const Sample> others, const GemmOp& like, int sms) {
  OperatorTable table;
  auto ops = std::make_shared<std::vector<GemmOp>>();
  std::map<std::pair<std::int64_t, std::int64_t>, int> groups;
  for (const std::span<const Sample> part : {calibration, others}) {
    for (const Sample& sample : part) {
      GemmOp op = like;
      op.m = sample.shape[0];
      op.n = sample.shape[1];
      op.k = sample.shape[2];
      append(table, gemm_axes(op), sample.seconds);
      table.group.push_back(
          groups.emplace(std::pair(op.n, op.k), static_cast<int>(groups.size())).first->second);
      ops->push_back(op);
    }
  }
  table.start = {3e-6, 5e14, 2e12, 1e-10};
  table.formula = [ops, sms](std::size_t row, const std::vector<double>& p) {
    return gemm_roofline_of(p, sms).seconds((*ops)[row]);
  };
  return table;
}

SplitTable attention_operator_table(const std::vector<importer::AttentionMeasurement>& rows,
                                    const Format& compute, const Format& kv_cache, int sms) {
  SplitTable split;
  Dealer dealer(split);
  std::vector<AttentionCall> calls;
  bool decode = false;
  for (const importer::AttentionMeasurement& row : rows) {
    if (!(row.compute == compute) || !(row.op.kv_cache == kv_cache)) {
      continue;
    }
    decode = row.op.decode;
    AttentionCall call = attention_call(row.op);
    call.tokens = static_cast<double>(row.tokens);  // the op's are cut to the window
    append_attention(split.table, decode, call, row.seconds);
    dealer.add({call.score_dim, call.window, call.heads > call.kv_heads ? 0.0 : 1.0},
               {call.heads, call.kv_heads});
    calls.push_back(call);
  }
  dealer.deal();
  set_attention_formula(split.table, decode, std::move(calls), sms);
  return split;
}

SplitTable latent_operator_table(const std::vector<importer::LatentAttentionMeasurement>& rows,
                                 const Format& kv_cache, int sms) {
  SplitTable split;
  Dealer dealer(split);
  std::vector<AttentionCall> calls;
  bool decode = false;
  for (const importer::LatentAttentionMeasurement& row : rows) {
    if (!(row.kv_cache == kv_cache)) {
      continue;
    }
    decode = row.decode;
    calls.push_back(latent_call(row));
    append_attention(split.table, decode, calls.back(), row.seconds);
    dealer.add({}, {calls.back().heads});
  }
  dealer.deal();
  set_attention_formula(split.table, decode, std::move(calls), sms);
  return split;
}

SplitTable moe_operator_table(const std::vector<importer::MoeMeasurement>& rows,
                              const std::string& format) {
  SplitTable split;
  Dealer dealer(split);
  auto calls = std::make_shared<std::vector<MoeCall>>();
  const double bytes = weight_bytes(format);
  for (const importer::MoeMeasurement& row : rows) {
    if (row.format != format) {
      continue;
    }
    MoeCall call;
    call.tokens = static_cast<double>(row.tokens);
    call.hidden = static_cast<double>(row.hidden);
    call.inter = static_cast<double>(row.inter) / static_cast<double>(row.tensor);
    call.experts = static_cast<double>(row.experts);
    call.local_experts = static_cast<double>(row.experts) / static_cast<double>(row.expert);
    call.chosen = static_cast<double>(row.chosen);
    call.skew = row.skew;
    call.weight_bytes = bytes;
    append(split.table, moe_axes(call), row.seconds);
    dealer.add({call.hidden, static_cast<double>(row.inter), call.experts},
               {static_cast<double>(row.tensor), static_cast<double>(row.expert)});
    calls->push_back(call);
  }
  dealer.deal();
  split.table.start = {2e-5, 5e14, 2e12, 1e13, 1e6, 1e11, 1e-8, 0.1};
  split.table.formula = [calls](std::size_t row, const std::vector<double>& p) {
    return MoeRoofline{p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7]}.seconds((*calls)[row]);
  };
  return split;
}

SplitTable pass_operator_table(const std::vector<SampleTable>& models, int sms) {
  SplitTable split;
  Dealer dealer(split);
  auto calls = std::make_shared<std::vector<PassCall>>();
  for (std::size_t model = 0; model < models.size(); ++model) {
    for (const Sample& sample : models[model].samples) {
      PassCall call;
      call.bytes = static_cast<double>(sample.shape[0]);
      call.rows = 1e9;  // the table does not say: as many as there are SMs
      call.width = 1;
      append(split.table, std::array{std::log2(call.bytes)}, sample.seconds);
      dealer.add({}, {static_cast<double>(model)});
      calls->push_back(call);
    }
  }
  dealer.deal();
  split.source = models.front().source;
  split.table.start = {3e-6, 1e12, 1e12, 5e12, 3e7};
  split.table.formula = [calls, sms](std::size_t row, const std::vector<double>& p) {
    return PassRoofline{p[0], p[1], p[2], p[3], p[4], sms}.seconds((*calls)[row]);
  };
  return split;
}

SplitTable quantise_operator_table(const SampleTable& samples, double bytes_per_value, int sms) {
  SplitTable split;
  Dealer dealer(split);
  auto calls = std::make_shared<std::vector<PassCall>>();
  for (const Sample& sample : samples.samples) {
    PassCall call;
    call.rows = static_cast<double>(sample.shape[0]);
    call.width = static_cast<double>(sample.shape[1]);
    call.bytes = bytes_per_value * call.rows * call.width;
    append(split.table, pass_axes(call), sample.seconds);
    dealer.add({}, {call.width});
    calls->push_back(call);
  }
  dealer.deal();
  split.source = samples.source;
  split.table.start = {3e-6, 1e10, 2e12, 5e12, 3e7};
  split.table.formula = [calls, sms](std::size_t row, const std::vector<double>& p) {
    return PassRoofline{p[0], p[1], p[2], p[3], p[4], sms}.seconds((*calls)[row]);
  };
  return split;
}

}  // namespace foretoken::calibrate
