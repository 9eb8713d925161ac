#include "kernels/collective/schedules.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <numeric>

namespace foretoken::kernels {
namespace {

using Bytes = AlignedBuffer<std::uint8_t>;

std::size_t index_of(int rank) { return static_cast<std::size_t>(rank); }

// Packs, sums and unpacks ranges of the user's vectors, each only where its phase is on. Formats
// that are the values' own type need no packing: messages then come and go in place.
class Work {
 public:
  explicit Work(ScheduleContext& context) : c_(context) {}

  const CollectiveDesc& desc() const { return c_.desc; }
  bool in_place(const WireFormat& format) const {
    switch (c_.desc.type) {
      case ValueType::fp32:
        return format.kind == WireFormat::Kind::fp32;
      case ValueType::bf16:
        return format.kind == WireFormat::Kind::bf16;
      case ValueType::fp16:
        return format.kind == WireFormat::Kind::fp16;
    }
    return false;
  }
  std::uint8_t* out_at(std::size_t value) const {
    return static_cast<std::uint8_t*>(c_.out) + value * value_bytes(c_.desc.type);
  }
  const std::uint8_t* in_at(std::size_t value) const {
    return static_cast<const std::uint8_t*>(c_.in) + value * value_bytes(c_.desc.type);
  }

  // The packed form of a range of the input: in `room`, or the input itself.
  std::span<const std::uint8_t> pack(const WireFormat& format, Range r, std::uint8_t* room) const {
    if (in_place(format)) {
      return {in_at(r.begin), packed_bytes(format, r.size())};
    }
    if (c_.desc.phases.quantise) {
      c_.codec.pack(format, {in_at(r.begin), c_.desc.type}, r.size(), room);
    }
    return {room, packed_bytes(format, r.size())};
  }

  void reduce(const WireFormat& from, std::span<const std::uint8_t* const> inputs, std::size_t n,
              const WireFormat& to, std::uint8_t* out) const {
    if (c_.desc.phases.reduce && n != 0) {
      c_.codec.unpack_reduce_pack(from, inputs, n, to, out);
    }
  }

  // Where the packed form of a range of the output is received: `room`, or the output itself.
  std::span<std::uint8_t> landing(const WireFormat& format, Range r, std::uint8_t* room) const {
    return {in_place(format) ? out_at(r.begin) : room, packed_bytes(format, r.size())};
  }

  void unpack(const WireFormat& format, const std::uint8_t* packed, Range r) const {
    if (c_.desc.phases.dequantise && r.size() != 0 && packed != out_at(r.begin)) {
      c_.codec.unpack(format, packed, r.size(), {out_at(r.begin), c_.desc.type});
    }
  }

  void unpack_sum(const WireFormat& format, std::span<const std::uint8_t* const> inputs,
                  Range r) const {
    if (c_.desc.phases.dequantise && r.size() != 0) {
      c_.codec.unpack_accumulate(format, inputs, r.size(), {out_at(r.begin), c_.desc.type});
    }
  }

 private:
  ScheduleContext& c_;
};

// One message of every rank for one chunk, side by side.
class Messages {
 public:
  Messages() = default;
  Messages(std::size_t count, std::size_t bytes)
      : stride_((bytes + 63) / 64 * 64), room_(count * stride_) {}
  std::uint8_t* operator[](std::size_t i) { return room_.data() + i * stride_; }

 private:
  std::size_t stride_ = 0;
  Bytes room_;
};

std::vector<const std::uint8_t*> pointers(Messages& messages, std::size_t count) {
  std::vector<const std::uint8_t*> list(count);
  for (std::size_t i = 0; i < count; ++i) {
    list[i] = messages[i];
  }
  return list;
}

// Buffers of the chunks in flight: one that is packed, one in every stage, one that is unpacked.
// They are used in turn, and so stay in the cache.
class BufferedSchedule : public Schedule {
 public:
  explicit BufferedSchedule(ScheduleContext& context) : c_(context), work_(context) {}

