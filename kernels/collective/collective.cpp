#include "kernels/collective/collective.h"

#include <fmt/format.h>

#include <array>
#include <cstring>
#include <utility>

#include "kernels/collective/schedules.h"

namespace foretoken::kernels {
namespace {

constexpr std::array<std::pair<Operation, std::string_view>, 4> kOperations{{
    {Operation::all_reduce, "all_reduce"},
    {Operation::all_gather, "all_gather"},
    {Operation::reduce_scatter, "reduce_scatter"},
    {Operation::all_to_all, "all_to_all"},
}};

constexpr std::array<std::pair<Algorithm, std::string_view>, 4> kAlgorithms{{
    {Algorithm::ring, "ring"},
    {Algorithm::one_shot, "one_shot"},
    {Algorithm::two_step, "two_step"},
    {Algorithm::hierarchical, "hierarchical"},
}};

template <typename Table, typename Value>
std::string_view name_of(const Table& table, Value value) {
  for (const auto& [key, name] : table) {
    if (key == value) {
      return name;
    }
  }
  return "?";
}

template <typename Table>
auto value_of(const Table& table, std::string_view text, std::string_view what) {
  std::string known;
  for (const auto& [key, name] : table) {
    if (name == text) {
      return key;
    }
    known += fmt::format("{}{}", known.empty() ? "" : ", ", name);
  }
  throw KernelError(fmt::format("unknown {} \"{}\" ({})", what, text, known));
}

// At tick t chunk c is in stage t - c. While the bytes of a tick travel, the next chunk is packed
// and the last finished one unpacked.
class Pipeline {
 public:
  // `current` and `next` are scratch that keeps its memory from run to run.
  Pipeline(Transport& transport, Schedule& schedule, std::size_t chunks, bool wire,
           Exchange& current, Exchange& next)
      : transport_(transport),
        schedule_(schedule),
        chunks_(chunks),
        wire_(wire),
        current_(current),
        next_(next) {}

  std::uint64_t run() {
    const auto stages = static_cast<std::size_t>(schedule_.stages());
    current_.clear();
    schedule_.produce(0, 0, current_);
    for (std::size_t tick = 0; tick + 1 < chunks_ + stages; ++tick) {
      begin(current_);
      next_.clear();
      if (tick + 1 < chunks_) {
        schedule_.produce(0, tick + 1, next_);
      }
      if (tick >= stages) {
        schedule_.complete(tick - stages);
      }
      end();
      // Later stages of older chunks need what has just arrived.
      for (std::size_t stage = 1; stage < stages; ++stage) {
        if (tick + 1 >= stage && tick + 1 - stage < chunks_) {
          schedule_.produce(static_cast<int>(stage), tick + 1 - stage, next_);
        }
      }
      std::swap(current_, next_);
    }
    schedule_.complete(chunks_ - 1);
    return bytes_;
  }

 private:
  void begin(const Exchange& exchange) {
    for (const Send& send : exchange.sends) {
      bytes_ += send.bytes.size();
    }
    if (wire_) {
      transport_.start(exchange);
    }
  }
  void end() {
    if (wire_) {
      transport_.finish();
    }
  }

  Transport& transport_;
  Schedule& schedule_;
  std::size_t chunks_;
  bool wire_;
  Exchange& current_;
  Exchange& next_;
  std::uint64_t bytes_ = 0;
};

}  // namespace

std::string_view to_string(Operation operation) { return name_of(kOperations, operation); }
std::string_view to_string(Algorithm algorithm) { return name_of(kAlgorithms, algorithm); }

Operation parse_operation(std::string_view text) {
  return value_of(kOperations, text, "collective");
}
Algorithm parse_algorithm(std::string_view text) {
  return value_of(kAlgorithms, text, "algorithm");
}

struct Collective::Data {
  ScheduleContext context;
  Exchange current{};
  Exchange next{};
};

Collective::Collective(Transport& transport, const CollectiveDesc& desc, const Codec& codec)
    : transport_(transport), desc_(desc) {
  if (desc_.values == 0 || desc_.chunks == 0) {
    throw KernelError("a collective needs at least one value and one chunk");
  }
  data_ =
      std::make_unique<Data>(Data{{desc_, codec, transport, transport.rank(), transport.ranks()}});
  if (transport.ranks() > 1) {
    schedule_ = make_schedule(data_->context);
  }
}

Collective::~Collective() = default;

std::size_t Collective::slice_begin(int rank) const {
  const auto ranks = static_cast<std::size_t>(transport_.ranks());
  return part_of({0, desc_.values}, ranks, static_cast<std::size_t>(rank), data_->context.unit())
      .begin;
}

std::size_t Collective::input_values() const {
  const int rank = transport_.rank();
  return desc_.operation == Operation::all_gather ? slice_begin(rank + 1) - slice_begin(rank)
                                                  : desc_.values;
}

std::size_t Collective::output_values() const {
  const int rank = transport_.rank();
  return desc_.operation == Operation::reduce_scatter ? slice_begin(rank + 1) - slice_begin(rank)
                                                      : desc_.values;
}

void Collective::run(const void* in, void* out) {
  if (transport_.ranks() == 1) {
    if (in != out) {
      std::memcpy(out, in, desc_.values * value_bytes(desc_.type));
    }
    return;
  }
  data_->context.in = in;
  data_->context.out = out;
  const std::uint64_t sent =
      Pipeline(transport_, *schedule_, desc_.chunks, desc_.phases.wire, data_->current, data_->next)
          .run();
  wire_bytes_ = schedule_->wire_bytes().value_or(sent);
}

}  // namespace foretoken::kernels
