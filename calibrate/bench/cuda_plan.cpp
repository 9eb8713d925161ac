#include "calibrate/bench/cuda_plan.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <utility>

namespace foretoken::calibrate {
namespace {

// (n, k) of the projections of Llama 3.1 8B and 70B and of Qwen2.5 32B at the tensor degrees that
// one meets (gate_up, down, qkv, o), and sizes between them.
constexpr std::pair<std::int64_t, std::int64_t> kShapes[] = {
    {6144, 4096},  {4096, 4096},  {28672, 4096}, {4096, 14336},  {3072, 4096},  {4096, 2048},
    {14336, 4096}, {4096, 7168},  {10240, 8192}, {8192, 8192},   {57344, 8192}, {8192, 28672},
    {2560, 8192},  {8192, 2048},  {14336, 8192}, {8192, 7168},   {1280, 8192},  {7168, 5120},
    {5120, 5120},  {55296, 5120}, {5120, 27648}, {12288, 12288}, {1024, 1024},  {2048, 6144},
    {6144, 16384}, {20480, 3072}};
constexpr std::int64_t kQuickShapes = 10;
// Of weight widths beside 4 and 8 bits with 8-bit activations fewer shapes: they differ from w4a16
// in the bytes of a weight and the instructions that unpack it, not in where tiles end.
constexpr std::string_view kFewerShapes[] = {"w2a16/g128", "w3a16/g128", "w5a16/g128", "w6a16/g128",
                                             "w8a16/g128"};
constexpr std::int64_t kTokens[] = {1, 4, 16, 32, 64, 128, 192, 256, 512, 1024, 2048, 4096};

struct HeadLayout {
  std::int64_t heads, kv_heads, head_dim;
};
// Each ratio of heads once: a layout stands for those of the same ratio at another batch
// (sim/cost/attention_table.h). One KV head as well, whose smallest batches no other reaches.
constexpr HeadLayout kHeads[] = {
    {32, 8, 128}, {32, 32, 128}, {64, 8, 128}, {8, 1, 128}, {32, 8, 64}};

constexpr const char* kWires[] = {"int8/g128", "int4/g32",       "int6/g128",
                                  "int5/g128", "int4/g32/spike", "int3/g32",
                                  "int2/g32",  "int2/g32/spike", "fp8/g128"};
constexpr std::size_t kQuickWires = 2;

class Plan {
 public:
  Plan(const SuiteOptions& options, std::size_t memory)
      : options_(options), room_(static_cast<std::int64_t>(memory / 2)) {}

  std::vector<PlannedCase> take() {
    memory();
    gemm();
    attention();
    layer();
    codec();
    link();
    host();
    return std::move(cases_);
  }

 private:
  void add(std::string family, std::vector<std::int64_t> shape) {
    cases_.push_back({std::move(family), std::move(shape)});
  }
  std::size_t wires() const { return options_.quick ? kQuickWires : std::size(kWires); }

  void memory() {
    if (options_.wants("memory")) {
      add("memory.copy", {std::min(std::int64_t{1} << 30, room_ / 4), 1});
    }
  }

  void gemm() {
    if (!options_.wants("gemm")) {
      return;
    }
    std::size_t index = 0;
    for (const std::string& format : cuda_gemm_formats()) {
      const bool quick = options_.quick && index++ > 2;
      if (options_.formats.empty() ? quick : !options_.formats.contains(format)) {
        continue;
      }
      const bool fewer =
          options_.quick || std::ranges::find(kFewerShapes, format) != std::end(kFewerShapes);
      std::int64_t taken = 0;
      for (const auto& [n, k] : kShapes) {
        if (fewer && ++taken > kQuickShapes) {
          break;
        }
        for (const std::int64_t m : kTokens) {
          if (8 * (n * k + m * (n + k)) <= room_) {
            add("gemm." + format, {m, n, k});
          }
        }
      }
    }
  }

