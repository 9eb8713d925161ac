// Flash attention over the paged KV cache, written against the machine of
// kernels/gemm/cuda_gemm_body.h (here also load_matrices_transposed and shuffle_xor), so that a
// test runs the same code on an emulated block. One kernel serves prefill and decode.
//
// A block of four warps handles 64 rows of one sequence and kv head; a row is a (new token, query
// head) pair, so that all query heads that share a kv head pass over its keys together. Keys and
// values come in tiles of 64 positions, widened to bf16 in shared memory without their scales,
// which are applied to the scores and to the softmax weights. With key_splits > 1 (long contexts,
// few rows) blocks share the positions and leave partial sums for a second kernel.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/gemm/device_code.h"
#include "kernels/layer/vector_ops.h"

namespace foretoken::kernels {

inline constexpr int kAttentionRows = 64;
inline constexpr int kAttentionKeys = 64;
inline constexpr int kAttentionThreads = 128;

struct CudaSequence {
  const std::int32_t* blocks = nullptr;
  std::int64_t length = 0;       // positions in the cache
  std::int64_t new_tokens = 0;   // the last ones, which ask
  std::int64_t first_token = 0;  // index of the first of them among all queries
};

struct CudaAttentionArgs {
  const std::uint16_t* queries = nullptr;  // bf16 [tokens][heads][head_dim]
  std::uint16_t* out = nullptr;
  const std::uint8_t* keys = nullptr;  // [block][kv head][16][head_dim], as PagedKvCache
  const std::uint8_t* values = nullptr;
  const float* key_scales = nullptr;  // [block][kv head][16]; null for bf16
  const float* value_scales = nullptr;
  const CudaSequence* sequences = nullptr;
  KvFormat format = KvFormat::bf16;
  int heads = 0, kv_heads = 0;
  float scale = 0;  // of the scores
  std::int64_t window = 0;
  int key_splits = 1;
  float* partial =
      nullptr;  // [tokens][heads][key_splits][head_dim + 2]: sums, maximum (base 2), weight
};

constexpr int attention_shared_bytes(int head_dim) {
  return (kAttentionRows + 2 * kAttentionKeys) * head_dim * 2 + 2 * kAttentionKeys * 4;
}

template <int Dim, typename Machine>
class AttentionBlock {
 public:
  FT_DEVICE AttentionBlock(Machine& gpu, const CudaAttentionArgs& args)
      : gpu_(gpu),
        args_(args),
        sequence_(args.sequences[gpu.block_z()]),
        group_(args.heads / args.kv_heads),
        first_row_(gpu.block_x() / args.key_splits * kAttentionRows),
        split_(static_cast<int>(gpu.block_x() % args.key_splits)) {}

  FT_DEVICE void run() {
    const std::int64_t rows = sequence_.new_tokens * group_;
    if (first_row_ >= rows) {
      return;  // the whole block: no barrier was passed
    }
    load_queries(rows);
    clear();
    const std::int64_t last_row =
        (first_row_ + kAttentionRows < rows ? first_row_ + kAttentionRows : rows) - 1;
    const std::int64_t first = lowest(position(first_row_)) / kAttentionKeys;
    const std::int64_t tiles = position(last_row) / kAttentionKeys + 1 - first;
    const std::int64_t begin = first + tiles * split_ / args_.key_splits;
    const std::int64_t end = first + tiles * (split_ + 1) / args_.key_splits;
    for (std::int64_t tile = begin; tile < end; ++tile) {
      gpu_.sync();  // all have left the previous tile
      load_tile(tile * kAttentionKeys);
      gpu_.sync();
      attend(tile * kAttentionKeys);
    }
    write(rows);
  }

 private:
  static constexpr int kRowBytes = Dim * 2;
  static constexpr int kChunks = Dim / 8;  // of 16 bytes in a row
  static constexpr int kKeyBase = kAttentionRows * kRowBytes;
  static constexpr int kValueBase = kKeyBase + kAttentionKeys * kRowBytes;
  static constexpr int kKeyScales = kValueBase + kAttentionKeys * kRowBytes;
  static constexpr int kValueScales = kKeyScales + kAttentionKeys * 4;
  static constexpr int kKeyColumns = kAttentionKeys / 8, kOutColumns = Dim / 8;
  static constexpr float kLog2E = 1.44269504F;

