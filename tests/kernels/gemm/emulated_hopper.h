// A host stand-in for the machine of hopper_gemm_body.h: mbarriers, bulk copies with the 128-byte
// swizzle, and wgmma with the weights in registers. Layouts follow the PTX manual. Stricter than a
// GPU: what a copy will fill is poisoned when the copy starts; copies end at random, out of order;
// wgmma happens as late as it may and throws when its registers or its shared memory have changed
// since it was issued; a matrix that does not start where its swizzle does throws.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <map>

#include "emulated_gpu.h"
#include "kernels/gemm/cuda_gemm.h"

namespace foretoken::kernels {

// What a tensor map of activations says; a copy takes `tile_rows` rows, whatever the cluster.
struct EmulatedTensorMap {
  const void* base;
  std::int64_t row_bytes, rows;
  int tile_rows;
};

// The part of the machine that the threads of a block share. Blocks of a cluster know each other.
class EmulatedHopper {
 public:
  EmulatedHopper(EmulatedBlock& block, const EmulatedTensorMap& tokens, std::uint64_t seed)
      : block_(block), tokens_(tokens), random_(seed * 2 + 1) {
    block.beside = [this] { return land_some(); };
  }

  // Ranks in the order given. REQUIRES: they live as long as their blocks run.
  static void join(const std::vector<EmulatedHopper*>& cluster) {
    const auto all = std::make_shared<EmulatedBlock::Barrier>();
    for (std::size_t rank = 0; rank < cluster.size(); ++rank) {
      cluster[rank]->cluster_ = cluster;
      cluster[rank]->rank_ = static_cast<int>(rank);
      cluster[rank]->all_ = all;
    }
  }

 private:
  struct Barrier {
    int arrivals = 0, pending = 0;
    std::int64_t bytes = 0;  // still to come in this phase
    std::uint64_t phase = 0;
    bool published = false;
  };
  struct Copy {
    std::vector<std::pair<int, const std::uint8_t*>> pieces;  // of 16 bytes; null: zeros
    int barrier;
  };

  Barrier& barrier(int offset) {
    const auto found = barriers_.find(offset);
    if (found == barriers_.end() || !found->second.published) {
      throw std::logic_error("mbarrier used before it was made known");
    }
    return found->second;
  }
  void complete(int offset, int arrivals, std::int64_t bytes) {
    Barrier& b = barrier(offset);
    b.pending -= arrivals;
    b.bytes -= bytes;
    block_.note_progress();
    if (b.pending < 0) {
      throw std::logic_error("more arrivals than an mbarrier expects");
    }
    if (b.pending == 0 && b.bytes == 0) {
      b.pending = b.arrivals;
      ++b.phase;
    }
  }
  bool next_bit() {
    random_ = random_ * 6364136223846793005U + 1442695040888963407U;
    return (random_ >> 60 & 1) != 0;
  }
  bool land_some() {
    const bool busy = !copies_.empty();
    for (std::size_t i = copies_.size(); i-- > 0;) {
      if (next_bit()) {
        land(copies_[i]);
        copies_.erase(copies_.begin() + static_cast<std::ptrdiff_t>(i));
      }
    }
    return busy;
  }
  void land(const Copy& copy) {
    for (const auto& [offset, source] : copy.pieces) {
      std::uint8_t* const to = at(offset);
      source == nullptr ? std::memset(to, 0, 16) : std::memcpy(to, source, 16);
    }
    complete(copy.barrier, 0, static_cast<std::int64_t>(copy.pieces.size()) * 16);
  }
  void start(Copy copy) {
    if (block_.finished()) {
      throw std::logic_error("a copy to a block that is gone");
    }
    for (const auto& [offset, source] : copy.pieces) {
      std::memset(at(offset), 0xA5, 16);
    }
    barrier(copy.barrier);
    copies_.push_back(std::move(copy));
  }
  std::uint8_t* at(int offset) { return block_.shared(offset, 16); }

  EmulatedBlock& block_;
  EmulatedTensorMap tokens_;
  std::uint64_t random_;
  std::map<int, Barrier> barriers_;
  std::vector<Copy> copies_;
  EmulatedBlock::Barrier consumers_;
  std::vector<EmulatedHopper*> cluster_;
  int rank_ = 0;
  std::shared_ptr<EmulatedBlock::Barrier> all_;  // of the cluster
  friend class EmulatedHopperLane;
};

class EmulatedHopperLane {
 public:
  EmulatedHopperLane(EmulatedLane& lane, EmulatedHopper& device) : lane_(lane), device_(device) {}

