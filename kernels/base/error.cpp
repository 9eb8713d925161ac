#include "kernels/base/error.h"

namespace foretoken::kernels {

void kernel_check_failed(const char* expression, const char* file, int line) {
  throw KernelBug(std::string(file) + ":" + std::to_string(line) + ": check failed: " + expression);
}

}  // namespace foretoken::kernels
