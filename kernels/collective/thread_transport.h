// Ranks that are threads of one process. A receiver copies straight out of the sender's buffer.
#pragma once

#include <chrono>
#include <memory>

#include "kernels/collective/transport.h"

namespace foretoken::kernels {

// Makes the transports of all ranks; give each to its own thread. A transport that is destroyed
// counts as a rank that has left: whoever still waits for it gets an error.
std::vector<std::unique_ptr<Transport>> make_thread_transports(int ranks,
                                                               std::chrono::milliseconds timeout);

}  // namespace foretoken::kernels
