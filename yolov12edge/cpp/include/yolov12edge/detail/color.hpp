// One pixel of any format to RGB.
//
// YUV is BT.601 in limited range with factors of 20 bits, as OpenCV's cvtColor converts it; the
// detectors were trained on images that OpenCV decoded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "yolov12edge/detail/host_device.hpp"
#include "yolov12edge/image.hpp"

namespace yolov12edge::detail {

struct Rgb {
  std::uint8_t r, g, b;
};

// Without branches: camera noise would be mispredicted at every other pixel.
YOLOV12EDGE_HOST_DEVICE inline std::uint8_t to_byte(int value) noexcept {
  value &= ~(value >> 31);
  value |= (255 - value) >> 31;
  return static_cast<std::uint8_t>(value);
}

YOLOV12EDGE_HOST_DEVICE inline Rgb yuv_to_rgb(int y, int u, int v) noexcept {
  constexpr int kShift = 20, kHalf = 1 << 19;
  constexpr int kLuma = 1220542;    // 1.164
  constexpr int kRedV = 1673527;    // 1.596
  constexpr int kGreenV = -852492;  // -0.813
  constexpr int kGreenU = -409993;  // -0.391
  constexpr int kBlueU = 2116026;   // 2.018
  const int luma = ((y - 16) & ~((y - 16) >> 31)) * kLuma;
  u -= 128;
  v -= 128;
  return {to_byte((luma + kRedV * v + kHalf) >> kShift),
          to_byte((luma + kGreenV * v + kGreenU * u + kHalf) >> kShift),
          to_byte((luma + kBlueU * u + kHalf) >> kShift)};
}

// The pixel at column `x` of the row that `row` points at; `chroma` is NV12's chroma row.
YOLOV12EDGE_HOST_DEVICE inline Rgb read_pixel(const std::uint8_t* row, const std::uint8_t* chroma,
                                              PixelFormat format, int x) noexcept {
  switch (format) {
    case PixelFormat::rgb: row += 3 * x; return {row[0], row[1], row[2]};
    case PixelFormat::bgr: row += 3 * x; return {row[2], row[1], row[0]};
    case PixelFormat::rgba: row += 4 * x; return {row[0], row[1], row[2]};
    case PixelFormat::bgra: row += 4 * x; return {row[2], row[1], row[0]};
    case PixelFormat::nv12: chroma += x & ~1; return yuv_to_rgb(row[x], chroma[0], chroma[1]);
    case PixelFormat::yuyv: {
      const std::uint8_t* pair = row + 2 * (x & ~1);
      return yuv_to_rgb(pair[2 * (x & 1)], pair[1], pair[3]);
    }
  }
  return {0, 0, 0};
}

// The pixels at `columns` of a row, three bytes each.
template <PixelFormat kFormat>
inline void read_pixels(const std::uint8_t* row, const std::uint8_t* chroma,
                        const std::vector<int>& columns, std::uint8_t* rgb) noexcept {
  for (const int x : columns) {
    const Rgb pixel = read_pixel(row, chroma, kFormat, x);
    *rgb++ = pixel.r;
    *rgb++ = pixel.g;
    *rgb++ = pixel.b;
  }
}

inline void read_pixels(const std::uint8_t* row, const std::uint8_t* chroma, PixelFormat format,
                        const std::vector<int>& columns, std::uint8_t* rgb) noexcept {
  switch (format) {
    case PixelFormat::rgb: return read_pixels<PixelFormat::rgb>(row, chroma, columns, rgb);
    case PixelFormat::bgr: return read_pixels<PixelFormat::bgr>(row, chroma, columns, rgb);
    case PixelFormat::rgba: return read_pixels<PixelFormat::rgba>(row, chroma, columns, rgb);
    case PixelFormat::bgra: return read_pixels<PixelFormat::bgra>(row, chroma, columns, rgb);
    case PixelFormat::nv12: return read_pixels<PixelFormat::nv12>(row, chroma, columns, rgb);
    case PixelFormat::yuyv: return read_pixels<PixelFormat::yuyv>(row, chroma, columns, rgb);
  }
}

}  // namespace yolov12edge::detail
