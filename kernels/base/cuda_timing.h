// What timing on a GPU needs: streams and events as owned objects, and work captured once as a
// graph and replayed between two events. Only files that are compiled where the toolkit is present
// include this header.
#pragma once

#include <cuda_runtime_api.h>

#include <functional>
#include <string>

#include "kernels/base/cuda_check.h"

namespace foretoken::kernels {

class CudaStream {
 public:
  CudaStream() { FT_CUDA_CHECK(cudaStreamCreate(&stream_)); }
  ~CudaStream() { cudaStreamDestroy(stream_); }
  CudaStream(const CudaStream&) = delete;
  CudaStream& operator=(const CudaStream&) = delete;
  cudaStream_t get() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

class CudaEvent {
 public:
  CudaEvent() { FT_CUDA_CHECK(cudaEventCreate(&event_)); }
  ~CudaEvent() { cudaEventDestroy(event_); }
  CudaEvent(const CudaEvent&) = delete;
  CudaEvent& operator=(const CudaEvent&) = delete;
  cudaEvent_t get() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

// Seconds between two events around `work`, which enqueues on `stream`.
inline double cuda_seconds(cudaStream_t stream, const std::function<void()>& work) {
  const CudaEvent start, stop;
  FT_CUDA_CHECK(cudaEventRecord(start.get(), stream));
  work();
  FT_CUDA_CHECK(cudaEventRecord(stop.get(), stream));
  FT_CUDA_CHECK(cudaEventSynchronize(stop.get()));
  float milliseconds = 0;
  FT_CUDA_CHECK(cudaEventElapsedTime(&milliseconds, start.get(), stop.get()));
  return 1e-3 * milliseconds;
}

// Work captured as a graph, so that launches cost little and always the same.
class CudaGraph {
 public:
  // `work` enqueues on `stream`; it runs once before, for what cannot be captured (attributes,
  // lazy loading).
  CudaGraph(cudaStream_t stream, const std::function<void()>& work) : stream_(stream) {
    work();
    FT_CUDA_CHECK(cudaStreamSynchronize(stream));
    FT_CUDA_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    work();
    cudaGraph_t graph = nullptr;
    FT_CUDA_CHECK(cudaStreamEndCapture(stream, &graph));
    FT_CUDA_CHECK(cudaGraphInstantiate(&executable_, graph, 0));
    FT_CUDA_CHECK(cudaGraphDestroy(graph));
  }
  ~CudaGraph() { cudaGraphExecDestroy(executable_); }
  CudaGraph(const CudaGraph&) = delete;
  CudaGraph& operator=(const CudaGraph&) = delete;

  // Seconds of one replay out of `replays` in a row.
  double time(int replays) const {
    return cuda_seconds(stream_,
                        [&] {
                          for (int i = 0; i < replays; ++i) {
                            FT_CUDA_CHECK(cudaGraphLaunch(executable_, stream_));
                          }
                        }) /
           replays;
  }

 private:
  cudaStream_t stream_;
  cudaGraphExec_t executable_ = nullptr;
};

// "NVIDIA H100 80GB HBM3, driver 13000": what a table of times must name.
inline std::string cuda_device_line() {
  cudaDeviceProp properties{};
  int driver = 0;
  FT_CUDA_CHECK(cudaGetDeviceProperties(&properties, 0));
  FT_CUDA_CHECK(cudaDriverGetVersion(&driver));
  return std::string(properties.name) + ", driver " + std::to_string(driver);
}

}  // namespace foretoken::kernels
