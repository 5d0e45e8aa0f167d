#pragma once

#include <cstdint>

#include "yolov12edge/geometry.hpp"

namespace yolov12edge {

struct Detection {
  Box box;  // left, top, right, bottom in pixels
  float score = 0.0F;
  std::int32_t class_id = 0;
};

struct DecodeOptions {
  float confidence = 0.25F;  // candidates score above this
  float iou = 0.7F;          // overlap above which the lower score goes
  int max_detections = 300;
  bool multi_label = false;  // every class above `confidence`, not only an anchor's best
};

}  // namespace yolov12edge
