#include "yolov12edge/capi.h"

#include <algorithm>
#include <cstddef>
#include <exception>
#include <new>
#include <string>
#include <utility>

#include "yolov12edge/model_constants.hpp"
#include "yolov12edge/open.hpp"

struct yolov12edge_detector {
  yolov12edge::Detector detector;
};

namespace {

using yolov12edge::Result;
using yolov12edge::Status;
using yolov12edge::StatusCode;

std::string& last_error() {
  thread_local std::string text;
  return text;
}

yolov12edge_status report(const Status& status) {
  if (!status.ok()) last_error() = status.message();
  return static_cast<yolov12edge_status>(status.code());
}

// Runs `function`, which gives a Status, and turns what it throws into one.
template <typename Function>
yolov12edge_status guarded(const Function& function) noexcept {
  try {
    try {
      return report(function());
    } catch (const std::bad_alloc&) {
      return report({StatusCode::out_of_memory, "out of memory"});
    } catch (const std::exception& error) {
      return report({StatusCode::runtime_failure, error.what()});
    }
  } catch (...) {
    return YOLOV12EDGE_RUNTIME_FAILURE;
  }
}

Status null_argument(const char* name) {
  return {StatusCode::invalid_argument, std::string(name) + " is NULL"};
}

Status hand_over(Result<yolov12edge::Detector> opened, yolov12edge_detector** detector) {
  if (!opened) return opened.status();
  *detector = new yolov12edge_detector{std::move(*opened)};
  return {};
}

}  // namespace

extern "C" {

const char* yolov12edge_version(void) { return YOLOV12EDGE_VERSION; }

int32_t yolov12edge_abi_version(void) { return YOLOV12EDGE_ABI_VERSION; }

yolov12edge_status yolov12edge_open(const char* folder, int32_t threads, int32_t device,
                                    yolov12edge_detector** detector) {
  return guarded([&]() -> Status {
    if (folder == nullptr) return null_argument("folder");
    if (detector == nullptr) return null_argument("detector");
    *detector = nullptr;
    yolov12edge::BackendOptions options;
    options.threads = threads;
    options.device = device;
    return hand_over(yolov12edge::open_detector(folder, yolov12edge::model_info(), options),
                     detector);
  });
}

yolov12edge_status yolov12edge_clone(const yolov12edge_detector* detector,
                                     yolov12edge_detector** clone) {
  return guarded([&]() -> Status {
    if (detector == nullptr) return null_argument("detector");
    if (clone == nullptr) return null_argument("clone");
    *clone = nullptr;
    return hand_over(detector->detector.clone(), clone);
  });
}

void yolov12edge_close(yolov12edge_detector* detector) { delete detector; }

yolov12edge_status yolov12edge_detect(yolov12edge_detector* detector,
                                      const yolov12edge_image* image,
                                      const yolov12edge_options* options,
                                      yolov12edge_detection* detections, size_t capacity,
                                      size_t* count) {
  return guarded([&]() -> Status {
    if (detector == nullptr) return null_argument("detector");
    if (image == nullptr) return null_argument("image");
    if (count == nullptr) return null_argument("count");
    if (detections == nullptr && capacity > 0) return null_argument("detections");
    *count = 0;
    const yolov12edge::ImageView view{image->data,
                                      image->width,
                                      image->height,
                                      static_cast<std::ptrdiff_t>(image->stride),
                                      static_cast<yolov12edge::PixelFormat>(image->format),
                                      image->chroma,
                                      static_cast<std::ptrdiff_t>(image->chroma_stride)};
    yolov12edge::DecodeOptions decode;
    if (options != nullptr) {
      decode = {options->confidence, options->iou, options->max_detections,
                options->multi_label != 0};
    }
    const auto found = detector->detector.detect(view, decode);
    if (!found) return found.status();
    *count = found->size();
    for (size_t index = 0; index < std::min(capacity, found->size()); ++index) {
      const auto& [box, score, class_id] = (*found)[index];
      detections[index] = {box.left, box.top, box.right, box.bottom, score, class_id};
    }
    return {};
  });
}

int32_t yolov12edge_class_count(const yolov12edge_detector* detector) {
  return detector == nullptr ? 0 : detector->detector.info().classes();
}

const char* yolov12edge_class_name(const yolov12edge_detector* detector, int32_t class_id) {
  if (class_id < 0 || class_id >= yolov12edge_class_count(detector)) return nullptr;
  return detector->detector.info().class_names[static_cast<size_t>(class_id)].c_str();
}

const char* yolov12edge_last_error(void) { return last_error().c_str(); }

const char* yolov12edge_status_name(yolov12edge_status status) {
  return yolov12edge::name_of(static_cast<StatusCode>(status));
}

}  // extern "C"
