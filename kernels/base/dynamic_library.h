// A shared library opened at run time (NCCL, cuBLASLt, libcuda), so that our programs start without
// it.
#pragma once

#include <initializer_list>
#include <string>

namespace foretoken::kernels {

class DynamicLibrary {
 public:
  // Tries the names in order. Throws KernelError with one line that names what is missing.
  DynamicLibrary(const std::string& what, std::initializer_list<std::string> names);
  DynamicLibrary(const DynamicLibrary&) = delete;
  DynamicLibrary& operator=(const DynamicLibrary&) = delete;
  ~DynamicLibrary();

  const std::string& name() const { return name_; }  // the one that opened

  // Throws KernelError when the library has no such symbol.
  template <typename Function>
  Function* symbol(const char* symbol_name) const {
    return reinterpret_cast<Function*>(find(symbol_name));
  }

 private:
  void* find(const char* symbol_name) const;

  void* handle_ = nullptr;
  std::string name_;
};

}  // namespace foretoken::kernels
