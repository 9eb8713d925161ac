// One published end-to-end result: what was run, and what was measured.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace foretoken::calibrate {

// How the load came: each is a harness with its own load generator.
enum class Harness { serving, offline, fixed_batch, mlperf_offline };

struct LedgerRow {
  std::string file, id;
  Harness harness = Harness::serving;
  std::string gpu, model, engine, version;  // as published
  std::string weights;                      // bf16, fp8, nvfp4, or as published when unknown
  std::string origin;
  std::string system;  // MLPerf: the name of what was run
  int tensor = 1, pipeline = 1, replicas = 1;
  std::int64_t concurrency = 0;  // closed loop; 0: not published
  std::int64_t batch_size = 0;   // the engine's, as published; 0: not published
  std::int64_t requests = 0;
  std::int64_t input = 0, output = 0;
  bool ttft_unexplained = false;           // flagged by the collection
  std::map<std::string, double> measured;  // ttft_ms, tpot_ms, output_tok_s, latency_s
  bool eligible = false;                   // dense model of models.csv on a GPU with tables
  std::string excluded;                    // the rule that leaves it out; empty: scored
};

// Every row of the public tables under FOLDER/e2e that states a load and a time or rate. Throws
// InputError.
std::vector<LedgerRow> read_rows(const std::string& folder);

}  // namespace foretoken::calibrate