 protected:
  std::size_t depth() const {
    return std::min(c_.desc.chunks, static_cast<std::size_t>(stages()) + 2);
  }
  std::size_t slot(std::size_t chunk) const {
    return c_.desc.chunks == 1 ? 0 : chunk % depth();  // a division costs more than the question
  }
  ScheduleContext& c_;
  Work work_;
};

// ---- one-shot: the packed vector to everybody, sums everywhere
// ------------------------------------

class OneShotAllReduce : public BufferedSchedule {
 public:
  explicit OneShotAllReduce(ScheduleContext& context) : BufferedSchedule(context) {
    const std::size_t bytes = packed_bytes(c_.desc.first, c_.chunk(0).size());
    for (std::size_t i = 0; i < depth(); ++i) {
      messages_.emplace_back(index_of(c_.ranks), bytes);
      inputs_.push_back(pointers(messages_.back(), index_of(c_.ranks)));
    }
  }

  int stages() const override { return 1; }

  void produce(int, std::size_t chunk, Exchange& exchange) override {
    const Range r = c_.chunk(chunk);
    std::uint8_t* room = messages_[slot(chunk)][index_of(c_.rank)];
    auto packed = work_.pack(c_.desc.first, r, room);
    if (c_.in == c_.out && work_.in_place(c_.desc.first)) {
      std::memcpy(room, packed.data(), packed.size());  // the sum will overwrite the input
      packed = {room, packed.size()};
    }
    inputs_[slot(chunk)][index_of(c_.rank)] = packed.data();
    for (int peer = 0; peer < c_.ranks; ++peer) {
      if (peer != c_.rank) {
        exchange.send(peer, packed);
        exchange.receive(peer, {messages_[slot(chunk)][index_of(peer)], packed.size()});
      }
    }
  }

  void complete(std::size_t chunk) override {
    work_.unpack_sum(c_.desc.first, inputs_[slot(chunk)], c_.chunk(chunk));
  }

 private:
  std::vector<Messages> messages_;
  std::vector<std::vector<const std::uint8_t*>> inputs_;
};

// ---- two-step: V1 -------------------------------------------------------------------------------

class TwoStepAllReduce : public BufferedSchedule {
 public:
  explicit TwoStepAllReduce(ScheduleContext& context) : BufferedSchedule(context) {
    const std::size_t slice = slice_of(0, 0).size();
    const std::size_t ranks = index_of(c_.ranks);
    for (std::size_t i = 0; i < depth(); ++i) {
      outgoing_.emplace_back(ranks, packed_bytes(c_.desc.first, slice));
      incoming_.emplace_back(ranks, packed_bytes(c_.desc.first, slice));
      sums_.emplace_back(ranks, packed_bytes(c_.desc.second, slice));
      inputs_.push_back(pointers(incoming_.back(), ranks));
    }
  }

  int stages() const override { return 2; }

  void produce(int stage, std::size_t chunk, Exchange& exchange) override {
    stage == 0 ? send_slices(chunk, exchange) : send_sum(chunk, exchange);
  }

  void complete(std::size_t chunk) override {
    for (int rank = 0; rank < c_.ranks; ++rank) {
      const Range r = slice_of(chunk, rank);
      std::uint8_t* room = sums_[slot(chunk)][index_of(rank)];
      work_.unpack(c_.desc.second, work_.landing(c_.desc.second, r, room).data(), r);
    }
  }

 private:
  Range slice_of(std::size_t chunk, int rank) const {
    return part_of(c_.chunk(chunk), index_of(c_.ranks), index_of(rank), c_.unit());
  }

  void send_slices(std::size_t chunk, Exchange& exchange) {
    const std::size_t own = packed_bytes(c_.desc.first, slice_of(chunk, c_.rank).size());
    for (int peer = 0; peer < c_.ranks; ++peer) {
      const auto packed =
          work_.pack(c_.desc.first, slice_of(chunk, peer), outgoing_[slot(chunk)][index_of(peer)]);
      if (peer == c_.rank) {
        inputs_[slot(chunk)][index_of(peer)] = packed.data();
      } else {
        exchange.send(peer, packed);
        exchange.receive(peer, {incoming_[slot(chunk)][index_of(peer)], own});
      }
    }
  }

