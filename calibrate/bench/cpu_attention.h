// Attention on one core: prefill through oneDNN batched matmuls and a softmax of our own, decode
// through a kernel that streams the cache once per KV head.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "calibrate/bench/layer_kernels.h"
#include "calibrate/bench/machine.h"

namespace foretoken::calibrate {

struct AttentionShape {
  int heads = 0, kv_heads = 0, head_dim = 0;
};

// One sequence: `fresh` new tokens attend to `context` earlier ones and causally to themselves.
// Queries are taken in blocks of kQueryBlock rows, each against the keys it may see.
class CpuPrefill {
 public:
  static constexpr std::int64_t kQueryBlock = 128;
  CpuPrefill(AttentionShape shape, std::int64_t fresh, std::int64_t context, Pool& pool);
  ~CpuPrefill();
  void run(int call);  // rotates through the pool's caches of keys and values

  // On given operands, as floats: query[fresh][heads][dim], key and value[context +
  // fresh][kv_heads] [dim]; returns [fresh][heads][dim].
  std::vector<float> compute(const std::vector<float>& query, const std::vector<float>& key,
                             const std::vector<float>& value);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// `sequences` rows, each over `tokens` cached tokens (rounded up to a block of 16).
class CpuDecode {
 public:
  CpuDecode(AttentionShape shape, std::int64_t sequences, std::int64_t tokens, Pool& pool);
  void run(int call);
  std::int64_t tokens() const { return tokens_; }

 private:
  AttentionShape shape_;
  std::int64_t sequences_, tokens_;
  Pool& pool_;
  std::vector<Bf16> query_, out_;
  std::vector<float> scratch_;
};

}  // namespace foretoken::calibrate
