// Images in, detections out.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "yolov12edge/backend.hpp"
#include "yolov12edge/decode.hpp"
#include "yolov12edge/letterbox.hpp"
#include "yolov12edge/model_info.hpp"

namespace yolov12edge {

using Detections = std::vector<Detection>;

// One instance serves one thread at a time; clone() gives each thread its own at little cost.
class Detector {
 public:
  // Fails with model_mismatch unless the backend's model is the one that `info` describes.
  static Result<Detector> create(std::unique_ptr<Backend> backend, ModelInfo info) {
    if (Status status = check_model(*backend, info); !status.ok()) return status;
    return Detector(std::move(backend), std::move(info));
  }

  // Detections in image pixels, clipped to the image, best first.
  Result<Detections> detect(const ImageView& image, const DecodeOptions& options = {}) {
    Result<std::vector<Detections>> results = detect(std::vector<ImageView>{image}, options);
    if (!results) return results.status();
    return std::move(results->front());
  }

  // Any number of images, in parts of the model's batch size.
  Result<std::vector<Detections>> detect(const std::vector<ImageView>& images,
                                         const DecodeOptions& options = {}) {
    return in_parts(images, options, [this](const std::vector<ImageView>& part) {
      placements_.clear();
      for (std::size_t index = 0; index < part.size(); ++index) {
        Result<Placement> placement =
            letterbox_.to_tensor(part[index], backend_->input() + index * input_size());
        if (!placement) return placement.status();
        placements_.push_back(*placement);
      }
      return backend_->infer(static_cast<int>(part.size()));
    });
  }

  // As detect, for images in device memory: cudaMalloc, or NVMM mapped into CUDA.
  Result<std::vector<Detections>> detect_on_device(const std::vector<ImageView>& images,
                                                   const DecodeOptions& options = {}) {
    return in_parts(images, options, [this](const std::vector<ImageView>& part) {
      return backend_->infer_on_device(part, letterbox_.spec(), placements_);
    });
  }

  // Another detector on the same weights, for another thread.
  Result<Detector> clone() const {
    Result<std::unique_ptr<Backend>> backend = backend_->clone();
    if (!backend) return backend.status();
    return Detector(std::move(*backend), info_);
  }

  const ModelInfo& info() const noexcept { return info_; }
  Backend& backend() noexcept { return *backend_; }
  const Backend& backend() const noexcept { return *backend_; }
  std::size_t input_size() const noexcept {
    return std::size_t{3} * static_cast<std::size_t>(backend_->height()) *
           static_cast<std::size_t>(backend_->width());
  }
  OutputView output(std::size_t index) const noexcept {
    const OutputView view{nullptr, backend_->classes(), backend_->anchors()};
    return {backend_->output() + index * view.size(), view.classes, view.anchors};
  }

 private:
  Detector(std::unique_ptr<Backend> backend, ModelInfo info)
      : backend_(std::move(backend)), info_(std::move(info)), letterbox_(info_.letterbox) {}

  static Status check_model(const Backend& backend, const ModelInfo& info) {
    const auto mismatch = [](const std::string& what, int model, int expected) {
      return Status(StatusCode::model_mismatch, "the model has " + what + " " +
                                                    std::to_string(model) + ", its description " +
                                                    std::to_string(expected));
    };
    if (backend.height() != info.letterbox.height) {
      return mismatch("input height", backend.height(), info.letterbox.height);
    }
    if (backend.width() != info.letterbox.width) {
      return mismatch("input width", backend.width(), info.letterbox.width);
    }
    if (backend.classes() != info.classes()) {
      return mismatch("class count", backend.classes(), info.classes());
    }
    if (backend.anchors() < 1 || backend.max_batch() < 1) {
      return {StatusCode::model_damaged, "the model has an empty output"};
    }
    return {};
  }

  template <typename Infer>
  Result<std::vector<Detections>> in_parts(const std::vector<ImageView>& images,
                                           const DecodeOptions& options, const Infer& infer) {
    if (!(options.iou >= 0.0F) || std::isnan(options.confidence) || options.max_detections < 0) {
      return Status(StatusCode::invalid_argument, "decode options out of range");
    }
    std::vector<Detections> results;
    results.reserve(images.size());
    const auto batch = static_cast<std::ptrdiff_t>(backend_->max_batch());
    for (auto start = images.begin(); start != images.end();) {
      const auto end = start + std::min(batch, images.end() - start);
      if (Status status = infer({start, end}); !status.ok()) return status;
      for (std::size_t index = 0; index < static_cast<std::size_t>(end - start); ++index) {
        Result<Detections> found = decode(index, options);
        if (!found) return found.status();
        results.push_back(std::move(*found));
      }
      start = end;
    }
    return results;
  }

  Result<Detections> decode(std::size_t index, const DecodeOptions& options) {
    const OutputView view = output(index);
    if (!all_finite(view.data, view.size())) {
      return Status(StatusCode::invalid_output,
                    "the model's output holds NaN or infinity; "
                    "a half-precision overflow is the usual cause");
    }
    Detections found = decoder_(view, options);
    for (Detection& detection : found) detection.box = placements_[index].to_image(detection.box);
    return found;
  }

  std::unique_ptr<Backend> backend_;
  ModelInfo info_;
  Letterbox letterbox_;
  Decoder decoder_;
  std::vector<Placement> placements_;
};

}  // namespace yolov12edge
