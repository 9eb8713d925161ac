#include "tests/calibrate/runtime/reference_model.h"

#include <cmath>
#include <string>

namespace foretoken::runtime {
namespace {

using Vector = std::vector<double>;
using Rows = std::vector<Vector>;

Vector multiply(const std::vector<float>& matrix, std::size_t rows, const Vector& x) {
  Vector y(rows);
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < x.size(); ++c) {
      y[r] += static_cast<double>(matrix[r * x.size() + c]) * x[c];
    }
  }
  return y;
}

Vector norm(const Vector& x, const std::vector<float>& gain) {
  double squares = 0;
  for (const double value : x) {
    squares += value * value;
  }
  Vector y(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    y[i] = x[i] / std::sqrt(squares / static_cast<double>(x.size()) + 1e-5) * gain[i];
  }
  return y;
}

// Half-split rotation of every head, as in Llama.
void rotate(Vector& x, std::size_t dim, std::size_t position) {
  const std::size_t half = dim / 2;
  for (std::size_t head = 0; head < x.size(); head += dim) {
    for (std::size_t i = 0; i < half; ++i) {
      const double angle =
          static_cast<double>(position) *
          std::pow(500000.0, -2.0 * static_cast<double>(i) / static_cast<double>(dim));
      const double a = x[head + i], b = x[head + half + i];
      x[head + i] = a * std::cos(angle) - b * std::sin(angle);
      x[head + half + i] = b * std::cos(angle) + a * std::sin(angle);
    }
  }
}

// Causal, one position after the other.
Vector attend(const Vector& query, const Rows& keys, const Rows& values, const ModelSpec& model) {
  const auto dim = static_cast<std::size_t>(model.head_dim);
  Vector out(query.size());
  for (std::size_t head = 0; head < query.size() / dim; ++head) {
    const std::size_t kv = head * static_cast<std::size_t>(model.kv_heads) /
                           static_cast<std::size_t>(model.heads) * dim;
    Vector weight(keys.size());
    double sum = 0;
    for (std::size_t t = 0; t < keys.size(); ++t) {
      double score = 0;
      for (std::size_t i = 0; i < dim; ++i) {
        score += query[head * dim + i] * keys[t][kv + i];
      }
      weight[t] = std::exp(score / std::sqrt(static_cast<double>(dim)));
      sum += weight[t];
    }
    for (std::size_t t = 0; t < keys.size(); ++t) {
      for (std::size_t i = 0; i < dim; ++i) {
        out[head * dim + i] += weight[t] / sum * values[t][kv + i];
      }
    }
  }
  return out;
}

void add(Vector& x, const Vector& y) {
  for (std::size_t i = 0; i < x.size(); ++i) {
    x[i] += y[i];
  }
}

}  // namespace

std::vector<double> reference_logits(const ModelSpec& model, const WeightSource& weights,
                                     const std::vector<std::int32_t>& tokens) {
  const std::int64_t hidden = model.hidden, inner = model.intermediate;
  const std::int64_t q = std::int64_t{model.heads} * model.head_dim;
  const std::int64_t kv = std::int64_t{model.kv_heads} * model.head_dim;
  const auto size = [](std::int64_t n) { return static_cast<std::size_t>(n); };
  const auto tensor = [&](const std::string& name, std::int64_t rows, std::int64_t columns) {
    return weights.read(name, whole(rows, columns));
  };
  const auto table = tensor("model.embed_tokens.weight", model.vocab, hidden);
  Rows x;
  for (const std::int32_t token : tokens) {
    const auto row = table.begin() + token * hidden;
    x.emplace_back(row, row + hidden);
  }
  for (int i = 0; i < model.layers; ++i) {
    const std::string layer = "model.layers." + std::to_string(i) + ".";
    const auto wq = tensor(layer + "self_attn.q_proj.weight", q, hidden);
    const auto wk = tensor(layer + "self_attn.k_proj.weight", kv, hidden);
    const auto wv = tensor(layer + "self_attn.v_proj.weight", kv, hidden);
    const auto wo = tensor(layer + "self_attn.o_proj.weight", hidden, q);
    const auto gate = tensor(layer + "mlp.gate_proj.weight", inner, hidden);
    const auto up = tensor(layer + "mlp.up_proj.weight", inner, hidden);
    const auto down = tensor(layer + "mlp.down_proj.weight", hidden, inner);
    const auto before = tensor(layer + "input_layernorm.weight", 1, hidden);
    const auto after = tensor(layer + "post_attention_layernorm.weight", 1, hidden);
    Rows keys, values;
    for (std::size_t t = 0; t < x.size(); ++t) {
      const Vector in = norm(x[t], before);
      Vector query = multiply(wq, size(q), in), key = multiply(wk, size(kv), in);
      rotate(query, size(model.head_dim), t);
      rotate(key, size(model.head_dim), t);
      keys.push_back(key);
      values.push_back(multiply(wv, size(kv), in));
      add(x[t], multiply(wo, size(hidden), attend(query, keys, values, model)));
      const Vector mlp_in = norm(x[t], after);
      Vector g = multiply(gate, size(inner), mlp_in);
      const Vector u = multiply(up, size(inner), mlp_in);
      for (std::size_t j = 0; j < g.size(); ++j) {
        g[j] = g[j] / (1 + std::exp(-g[j])) * u[j];
      }
      add(x[t], multiply(down, size(hidden), g));
    }
  }
  const auto head = tensor(model.tied_embeddings ? "model.embed_tokens.weight" : "lm_head.weight",
                           model.vocab, hidden);
  return multiply(head, size(model.vocab), norm(x.back(), tensor("model.norm.weight", 1, hidden)));
}

}  // namespace foretoken::runtime
