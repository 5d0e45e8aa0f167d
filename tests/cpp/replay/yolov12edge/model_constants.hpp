// Stands in for what `bundle` generates: the model that test_selftest.py plays.
#pragma once

#include "yolov12edge/model_info.hpp"

namespace yolov12edge {

inline ModelInfo model_info() {
  ModelInfo info;
  info.name = "replay";
  info.class_names = {"a", "b", "c"};
  info.letterbox = {256, 256};
  return info;
}

}  // namespace yolov12edge