  void attention() {
    if (!options_.wants("attention")) {
      return;
    }
    for (const char* format : {"bf16", "fp8", "int8"}) {
      if (options_.quick && format != std::string("bf16")) {
        break;
      }
      for (const HeadLayout& layout : kHeads) {
        for (std::int64_t prompt = 64; prompt <= 8192; prompt *= 2) {
          add(std::string("attention.prefill.") + format,
              {layout.heads, layout.kv_heads, layout.head_dim, 0, 1, prompt});
        }
        for (const std::int64_t batch : {1, 4, 16, 64, 256}) {
          for (std::int64_t cached = 128; cached <= 16384 && batch * cached <= 524288;
               cached *= 2) {
            add(std::string("attention.decode.") + format,
                {layout.heads, layout.kv_heads, layout.head_dim, 0, batch, cached});
          }
        }
      }
    }
  }

  // Bytes as sim/model counts them, for hidden size 4096, 32 + 8 heads of 128, an MLP of 14336 and
  // a vocabulary of 128256: only bytes matter to these kernels.
  void layer() {
    if (!options_.wants("layer")) {
      return;
    }
    for (std::int64_t rows = 1; rows <= 8192; rows *= options_.quick ? 4 : 2) {
      add("elementwise.input_layernorm", {(2 * rows + 1) * 4096 * 2});
      add("elementwise.add_norm", {(4 * rows + 1) * 4096 * 2});
      add("elementwise.residual_add", {3 * rows * 4096 * 2});
      add("elementwise.silu_mul", {3 * rows * 14336 * 2});
      add("elementwise.rope", {rows * (2 * 40 * 128 * 2 + 128 * 2 + 8)});
      add("elementwise.embed_tokens", {rows * (2 * 4096 * 2 + 4)});
      if (rows <= 256) {
        add("elementwise.sample", {rows * (128256 * 10 + 8)});
      }
    }
  }

  void codec() {
    if (!options_.wants("codec")) {
      return;
    }
    for (std::int64_t slice = 4096; slice <= std::int64_t{1} << 26; slice *= 4) {
      for (std::size_t i = 0; i < wires(); ++i) {
        add(std::string("codec.quantise.") + kWires[i], {slice});
        add(std::string("codec.reduce.") + kWires[i], {3 * slice});
        add(std::string("codec.dequantise.") + kWires[i], {slice});
      }
    }
  }

  // One GPU has no link to measure. Virtual ranks give what a launch and its barriers take, pinned
  // host memory a real wire, which is not the one between GPUs.
  void link() {
    if (!options_.wants("link")) {
      return;
    }
    for (const std::int64_t ranks : {2, 4, 8}) {
      add("virtual_ranks.int8/g128", {ranks, 1024});
    }
    for (std::size_t i = 0; i < wires(); ++i) {
      for (std::int64_t bytes = std::int64_t{1} << 16; bytes <= std::int64_t{1} << 26; bytes *= 4) {
        add(std::string("pinned_all_reduce.") + kWires[i], {2, bytes});
      }
    }
  }

  void host() {
    if (options_.wants("host")) {
      add("launch.kernel", {1});
      add("launch.graph", {1});
      add("launch.graph", {100});
    }
  }

  const SuiteOptions& options_;
  std::int64_t room_;
  std::vector<PlannedCase> cases_;
};

}  // namespace

std::vector<PlannedCase> plan_cuda(const SuiteOptions& options, std::size_t memory) {
  return Plan(options, memory).take();
}

std::vector<std::string> cuda_gemm_formats() {
  std::vector<std::string> formats = {
      "bf16", "fp8", "w4a16/g128", "w8a8", "w4a8", "w4a8/g128", "w4a8/g128/integer-scale"};
  formats.insert(formats.end(), std::begin(kFewerShapes), std::end(kFewerShapes));
  return formats;
}

}  // namespace foretoken::calibrate
