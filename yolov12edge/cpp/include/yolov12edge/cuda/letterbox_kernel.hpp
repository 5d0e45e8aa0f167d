// The CUDA kernel of src/letterbox_kernel.cu.
#pragma once

#include <cuda_runtime_api.h>

#include "yolov12edge/cuda/letterbox_job.hpp"

namespace yolov12edge::cuda {

// Queues the letterboxing of one frame; image, tables and `planes` are in device memory.
cudaError_t launch_letterbox(const LetterboxJob& job, float* planes, cudaStream_t stream);

}  // namespace yolov12edge::cuda
