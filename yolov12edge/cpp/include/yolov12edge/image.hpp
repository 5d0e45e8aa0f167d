// Frames as cameras and decoders hand them over; nothing here owns pixels.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "yolov12edge/status.hpp"

namespace yolov12edge {

enum class PixelFormat : int {
  rgb = 0,   // 3 bytes a pixel
  bgr = 1,   // 3 bytes a pixel, OpenCV's order
  rgba = 2,  // 4 bytes a pixel, the fourth is not looked at
  bgra = 3,  // 4 bytes a pixel, also BGRx
  nv12 = 4,  // a plane of Y, then a plane of interleaved U V at half the size; even sides
  yuyv = 5,  // Y U Y V, two pixels in 4 bytes; even width
};

inline constexpr int kMaxSide = 65535;

struct ImageView {
  const std::uint8_t* data = nullptr;
  int width = 0;
  int height = 0;
  std::ptrdiff_t stride = 0;  // bytes from a row to the next; 0: rows touch
  PixelFormat format = PixelFormat::rgb;
  const std::uint8_t* chroma = nullptr;  // NV12's U V plane; null: it follows the Y plane
  std::ptrdiff_t chroma_stride = 0;      // 0: as stride
};

inline int bytes_per_pixel(PixelFormat format) noexcept {
  switch (format) {
    case PixelFormat::rgb:
    case PixelFormat::bgr: return 3;
    case PixelFormat::rgba:
    case PixelFormat::bgra: return 4;
    case PixelFormat::nv12: return 1;
    case PixelFormat::yuyv: return 2;
  }
  return 0;
}

// The view with strides and the chroma plane filled in, or why it cannot be an image.
inline Result<ImageView> checked(ImageView image) {
  const auto invalid = [](const std::string& why) {
    return Status(StatusCode::invalid_argument, "image: " + why);
  };
  const int pixel = bytes_per_pixel(image.format);
  if (pixel == 0) return invalid("unknown pixel format");
  if (image.data == nullptr) return invalid("no pixels");
  if (image.width < 1 || image.height < 1 || image.width > kMaxSide || image.height > kMaxSide) {
    return invalid(std::to_string(image.width) + "x" + std::to_string(image.height) +
                   " pixels; sides of 1 to " + std::to_string(kMaxSide) + " are possible");
  }
  const bool halved = image.format == PixelFormat::nv12 || image.format == PixelFormat::yuyv;
  if (halved && image.width % 2 != 0) return invalid("NV12 and YUYV need an even width");
  const std::ptrdiff_t row = static_cast<std::ptrdiff_t>(image.width) * pixel;
  if (image.stride == 0) image.stride = row;
  if (image.stride < row) return invalid("the stride is shorter than a row");
  if (image.format == PixelFormat::nv12) {
    if (image.height % 2 != 0) return invalid("NV12 needs an even height");
    if (image.chroma == nullptr) image.chroma = image.data + image.stride * image.height;
    if (image.chroma_stride == 0) image.chroma_stride = image.stride;
    if (image.chroma_stride < row) return invalid("the chroma stride is shorter than a row");
  }
  return image;
}

}  // namespace yolov12edge
