// CUDA memory, streams and graphs that free themselves, and CUDA's errors as a Status.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <type_traits>

#include <cuda_runtime_api.h>

#include "yolov12edge/status.hpp"

namespace yolov12edge::cuda {

inline Status check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return {};
  const StatusCode code =
      error == cudaErrorMemoryAllocation ? StatusCode::out_of_memory : StatusCode::runtime_failure;
  return {code, std::string("CUDA failed to ") + what + ": " + cudaGetErrorString(error)};
}

struct FreeDevice {
  void operator()(void* memory) const noexcept { cudaFree(memory); }
};
struct FreePinned {
  void operator()(void* memory) const noexcept { cudaFreeHost(memory); }
};
struct DestroyStream {
  void operator()(cudaStream_t stream) const noexcept { cudaStreamDestroy(stream); }
};
struct DestroyGraph {
  void operator()(cudaGraph_t graph) const noexcept { cudaGraphDestroy(graph); }
};
struct DestroyGraphExec {
  void operator()(cudaGraphExec_t graph) const noexcept { cudaGraphExecDestroy(graph); }
};

using DeviceMemory = std::unique_ptr<void, FreeDevice>;
using PinnedMemory = std::unique_ptr<void, FreePinned>;
using Stream = std::unique_ptr<std::remove_pointer_t<cudaStream_t>, DestroyStream>;
using Graph = std::unique_ptr<std::remove_pointer_t<cudaGraph_t>, DestroyGraph>;
using GraphExec = std::unique_ptr<std::remove_pointer_t<cudaGraphExec_t>, DestroyGraphExec>;

inline Status allocate(std::size_t bytes, DeviceMemory& memory) {
  void* pointer = nullptr;
  const cudaError_t error = cudaMalloc(&pointer, bytes);
  memory.reset(pointer);
  return check(error, "allocate device memory");
}

inline Status allocate(std::size_t bytes, PinnedMemory& memory) {
  void* pointer = nullptr;
  const cudaError_t error = cudaMallocHost(&pointer, bytes);
  memory.reset(pointer);
  return check(error, "allocate pinned memory");
}

// Whether the GPU shares the host's memory, as on a Jetson, and can use buffers there in place.
inline bool shares_host_memory(int device) {
  int integrated = 0, maps = 0;
  return cudaDeviceGetAttribute(&integrated, cudaDevAttrIntegrated, device) == cudaSuccess &&
         cudaDeviceGetAttribute(&maps, cudaDevAttrCanMapHostMemory, device) == cudaSuccess &&
         integrated != 0 && maps != 0;
}

// A tensor that host and GPU use in turn: two buffers and copies between them, or, where the GPU
// shares the host's memory, one buffer that both see and nothing to copy.
class SharedBuffer {
 public:
  Status allocate(std::size_t bytes, bool one_buffer) {
    if (!one_buffer) {
      Status status = cuda::allocate(bytes, host_);
      if (status.ok()) status = cuda::allocate(bytes, memory_);
      device_ = memory_.get();
      return status;
    }
    void* pointer = nullptr;
    Status status = check(cudaHostAlloc(&pointer, bytes, cudaHostAllocMapped),
                          "allocate memory for host and GPU");
    host_.reset(pointer);
    if (!status.ok()) return status;
    return check(cudaHostGetDevicePointer(&device_, pointer, 0), "map memory of the host");
  }

  void* host() const noexcept { return host_.get(); }
  void* device() const noexcept { return device_; }

  // Queue what makes the first `bytes` of the host's side visible to the GPU, and the way back.
  Status upload(std::size_t bytes, cudaStream_t stream) const {
    if (!memory_) return {};
    return check(cudaMemcpyAsync(device_, host_.get(), bytes, cudaMemcpyHostToDevice, stream),
                 "copy the input");
  }
  Status download(std::size_t bytes, cudaStream_t stream) const {
    if (!memory_) return {};
    return check(cudaMemcpyAsync(host_.get(), device_, bytes, cudaMemcpyDeviceToHost, stream),
                 "copy the output");
  }

 private:
  PinnedMemory host_;
  DeviceMemory memory_;  // none where both use the host's buffer
  void* device_ = nullptr;
};

inline Status create(Stream& stream) {
  cudaStream_t created = nullptr;
  const cudaError_t error = cudaStreamCreateWithFlags(&created, cudaStreamNonBlocking);
  stream.reset(created);
  return check(error, "create a stream");
}

}  // namespace yolov12edge::cuda
