// What the runtime has to know about a model: written by `yolov12edge bundle` into
// model_constants.hpp, or read from manifest.json by manifest.hpp.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "yolov12edge/geometry.hpp"

namespace yolov12edge {

// A file of the model folder; a file name alone means that nobody recorded what it holds.
struct ModelFile {
  std::string name;
  std::string sha256;       // lower-case hex; empty: not checked
  std::uint64_t bytes = 0;  // 0: not checked
};

// Where a plan was built and where it may run.
struct PlanOrigin {
  std::string backend;                          // "tensorrt" or "tensorrt_rtx"
  std::string version;                          // of the library that built it; empty: unknown
  std::vector<int> compute_capabilities;        // 87 for SM 8.7; empty: unknown
  std::string hardware_compatibility = "none";  // or "ampere_plus", "same_compute_capability"
  bool version_compatible = false;              // later library versions may load it
  std::string platform;                         // "linux-aarch64"; empty: unknown
};

struct ModelInfo {
  std::string name;
  std::string precision;  // "fp32", "fp16" or "int8"
  std::vector<std::string> class_names;
  LetterboxSpec letterbox;  // its size is the model's input size
  std::string input_name = "images";
  std::string output_name = "detections";
  ModelFile onnx;
  ModelFile plan;
  PlanOrigin plan_origin;

  int classes() const noexcept { return static_cast<int>(class_names.size()); }
};

}  // namespace yolov12edge
