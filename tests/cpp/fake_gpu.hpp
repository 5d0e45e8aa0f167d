// A GPU that is none: the stubs' CUDA and TensorRT at work in host memory.
//
// It is stricter than a real one. What is queued on a stream happens when the stream is
// synchronized and not before; device memory can be touched by queued work only; what is misused,
// freed too early or never is remembered. For one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <cuda_runtime_api.h>

namespace fake {

// What a plan of the fake engine holds behind its header: the shapes of a detector.
struct Network {
  std::int32_t inputs = 1, outputs = 1;
  std::int32_t channels = 3, height = 32, width = 32;
  std::int32_t rows = 6, anchors = 21;
  std::int32_t smallest = 1, largest = 1;
  std::int32_t dynamic_batch = 0;
  std::int32_t output_type = 0;  // a DataType
};

constexpr std::size_t kHeaderBytes = 64;

// A whole plan as this version of the library would have written it for SM86.
std::vector<std::uint8_t> make_plan(const Network& network);

// What the engine's output of that number is for one image.
std::vector<float> output_of(const Network& network, const float* image, int index = 0);

// The version of the library, "8.5.3".
std::string version();

struct Gpu {
  int devices = 1;
  int major = 8, minor = 6;
  bool integrated = false;

  std::vector<std::string> calls;    // names, in order
  std::vector<std::string> misuses;  // sentences
  int live = 0;                      // allocations, streams, graphs, contexts, engines, runtimes
  int images = 0;                    // that the engine ran, padding of a batch included
  bool host_code_allowed = false;
  cudaError_t last_error = cudaSuccess;

  // The call of that name which is to fail, counted from 1.
  std::string failing_call;
  int failing_time = 0;

  int count(const std::string& call) const;
};

// The one GPU of the process; `reset` makes it a new one and may only be called with nothing live.
Gpu& gpu();
void reset();

}  // namespace fake
