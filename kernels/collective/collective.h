// Collectives whose messages travel in a wire format (FlashCommunication, arXiv 2412.04964, and
// FlashCommunication V2, arXiv 2508.03760), written once over Transport.
//
// In every algorithm a rank uses the dequantised form of its own contribution wherever a peer uses
// it, and every slice is summed by one rank (or by two ranks in the same order) and sent on as
// bytes; so every rank ends with the same bytes.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "kernels/codec/codec.h"
#include "kernels/codec/wire_format.h"
#include "kernels/collective/transport.h"

namespace foretoken::kernels {

enum class Operation : std::uint8_t { all_reduce, all_gather, reduce_scatter, all_to_all };

enum class Algorithm : std::uint8_t {
  ring,          // 2(N-1) steps, N quantisations
  one_shot,      // everything to everybody: 1 step, 1 quantisation
  two_step,      // slices to their owner, sums back: 2 steps, 2 quantisations
  hierarchical,  // two-step inside two groups with a pair exchange between them: 3 quantisations
};

std::string_view to_string(Operation operation);
std::string_view to_string(Algorithm algorithm);
// Throw KernelError with the known names.
Operation parse_operation(std::string_view text);
Algorithm parse_algorithm(std::string_view text);

// Parts that a measurement can leave out; the results are then meaningless.
struct Phases {
  bool quantise = true;    // packing of own values
  bool wire = true;        // the exchanges
  bool reduce = true;      // sums in between, packed again
  bool dequantise = true;  // unpacking of the result
};

struct CollectiveDesc {
  Operation operation = Operation::all_reduce;
  Algorithm algorithm = Algorithm::two_step;  // all-reduce only; the others have one step
  ValueType type = ValueType::fp32;
  std::size_t values = 0;  // of the full vector: every rank's input, or all-gather's output
  WireFormat first{};      // to the owner of a slice; everything where there is one step
  WireFormat second{};     // sums on their way back (V1 may use another width)
  std::size_t chunks = 1;  // micro-chunks, pipelined
  Phases phases{};
  // Ranks of the two groups of `hierarchical`, same length; empty: the lower and the upper half.
  std::vector<int> group_a{};
  std::vector<int> group_b{};
};

// One algorithm as stages. Chunk c goes through stage s only after stage s-1 of it has arrived.
class Schedule {
 public:
  virtual ~Schedule() = default;
  virtual int stages() const = 0;
  // Makes what stage `stage` of `chunk` sends, and says where what it receives goes.
  virtual void produce(int stage, std::size_t chunk, Exchange& exchange) = 0;
  // All stages of `chunk` have arrived: writes the result.
  virtual void complete(std::size_t chunk) = 0;
  // Bytes that this rank gives to others in one run, where they are not those of its messages.
  virtual std::optional<std::uint64_t> wire_bytes() const { return std::nullopt; }
};

// A collective with its buffers, prepared once and run often. All ranks give the same description.
class Collective {
 public:
  // Throws KernelError where the description does not fit the group.
  Collective(Transport& transport, const CollectiveDesc& desc, const Codec& codec = best_codec());
  Collective(const Collective&) = delete;
  Collective& operator=(const Collective&) = delete;
  ~Collective();

  // Values of this rank's input and output: the full vector, or its share of it where the operation
  // gathers or scatters. Slices of a full vector are slice_begin(rank)..slice_begin(rank + 1).
  std::size_t input_values() const;
  std::size_t output_values() const;
  std::size_t slice_begin(int rank) const;

  // `in` and `out` may be the same for all-reduce; else they must not overlap.
  void run(const void* in, void* out);

  // Bytes that this rank sends in one run; in shared memory also what others fetch from it or it
  // leaves with them.
  std::uint64_t wire_bytes() const { return wire_bytes_; }

 private:
  Transport& transport_;
  CollectiveDesc desc_;
  struct Data;
  std::unique_ptr<Data> data_;
  std::unique_ptr<Schedule> schedule_;
  std::uint64_t wire_bytes_ = 0;
};

}  // namespace foretoken::kernels