  void send_sum(std::size_t chunk, Exchange& exchange) {
    const Range mine = slice_of(chunk, c_.rank);
    // Straight into the output where that is the format: nobody else reads this slice of the input.
    std::uint8_t* sum =
        work_.landing(c_.desc.second, mine, sums_[slot(chunk)][index_of(c_.rank)]).data();
    work_.reduce(c_.desc.first, inputs_[slot(chunk)], mine.size(), c_.desc.second, sum);
    for (int peer = 0; peer < c_.ranks; ++peer) {
      if (peer != c_.rank) {
        exchange.send(peer, {sum, packed_bytes(c_.desc.second, mine.size())});
        exchange.receive(peer, work_.landing(c_.desc.second, slice_of(chunk, peer),
                                             sums_[slot(chunk)][index_of(peer)]));
      }
    }
  }

  std::vector<Messages> outgoing_;
  std::vector<Messages> incoming_;
  std::vector<Messages> sums_;
  std::vector<std::vector<const std::uint8_t*>> inputs_;
};

// ---- two-step in shared memory, nothing packed --------------------------------------------------
//
// Every rank sums its slice straight from all inputs, in rank order, into all outputs. Between the
// ranks travel only the places of their buffers and the word that they are no longer needed.

class SharedTwoStepAllReduce : public BufferedSchedule {
 public:
  explicit SharedTwoStepAllReduce(ScheduleContext& context)
      : BufferedSchedule(context),
        buffers_(depth(), std::vector<Buffers>(index_of(c_.ranks))),
        done_(index_of(c_.ranks)) {
    for (std::size_t chunk = 0; chunk < c_.desc.chunks; ++chunk) {
      for (int rank = 0; rank < c_.ranks; ++rank) {
        const auto ways = rank == c_.rank ? static_cast<std::uint64_t>(c_.ranks - 1) : 1U;
        wire_bytes_ += ways * packed_bytes(c_.desc.first, slice_of(chunk, rank).size());
      }
    }
  }

  int stages() const override { return 2; }

  void produce(int stage, std::size_t chunk, Exchange& exchange) override {
    stage == 0 ? send_places(chunk, exchange) : send_done(chunk, exchange);
  }

  void complete(std::size_t) override {}

  std::optional<std::uint64_t> wire_bytes() const override { return wire_bytes_; }

 private:
  struct Buffers {
    const std::uint8_t* in;
    std::uint8_t* out;
  };

  Range slice_of(std::size_t chunk, int rank) const {
    return part_of(c_.chunk(chunk), index_of(c_.ranks), index_of(rank), c_.unit());
  }

  template <typename T>
  static std::span<std::uint8_t> bytes_of(T& object) {
    return {reinterpret_cast<std::uint8_t*>(&object), sizeof(T)};
  }

  void send_places(std::size_t chunk, Exchange& exchange) {
    auto& buffers = buffers_[slot(chunk)];
    // Where no wire brings the others' places, their slices count as this rank's own.
    std::fill(buffers.begin(), buffers.end(), Buffers{work_.in_at(0), work_.out_at(0)});
    for (int peer = 0; peer < c_.ranks; ++peer) {
      if (peer != c_.rank) {
        exchange.send(peer, bytes_of(buffers[index_of(c_.rank)]));
        exchange.receive(peer, bytes_of(buffers[index_of(peer)]));
      }
    }
  }

  void send_done(std::size_t chunk, Exchange& exchange) {
    c_.transport.hold();
    sum(slice_of(chunk, c_.rank), buffers_[slot(chunk)]);
    c_.transport.release();
    for (int peer = 0; peer < c_.ranks; ++peer) {
      if (peer != c_.rank) {
        exchange.send(peer, bytes_of(done_[index_of(c_.rank)]));
        exchange.receive(peer, bytes_of(done_[index_of(peer)]));
      }
    }
  }

  // In pieces that stay in the first-level cache until they lie in every output.
  void sum(Range slice, const std::vector<Buffers>& buffers) {
    const std::size_t size = value_bytes(c_.desc.type);
    inputs_.resize(buffers.size());
    for (std::size_t begin = slice.begin; begin < slice.end; begin += kBlockValues) {
      const std::size_t n = std::min(kBlockValues, slice.end - begin);
      for (std::size_t i = 0; i < buffers.size(); ++i) {
        inputs_[i] = buffers[i].in + begin * size;
      }
      std::uint8_t* own = work_.out_at(begin);
      work_.reduce(c_.desc.first, inputs_, n, c_.desc.second, own);
      for (const Buffers& b : buffers) {
        if (b.out + begin * size != own) {
          std::memcpy(b.out + begin * size, own, n * size);
        }
      }
    }
  }

