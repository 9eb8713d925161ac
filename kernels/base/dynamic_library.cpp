#include "kernels/base/dynamic_library.h"

#include <dlfcn.h>

#include "kernels/base/error.h"

namespace foretoken::kernels {

DynamicLibrary::DynamicLibrary(const std::string& what, std::initializer_list<std::string> names) {
  std::string tried;
  for (const std::string& name : names) {
    handle_ = ::dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle_ != nullptr) {
      name_ = name;
      return;
    }
    tried += (tried.empty() ? "" : ", ") + name;
  }
  throw KernelError(what + " is not available: none of " + tried +
                    " could be loaded (install it or set LD_LIBRARY_PATH)");
}

DynamicLibrary::~DynamicLibrary() {
  if (handle_ != nullptr) {
    ::dlclose(handle_);
  }
}

void* DynamicLibrary::find(const char* symbol_name) const {
  void* address = ::dlsym(handle_, symbol_name);
  if (address == nullptr) {
    throw KernelError(name_ + " has no symbol " + symbol_name + " (too old a version?)");
  }
  return address;
}

}  // namespace foretoken::kernels