  FT_DEVICE int lane() const { return gpu_.thread() % 32; }
  FT_DEVICE int warp_row() const { return gpu_.thread() / 32 * 16; }
  FT_DEVICE static int offset(int base, int row, int chunk) {
    return base + row * kRowBytes + ((chunk ^ (row & 7)) * 16);  // no bank conflicts in ldmatrix
  }
  FT_DEVICE std::int64_t position(std::int64_t row) const {
    return sequence_.length - sequence_.new_tokens + row / group_;
  }
  FT_DEVICE std::int64_t lowest(std::int64_t position) const {
    const std::int64_t low = position + 1 - args_.window;
    return args_.window == 0 || low < 0 ? 0 : low;
  }
  FT_DEVICE std::int64_t query_index(std::int64_t row) const {
    return (sequence_.first_token + row / group_) * args_.heads + gpu_.block_y() * group_ +
           row % group_;
  }

  FT_DEVICE void clear() {
    FT_UNROLL
    for (int half = 0; half < 2; ++half) {
      max_[half] = -INFINITY;
      sum_[half] = 0;
    }
    FT_UNROLL
    for (int column = 0; column < kOutColumns; ++column) {
      FT_UNROLL
      for (int i = 0; i < 4; ++i) {
        out_[column][i] = 0;
      }
    }
  }

  FT_DEVICE void load_queries(std::int64_t rows) {
    for (int piece = gpu_.thread(); piece < kAttentionRows * kChunks; piece += kAttentionThreads) {
      const int row = piece / kChunks, chunk = piece % kChunks;
      Words4 words{};
      if (first_row_ + row < rows) {
        words = *reinterpret_cast<const Words4*>(args_.queries +
                                                 query_index(first_row_ + row) * Dim + chunk * 8);
      }
      gpu_.store_shared(offset(0, row, chunk), words);
    }
  }

  // Eight stored values as bf16.
  FT_DEVICE Words4 widened(const std::uint8_t* row, int chunk) const {
    if (args_.format == KvFormat::bf16) {
      return *reinterpret_cast<const Words4*>(row + static_cast<std::ptrdiff_t>(chunk) * 16);
    }
    Words4 words;
    FT_UNROLL
    for (int i = 0; i < 4; ++i) {
      const std::uint32_t low = widened_byte(row[chunk * 8 + 2 * i]);
      words.w[i] = low | widened_byte(row[chunk * 8 + 2 * i + 1]) << 16;
    }
    return words;
  }
  FT_DEVICE std::uint32_t widened_byte(std::uint8_t byte) const {
    if (args_.format == KvFormat::int8) {
      return bits_as<std::uint32_t>(static_cast<float>(static_cast<std::int8_t>(byte))) >> 16;
    }
    // e4m3: the multiplication corrects the exponent's bias and normalises denormals, exactly.
    const float value = bits_as<float>(static_cast<std::uint32_t>(byte & 0x7fU) << 20) * 0x1p120F;
    return bits_as<std::uint32_t>(value) >> 16 | static_cast<std::uint32_t>(byte & 0x80U) << 8;
  }

