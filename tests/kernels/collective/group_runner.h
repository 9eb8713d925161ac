// Runs the ranks of a group as threads or as processes, and a reference of what collectives must
// give.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstring>
#include <exception>
#include <functional>
#include <numeric>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "kernels/collective/collective.h"
#include "kernels/collective/slices.h"
#include "kernels/collective/tcp_transport.h"
#include "kernels/collective/thread_transport.h"

namespace foretoken::kernels {

struct Outcome {
  bool failed = false;
  std::array<char, 200> message{};
  std::uint64_t hash = 0;  // of the rank's output
};

using RankBody = std::function<std::uint64_t(Transport&)>;

inline std::uint64_t hash_of(const void* data, std::size_t bytes) {
  std::uint64_t h = 1469598103934665603ULL;  // FNV-1a
  for (std::size_t i = 0; i < bytes; ++i) {
    h = (h ^ static_cast<const std::uint8_t*>(data)[i]) * 1099511628211ULL;
  }
  return h;
}

inline Outcome run_rank(const std::function<std::uint64_t()>& body) {
  Outcome outcome;
  try {
    outcome.hash = body();
  } catch (const std::exception& e) {
    outcome.failed = true;
    std::strncpy(outcome.message.data(), e.what(), outcome.message.size() - 1);
  }
  return outcome;
}

inline std::vector<Outcome> run_threads(
    int ranks, const RankBody& body,
    std::chrono::milliseconds timeout = std::chrono::milliseconds(20000)) {
  auto transports = make_thread_transports(ranks, timeout);
  std::vector<Outcome> outcomes(static_cast<std::size_t>(ranks));
  std::vector<std::thread> threads;
  for (std::size_t r = 0; r < outcomes.size(); ++r) {
    threads.emplace_back([&, r] {
      outcomes[r] = run_rank([&] { return body(*transports[r]); });
      transports[r].reset();  // this rank leaves
    });
  }
  for (std::thread& t : threads) {
    t.join();
  }
  return outcomes;
}

inline std::vector<Outcome> run_processes(
    int ranks, const RankBody& body,
    std::chrono::milliseconds timeout = std::chrono::milliseconds(20000)) {
  const TcpListener listener;
  std::vector<pid_t> children;
  std::vector<int> pipes;
  for (int rank = 0; rank < ranks; ++rank) {
    int ends[2];
    EXPECT_EQ(::pipe(ends), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      TcpOptions options;
      options.rank = rank;
      options.ranks = ranks;
      options.root_port = listener.port();
      options.timeout = timeout;
      const Outcome outcome = run_rank([&] {
        const auto transport = connect_tcp(options, rank == 0 ? &listener : nullptr);
        return body(*transport);
      });
      const bool written = ::write(ends[1], &outcome, sizeof(outcome)) == sizeof(outcome);
      ::_exit(written ? 0 : 1);
    }
    ::close(ends[1]);
    children.push_back(child);
    pipes.push_back(ends[0]);
  }
  std::vector<Outcome> outcomes(static_cast<std::size_t>(ranks));
  for (std::size_t r = 0; r < outcomes.size(); ++r) {
    if (::read(pipes[r], &outcomes[r], sizeof(Outcome)) != sizeof(Outcome)) {
      outcomes[r].failed = true;
      std::strncpy(outcomes[r].message.data(), "died without a word",
                   outcomes[r].message.size() - 1);
    }
    ::close(pipes[r]);
    ::waitpid(children[r], nullptr, 0);
  }
  return outcomes;
}

// Rank `rank`'s input: normal values, some of them large.
inline std::vector<float> rank_values(int rank, std::size_t n) {
  std::mt19937 random(static_cast<unsigned>(rank) * 7919U + 1U);
  std::vector<float> x(n);
  for (std::size_t i = 0; i < n; ++i) {
    const auto u = static_cast<float>(random() >> 8) * 0x1p-24F;
    x[i] = 2.0F * u - 1.0F + (i % 97 == 5 ? 20.0F : 0.0F);
  }
  return x;
}

// What the two-step all-reduce must give, from the scalar reference and its definition.
inline std::vector<float> two_step_reference(int ranks, std::size_t n, const WireFormat& first,
                                             const WireFormat& second, std::size_t chunks) {
  std::vector<std::vector<float>> x;
  x.reserve(static_cast<std::size_t>(ranks));
  for (int rank = 0; rank < ranks; ++rank) {
    x.push_back(rank_values(rank, n));
  }
  std::vector<float> out(n);
  const std::size_t unit = slice_unit(first, second);
  for (std::size_t c = 0; c < chunks; ++c) {
    const Range chunk = part_of({0, n}, chunks, c, unit);
    for (int owner = 0; owner < ranks; ++owner) {
      const Range r =
          part_of(chunk, static_cast<std::size_t>(ranks), static_cast<std::size_t>(owner), unit);
      if (r.size() == 0) {
        continue;
      }
      std::vector<std::vector<std::uint8_t>> messages;
      std::vector<const std::uint8_t*> inputs;
      inputs.reserve(x.size());
      for (const auto& values : x) {
        messages.emplace_back(packed_bytes(first, r.size()));
        reference_codec().pack(first, {values.data() + r.begin, ValueType::fp32}, r.size(),
                               messages.back().data());
      }
      for (const auto& m : messages) {
        inputs.push_back(m.data());
      }
      std::vector<std::uint8_t> sum(packed_bytes(second, r.size()));
      reference_codec().unpack_reduce_pack(first, inputs, r.size(), second, sum.data());
      reference_codec().unpack(second, sum.data(), r.size(), {&out[r.begin], ValueType::fp32});
    }
  }
  return out;
}

// How far an all-reduce may be off, from the half steps of its quantisations: every input once,
// every sum as often as the algorithm packs one. Inputs span 22, sums of k inputs 22 k.
inline double all_reduce_bound(int ranks, const WireFormat& first, const WireFormat& second,
                               Algorithm algorithm) {
  const auto half_step = [](const WireFormat& f, double range) {
    const double steps = f.kind == WireFormat::Kind::integer ? (1 << f.bits) - 1.0
                         : f.kind == WireFormat::Kind::fp8   ? 8.0
                         : f.kind == WireFormat::Kind::fp32  ? 1e6
                                                             : 128.0;
    return 0.55 * range / steps;
  };
  const double sums = 22.0 * ranks;
  double bound = ranks * half_step(first, 22.0) + half_step(second, sums);
  if (algorithm == Algorithm::ring) {
    bound += ranks * half_step(first, sums);
  } else if (algorithm == Algorithm::hierarchical) {
    bound += 2 * half_step(first, sums);
  }
  return bound;
}

inline void expect_sum(const std::vector<float>& out, int ranks, double bound,
                       const std::string& what) {
  std::vector<std::vector<float>> x;
  x.reserve(static_cast<std::size_t>(ranks));
  for (int rank = 0; rank < ranks; ++rank) {
    x.push_back(rank_values(rank, out.size()));
  }
  for (std::size_t i = 0; i < out.size(); ++i) {
    double exact = 0;
    for (const auto& values : x) {
      exact += values[i];
    }
    if (!(std::abs(out[i] - exact) <= bound)) {
      throw KernelError(what + ": value " + std::to_string(i) + " is " + std::to_string(out[i]) +
                        " instead of " + std::to_string(exact));
    }
  }
}

inline void expect_all_same(const std::vector<Outcome>& outcomes, const std::string& what) {
  for (const Outcome& o : outcomes) {
    ASSERT_FALSE(o.failed) << what << ": " << o.message.data();
    ASSERT_EQ(o.hash, outcomes[0].hash) << what << ": ranks end with different bytes";
  }
}

struct AllReduceCase {
  Algorithm algorithm;
  const char* first;
  const char* second;
  std::size_t chunks;
};

inline std::string describe(const AllReduceCase& c, int ranks, std::size_t n) {
  return std::string(to_string(c.algorithm)) + " " + c.first + " " + c.second + ", " +
         std::to_string(ranks) + " ranks, " + std::to_string(n) + " values, " +
         std::to_string(c.chunks) + " chunks";
}

// One rank's all-reduce, in place, checked against the fp64 sum; returns the hash of its output.
inline std::uint64_t all_reduce_rank(Transport& transport, const AllReduceCase& c, std::size_t n) {
  CollectiveDesc desc;
  desc.algorithm = c.algorithm;
  desc.values = n;
  desc.first = parse_wire_format(c.first);
  desc.second = parse_wire_format(c.second);
  desc.chunks = c.chunks;
  Collective collective(transport, desc);
  auto x = rank_values(transport.rank(), n);
  collective.run(x.data(), x.data());
  expect_sum(x, transport.ranks(),
             all_reduce_bound(transport.ranks(), desc.first, desc.second, c.algorithm),
             describe(c, transport.ranks(), n));
  return hash_of(x.data(), x.size() * sizeof(float));
}

// One rank's int8 all-to-all, checked against what the others sent: within half a step of the range
// 22, its own slice as it was.
inline std::uint64_t all_to_all_rank(Transport& transport, std::size_t each, std::size_t chunks) {
  const auto ranks = static_cast<std::size_t>(transport.ranks());
  CollectiveDesc desc;
  desc.operation = Operation::all_to_all;
  desc.values = each * ranks;
  desc.first = parse_wire_format("int8");
  desc.chunks = chunks;
  Collective collective(transport, desc);
  const auto in = rank_values(transport.rank(), desc.values);
  std::vector<float> out(desc.values);
  collective.run(in.data(), out.data());
  for (std::size_t from = 0; from < ranks; ++from) {
    const auto theirs = rank_values(static_cast<int>(from), desc.values);
    const float* sent = theirs.data() + each * static_cast<std::size_t>(transport.rank());
    const float* got = out.data() + each * from;
    const double bound = static_cast<int>(from) == transport.rank() ? 0.0 : 0.5 * 22.0 / 255 * 1.1;
    for (std::size_t i = 0; i < each; ++i) {
      if (!(std::abs(got[i] - sent[i]) <= bound)) {
        throw KernelError("wrong value from rank " + std::to_string(from));
      }
    }
  }
  return 0;
}

}  // namespace foretoken::kernels
