// One check for every CUDA runtime call, and device memory as owned objects. Only files that are
// compiled where the toolkit is present include this header.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <string>
#include <utility>

#include "kernels/base/error.h"

namespace foretoken::kernels {

[[noreturn]] inline void cuda_check_failed(cudaError_t code, const char* expression,
                                           const char* file, int line) {
  throw KernelError(std::string(file) + ":" + std::to_string(line) + ": " + expression + ": " +
                    cudaGetErrorString(code));
}

#define FT_CUDA_CHECK(expression)                                                             \
  do {                                                                                        \
    const cudaError_t ft_cuda_code = (expression);                                            \
    if (ft_cuda_code != cudaSuccess) {                                                        \
      ::foretoken::kernels::cuda_check_failed(ft_cuda_code, #expression, __FILE__, __LINE__); \
    }                                                                                         \
  } while (false)

// How many CUDA devices this process can use; 0 without a driver or a device, never an error.
inline int cuda_device_count() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}

// An owned array on the current device. Movable, not copyable; contents start undefined.
template <typename T>
class DeviceBuffer {
 public:
  DeviceBuffer() = default;
  explicit DeviceBuffer(std::size_t size) : size_(size) {
    if (size != 0) {
      FT_CUDA_CHECK(cudaMalloc(reinterpret_cast<void**>(&data_), size * sizeof(T)));
    }
  }
  DeviceBuffer(DeviceBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  DeviceBuffer& operator=(DeviceBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  DeviceBuffer(const DeviceBuffer&) = delete;
  DeviceBuffer& operator=(const DeviceBuffer&) = delete;
  ~DeviceBuffer() { cudaFree(data_); }  // no throw: nothing useful could be done about it

  void upload(const T* host, std::size_t count) {
    FT_CUDA_CHECK(cudaMemcpy(data_, host, count * sizeof(T), cudaMemcpyHostToDevice));
  }
  void download(T* host, std::size_t count) const {
    FT_CUDA_CHECK(cudaMemcpy(host, data_, count * sizeof(T), cudaMemcpyDeviceToHost));
  }

  T* data() { return data_; }
  const T* data() const { return data_; }
  std::size_t size() const { return size_; }

 private:
  T* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace foretoken::kernels