  FT_DEVICE void load_tile(std::int64_t first) {
    const int value_bytes = args_.format == KvFormat::bf16 ? 2 : 1;
    FT_NO_UNROLL  // more pieces in flight would not fit the registers beside the sums
        for (int piece = gpu_.thread(); piece < kAttentionKeys * kChunks;
             piece += kAttentionThreads) {
      const int row = piece / kChunks, chunk = piece % kChunks;
      const std::int64_t at = first + row;
      Words4 key{}, value{};
      if (at < sequence_.length) {
        const std::int64_t cached = cached_row(at);
        key = widened(args_.keys + cached * Dim * value_bytes, chunk);
        value = widened(args_.values + cached * Dim * value_bytes, chunk);
        if (chunk == 0) {
          store_scales(row, args_.key_scales == nullptr ? 1.0F : args_.key_scales[cached],
                       args_.value_scales == nullptr ? 1.0F : args_.value_scales[cached]);
        }
      } else if (chunk == 0) {
        store_scales(row, 0, 0);
      }
      gpu_.store_shared(offset(kKeyBase, row, chunk), key);
      gpu_.store_shared(offset(kValueBase, row, chunk), value);
    }
  }
  FT_DEVICE std::int64_t cached_row(std::int64_t position) const {
    return (std::int64_t{sequence_.blocks[position / 16]} * args_.kv_heads + gpu_.block_y()) * 16 +
           position % 16;
  }
  FT_DEVICE void store_scales(int row, float key, float value) {
    gpu_.store_shared(kKeyScales + row * 4, key * args_.scale * kLog2E);
    gpu_.store_shared(kValueScales + row * 4, value);
  }

  FT_DEVICE void attend(std::int64_t first) {
    float scores[kKeyColumns][4] = {};
    multiply_keys(scores);
    soften(first, scores);
    multiply_values(scores);
  }

  FT_DEVICE void multiply_keys(float (&scores)[kKeyColumns][4]) {
    FT_UNROLL
    for (int step = 0; step < Dim / 16; ++step) {
      std::uint32_t a[4];
      gpu_.load_matrices(
          offset(0, warp_row() + lane() / 8 % 2 * 8 + lane() % 8, step * 2 + lane() / 16), a);
      FT_UNROLL
      for (int column = 0; column < kKeyColumns; column += 2) {
        std::uint32_t b[4];
        gpu_.load_matrices(
            offset(kKeyBase, column * 8 + lane() / 16 * 8 + lane() % 8, step * 2 + lane() / 8 % 2),
            b);
        gpu_.multiply_bf16(scores[column], a, b[0], b[1]);
        gpu_.multiply_bf16(scores[column + 1], a, b[2], b[3]);
      }
    }
  }

  // Scores (base 2 from here on) to weights against the running maximum of their row.
  FT_DEVICE void soften(std::int64_t first, float (&scores)[kKeyColumns][4]) {
    FT_UNROLL
    for (int half = 0; half < 2; ++half) {
      const std::int64_t high = position(first_row_ + warp_row() + lane() / 4 + half * 8);
      const std::int64_t low = lowest(high);
      float largest = max_[half];
      FT_UNROLL
      for (int column = 0; column < kKeyColumns; ++column) {
        FT_UNROLL
        for (int i = 0; i < 2; ++i) {
          const int key = column * 8 + lane() % 4 * 2 + i;
          float& score = scores[column][half * 2 + i];
          const bool visible = first + key >= low && first + key <= high;
          score =
              visible ? score * gpu_.template load_shared<float>(kKeyScales + key * 4) : -INFINITY;
          largest = fmaxf(largest, score);
        }
      }
      largest = fmaxf(largest, gpu_.shuffle_xor(largest, 1));
      largest = fmaxf(largest, gpu_.shuffle_xor(largest, 2));
      rescale(half, largest);
      FT_UNROLL
      for (int column = 0; column < kKeyColumns; ++column) {
        FT_UNROLL
        for (int i = 0; i < 2; ++i) {
          float& score = scores[column][half * 2 + i];
          score = largest == -INFINITY ? 0.0F : exp2f(score - largest);
          sum_[half] += score;
        }
      }
    }
  }

  FT_DEVICE void rescale(int half, float largest) {
    const float keep = max_[half] == -INFINITY ? 0.0F : exp2f(max_[half] - largest);
    max_[half] = largest;
    sum_[half] *= keep;
    FT_UNROLL
    for (int column = 0; column < kOutColumns; ++column) {
      out_[column][half * 2] *= keep;
      out_[column][half * 2 + 1] *= keep;
    }
  }

