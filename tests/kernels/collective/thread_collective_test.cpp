#include <gtest/gtest.h>

#include <algorithm>

#include "group_runner.h"

namespace foretoken::kernels {
namespace {

const AllReduceCase kCases[] = {
    {Algorithm::ring, "fp32", "fp32", 1},
    {Algorithm::ring, "int8", "int8", 2},
    {Algorithm::one_shot, "fp32", "fp32", 1},
    {Algorithm::one_shot, "int6/g64", "int6/g64", 3},
    {Algorithm::two_step, "fp32", "fp32", 2},
    {Algorithm::two_step, "bf16", "bf16", 1},
    {Algorithm::two_step, "int4", "int8", 1},
    {Algorithm::two_step, "int5/spike", "int5/spike", 4},
    {Algorithm::two_step, "int2/spike/log8", "int3/sym", 2},
    {Algorithm::two_step, "fp8/g128", "fp8", 1},
    {Algorithm::hierarchical, "fp32", "fp32", 1},
    {Algorithm::hierarchical, "int8", "int8", 3},
    {Algorithm::hierarchical, "int4/g32/spike", "int8", 5},
};

TEST(ThreadCollective, Every_rank_of_an_all_reduce_ends_with_the_same_right_bytes) {
  for (const int ranks : {2, 3, 4, 8}) {
    for (const std::size_t n : {1, 2, 31, 33, 1000, 4097, 30011}) {
      for (const AllReduceCase& c : kCases) {
        if (c.algorithm == Algorithm::hierarchical && ranks % 2 != 0) {
          continue;
        }
        expect_all_same(run_threads(ranks, [&](Transport& t) { return all_reduce_rank(t, c, n); }),
                        describe(c, ranks, n));
        if (HasFatalFailure()) {
          return;
        }
      }
    }
  }
}

// Byte i of message m from `from` to `to`.
std::uint8_t message_byte(int from, int to, int m, std::size_t i) {
  return static_cast<std::uint8_t>(31 * from + 7 * to + 3 * m + static_cast<int>(i % 251));
}

// More messages than wait in a box at once, to everybody in one exchange, on both sides of every
// length at which their way changes.
TEST(ThreadCollective, Messages_of_every_length_arrive_in_order_however_many_there_are) {
  constexpr std::size_t kLengths[] = {1, 8, 31, 32, 33, 64, 255, 256, 257, 1000, 5000};
  constexpr int kMessages = 100;
  for (const int ranks : {2, 3, 4, 8}) {
    const auto outcomes = run_threads(ranks, [&](Transport& t) {
      for (int round = 0; round < 3; ++round) {
        std::vector<std::vector<std::uint8_t>> sent, received;
        Exchange exchange;
        for (int m = 0; m < kMessages; ++m) {
          const std::size_t length = kLengths[static_cast<std::size_t>(m + round) % 11];
          for (int peer = 0; peer < ranks; ++peer) {
            sent.emplace_back(peer == t.rank() ? 0 : length);
            received.emplace_back(sent.back().size());
            for (std::size_t i = 0; i < sent.back().size(); ++i) {
              sent.back()[i] = message_byte(t.rank(), peer, m, i);
            }
            exchange.send(peer, sent.back());
            exchange.receive(peer, received.back());
          }
        }
        t.exchange(exchange);
        for (std::size_t k = 0; k < received.size(); ++k) {
          const int peer = static_cast<int>(k) % ranks;
          for (std::size_t i = 0; i < received[k].size(); ++i) {
            if (received[k][i] != message_byte(peer, t.rank(), static_cast<int>(k) / ranks, i)) {
              throw KernelError("wrong byte from rank " + std::to_string(peer));
            }
          }
        }
      }
      return std::uint64_t{0};
    });
    expect_all_same(outcomes, std::to_string(ranks) + " ranks");
  }
}

TEST(ThreadCollective, The_two_step_result_is_its_definition_bit_for_bit) {
  for (const int ranks : {2, 3, 8}) {
    const AllReduceCase c{Algorithm::two_step, "int4/g32/spike", "int8/g128", 3};
    constexpr std::size_t kCount = 9001;
    const auto expected = two_step_reference(ranks, kCount, parse_wire_format(c.first),
                                             parse_wire_format(c.second), c.chunks);
    const auto outcomes =
        run_threads(ranks, [&](Transport& t) { return all_reduce_rank(t, c, kCount); });
    for (const Outcome& o : outcomes) {
      EXPECT_EQ(o.hash, hash_of(expected.data(), 4 * kCount)) << o.message.data();
    }
  }
}

// Hides that the ranks share memory: everything travels as messages.
class MessagesOnly : public Transport {
 public:
  explicit MessagesOnly(Transport& inner) : inner_(inner) {}
  int rank() const override { return inner_.rank(); }
  int ranks() const override { return inner_.ranks(); }
  void start(const Exchange& exchange) override { inner_.start(exchange); }
  void finish() override { inner_.finish(); }

