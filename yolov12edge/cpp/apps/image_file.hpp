// Reads PNG, BMP and PPM, everything else with OpenCV where CMake found it.
//
// BMP and PPM are pixels behind a header. Reading them here takes 60 lines and refuses a file that
// is cut short.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "picture.hpp"
#include "png.hpp"

#if defined(YOLOV12EDGE_WITH_OPENCV)
#include <opencv2/imgcodecs.hpp>
#endif

namespace yolov12edge::apps {

namespace detail {

inline std::uint32_t little_endian(const std::uint8_t* bytes, int count) noexcept {
  std::uint32_t value = 0;
  for (int index = count - 1; index >= 0; --index) value = value << 8 | bytes[index];
  return value;
}

// P6 with samples of 8 bits.
inline Result<Picture> read_ppm(const Bytes& file) {
  std::size_t at = 2;
  std::array<std::uint64_t, 3> numbers{};
  for (std::uint64_t& number : numbers) {
    while (at < file.size() && (file[at] <= ' ' || file[at] == '#')) {
      if (file[at] == '#') {
        while (at < file.size() && file[at] != '\n') ++at;
      } else {
        ++at;
      }
    }
    int digits = 0;
    for (; at < file.size() && file[at] >= '0' && file[at] <= '9' && digits < 6; ++at, ++digits) {
      number = 10 * number + (file[at] - std::uint64_t{'0'});
    }
    if (digits == 0) return unreadable("damaged PPM header");
  }
  ++at;
  if (numbers[2] != 255) return unreadable("a PPM with other than 8 bits");
  const std::uint64_t size = 3 * numbers[0] * numbers[1];
  Result<Picture> picture =
      blank(numbers[0], numbers[1], at <= file.size() && file.size() - at >= size);
  if (!picture) return picture;
  std::copy_n(file.begin() + static_cast<std::ptrdiff_t>(at), picture->pixels.size(),
              picture->pixels.begin());
  return picture;
}

// Uncompressed, 24 or 32 bits a pixel.
inline Result<Picture> read_bmp(const Bytes& file) {
  if (file.size() < 54) return unreadable("the file is cut short");
  const std::uint32_t start = little_endian(&file[10], 4);
  const std::uint32_t width = little_endian(&file[18], 4);
  const std::uint32_t signed_height = little_endian(&file[22], 4);
  const std::uint32_t bits = little_endian(&file[28], 2), packing = little_endian(&file[30], 4);
  if ((bits != 24 && bits != 32) || (packing != 0 && !(packing == 3 && bits == 32))) {
    return unreadable("a BMP that is not 24 or 32 bits without compression");
  }
  const bool top_down = signed_height >> 31 != 0;
  const std::size_t height = top_down ? ~signed_height + 1U : signed_height;
  const std::size_t samples = bits / 8;
  const std::size_t stride = (width * samples + 3) / 4 * 4;
  const bool whole = start <= file.size() && file.size() - start >= stride * height;
  Result<Picture> picture = blank(width, height, whole);
  if (!picture) return picture;
  std::uint8_t* out = picture->pixels.data();
  for (std::size_t row = 0; row < height; ++row) {
    const std::uint8_t* source = &file[start] + stride * (top_down ? row : height - 1 - row);
    for (std::size_t x = 0; x < width; ++x, source += samples, out += 3) {
      out[0] = source[2];
      out[1] = source[1];
      out[2] = source[0];
    }
  }
  return picture;
}

}  // namespace detail

// Decodes the bytes of a picture file.
inline Result<Picture> decode_picture(const Bytes& file) {
  static constexpr std::uint8_t kPng[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
  if (file.size() >= 8 && std::equal(kPng, kPng + 8, file.begin())) return decode_png(file);
  if (file.size() >= 2 && file[0] == 'B' && file[1] == 'M') return detail::read_bmp(file);
  if (file.size() >= 2 && file[0] == 'P' && file[1] == '6') return detail::read_ppm(file);
#if defined(YOLOV12EDGE_WITH_OPENCV)
  const cv::Mat image = cv::imdecode(file, cv::IMREAD_COLOR);
  if (image.empty()) return detail::unreadable("damaged, or of an unknown kind");
  Picture picture{image.cols, image.rows, Bytes(image.total() * 3)};
  std::uint8_t* rgb = picture.pixels.data();
  for (int row = 0; row < image.rows; ++row) {
    const std::uint8_t* bgr = image.ptr(row);
    for (int x = 0; x < image.cols; ++x, bgr += 3, rgb += 3) {
      rgb[0] = bgr[2];
      rgb[1] = bgr[1];
      rgb[2] = bgr[0];
    }
  }
  return picture;
#else
  return detail::unreadable(
      "only PNG, BMP and PPM are read here; compile with OpenCV for JPEG and others");
#endif
}

inline Result<Picture> read_picture(const std::string& path) {
  const Result<Bytes> file = read_file(path, 500'000'000);
  if (!file) return file.status();
  Result<Picture> picture = decode_picture(*file);
  if (!picture) return Status(picture.status().code(), path + ": " + picture.status().message());
  return picture;
}

}  // namespace yolov12edge::apps