  int thread() const { return lane_.thread(); }
  std::int64_t block_x() const { return lane_.block_x(); }
  std::int64_t block_y() const { return lane_.block_y(); }
  std::int64_t block_z() const { return lane_.block_z(); }
  int cluster_size() const { return static_cast<int>(device_.cluster_.size()); }
  int cluster_rank() const { return device_.rank_; }
  void sync_cluster() { device_.block_.meet(*device_.all_, cluster_size() * kHopperThreads); }
  void sync_consumers() { device_.block_.meet(device_.consumers_, kHopperConsumers); }
  void sync_warp() { lane_.exchange({}); }
  template <int N>
  void keep_registers() {
    static_assert(N % 8 == 0 && N >= 24 && N <= 256);
  }
  template <int N>
  void take_registers() {
    static_assert(N % 8 == 0 && N >= 24 && N <= 256);
  }

  void init_barrier(int offset, int arrivals) {
    lane_.shared(offset, 8);
    device_.barriers_[offset] = {arrivals, arrivals, 0, 0, false};
  }
  void publish_barriers() {
    for (auto& [offset, barrier] : device_.barriers_) {
      barrier.published = true;
    }
  }
  void expect(int barrier, int bytes) {
    device_.barrier(barrier).bytes += bytes;
    device_.complete(barrier, 1, 0);
  }
  void arrive(int barrier, int rank) {
    EmulatedHopper& there = *device_.cluster_.at(static_cast<std::size_t>(rank));
    if (there.block_.finished()) {
      throw std::logic_error("an arrival at a block that is gone");
    }
    there.complete(barrier, 1, 0);
  }
  void wait_phase(int barrier, int parity) {
    while (device_.barrier(barrier).phase % 2 == static_cast<std::uint64_t>(parity)) {
      lane_.yield();
    }
  }

  void copy_bulk(int offset, const void* source, int bytes, int barrier) {
    if (bytes % 16 != 0) {
      throw std::logic_error("a bulk copy of a part of 16 bytes");
    }
    device_.block_.check_readable(source, static_cast<std::size_t>(bytes));
    EmulatedHopper::Copy copy{{}, barrier};
    for (int at = 0; at < bytes; at += 16) {
      copy.pieces.emplace_back(offset + at, static_cast<const std::uint8_t*>(source) + at);
    }
    device_.start(std::move(copy));
  }
  void copy_tokens(int offset, int byte, int token, int barrier) {
    const EmulatedTensorMap& map = device_.tokens_;
    if (offset % 1024 != 0) {
      throw std::logic_error("the swizzle of a copied tile starts at a multiple of 1024");
    }
    EmulatedHopper::Copy copy{{}, barrier};
    for (int row = 0; row < map.tile_rows; ++row) {
      for (int at = 0; at < 128; at += 16) {
        const bool inside = token + row < map.rows && byte + at < map.row_bytes;
        copy.pieces.emplace_back(swizzled(offset + row * 128 + at),
                                 inside ? static_cast<const std::uint8_t*>(map.base) +
                                              (token + row) * map.row_bytes + byte + at
                                        : nullptr);
      }
    }
    for (EmulatedHopper* const there : device_.cluster_) {
      there->start(copy);
    }
  }

  template <typename T>
  T load_shared(int offset) const {
    return lane_.load_shared<T>(offset);
  }
  template <typename T>
  void store_shared(int offset, T value) {
    if (!device_.copies_.empty()) {
      throw std::logic_error("shared memory reused while copies are under way");
    }
    lane_.store_shared(offset, value);
  }
  std::uint32_t multiply_add_bf16(std::uint32_t a, std::uint32_t b, std::uint32_t c) const {
    return lane_.multiply_add_bf16(a, b, c);
  }

