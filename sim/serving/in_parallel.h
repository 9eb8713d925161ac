// Independent runs on several threads.
#pragma once

#include <functional>

namespace foretoken {

// work(0) .. work(count - 1), each once, on `threads` threads (0: all cores). `progress`, if any,
// is called from one thread at a time. Throws what a call threw, after all have ended.
void in_parallel(int count, int threads, const std::function<void(int done, int total)>& progress,
                 const std::function<void(int index)>& work);

}  // namespace foretoken
