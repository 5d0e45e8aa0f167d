#include "yolov12edge/cuda/letterbox_kernel.hpp"

namespace yolov12edge::cuda {

__global__ void letterbox_kernel(LetterboxJob job, float* planes) {
  const int x = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  const int y = static_cast<int>(blockIdx.y * blockDim.y + threadIdx.y);
  if (x < job.width && y < job.height) letterbox_pixel(job, x, y, planes);
}

cudaError_t launch_letterbox(const LetterboxJob& job, float* planes, cudaStream_t stream) {
  const dim3 threads(32, 8);
  const dim3 blocks((static_cast<unsigned>(job.width) + threads.x - 1) / threads.x,
                    (static_cast<unsigned>(job.height) + threads.y - 1) / threads.y);
  letterbox_kernel<<<blocks, threads, 0, stream>>>(job, planes);
  return cudaGetLastError();
}

}  // namespace yolov12edge::cuda