 private:
  Transport& inner_;
};

// The hash of this rank's sum of `n` values of 16 or 32 bits; its input must stay as it was.
std::uint64_t sum_out_of_place(Transport& transport, ValueType type, std::size_t n,
                               std::size_t chunks) {
  CollectiveDesc desc;
  desc.type = type;
  desc.values = n;
  desc.first = desc.second = parse_wire_format(to_string(type));
  desc.chunks = chunks;
  Collective collective(transport, desc);
  const auto x = rank_values(transport.rank(), n);
  std::vector<std::uint8_t> in(n * value_bytes(type));
  reference_codec().pack(desc.first, {x.data(), ValueType::fp32}, n, in.data());
  const auto before = in;
  std::vector<std::uint8_t> out(in.size());
  for (int run = 0; run < 3; ++run) {
    std::fill(out.begin(), out.end(), std::uint8_t{0xa5});
    collective.run(in.data(), out.data());
  }
  if (in != before) {
    throw KernelError("the input has changed");
  }
  return hash_of(out.data(), out.size());
}

TEST(ThreadCollective, Sums_in_shared_memory_are_those_of_messages_bit_for_bit) {
  for (const int ranks : {2, 3, 8}) {
    for (const ValueType type : {ValueType::fp32, ValueType::bf16, ValueType::fp16}) {
      for (const std::size_t n : {1, 5, 1000, 9001}) {
        for (const std::size_t chunks : {1, 3}) {
          const auto shared = run_threads(
              ranks, [&](Transport& t) { return sum_out_of_place(t, type, n, chunks); });
          const auto sent = run_threads(ranks, [&](Transport& t) {
            MessagesOnly messages(t);
            return sum_out_of_place(messages, type, n, chunks);
          });
          expect_all_same(shared, "in shared memory");
          expect_all_same(sent, "by messages");
          EXPECT_EQ(shared[0].hash, sent[0].hash) << ranks << " ranks, " << n << " values";
        }
      }
    }
  }
}

// Buffers of ranks that fail are gone at once: nobody may touch them any more (a matter for the
// sanitisers).
TEST(ThreadCollective, A_rank_that_fails_between_runs_in_shared_memory_fails_the_others) {
  const auto outcomes = run_threads(
      4,
      [](Transport& t) {
        for (int run = 0;; ++run) {
          if (t.rank() == 2 && run == 5) {
            throw KernelError("rank 2 gives up");
          }
          all_reduce_rank(t, {Algorithm::two_step, "fp32", "fp32", 4}, 5000);
        }
        return std::uint64_t{0};
      },
      std::chrono::milliseconds(10000));
  for (const Outcome& o : outcomes) {
    EXPECT_TRUE(o.failed);
  }
}

TEST(ThreadCollective, Sixty_four_megabytes) {
  for (const AllReduceCase& c : {AllReduceCase{Algorithm::two_step, "int4/g128", "int8", 16},
                                 AllReduceCase{Algorithm::hierarchical, "int8", "int8", 16}}) {
    constexpr std::size_t kCount = (std::size_t{64} << 20) / sizeof(float);
    expect_all_same(run_threads(2, [&](Transport& t) { return all_reduce_rank(t, c, kCount); }),
                    describe(c, 2, kCount));
  }
}

TEST(ThreadCollective, All_to_all_of_sixty_four_megabytes) {
  expect_all_same(
      run_threads(4, [](Transport& t) { return all_to_all_rank(t, (16U << 20) / 4, 8); }), "64 MB");
}

// Micro-chunks change the order of work, not what is quantised with what: chunk borders are group
// borders, and each slice of a chunk is summed in rank order.
TEST(ThreadCollective, One_shot_gives_the_same_bytes_however_it_is_cut) {
  std::vector<std::uint64_t> hashes;
  for (const std::size_t chunks : {1, 2, 7, 100}) {
    const AllReduceCase c{Algorithm::one_shot, "int4", "int4", chunks};
    const auto outcomes = run_threads(4, [&](Transport& t) { return all_reduce_rank(t, c, 5000); });
    ASSERT_FALSE(outcomes[0].failed) << outcomes[0].message.data();
    hashes.push_back(outcomes[0].hash);
  }
  EXPECT_EQ(std::count(hashes.begin(), hashes.end(), hashes[0]), 4);
}

CollectiveDesc one_step(Operation operation, const char* format, std::size_t n,
                        std::size_t chunks) {
  CollectiveDesc desc;
  desc.operation = operation;
  desc.values = n;
  desc.first = desc.second = parse_wire_format(format);
  desc.chunks = chunks;
  return desc;
}

// The value that travels is the dequantised one: what the reference makes of the same slice.
std::vector<float> through_wire(const WireFormat& format, const float* x, std::size_t n) {
  std::vector<std::uint8_t> packed(packed_bytes(format, n));
  std::vector<float> out(n);
  reference_codec().pack(format, {x, ValueType::fp32}, n, packed.data());
  reference_codec().unpack(format, packed.data(), n, {out.data(), ValueType::fp32});
  return out;
}

TEST(ThreadCollective, All_to_all_delivers_slices_and_keeps_its_own_as_it_is) {
  for (const int ranks : {2, 3, 4, 8}) {
    for (const char* format : {"fp32", "int8", "int4/g32/spike"}) {
      for (const std::size_t each : {1, 33, 2000}) {
        const std::size_t n = each * static_cast<std::size_t>(ranks);
        const auto outcomes = run_threads(ranks, [&](Transport& t) {
          Collective collective(t, one_step(Operation::all_to_all, format, n, 1));
          const auto in = rank_values(t.rank(), n);
          std::vector<float> out(n);
          collective.run(in.data(), out.data());
          for (int from = 0; from < ranks; ++from) {
            const auto theirs = rank_values(from, n);
            const float* slice = theirs.data() + each * static_cast<std::size_t>(t.rank());
            const auto expected = from == t.rank()
                                      ? std::vector<float>(slice, slice + each)
                                      : through_wire(parse_wire_format(format), slice, each);
            if (!std::equal(expected.begin(), expected.end(),
                            out.begin() + static_cast<long>(each) * from)) {
              throw KernelError("wrong slice from rank " + std::to_string(from));
            }
          }
          return std::uint64_t{0};
        });
        expect_all_same(outcomes, std::string("all_to_all ") + format);
      }
    }
  }
}

TEST(ThreadCollective, All_gather_and_reduce_scatter) {
  for (const int ranks : {2, 3, 4, 8}) {
    for (const char* format : {"fp32", "bf16", "int8", "int3/g32/log8"}) {
      for (const std::size_t chunks : {1, 3}) {
        constexpr std::size_t kCount = 3001;
        const auto outcomes = run_threads(ranks, [&](Transport& t) {
          const auto all = rank_values(99, kCount);
          Collective gather(t, one_step(Operation::all_gather, format, kCount, chunks));
          std::vector<float> gathered(gather.output_values());
          gather.run(all.data() + gather.slice_begin(t.rank()), gathered.data());
          Collective scatter(t, one_step(Operation::reduce_scatter, format, kCount, chunks));
          const auto mine = rank_values(t.rank(), kCount);
          std::vector<float> sum(scatter.output_values());
          scatter.run(mine.data(), sum.data());
          const double bound = all_reduce_bound(ranks, parse_wire_format(format),
                                                parse_wire_format("fp32"), Algorithm::one_shot);
          for (std::size_t i = 0; i < sum.size(); ++i) {
            double exact = 0;
            for (int r = 0; r < ranks; ++r) {
              exact += rank_values(r, kCount)[scatter.slice_begin(t.rank()) + i];
            }
            if (!(std::abs(sum[i] - exact) <= bound)) {
              throw KernelError("reduce-scatter: wrong sum");
            }
            if (i == 40) {
              break;  // the sums of the rest are the same code; exact sums are slow here
            }
          }
          for (std::size_t i = 0; i < kCount; ++i) {
            if (!(std::abs(gathered[i] - all[i]) <= bound)) {
              throw KernelError("all-gather: wrong value");
            }
          }
          return hash_of(gathered.data(), 4 * kCount);
        });
        expect_all_same(outcomes, std::string("gather and scatter ") + format);
      }
    }
  }
}

// N ranks, M bytes: two-step sends 2 M (N-1)/N, one-shot M (N-1), ring 2 M (N-1)/N, hierarchical
// 2 M (K-1)/K + M/K with K = N/2. Times w for a wire format of w bytes a value.
TEST(ThreadCollective, Wire_bytes_are_those_of_the_closed_forms) {
  constexpr std::size_t kCount = 8 * 8 * 1024;  // whole groups in every slice
  const auto bytes = [&](Algorithm algorithm, const char* format, int ranks) {
    std::vector<std::uint64_t> sent(static_cast<std::size_t>(ranks));
    run_threads(ranks, [&](Transport& t) {
      CollectiveDesc desc;
      desc.algorithm = algorithm;
      desc.values = kCount;
      desc.first = desc.second = parse_wire_format(format);
      Collective collective(t, desc);
      std::vector<float> x(kCount, 1.0F);
      collective.run(x.data(), x.data());
      sent[static_cast<std::size_t>(t.rank())] = collective.wire_bytes();
      return std::uint64_t{0};
    });
    EXPECT_EQ(std::count(sent.begin(), sent.end(), sent[0]), ranks);
    return static_cast<double>(sent[0]);
  };
  const double m = 4.0 * kCount;
  EXPECT_EQ(bytes(Algorithm::two_step, "fp32", 8), 2 * m * 7 / 8);
  EXPECT_EQ(bytes(Algorithm::ring, "fp32", 8), 2 * m * 7 / 8);
  EXPECT_EQ(bytes(Algorithm::one_shot, "fp32", 4), 3 * m);
  EXPECT_EQ(bytes(Algorithm::hierarchical, "fp32", 8), 2 * m * 3 / 4 + m / 4);
  const double w = 0.625 / 4;  // int4, groups of 32, affine: 0.625 B a value instead of 4
  EXPECT_EQ(bytes(Algorithm::two_step, "int4", 4), 2 * m * 3 / 4 * w);
}

TEST(ThreadCollective, A_rank_that_leaves_gives_an_error_on_all_others) {
  const auto begin = std::chrono::steady_clock::now();
  const auto outcomes = run_threads(
      4,
      [&](Transport& t) {
        if (t.rank() == 2) {
          throw KernelError("rank 2 gives up");
        }
        return all_reduce_rank(t, {Algorithm::ring, "fp32", "fp32", 1}, 10000);
      },
      std::chrono::milliseconds(10000));
  for (const Outcome& o : outcomes) {
    EXPECT_TRUE(o.failed);
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
}

TEST(ThreadCollective, A_rank_that_leaves_between_short_messages_gives_an_error_on_all_others) {
  for (const int ranks : {2, 3, 4, 8}) {
    const auto outcomes = run_threads(
        ranks,
        [&](Transport& t) {
          for (int run = 0;; ++run) {
            if (t.rank() == 1 && run == 100) {
              throw KernelError("rank 1 gives up");
            }
            all_reduce_rank(t, {Algorithm::one_shot, "fp32", "fp32", 1}, 2);
          }
          return std::uint64_t{0};
        },
        std::chrono::milliseconds(10000));
    for (const Outcome& o : outcomes) {
      EXPECT_TRUE(o.failed);
    }
  }
}

TEST(ThreadCollective, A_rank_that_hangs_gives_an_error_within_the_time_out) {
  std::atomic<int> failed{0};
  const auto outcomes = run_threads(
      3,
      [&](Transport& t) {
        if (t.rank() == 1) {  // hangs until the others have noticed
          while (failed < 2) {
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
          }
          return std::uint64_t{0};
        }
        try {
          return all_reduce_rank(t, {Algorithm::two_step, "int8", "int8", 1}, 1000);
        } catch (const TransportError&) {
          ++failed;
          throw;
        }
      },
      std::chrono::milliseconds(200));
  EXPECT_TRUE(outcomes[0].failed && outcomes[2].failed);
}

TEST(ThreadCollective, Descriptions_that_do_not_fit_are_refused) {
  const auto message = [](int ranks, const CollectiveDesc& desc) {
    const auto outcomes = run_threads(ranks, [&](Transport& t) {
      const Collective collective(t, desc);
      return std::uint64_t{0};
    });
    return std::string(outcomes[0].message.data());
  };
  CollectiveDesc desc = one_step(Operation::all_to_all, "fp32", 10, 1);
  EXPECT_EQ(message(3, desc), "all-to-all: 10 values are not a multiple of 3 ranks");
  desc.operation = Operation::all_reduce;
  desc.algorithm = Algorithm::hierarchical;
  EXPECT_EQ(message(3, desc),
            "hierarchical all-reduce needs two groups of equal size that hold each of the 3 ranks "
            "once (with an odd number of ranks use two_step)");
  EXPECT_THROW(parse_algorithm("butterfly"), KernelError);
}

}  // namespace
}  // namespace foretoken::kernels
