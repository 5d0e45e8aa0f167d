// Marks what the CUDA kernel and the CPU share, so that both compute the same.
#pragma once

#if defined(__CUDACC__)
#define YOLOV12EDGE_HOST_DEVICE __host__ __device__
#else
#define YOLOV12EDGE_HOST_DEVICE
#endif