  std::vector<std::vector<Buffers>> buffers_;  // of every rank, for the chunks in flight
  std::vector<const std::uint8_t*> inputs_;
  std::vector<std::uint8_t> done_;
  std::uint64_t wire_bytes_ = 0;
};

// ---- hierarchical two-step: V2, two groups
// --------------------------------------------------------
//
// 1. Inside a group every rank gets its slice of all members and sums it. 2. Same-index ranks of
// the two groups exchange their packed sums; both add them in the order of the groups. 3. Inside
// the group everybody gets every sum. Only step 2 crosses between the groups.

class HierarchicalAllReduce : public BufferedSchedule {
 public:
  explicit HierarchicalAllReduce(ScheduleContext& context) : BufferedSchedule(context) {
    find_groups();
    const std::size_t slice = slice_of(0, 0).size();
    const std::size_t k = own_.size();
    for (std::size_t i = 0; i < depth(); ++i) {
      outgoing_.emplace_back(k, packed_bytes(c_.desc.first, slice));
      incoming_.emplace_back(k, packed_bytes(c_.desc.first, slice));
      halves_.emplace_back(2, packed_bytes(c_.desc.first, slice));
      sums_.emplace_back(k, packed_bytes(c_.desc.second, slice));
      inputs_.push_back(pointers(incoming_.back(), k));
    }
  }

  int stages() const override { return 3; }

  void produce(int stage, std::size_t chunk, Exchange& exchange) override {
    if (stage == 0) {
      send_slices(chunk, exchange);
    } else if (stage == 1) {
      cross(chunk, exchange);
    } else {
      send_sum(chunk, exchange);
    }
  }

  void complete(std::size_t chunk) override {
    for (std::size_t i = 0; i < own_.size(); ++i) {
      const Range r = slice_of(chunk, i);
      const bool landed = i != index_ && work_.in_place(c_.desc.second);
      work_.unpack(c_.desc.second, landed ? work_.out_at(r.begin) : sums_[slot(chunk)][i], r);
    }
  }

 private:
  void find_groups() {
    std::vector<int> a = c_.desc.group_a;
    std::vector<int> b = c_.desc.group_b;
    if (a.empty() && b.empty()) {
      a.resize(index_of(c_.ranks / 2));
      b.resize(index_of(c_.ranks - c_.ranks / 2));
      std::iota(a.begin(), a.end(), 0);
      std::iota(b.begin(), b.end(), c_.ranks / 2);
    }
    std::vector<int> all = a;
    all.insert(all.end(), b.begin(), b.end());
    std::sort(all.begin(), all.end());
    std::vector<int> every(index_of(c_.ranks));
    std::iota(every.begin(), every.end(), 0);
    if (a.size() != b.size() || all != every) {
      throw KernelError(fmt::format(
          "hierarchical all-reduce needs two groups of equal size that hold each of the {} ranks "
          "once (with an odd number of ranks use two_step)",
          c_.ranks));
    }
    group_ = std::find(a.begin(), a.end(), c_.rank) != a.end() ? 0 : 1;
    own_ = group_ == 0 ? a : b;
    other_ = group_ == 0 ? b : a;
    index_ =
        index_of(static_cast<int>(std::find(own_.begin(), own_.end(), c_.rank) - own_.begin()));
  }

  Range slice_of(std::size_t chunk, std::size_t index) const {
    return part_of(c_.chunk(chunk), own_.size(), index, c_.unit());
  }

  void send_slices(std::size_t chunk, Exchange& exchange) {
    const std::size_t bytes = packed_bytes(c_.desc.first, slice_of(chunk, index_).size());
    for (std::size_t i = 0; i < own_.size(); ++i) {
      const auto packed = work_.pack(c_.desc.first, slice_of(chunk, i), outgoing_[slot(chunk)][i]);
      if (i == index_) {
        inputs_[slot(chunk)][i] = packed.data();
      } else {
        exchange.send(own_[i], packed);
        exchange.receive(own_[i], {incoming_[slot(chunk)][i], bytes});
      }
    }
  }

