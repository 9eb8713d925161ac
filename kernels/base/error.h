// Errors of kernels/, which knows nothing of sim/. A caller's mistake or a failing machine throws
// KernelError with one line that says what and, where possible, the remedy; a bug fails
// FT_KERNEL_CHECK. Libraries never exit.
#pragma once

#include <stdexcept>
#include <string>

namespace foretoken::kernels {

class KernelError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class KernelBug : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

[[noreturn]] void kernel_check_failed(const char* expression, const char* file, int line);

// Stays on in release builds.
#define FT_KERNEL_CHECK(expression)                                               \
  do {                                                                            \
    if (!(expression)) [[unlikely]] {                                             \
      ::foretoken::kernels::kernel_check_failed(#expression, __FILE__, __LINE__); \
    }                                                                             \
  } while (false)

}  // namespace foretoken::kernels
