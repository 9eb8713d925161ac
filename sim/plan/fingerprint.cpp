#include "sim/plan/fingerprint.h"

#include <bit>

#include "sim/core/random.h"

namespace foretoken::plan {
namespace {

class Hash {
 public:
  void add(std::uint64_t value) { state_ = hash_combine(state_, value); }
  void add(std::int64_t value) { add(static_cast<std::uint64_t>(value)); }
  void add(int value) { add(static_cast<std::int64_t>(value)); }
  void add(double value) { add(std::bit_cast<std::uint64_t>(value)); }
  void add(std::string_view text) { add(hash_text(text)); }
  std::uint64_t state() const { return state_; }

 private:
  std::uint64_t state_ = 0;
};

void add(Hash& hash, const Profile& profile) {
  for (const auto& [name, parameter] : profile.parameters) {
    hash.add(name);
    hash.add(parameter.value);
  }
  for (const auto& [name, table] : profile.samples) {
    hash.add(name);
    for (const Sample& sample : table.samples) {
      for (const std::int64_t side : sample.shape) {
        hash.add(side);
      }
      hash.add(sample.seconds);
    }
  }
}

void add(Hash& hash, const ClusterSpec& cluster) {
  hash.add(cluster.name);
  for (const VertexSpec& vertex : cluster.vertices) {
    hash.add(static_cast<int>(vertex.kind));
    hash.add(vertex.node);
    hash.add(static_cast<int>(vertex.multicast));
  }
  for (const LinkSpec& link : cluster.links) {
    hash.add(link.from);
    hash.add(link.to);
    hash.add(link.bandwidth.bytes_per_second);
    hash.add(link.latency.count());
    hash.add(static_cast<int>(link.link_class));
  }
}

void add(Hash& hash, const ModelSpec& model) {
  hash.add(model.name);
  for (const std::int64_t number :
       {std::int64_t{model.layers}, model.hidden, std::int64_t{model.heads},
        std::int64_t{model.kv_heads}, std::int64_t{model.head_dim}, model.intermediate, model.vocab,
        model.max_positions, model.sliding_window, std::int64_t{model.window_every}}) {
    hash.add(number);
  }
  for (const bool flag : {model.gated_mlp, model.tied_embeddings, model.qkv_bias, model.qk_norm,
                          model.post_norms, model.parallel_blocks}) {
    hash.add(static_cast<int>(flag));
  }
}

}  // namespace

std::uint64_t fingerprint(const Space& space, std::string_view version) {
  const Problem& problem = space.problem();
  Hash hash;
  hash.add(version);
  hash.add(problem.scenario.hash);
  hash.add(problem.scenario.seed);
  add(hash, problem.scenario.model);
  for (const Request& request : problem.workload.requests) {
    hash.add(request.arrival.count());
    hash.add(request.input_tokens);
    hash.add(request.output_tokens);
  }
  for (const Candidate& candidate : problem.candidates) {
    hash.add(candidate.gpu_hour);
    add(hash, candidate.topology->spec());
    add(hash, candidate.cost->profile());
  }
  return hash.state();
}

}  // namespace foretoken::plan
