// Weights and activations of our CUDA GEMMs as owned device memory. For files compiled with the
// toolkit.
#pragma once

#include "kernels/base/cuda_check.h"
#include "kernels/gemm/cuda_launch.h"

namespace foretoken::kernels {

template <typename T>
DeviceBuffer<T> to_device(const std::vector<T>& host) {
  DeviceBuffer<T> buffer(host.size());
  buffer.upload(host.data(), host.size());
  return buffer;
}

class DeviceWeights {
 public:
  explicit DeviceWeights(const CudaPackedWeights& packed)
      : packed_n_(packed.padded_n),
        k_tiles_(packed.k_tiles),
        inverse_alpha_(packed.inverse_alpha),
        data_(to_device(packed.data)),
        scales_(to_device(packed.scales)),
        integer_scales_(to_device(packed.integer_scales)) {}

  // Fills the weights' part of the arguments.
  void describe(CudaGemmArgs& args) const {
    args.weights = data_.data();
    args.scales = scales_.data();
    args.integer_scales = integer_scales_.data();
    args.inverse_alpha = inverse_alpha_;
    args.padded_n = packed_n_;
    args.k_tiles = k_tiles_;
  }
  std::size_t bytes() const { return data_.size(); }

 private:
  std::int64_t packed_n_, k_tiles_;
  float inverse_alpha_;
  DeviceBuffer<std::uint8_t> data_;
  DeviceBuffer<float> scales_;
  DeviceBuffer<std::int32_t> integer_scales_;
};

}  // namespace foretoken::kernels
