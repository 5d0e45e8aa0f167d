// Letterboxes frames in device memory; keeps the tables of the last geometry there.
#pragma once

#include <cstddef>
#include <vector>

#include "yolov12edge/cuda/letterbox_kernel.hpp"
#include "yolov12edge/cuda/resources.hpp"

namespace yolov12edge::cuda {

class DeviceLetterbox {
 public:
  // Queues one frame; `image` and `planes` are in device memory.
  Status queue(const ImageView& given, const LetterboxSpec& spec, float* planes,
               cudaStream_t stream, Placement& placement) {
    const Result<ImageView> image = checked(given);
    if (!image) return image.status();
    if (image->width != placement_.width || image->height != placement_.height) {
      if (Status status = upload_tables(*image, spec, stream); !status.ok()) return status;
    }
    const auto* columns = static_cast<const detail::Tap*>(tables_.get());
    const LetterboxJob job =
        make_job(*image, spec, placement_, columns, columns + placement_.scaled_width);
    placement = placement_;
    return check(launch_letterbox(job, planes, stream), "letterbox");
  }

 private:
  Status upload_tables(const ImageView& image, const LetterboxSpec& spec, cudaStream_t stream) {
    placement_ = {};
    const Placement placement = place(spec, image.width, image.height);
    std::vector<detail::Tap> taps =
        detail::linear_taps(image.width, placement.scaled_width, detail::Edge::collapse);
    const std::vector<detail::Tap> rows =
        detail::linear_taps(image.height, placement.scaled_height, detail::Edge::keep);
    taps.insert(taps.end(), rows.begin(), rows.end());
    const std::size_t bytes = taps.size() * sizeof(detail::Tap);
    if (Status status = allocate(bytes, tables_); !status.ok()) return status;
    Status status =
        check(cudaMemcpyAsync(tables_.get(), taps.data(), bytes, cudaMemcpyHostToDevice, stream),
              "copy the letterbox tables");
    if (status.ok()) status = check(cudaStreamSynchronize(stream), "copy the letterbox tables");
    if (status.ok()) placement_ = placement;
    return status;
  }

  Placement placement_;
  DeviceMemory tables_;
};

}  // namespace yolov12edge::cuda
