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
  const StatusCode code = error == cudaErrorMemoryAllocation ? StatusCode::out_of_memory
                                                             : StatusCode::runtime_failure;
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

inline Status create(Stream& stream) {
  cudaStream_t created = nullptr;
  const cudaError_t error = cudaStreamCreateWithFlags(&created, cudaStreamNonBlocking);
  stream.reset(created);
  return check(error, "create a stream");
}

}  // namespace yolov12edge::cuda