  template <typename Sum, int Sums>
  void open_multiply(Sum (&)[Sums]) {
    lane_.exchange({});
    open_ = true;
  }
  template <int N, typename Sum>
  void multiply(Sum* sums, const std::uint32_t (&a)[4], int offset, bool accumulate) {
    static_assert(N % 8 == 0 && N <= 256);
    if (!open_ || offset / 128 % 8 != 0 || offset % 32 != 0) {
      throw std::logic_error("wgmma without a fence or with a misplaced matrix");
    }
    const auto place = static_cast<std::uint32_t>(offset);
    const auto& all = lane_.exchange({a[0], a[1], a[2], a[3], place, accumulate ? 1U : 0U});
    Multiply one{sums, a, {}, {}, accumulate, offset, N};
    for (int from = 0; from < 32; ++from) {
      if (all.words[from][4] != place || all.words[from][5] != (accumulate ? 1U : 0U)) {
        throw std::logic_error("the lanes of a warp issue different wgmmas");
      }
    }
    for (int quad = 0; quad < 4; ++quad) {
      std::memcpy(one.a[static_cast<std::size_t>(quad)].data(),
                  all.words[thread() % 32 / 4 * 4 + quad], 16);
    }
    one.tokens = tokens_of(one);
    pending_.push_back(std::move(one));
  }
  void commit_multiply() {
    first_sums_.clear();
    if (!pending_.empty()) {
      const auto* const sums = static_cast<const std::uint32_t*>(pending_.front().sums);
      first_sums_.assign(sums, sums + pending_.front().n / 2);
    }
    open_ = false;
  }
  template <typename Sum, int Sums>
  void finish_multiply(Sum (&sums)[Sums]) {
    lane_.exchange({});
    if (!pending_.empty() && std::memcmp(first_sums_.data(), sums, sizeof(sums)) != 0) {
      throw std::logic_error("sums changed while wgmma was at work");
    }
    for (const Multiply& one : pending_) {
      if (std::memcmp(one.registers, one.a[static_cast<std::size_t>(thread() % 4)].data(), 16) !=
              0 ||
          tokens_of(one) != one.tokens) {
        throw std::logic_error("an operand of wgmma changed while it was at work");
      }
      add(one, sums);
    }
    pending_.clear();
  }

 private:
  using Token = std::array<std::uint8_t, 32>;
  struct Multiply {
    const void* sums;
    const std::uint32_t* registers;
    std::array<std::array<std::uint32_t, 4>, 4> a;  // of the four lanes with the same rows
    std::vector<Token> tokens;                      // those of the lane's sums
    bool accumulate;
    int offset, n;
  };

  // Address bits 4 to 6 by bits 7 to 9: the 128-byte mode of copies and of wgmma.
  static int swizzled(int offset) { return offset ^ (offset >> 7 & 7) << 4; }

  // A lane's sums 4 j + i belong to row 8 (i / 2) + lane / 4 of its warp's 16 and to column
  // 8 j + 2 (lane % 4) + i % 2.
  std::vector<Token> tokens_of(const Multiply& one) const {
    std::vector<Token> tokens;
    for (int i = 0; i < one.n / 4; ++i) {
      const int column = i / 2 * 8 + thread() % 4 * 2 + i % 2;
      Token& token = tokens.emplace_back();
      for (int half = 0; half < 2; ++half) {
        const int at = swizzled(one.offset + column / 8 * 1024 + column % 8 * 128 + half * 16);
        std::memcpy(token.data() + std::ptrdiff_t{16} * half, lane_.shared(at, 16), 16);
      }
    }
    return tokens;
  }

  // Row `half` of a lane's two: bytes 4 q to 4 q + 3 of k are word `half` of lane q of the quad, 16
  // further ones word half + 2; the same places in pairs of bf16.
  static Token row_of(const Multiply& one, int half) {
    Token row;
    for (std::size_t quad = 0; quad < 4; ++quad) {
      for (std::size_t far = 0; far < 2; ++far) {
        const std::uint32_t word = one.a[quad][static_cast<std::size_t>(half) + 2 * far];
        std::memcpy(row.data() + 16 * far + 4 * quad, &word, 4);
      }
    }
    return row;
  }
  static std::int32_t dot(const Token& a, const Token& b, std::int32_t sum) {
    for (std::size_t k = 0; k < 32; ++k) {
      sum = static_cast<std::int32_t>(static_cast<std::uint32_t>(sum) +
                                      static_cast<std::uint32_t>(static_cast<std::int8_t>(a[k]) *
                                                                 static_cast<std::int8_t>(b[k])));
    }
    return sum;
  }
  static float dot(const Token& a, const Token& b, float sum) {
    for (std::size_t k = 0; k < 32; k += 2) {
      const auto value = [k](const Token& token) {
        Bf16 x;
        std::memcpy(&x, token.data() + k, 2);
        return to_float(x);
      };
      sum += value(a) * value(b);
    }
    return sum;
  }
  template <typename Sum, int Sums>
  static void add(const Multiply& one, Sum (&sums)[Sums]) {
    const Token rows[] = {row_of(one, 0), row_of(one, 1)};
    for (int i = 0; i < Sums; ++i) {
      const auto token = static_cast<std::size_t>(i / 4 * 2 + i % 2);
      sums[i] = dot(rows[i / 2 % 2], one.tokens[token], one.accumulate ? sums[i] : Sum{0});
    }
  }

  EmulatedLane& lane_;
  EmulatedHopper& device_;
  std::vector<Multiply> pending_;
  std::vector<std::uint32_t> first_sums_;
  bool open_ = false;
};

}  // namespace foretoken::kernels
