// How fast a core is right now. A host lends its cores at clocks that change by a sixth within
// minutes, and its other guests share their execution units for milliseconds or minutes: a
// sentinel, a fixed piece of arithmetic, sees both. Clocks are accounted for, neighbours are
// avoided.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace foretoken::calibrate {

// A reading of the sentinel on the calling thread's core: s of arithmetic that keeps the vector
// units busy in every cycle and touches no memory, median of five pieces of some 50 us. A clock
// moves it in proportion and a neighbour on the same physical core doubles it. (A GEMM is no
// sentinel: on a Zen 4 it takes 5 to 10 % longer beside a neighbour that slows other vector code
// down by 60 to 100 %.)
double sentinel_seconds();

class CorePair;  // thread_pair.h
// A reading of two cores at once, rank 0 on the calling thread: the slower one's arithmetic and a
// hundred round trips of a cache line between them. A host moves its guests' cores about: where two
// of them share no cache, what they tell each other takes two to three times as long, and
// arithmetic as ever.
double pair_sentinel_seconds(CorePair& pair, int core_a, int core_b);

// Of a sentinel's readings (s): the middle of the densest tenth-wide crowd among those within a
// quarter, the range of clocks, of the lowest crowd that is worth the name (a tenth as dense as the
// densest of all). Undisturbed readings crowd there; those during which a neighbour was at work
// crowd at up to twice as much, and may be many more.
// REQUIRES: a reading.
double usual_reading(std::vector<double> readings);

// d log(time) / d log(sentinel) of a row of a sample table (sim/spec/profile.h): 1 where only the
// core matters, less where it waits for memory. Slopes between passes over one case while the
// sentinel (a GEMM then, which a clock moves alike) moved by 17 %, from a full calibration of a
// Xeon with AMX, 2026-11-22: GEMM from 128
// rows on 0.8 to 1, up to 16 rows 0.3 to 0.6, 0.7 to 1 where weights are unpacked into bf16;
// attention 0.9 (prefill) and 0.6 (decode), elementwise 0.5 to 0.9, codec 0.9 to 1.2.
double pace_elasticity(std::string_view table, const std::vector<std::int64_t>& shape);

// What a time is at another pace; both are seconds of the same sentinel.
double at_pace(double seconds, double elasticity, double measured, double wanted);

}  // namespace foretoken::calibrate
