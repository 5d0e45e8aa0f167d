// Open a model folder with the backend this program was compiled for.
#pragma once

#include <exception>
#include <memory>
#include <new>
#include <string>
#include <utility>

#include "yolov12edge/detector.hpp"

#if defined(YOLOV12EDGE_BACKEND_TENSORRT) || defined(YOLOV12EDGE_BACKEND_TENSORRT_RTX)
#include "yolov12edge/backends/tensorrt.hpp"
#elif defined(YOLOV12EDGE_BACKEND_OPENVINO)
#include "yolov12edge/backends/openvino.hpp"
#elif defined(YOLOV12EDGE_BACKEND_ONNXRUNTIME)
#include "yolov12edge/backends/onnxruntime.hpp"
#else
#error "link the CMake target yolov12edge::yolov12edge, or define YOLOV12EDGE_BACKEND_<NAME>"
#endif

namespace yolov12edge {

#if defined(YOLOV12EDGE_BACKEND_TENSORRT) || defined(YOLOV12EDGE_BACKEND_TENSORRT_RTX)
using SelectedBackend = TensorRtBackend;
#elif defined(YOLOV12EDGE_BACKEND_OPENVINO)
using SelectedBackend = OpenVinoBackend;
#else
using SelectedBackend = OnnxRuntimeBackend;
#endif

// A detector on the model in `folder`, which has to be the one that `info` describes.
inline Result<Detector> open_detector(const std::string& folder, ModelInfo info,
                                      const BackendOptions& options = {}) {
  if (options.threads < 0 || options.batch < 1 || options.device < 0) {
    return Status(StatusCode::invalid_argument, "backend options out of range");
  }
  try {
    Result<std::unique_ptr<Backend>> backend = SelectedBackend::open(folder, info, options);
    if (!backend) return backend.status();
    return Detector::create(std::move(*backend), std::move(info));
  } catch (const std::bad_alloc&) {
    return Status(StatusCode::out_of_memory, "not enough memory to load the model");
  }
}

}  // namespace yolov12edge
