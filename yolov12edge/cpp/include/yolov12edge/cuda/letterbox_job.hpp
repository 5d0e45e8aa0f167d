// Letterboxing one frame pixel by pixel: what the CUDA kernel and its CPU twin share.
//
// Every table is computed on the host and all arithmetic but one division is in integers, so the
// kernel's results equal the CPU's.
#pragma once

#include <cstddef>
#include <cstdint>

#include "yolov12edge/detail/blend.hpp"
#include "yolov12edge/detail/color.hpp"
#include "yolov12edge/detail/taps.hpp"
#include "yolov12edge/geometry.hpp"
#include "yolov12edge/image.hpp"

namespace yolov12edge::cuda {

struct LetterboxJob {
  ImageView image;             // as checked() returns it; pixels where the code runs
  const detail::Tap* columns;  // scaled_width of them, where the code runs
  const detail::Tap* rows;     // scaled_height of them
  int left, top, scaled_width, scaled_height;
  int width, height;  // of the input
  std::uint8_t pad_value;
};

inline LetterboxJob make_job(const ImageView& image, const LetterboxSpec& spec,
                             const Placement& placement, const detail::Tap* columns,
                             const detail::Tap* rows) {
  return {image,
          columns,
          rows,
          placement.left,
          placement.top,
          placement.scaled_width,
          placement.scaled_height,
          spec.width,
          spec.height,
          spec.pad_value};
}

YOLOV12EDGE_HOST_DEVICE inline float to_unit(int value) noexcept {
#if defined(__CUDA_ARCH__)
  return __fdiv_rn(static_cast<float>(value), 255.0F);  // exact, whatever -use_fast_math says
#else
  return static_cast<float>(value) / 255.0F;
#endif
}

// Writes pixel (x, y) of the three planes.
YOLOV12EDGE_HOST_DEVICE inline void letterbox_pixel(const LetterboxJob& job, int x, int y,
                                                    float* planes) noexcept {
  const std::ptrdiff_t plane = static_cast<std::ptrdiff_t>(job.width) * job.height;
  float* out = planes + static_cast<std::ptrdiff_t>(y) * job.width + x;
  const int column = x - job.left, row = y - job.top;
  if (column < 0 || row < 0 || column >= job.scaled_width || row >= job.scaled_height) {
    out[0] = out[plane] = out[2 * plane] = to_unit(job.pad_value);
    return;
  }
  const detail::Tap across = job.columns[column], down = job.rows[row];
  const ImageView& image = job.image;
  const auto read = [&image](int source_row, int source_column) {
    const std::uint8_t* chroma = image.format == PixelFormat::nv12
                                     ? image.chroma + image.chroma_stride * (source_row / 2)
                                     : nullptr;
    return detail::read_pixel(image.data + image.stride * source_row, chroma, image.format,
                              source_column);
  };
  const detail::Rgb top_left = read(down.first, across.first);
  const detail::Rgb top_right = read(down.first, across.second);
  const detail::Rgb bottom_left = read(down.second, across.first);
  const detail::Rgb bottom_right = read(down.second, across.second);
  const detail::BlendWeights weights{across.weight_first, across.weight_second, down.weight_first,
                                     down.weight_second};
  out[0] = to_unit(
      detail::blend_sample(top_left.r, top_right.r, bottom_left.r, bottom_right.r, weights));
  out[plane] = to_unit(
      detail::blend_sample(top_left.g, top_right.g, bottom_left.g, bottom_right.g, weights));
  out[2 * plane] = to_unit(
      detail::blend_sample(top_left.b, top_right.b, bottom_left.b, bottom_right.b, weights));
}

// The kernel's twin on the CPU.
inline void letterbox_on_cpu(const LetterboxJob& job, float* planes) noexcept {
  for (int y = 0; y < job.height; ++y) {
    for (int x = 0; x < job.width; ++x) letterbox_pixel(job, x, y, planes);
  }
}

}  // namespace yolov12edge::cuda
