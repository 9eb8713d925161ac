#include "sim/serving/simulation.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "sim/core/random.h"
#include "tests/sim/serving/fixtures.h"

namespace foretoken {
namespace {

using namespace testing_fixtures;

Time step_time(const Simulation& simulation, const BatchShape& batch) {
  Time total = kTimeZero;
  const auto& stages = simulation.placements().front().stages;
  for (std::size_t i = 0; i < stages.size(); ++i) {
    StepTimer timer(simulation.step_context(), stages[i], static_cast<int>(i), CostDraw(), true);
    total += timer.time(batch).share.total;
  }
  const Estimate host = simulation.cost().host(!batch.prefill.empty(), batch.rows);
  return total + time_from_seconds(host.seconds);
}

BatchShape prompt(std::int64_t tokens, std::int64_t context = 0) {
  BatchShape batch;
  batch.prefill.push_back({tokens, context});
  batch.rows = 1;
  return batch;
}

TEST(Simulation, One_request_alone_has_the_ttft_of_its_prefill_step_and_the_host) {
  for (const int tensor : {1, 2}) {
    for (const int pipeline : {1, 2}) {
      ScenarioSpec scenario = small_scenario();
      scenario.parallel.tensor = tensor;
      scenario.parallel.pipeline = pipeline;
      scenario.workload.requests = 1;
      const Simulation simulation = make(scenario);
      const RunRecord run = simulation.run(CostDraw(), false);
      const Time front_end = time_from_seconds(simulation.cost().host_request().seconds);
      EXPECT_EQ(run.requests[0].first_token, front_end + step_time(simulation, prompt(100)));
      // Nine more tokens, the cache growing from 101 to 109.
      Time decode = kTimeZero;
      for (std::int64_t cached = 101; cached <= 109; ++cached) {
        BatchShape batch;
        batch.decode_sequences = batch.rows = 1;
        batch.decode_kv_tokens = batch.decode_kv_tokens_windowed = cached;
        decode += step_time(simulation, batch);
      }
      EXPECT_EQ(run.requests[0].finish - run.requests[0].first_token, decode);
    }
  }
}

TEST(Simulation, A_long_prompt_is_the_sum_of_its_chunks) {
  ScenarioSpec scenario = small_scenario();
  scenario.workload.requests = 1;
  scenario.workload.lengths.input.low = scenario.workload.lengths.input.high = 1200;
  const Simulation simulation = make(scenario);
  const RunRecord run = simulation.run(CostDraw(), false);
  const Time front_end = time_from_seconds(simulation.cost().host_request().seconds);
  EXPECT_EQ(run.requests[0].first_token, front_end + step_time(simulation, prompt(512)) +
                                             step_time(simulation, prompt(512, 512)) +
                                             step_time(simulation, prompt(176, 1024)));
}

TEST(Simulation, The_exact_run_and_the_remembering_run_are_equal_to_the_picosecond) {
  for (const int tensor : {1, 4}) {
    ScenarioSpec scenario = small_scenario();
    scenario.parallel.tensor = tensor;
    scenario.parallel.data = 2;
    scenario.parallel.pipeline = tensor == 4 ? 2 : 1;
    scenario.model.sliding_window = 64;
    scenario.model.window_every = 2;
    scenario.workload.lengths.input = {LengthSpec::Kind::uniform, 1, 900, 1, 0};
    scenario.workload.lengths.output = {LengthSpec::Kind::uniform, 1, 40, 1, 0};
    const Simulation simulation = make(scenario);
    const RunRecord fast = simulation.run(CostDraw(1, 3, 8), false);
    const RunRecord exact = simulation.run(CostDraw(1, 3, 8), true);
    ASSERT_EQ(fast.requests.size(), exact.requests.size());
    for (std::size_t i = 0; i < fast.requests.size(); ++i) {
      ASSERT_EQ(fast.requests[i].first_token, exact.requests[i].first_token);
      ASSERT_EQ(fast.requests[i].finish, exact.requests[i].finish);
    }
    EXPECT_EQ(fast.prefill_steps.by_family, exact.prefill_steps.by_family);
    EXPECT_EQ(fast.decode_steps.by_provenance, exact.decode_steps.by_provenance);
  }
}

// One request at a time, one output token each, equal prompts: an M/D/1 queue with service time D =
// one step. Mean wait = rho D / (2 (1 - rho)) (Pollaczek-Khinchine). The number of requests grows
// with rho: the error of the mean falls with sqrt(n) (1 - rho).
TEST(Simulation, Waiting_times_are_those_of_an_md1_queue) {
  for (const auto& [rho, requests] : std::initializer_list<std::pair<double, std::int64_t>>{
           {0.3, 300'000}, {0.6, 500'000}, {0.9, 2'000'000}}) {
    ScenarioSpec scenario = small_scenario();
    scenario.engine.max_num_seqs = 1;
    scenario.workload.lengths.output.low = scenario.workload.lengths.output.high = 1;
    scenario.workload.requests = 1;
    const double service = to_seconds(step_time(make(scenario), prompt(100)));
    scenario.workload.requests = requests;
    scenario.workload.arrivals.rate = rho / service;
    scenario.seed = 11;
    const Simulation simulation = make(scenario);
    const RunRecord run = simulation.run(CostDraw(), false);
    const double front_end = simulation.cost().host_request().seconds;
    double wait = 0;
    for (const RequestRecord& r : run.requests) {
      wait += to_seconds(r.first_token - r.arrival) - service - front_end;
    }
    wait /= static_cast<double>(requests);
    const double expected = rho * service / (2 * (1 - rho));
    EXPECT_NEAR(wait / expected, 1, 0.02) << "utilisation " << rho;
  }
}

// L = lambda W over the whole run, exactly: the integral of the number in the system is the sum of
// the times in it.
TEST(Simulation, Littles_law_holds) {
  ScenarioSpec scenario = small_scenario();
  scenario.workload.requests = 3000;
  scenario.workload.arrivals.rate = 300;
  const RunRecord run = make(scenario).run(CostDraw(), false);
  std::vector<std::pair<Time, int>> changes;
  double times = 0;
  for (const RequestRecord& r : run.requests) {
    changes.emplace_back(r.arrival, 1);
    changes.emplace_back(r.finish, -1);
    times += to_seconds(r.finish - r.arrival);
  }
  std::sort(changes.begin(), changes.end());
  double integral = 0;
  int inside = 0;
  Time last = kTimeZero;
  for (const auto& [time, change] : changes) {
    integral += to_seconds(time - last) * inside;
    inside += change;
    last = time;
  }
  const double span = to_seconds(run.end);
  const double rate = static_cast<double>(run.requests.size()) / span;
  const double mean_time = times / static_cast<double>(run.requests.size());
  EXPECT_NEAR(integral / span, rate * mean_time, 1e-9 * rate * mean_time);
}

TEST(Simulation, Preemption_recomputes_and_still_emits_every_token) {
  ScenarioSpec scenario = small_scenario();
  scenario.engine.kv_blocks = 60;  // 960 tokens for up to 32 requests of 300
  scenario.workload.arrivals.kind = ArrivalSpec::Kind::all_at_once;
  scenario.workload.lengths.output.low = scenario.workload.lengths.output.high = 200;
  const RunRecord run = make(scenario).run(CostDraw(), false);
  EXPECT_GT(run.preemptions, 0);
  EXPECT_LE(run.peak_kv_blocks, 60);
  std::int64_t gaps = 0;
  for (const auto& [gap, count] : run.gaps) {
    EXPECT_GT(gap, kTimeZero);
    gaps += count;
  }
  EXPECT_EQ(gaps, 100 * 199);  // every token but the first of each request has one
  EXPECT_GT(run.scheduled_tokens, 100 * (100 + 199));  // recomputation costs extra
}

TEST(Simulation, A_closed_loop_keeps_its_users_busy_and_no_more) {
  ScenarioSpec scenario = small_scenario();
  scenario.workload.arrivals.kind = ArrivalSpec::Kind::closed_loop;
  scenario.workload.arrivals.concurrency = 7;
  const RunRecord run = make(scenario).run(CostDraw(), false);
  EXPECT_EQ(run.peak_running, 7);
  std::vector<std::pair<Time, int>> changes;
  for (const RequestRecord& r : run.requests) {
    changes.emplace_back(r.arrival, 1);
    changes.emplace_back(r.finish, -1);
  }
  std::sort(changes.begin(), changes.end());  // departures before arrivals at the same instant
  int inside = 0, most = 0;
  for (const auto& [time, change] : changes) {
    inside += change;
    most = std::max(most, inside);
  }
  EXPECT_EQ(most, 7);
}

TEST(Simulation, A_request_that_can_never_be_served_is_refused_and_the_rest_is_served) {
  ScenarioSpec scenario = small_scenario();
  scenario.engine.max_model_len = 150;
  scenario.workload.lengths.input = {LengthSpec::Kind::uniform, 100, 200, 1, 0};
  const RunRecord run = make(scenario).run(CostDraw(), false);
  std::int64_t refused = 0;
  for (const RequestRecord& r : run.requests) {
    EXPECT_EQ(r.failed(), r.input_tokens + r.output_tokens > 150);
    refused += r.failed() ? 1 : 0;
  }
  EXPECT_GT(refused, 0);
  EXPECT_EQ(summarise(run, 0, std::nullopt).failed, refused);
}

TEST(Simulation, Twice_the_replicas_serve_twice_the_load_at_overload) {
  ScenarioSpec scenario = small_scenario();
  scenario.workload.requests = 2000;
  scenario.workload.arrivals.kind = ArrivalSpec::Kind::all_at_once;
  const double one =
      summarise(make(scenario).run(CostDraw(), false), 0, std::nullopt).request_throughput;
  scenario.parallel.data = 2;
  const double two =
      summarise(make(scenario).run(CostDraw(), false), 0, std::nullopt).request_throughput;
  EXPECT_NEAR(two / one, 2, 0.05);
}

TEST(Simulation, Two_pipeline_stages_work_on_two_steps_at_once) {
  ScenarioSpec scenario = small_scenario();
  scenario.workload.requests = 64;
  scenario.engine.max_num_seqs = 64;
  scenario.workload.arrivals.kind = ArrivalSpec::Kind::all_at_once;
  scenario.parallel.pipeline = 2;
  const RunRecord run = make(scenario).run(CostDraw(), false);
  // The stages' busy time is more than the time that passed: they overlapped.
  const Time busy = run.prefill_steps.total + run.decode_steps.total;
  EXPECT_GT(busy, run.end);
}

TEST(Simulation, An_overlapped_host_is_hidden_behind_a_longer_step_and_never_shortens_one) {
  const auto end = [](HostOverlap overlap, std::int64_t host_us) {
    ScenarioSpec scenario = small_scenario();
    scenario.workload.requests = 1;
    scenario.engine.host_overlap = overlap;
    scenario.engine.host_step = Time(host_us * 1'000'000);
    scenario.engine.host_sequence = scenario.engine.host_prefill_step = kTimeZero;
    return make(scenario).run(CostDraw(), false).end;
  };
  // Ten steps of more than 1 us each: 1 us of host is seen ten times, in the prefill step only, or
  // never.
  const Time bare = end(HostOverlap::none, 0);
  EXPECT_EQ(end(HostOverlap::none, 1), bare + Time(10'000'000));
  EXPECT_EQ(end(HostOverlap::decode, 1), bare + Time(1'000'000));
  EXPECT_EQ(end(HostOverlap::all, 1), bare);
  // A host of 1 s is all that counts: ten steps, after the front end's 200 us.
  EXPECT_EQ(end(HostOverlap::all, 1'000'000), Time(10'000'200'000'000));
}

TEST(Simulation, A_ramp_spreads_the_first_requests_of_a_closed_loop) {
  ScenarioSpec scenario = small_scenario();
  scenario.workload.arrivals.kind = ArrivalSpec::Kind::closed_loop;
  scenario.workload.arrivals.concurrency = 4;
  scenario.workload.arrivals.ramp = Time(8'000'000'000'000);
  scenario.workload.requests = 8;
  const RunRecord run = make(scenario).run(CostDraw(), false);
  for (int i = 0; i < 4; ++i) {  // clients 0 to 3 start at 0, 2, 4 and 6 s; i is not their order
    const Time start(2'000'000'000'000 * i);
    EXPECT_TRUE(std::any_of(run.requests.begin(), run.requests.end(),
                            [&](const RequestRecord& r) { return r.arrival == start; }));
  }
}

TEST(Simulation, Every_batching_and_admission_serves_all_requests) {
  for (const Batching batching :
       {Batching::continuous, Batching::prefill_first, Batching::static_batch}) {
    for (const Admission admission : {Admission::prompt, Admission::reserve_output}) {
      for (const int pipeline : {1, 2}) {
        ScenarioSpec scenario = small_scenario();
        scenario.engine.batching = batching;
        scenario.engine.admission = admission;
        scenario.engine.kv_blocks = 60;
        scenario.parallel.pipeline = pipeline;
        const RunRecord run = make(scenario).run(CostDraw(), false);
        EXPECT_TRUE(std::all_of(run.requests.begin(), run.requests.end(),
                                [](const RequestRecord& r) { return r.finish != kTimeNever; }));
      }
    }
  }
}

// Two stages, 32 requests in lockstep: shared over two micro-batches both stages work, in one they
// alternate.
TEST(Simulation, Balanced_micro_batches_keep_both_stages_of_a_pipeline_busy) {
  const auto end = [](MicroBatches form) {
    ScenarioSpec scenario = small_scenario();
    scenario.parallel.pipeline = 2;
    scenario.engine.micro_batches = form;
    scenario.engine.host_step = scenario.engine.host_sequence = kTimeZero;
    scenario.workload.arrivals.kind = ArrivalSpec::Kind::all_at_once;
    scenario.workload.lengths.input.low = scenario.workload.lengths.input.high = 10;
    scenario.workload.lengths.output.low = scenario.workload.lengths.output.high = 200;
    scenario.workload.requests = 32;
    return to_seconds(make(scenario).run(CostDraw(), false).end);
  };
  EXPECT_LT(end(MicroBatches::balanced), 0.9 * end(MicroBatches::greedy));
}

TEST(Simulation, The_overload_verdict_names_offered_and_served) {
  ScenarioSpec scenario = small_scenario();
  scenario.workload.requests = 4000;
  scenario.workload.arrivals.kind = ArrivalSpec::Kind::all_at_once;
  const double capacity =
      summarise(make(scenario).run(CostDraw(), false), 0, std::nullopt).request_throughput;
  scenario.workload.arrivals.kind = ArrivalSpec::Kind::poisson;
  scenario.workload.arrivals.rate = 2 * capacity;
  const auto verdict = summarise(make(scenario).run(CostDraw(), false), 0, std::nullopt).overload;
  ASSERT_TRUE(verdict.has_value());
  EXPECT_NEAR(verdict->offered / capacity, 2, 0.1);
  EXPECT_NEAR(verdict->served / capacity, 1, 0.1);
  scenario.workload.arrivals.rate = 0.7 * capacity;
  EXPECT_FALSE(
      summarise(make(scenario).run(CostDraw(), false), 0, std::nullopt).overload.has_value());
}

// Two sockets with four GPUs each on their own root ports.
Simulation on_two_sockets(ScenarioSpec scenario, double socket_link) {
  ClusterSpec spec;
  spec.name = "two sockets";
  ClusterBuilder(spec).build(PcieTree{.sockets = 2,
                                      .switches_per_socket = 0,
                                      .gpus_per_switch = 4,
                                      .link = {{1e15}, Time(250'000)},
                                      .socket_link = {{socket_link}, Time(250'000)}});
  Workload workload = make_workload(scenario.workload, nullptr, nullptr, scenario.seed);
  return Simulation(std::move(scenario), Topology(std::move(spec)), round_profile(),
                    std::move(workload));
}

ScenarioSpec across_sockets(int pipeline, int data) {
  ScenarioSpec scenario = small_scenario();
  scenario.parallel.tensor = 2;
  scenario.parallel.pipeline = pipeline;
  scenario.parallel.data = data;
  for (int group = 0; group < pipeline * data; ++group) {
    scenario.placement.groups.push_back({group, group + 4});
  }
  scenario.workload.lengths.input = {LengthSpec::Kind::uniform, 1, 900, 1, 0};
  scenario.workload.lengths.output = {LengthSpec::Kind::uniform, 1, 40, 1, 0};
  return scenario;
}

// One user at a time is always sent to the first replica: though the links are common, nobody else
// uses them, and the run that goes event by event ends in the same picoseconds.
TEST(Simulation, A_replica_that_has_shared_links_to_itself_is_as_fast_as_alone) {
  for (const int pipeline : {1, 2}) {
    for (const HostOverlap overlap : {HostOverlap::none, HostOverlap::decode, HostOverlap::all}) {
      ScenarioSpec scenario = across_sockets(pipeline, 2);
      scenario.workload.arrivals.kind = ArrivalSpec::Kind::closed_loop;
      scenario.workload.arrivals.concurrency = 1;
      scenario.workload.requests = 20;
      scenario.engine.host_overlap = overlap;
      const Simulation shared = on_two_sockets(scenario, 5e9);
      ASSERT_TRUE(shared.replicas_share_links());
      scenario.parallel.data = 1;
      scenario.placement.groups.resize(static_cast<std::size_t>(pipeline));
      const Simulation alone = on_two_sockets(scenario, 5e9);
      ASSERT_FALSE(alone.replicas_share_links());
      const RunRecord a = shared.run(CostDraw(), false);
      const RunRecord b = alone.run(CostDraw(), false);
      ASSERT_EQ(a.requests.size(), b.requests.size());
      for (std::size_t i = 0; i < a.requests.size(); ++i) {
        EXPECT_EQ(a.requests[i].first_token, b.requests[i].first_token) << i;
        EXPECT_EQ(a.requests[i].finish, b.requests[i].finish) << i;
      }
      EXPECT_EQ(a.gaps, b.gaps);
      EXPECT_EQ(a.prefill_steps.by_family, b.prefill_steps.by_family);
      EXPECT_EQ(a.decode_steps.by_family, b.decode_steps.by_family);
    }
  }
}

// Two prompts at once, one to each replica, in step: each has half of the link between the sockets.
TEST(Simulation, Replicas_that_share_a_link_slow_each_other_down_as_max_min_says) {
  ScenarioSpec scenario = across_sockets(1, 2);
  scenario.workload.arrivals.kind = ArrivalSpec::Kind::all_at_once;
  scenario.workload.lengths.input = {LengthSpec::Kind::fixed, 400, 400, 1, 0};
  scenario.workload.lengths.output = {LengthSpec::Kind::fixed, 5, 5, 1, 0};
  scenario.workload.requests = 2;
  const RunRecord both = on_two_sockets(scenario, 5e9).run(CostDraw(), false);
  scenario.workload.requests = 1;
  const RunRecord alone = on_two_sockets(scenario, 5e9).run(CostDraw(), false);
  const RunRecord half = on_two_sockets(scenario, 2.5e9).run(CostDraw(), false);
  EXPECT_GT(both.requests[0].first_token, alone.requests[0].first_token);
  EXPECT_NEAR(to_seconds(both.requests[0].first_token), to_seconds(half.requests[0].first_token),
              1e-9);
  EXPECT_NEAR(to_seconds(both.requests[1].finish), to_seconds(half.requests[0].finish), 1e-9);
}

TEST(Simulation, Replicas_that_share_links_serve_everybody_at_any_load) {
  for (const int pipeline : {1, 2}) {
    ScenarioSpec scenario = across_sockets(pipeline, 2);
    scenario.workload.requests = 60;
    const Simulation simulation = on_two_sockets(scenario, 5e9);
    ASSERT_TRUE(simulation.replicas_share_links());
    for (const CostDraw& draw : {CostDraw(), CostDraw(1, 2, 4)}) {
      const RunRecord fast = simulation.run(draw, false);
      const RunRecord exact = simulation.run(draw, true);
      EXPECT_EQ(fast.end, exact.end);  // nothing is remembered in either
      EXPECT_EQ(std::count_if(fast.requests.begin(), fast.requests.end(),
                              [](const RequestRecord& r) { return r.replica == 1; }) > 0,
                true);
    }
  }
}

TEST(Simulation, A_request_starts_after_its_front_end_and_before_its_first_token) {
  const Simulation simulation = make(small_scenario());
  const RunRecord run = simulation.run(CostDraw(), false);
  const Time front_end = time_from_seconds(simulation.cost().host_request().seconds);
  bool queued = false;
  for (const RequestRecord& request : run.requests) {
    EXPECT_GE(request.started, request.arrival + front_end);
    EXPECT_LT(request.started, request.first_token);
    queued = queued || request.started > request.arrival + front_end;
  }
  EXPECT_TRUE(queued);  // some arrive during a step
}

// What is remembered of collectives is no more than they are: with and without, the same run.
TEST(Simulation, Simulations_that_share_collectives_say_what_they_say_alone) {
  ScenarioSpec scenario = small_scenario();
  scenario.parallel.tensor = 4;
  const auto memory = std::make_shared<CollectiveMemory>();
  for (const char* wire : {"bf16", "int8", "int4"}) {
    scenario.precision.all_reduce = parse_format(wire, FormatRole::wire);
    const Simulation alone = make(scenario);
    Simulation shared = make(scenario);
    shared.share_collectives(memory);
    EXPECT_EQ(shared.run(CostDraw(), false).end, alone.run(CostDraw(), true).end) << wire;
  }
}

}  // namespace
}  // namespace foretoken