  // The layout of a score fragment is that of a left operand: weights stay in registers.
  FT_DEVICE void multiply_values(const float (&weights)[kKeyColumns][4]) {
    FT_UNROLL
    for (int step = 0; step < kAttentionKeys / 16; ++step) {
      std::uint32_t a[4];
      FT_UNROLL
      for (int i = 0; i < 4; ++i) {
        const int column = step * 2 + i / 2, at = i % 2 * 2;
        const int key = column * 8 + lane() % 4 * 2;
        a[i] = packed(
            weights[column][at] * gpu_.template load_shared<float>(kValueScales + key * 4),
            weights[column][at + 1] * gpu_.template load_shared<float>(kValueScales + key * 4 + 4));
      }
      FT_UNROLL
      for (int column = 0; column < kOutColumns; column += 2) {
        std::uint32_t b[4];
        gpu_.load_matrices_transposed(
            offset(kValueBase, step * 16 + lane() / 8 % 2 * 8 + lane() % 8, column + lane() / 16),
            b);
        gpu_.multiply_bf16(out_[column], a, b[0], b[1]);
        gpu_.multiply_bf16(out_[column + 1], a, b[2], b[3]);
      }
    }
  }
  FT_DEVICE static std::uint32_t packed(float low, float high) {
    return bf16_bits(low) | static_cast<std::uint32_t>(bf16_bits(high)) << 16;
  }

  FT_DEVICE void write(std::int64_t rows) {
    FT_UNROLL
    for (int half = 0; half < 2; ++half) {
      float total = sum_[half];
      total += gpu_.shuffle_xor(total, 1);
      total += gpu_.shuffle_xor(total, 2);
      const std::int64_t row = first_row_ + warp_row() + lane() / 4 + half * 8;
      if (row < rows) {
        args_.key_splits > 1 ? write_partial(row, half, total) : write_result(row, half, total);
      }
    }
  }
  FT_DEVICE void write_result(std::int64_t row, int half, float total) {
    auto* const to = reinterpret_cast<std::uint32_t*>(args_.out + query_index(row) * Dim);
    FT_UNROLL
    for (int column = 0; column < kOutColumns; ++column) {
      to[column * 4 + lane() % 4] =
          packed(out_[column][half * 2] / total, out_[column][half * 2 + 1] / total);
    }
  }
  FT_DEVICE void write_partial(std::int64_t row, int half, float total) {
    float* const to = args_.partial + (query_index(row) * args_.key_splits + split_) * (Dim + 2);
    FT_UNROLL
    for (int column = 0; column < kOutColumns; ++column) {
      to[column * 8 + lane() % 4 * 2] = out_[column][half * 2];
      to[column * 8 + lane() % 4 * 2 + 1] = out_[column][half * 2 + 1];
    }
    if (lane() % 4 == 0) {
      to[Dim] = max_[half];
      to[Dim + 1] = total;
    }
  }

 public:
  // One value of one row from its partial sums.
  FT_DEVICE static void combine(const CudaAttentionArgs& args, std::int64_t query, int i) {
    const float* const from = args.partial + query * args.key_splits * (Dim + 2);
    float largest = -INFINITY;
    for (int split = 0; split < args.key_splits; ++split) {
      largest = fmaxf(largest, from[split * (Dim + 2) + Dim]);
    }
    float sum = 0, total = 0;
    for (int split = 0; split < args.key_splits; ++split) {
      const float* const part = from + static_cast<std::ptrdiff_t>(split) * (Dim + 2);
      const float keep = part[Dim] == -INFINITY ? 0.0F : exp2f(part[Dim] - largest);
      sum += keep * part[i];
      total += keep * part[Dim + 1];
    }
    args.out[query * Dim + i] = bf16_bits(sum / total);
  }

 private:
  Machine& gpu_;
  const CudaAttentionArgs& args_;
  const CudaSequence& sequence_;
  std::int64_t group_, first_row_;
  int split_;
  float max_[2], sum_[2], out_[kOutColumns][4];
};

}  // namespace foretoken::kernels