  void cross(std::size_t chunk, Exchange& exchange) {
    const std::size_t n = slice_of(chunk, index_).size();
    std::uint8_t* mine = halves_[slot(chunk)][index_of(group_)];
    work_.reduce(c_.desc.first, inputs_[slot(chunk)], n, c_.desc.first, mine);
    const std::size_t bytes = packed_bytes(c_.desc.first, n);
    exchange.send(other_[index_], {mine, bytes});
    exchange.receive(other_[index_], {halves_[slot(chunk)][index_of(1 - group_)], bytes});
  }

  void send_sum(std::size_t chunk, Exchange& exchange) {
    const Range mine = slice_of(chunk, index_);
    std::uint8_t* sum = sums_[slot(chunk)][index_];
    work_.reduce(c_.desc.first, pointers(halves_[slot(chunk)], 2), mine.size(), c_.desc.second,
                 sum);
    for (std::size_t i = 0; i < own_.size(); ++i) {
      if (i != index_) {
        exchange.send(own_[i], {sum, packed_bytes(c_.desc.second, mine.size())});
        exchange.receive(own_[i],
                         work_.landing(c_.desc.second, slice_of(chunk, i), sums_[slot(chunk)][i]));
      }
    }
  }

  int group_ = 0;
  std::size_t index_ = 0;
  std::vector<int> own_;
  std::vector<int> other_;
  std::vector<Messages> outgoing_;
  std::vector<Messages> incoming_;
  std::vector<Messages> halves_;  // the sums of group a and group b of this rank's slice
  std::vector<Messages> sums_;
  std::vector<std::vector<const std::uint8_t*>> inputs_;
};

// ---- ring: the baseline
// ---------------------------------------------------------------------------
//
// Slice s starts at rank s + 1 and collects a contribution at every hop until rank s holds the sum;
// then the sums travel the ring as they are. With a quantised format every hop quantises again.

class RingAllReduce : public BufferedSchedule {
 public:
  explicit RingAllReduce(ScheduleContext& context) : BufferedSchedule(context) {
    const std::size_t slice = slice_of(0, 0).size();
    for (std::size_t i = 0; i < depth(); ++i) {
      own_.emplace_back(1, packed_bytes(c_.desc.first, slice));
      partial_.emplace_back(2, packed_bytes(c_.desc.first, slice));
      sums_.emplace_back(index_of(c_.ranks), packed_bytes(c_.desc.second, slice));
    }
  }

  int stages() const override { return 2 * (c_.ranks - 1); }

  void produce(int stage, std::size_t chunk, Exchange& exchange) override {
    const int hops = c_.ranks - 1;
    stage < hops ? collect(stage, chunk, exchange) : spread(stage - hops, chunk, exchange);
  }

  void complete(std::size_t chunk) override {
    for (int rank = 0; rank < c_.ranks; ++rank) {
      work_.unpack(c_.desc.second, sums_[slot(chunk)][index_of(rank)], slice_of(chunk, rank));
    }
  }

 private:
  int left() const { return (c_.rank + c_.ranks - 1) % c_.ranks; }
  int right() const { return (c_.rank + 1) % c_.ranks; }
  int slice_at(int hops_back) const {
    return ((c_.rank - hops_back) % c_.ranks + c_.ranks) % c_.ranks;
  }
  Range slice_of(std::size_t chunk, int rank) const {
    return part_of(c_.chunk(chunk), index_of(c_.ranks), index_of(rank), c_.unit());
  }

  // Adds this rank's values of a slice to the partial sum that came from the left.
  void add_own(std::size_t chunk, int slice, const std::uint8_t* partial, const WireFormat& to,
               std::uint8_t* out) {
    const Range r = slice_of(chunk, slice);
    const auto own = work_.pack(c_.desc.first, r, own_[slot(chunk)][0]);
    const std::uint8_t* const inputs[] = {partial, own.data()};
    work_.reduce(c_.desc.first, inputs, r.size(), to, out);
  }

