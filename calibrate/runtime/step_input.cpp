#include "calibrate/runtime/step_input.h"

#include <algorithm>
#include <array>

#include "sim/core/error.h"

namespace foretoken::runtime {
namespace {

// A decode step of usual size fits the first message, so that it takes one way of the wire.
constexpr std::size_t kFirstWords = 512;
using FirstMessage = std::array<std::int32_t, kFirstWords>;  // the length, then the words

std::span<std::uint8_t> bytes_of(std::span<std::int32_t> words) {
  return {reinterpret_cast<std::uint8_t*>(words.data()), words.size_bytes()};
}

void append(std::vector<std::int32_t>& words, const std::vector<std::int32_t>& values) {
  words.push_back(static_cast<std::int32_t>(values.size()));
  words.insert(words.end(), values.begin(), values.end());
}

}  // namespace

BatchShape StepInput::shape(std::int64_t window) const {
  BatchShape shape;
  for (const SequenceStep& sequence : prefill) {
    shape.prefill.push_back({static_cast<std::int64_t>(sequence.tokens.size()), sequence.context});
  }
  for (const SequenceStep& sequence : decode) {
    const std::int64_t cached = sequence.context + 1;
    ++shape.decode_sequences;
    shape.decode_kv_tokens += cached;
    shape.decode_kv_tokens_windowed += window > 0 ? std::min(cached, window) : cached;
  }
  shape.rows = static_cast<std::int64_t>(prefill.size() + decode.size());
  return shape;
}

std::vector<std::int32_t> to_words(const StepInput& input) {
  std::vector<std::int32_t> words;
  for (const auto* list : {&input.prefill, &input.decode}) {
    words.push_back(static_cast<std::int32_t>(list->size()));
    for (const SequenceStep& sequence : *list) {
      words.push_back(static_cast<std::int32_t>(sequence.context));
      append(words, sequence.tokens);
      append(words, sequence.blocks);
    }
  }
  return words;
}

StepInput from_words(std::span<const std::int32_t> words) {
  std::size_t at = 0;
  const auto next = [&] {
    FT_CHECK(at < words.size(), "a step's message is cut");
    return words[at++];
  };
  const auto list = [&] {
    std::vector<std::int32_t> values(static_cast<std::size_t>(next()));
    std::generate(values.begin(), values.end(), next);
    return values;
  };
  StepInput input;
  for (auto* sequences : {&input.prefill, &input.decode}) {
    sequences->resize(static_cast<std::size_t>(next()));
    for (SequenceStep& sequence : *sequences) {
      sequence.context = next();
      sequence.tokens = list();
      sequence.blocks = list();
    }
  }
  return input;
}

void send_step(kernels::Transport& transport, const StepInput& input) {
  std::vector<std::int32_t> words = to_words(input);
  FirstMessage first{};
  first[0] = static_cast<std::int32_t>(words.size());
  const std::size_t head = std::min(words.size(), kFirstWords - 1);
  std::copy_n(words.begin(), head, first.begin() + 1);
  for (const auto bytes : {bytes_of(first), bytes_of(std::span(words).subspan(head))}) {
    kernels::Exchange exchange;
    for (int rank = 1; rank < transport.ranks(); ++rank) {
      exchange.send(rank, bytes);
    }
    if (!bytes.empty()) {
      transport.exchange(exchange);
    }
  }
}

StepInput receive_step(kernels::Transport& transport) {
  FirstMessage first{};
  kernels::Exchange exchange;
  exchange.receive(0, bytes_of(first));
  transport.exchange(exchange);
  const auto count = static_cast<std::size_t>(first[0]);
  const std::size_t head = std::min(count, kFirstWords - 1);
  std::vector<std::int32_t> words(first.begin() + 1, first.begin() + 1 + head);
  words.resize(count);
  if (count > head) {
    exchange.clear();
    exchange.receive(0, bytes_of(std::span(words).subspan(head)));
    transport.exchange(exchange);
  }
  return from_words(words);
}

}  // namespace foretoken::runtime
