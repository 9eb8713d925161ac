// The CUDA device as a backend; where the program was built without CUDA, or there is no device,
// opening it throws InputError in one line.
#pragma once

#include <memory>

#include "calibrate/backend.h"

namespace foretoken::calibrate {

std::unique_ptr<Bench> open_cuda(const SuiteOptions& options);

}  // namespace foretoken::calibrate