  void collect(int hop, std::size_t chunk, Exchange& exchange) {
    // The message that leaves lies in one buffer while the next arrives in the other.
    std::uint8_t* arriving = partial_[slot(chunk)][index_of(hop % 2)];
    const int slice = slice_at(hop + 1);
    std::span<const std::uint8_t> leaving;
    if (hop == 0) {
      leaving = work_.pack(c_.desc.first, slice_of(chunk, slice), partial_[slot(chunk)][1]);
    } else {
      std::uint8_t* before = partial_[slot(chunk)][index_of((hop + 1) % 2)];
      add_own(chunk, slice, before, c_.desc.first, before);
      leaving = {before, packed_bytes(c_.desc.first, slice_of(chunk, slice).size())};
    }
    exchange.send(right(), leaving);
    const Range next = slice_of(chunk, slice_at(hop + 2));
    exchange.receive(left(), {arriving, packed_bytes(c_.desc.first, next.size())});
  }

  void spread(int hop, std::size_t chunk, Exchange& exchange) {
    if (hop == 0) {
      add_own(chunk, c_.rank, partial_[slot(chunk)][index_of((c_.ranks - 2) % 2)], c_.desc.second,
              sums_[slot(chunk)][index_of(c_.rank)]);
    }
    const int leaving = slice_at(hop);
    const int arriving = slice_at(hop + 1);
    exchange.send(right(), {sums_[slot(chunk)][index_of(leaving)],
                            packed_bytes(c_.desc.second, slice_of(chunk, leaving).size())});
    exchange.receive(left(), {sums_[slot(chunk)][index_of(arriving)],
                              packed_bytes(c_.desc.second, slice_of(chunk, arriving).size())});
  }

  std::vector<Messages> own_;
  std::vector<Messages> partial_;
  std::vector<Messages> sums_;
};

// ---- one-step operations
// --------------------------------------------------------------------------

// Everything that is one exchange: slices of the vector, one a rank. Micro-chunks cut every slice.
class OneStep : public BufferedSchedule {
 public:
  explicit OneStep(ScheduleContext& context) : BufferedSchedule(context) {
    const std::size_t bytes = packed_bytes(c_.desc.first, piece(0, 0).size());
    for (std::size_t i = 0; i < depth(); ++i) {
      outgoing_.emplace_back(index_of(c_.ranks), bytes);
      incoming_.emplace_back(index_of(c_.ranks), bytes);
    }
  }

  int stages() const override { return 1; }

 protected:
  Range slice(int rank) const {
    return part_of({0, c_.desc.values}, index_of(c_.ranks), index_of(rank), c_.unit());
  }
  Range piece(std::size_t chunk, int rank) const {
    return part_of(slice(rank), c_.desc.chunks, chunk, c_.unit());
  }
  static Range shifted(Range r, std::size_t origin) { return {r.begin - origin, r.end - origin}; }

  std::vector<Messages> outgoing_;
  std::vector<Messages> incoming_;
};

// Every rank's input is its slice of the output.
class AllGather : public OneStep {
 public:
  using OneStep::OneStep;

  void produce(int, std::size_t chunk, Exchange& exchange) override {
    const Range mine = shifted(piece(chunk, c_.rank), slice(c_.rank).begin);
    const auto packed = work_.pack(c_.desc.first, mine, outgoing_[slot(chunk)][0]);
    for (int peer = 0; peer < c_.ranks; ++peer) {
      if (peer != c_.rank) {
        exchange.send(peer, packed);
        exchange.receive(peer, work_.landing(c_.desc.first, piece(chunk, peer),
                                             incoming_[slot(chunk)][index_of(peer)]));
      }
    }
  }

  void complete(std::size_t chunk) override {
    for (int rank = 0; rank < c_.ranks; ++rank) {
      const Range r = piece(chunk, rank);
      if (rank == c_.rank) {
        const Range mine = shifted(r, slice(rank).begin);
        work_.unpack(
            c_.desc.first,
            work_.in_place(c_.desc.first) ? work_.in_at(mine.begin) : outgoing_[slot(chunk)][0], r);
      } else if (!work_.in_place(c_.desc.first)) {
        work_.unpack(c_.desc.first, incoming_[slot(chunk)][index_of(rank)], r);
      }
    }
  }
};

// Every rank's output is the sum of its slice of all inputs.
class ReduceScatter : public OneStep {
 public:
  explicit ReduceScatter(ScheduleContext& context) : OneStep(context), own_(depth()) {}

