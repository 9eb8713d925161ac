// The same work on several threads.
#pragma once

#include <cstddef>
#include <functional>

namespace foretoken::plan {

// How many threads `jobs` stands for; 0: one per core.
int thread_count(int jobs);

// Calls `work` with 0 .. count - 1, each once, from up to `jobs` threads. The first exception, by
// index, is thrown again after all have ended.
void for_each_index(std::size_t count, int jobs, const std::function<void(std::size_t)>& work);

}  // namespace foretoken::plan
