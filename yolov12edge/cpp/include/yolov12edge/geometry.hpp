// Where a letterboxed image lies in the detector's input, and the way back.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace yolov12edge {

struct Box {
  float left, top, right, bottom;
};

struct LetterboxSpec {
  int height = 640;
  int width = 640;
  std::uint8_t pad_value = 114;
  bool center = true;  // pad on both sides; otherwise only below and right
};

struct Placement {
  double gain = 1.0;                        // input pixels per image pixel
  int left = 0, top = 0;                    // padding before the image
  int width = 0, height = 0;                // of the image
  int scaled_width = 0, scaled_height = 0;  // of the image in the input

  // From input pixels to image pixels, clipped to the image.
  Box to_image(const Box& box) const noexcept {
    const auto scale = static_cast<float>(gain);
    const auto back = [scale](float value, int padding, int limit) {
      const float place = (value - static_cast<float>(padding)) / scale;
      return std::clamp(place, 0.0F, static_cast<float>(limit));
    };
    return {back(box.left, left, width), back(box.top, top, height), back(box.right, left, width),
            back(box.bottom, top, height)};
  }
};

// Scale to fit, keep the shape: min(ceil(side * gain), limit), then floor(missing / 2) before.
inline Placement place(const LetterboxSpec& spec, int width, int height) noexcept {
  Placement placement;
  placement.width = width;
  placement.height = height;
  placement.gain =
      std::min(static_cast<double>(spec.height) / height, static_cast<double>(spec.width) / width);
  const auto scaled = [&](int side, int limit) {
    return static_cast<int>(std::min(std::ceil(side * placement.gain), double(limit)));
  };
  placement.scaled_width = scaled(width, spec.width);
  placement.scaled_height = scaled(height, spec.height);
  if (spec.center) {
    placement.left = (spec.width - placement.scaled_width) / 2;
    placement.top = (spec.height - placement.scaled_height) / 2;
  }
  return placement;
}

}  // namespace yolov12edge