  void produce(int, std::size_t chunk, Exchange& exchange) override {
    const std::size_t bytes = packed_bytes(c_.desc.first, piece(chunk, c_.rank).size());
    for (int peer = 0; peer < c_.ranks; ++peer) {
      const auto packed =
          work_.pack(c_.desc.first, piece(chunk, peer), outgoing_[slot(chunk)][index_of(peer)]);
      if (peer == c_.rank) {
        own_[slot(chunk)] = packed.data();
      } else {
        exchange.send(peer, packed);
        exchange.receive(peer, {incoming_[slot(chunk)][index_of(peer)], bytes});
      }
    }
  }

  void complete(std::size_t chunk) override {
    auto inputs = pointers(incoming_[slot(chunk)], index_of(c_.ranks));
    inputs[index_of(c_.rank)] = own_[slot(chunk)];
    work_.unpack_sum(c_.desc.first, inputs, shifted(piece(chunk, c_.rank), slice(c_.rank).begin));
  }

 private:
  std::vector<const std::uint8_t*> own_;
};

// Slice p of the input goes to rank p; slice p of the output comes from rank p. What stays here is
// copied as it is. All slices have the same size.
class AllToAll : public OneStep {
 public:
  explicit AllToAll(ScheduleContext& context) : OneStep(context) {
    if (c_.desc.values % index_of(c_.ranks) != 0) {
      throw KernelError(fmt::format("all-to-all: {} values are not a multiple of {} ranks",
                                    c_.desc.values, c_.ranks));
    }
  }

  void produce(int, std::size_t chunk, Exchange& exchange) override {
    for (int peer = 0; peer < c_.ranks; ++peer) {
      if (peer != c_.rank) {
        const Range r = to_peer(chunk, peer);
        exchange.send(peer, work_.pack(c_.desc.first, r, outgoing_[slot(chunk)][index_of(peer)]));
        exchange.receive(peer,
                         work_.landing(c_.desc.first, r, incoming_[slot(chunk)][index_of(peer)]));
      }
    }
  }

  void complete(std::size_t chunk) override {
    for (int rank = 0; rank < c_.ranks; ++rank) {
      const Range r = to_peer(chunk, rank);
      if (rank == c_.rank) {
        std::memcpy(work_.out_at(r.begin), work_.in_at(r.begin),
                    r.size() * value_bytes(c_.desc.type));
      } else if (!work_.in_place(c_.desc.first)) {
        work_.unpack(c_.desc.first, incoming_[slot(chunk)][index_of(rank)], r);
      }
    }
  }

 private:
  Range to_peer(std::size_t chunk, int peer) const {
    const std::size_t each = c_.desc.values / index_of(c_.ranks);
    const std::size_t begin = each * index_of(peer);
    return part_of({begin, begin + each}, c_.desc.chunks, chunk, c_.unit());
  }
};

std::unique_ptr<Schedule> make_all_reduce(ScheduleContext& context) {
  switch (context.desc.algorithm) {
    case Algorithm::ring:
      return std::make_unique<RingAllReduce>(context);
    case Algorithm::one_shot:
      return std::make_unique<OneShotAllReduce>(context);
    case Algorithm::two_step:
      if (context.transport.shares_memory() && Work(context).in_place(context.desc.first) &&
          Work(context).in_place(context.desc.second)) {
        return std::make_unique<SharedTwoStepAllReduce>(context);
      }
      return std::make_unique<TwoStepAllReduce>(context);
    case Algorithm::hierarchical:
      return std::make_unique<HierarchicalAllReduce>(context);
  }
  return nullptr;
}

}  // namespace

std::unique_ptr<Schedule> make_schedule(ScheduleContext& context) {
  switch (context.desc.operation) {
    case Operation::all_reduce:
      return make_all_reduce(context);
    case Operation::all_gather:
      return std::make_unique<AllGather>(context);
    case Operation::reduce_scatter:
      return std::make_unique<ReduceScatter>(context);
    case Operation::all_to_all:
      return std::make_unique<AllToAll>(context);
  }
  return nullptr;
}

}  // namespace foretoken::kernels
