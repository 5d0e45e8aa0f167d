// Reads PPM, BMP and PNG without a library, everything else with OpenCV where CMake found it.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "inflate.hpp"
#include "yolov12edge/image.hpp"
#include "yolov12edge/model_file.hpp"

#if defined(YOLOV12EDGE_WITH_OPENCV)
#include <opencv2/imgcodecs.hpp>
#endif

namespace yolov12edge::apps {

inline constexpr std::size_t kMaxPixels = 100'000'000;

// RGB, 3 bytes a pixel, rows touch.
struct Picture {
  int width = 0, height = 0;
  Bytes pixels;

  ImageView view() const { return {pixels.data(), width, height, 0, PixelFormat::rgb}; }
};

namespace detail {

inline Status unreadable(const std::string& why) {
  return {StatusCode::invalid_argument, "cannot read the picture: " + why};
}

// A black picture of that size, if it is neither empty nor too large, and if the file is `whole`:
// nobody gets memory for pixels that are not there.
inline Result<Picture> blank(std::uint64_t width, std::uint64_t height, bool whole) {
  if (width == 0 || height == 0 || width > kMaxSide || height > kMaxSide ||
      width * height > kMaxPixels) {
    return unreadable(std::to_string(width) + "x" + std::to_string(height) + " pixels");
  }
  if (!whole) return unreadable("the file is cut short");
  return Picture{static_cast<int>(width), static_cast<int>(height),
                 Bytes(static_cast<std::size_t>(3 * width * height))};
}

inline std::uint32_t big_endian(const std::uint8_t* bytes) noexcept {
  return std::uint32_t{bytes[0]} << 24 | std::uint32_t{bytes[1]} << 16 |
         std::uint32_t{bytes[2]} << 8 | bytes[3];
}

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

struct PngHeader {
  std::uint32_t width = 0, height = 0;
  int depth = 0, color = 0;

  // Samples a pixel; 0 where the kind of colour does not exist.
  std::size_t samples() const noexcept {
    switch (color) {
      case 0:
      case 3: return 1;
      case 2: return 3;
      case 4: return 2;
      case 6: return 4;
      default: return 0;
    }
  }
};

inline std::uint8_t paeth(int left, int above, int corner) noexcept {
  const int guess = left + above - corner;
  const int from_left = std::abs(guess - left), from_above = std::abs(guess - above);
  const int from_corner = std::abs(guess - corner);
  if (from_left <= from_above && from_left <= from_corner) return static_cast<std::uint8_t>(left);
  return static_cast<std::uint8_t>(from_above <= from_corner ? above : corner);
}

// Undoes the filter of every row in place; false where a filter does not exist.
inline bool unfilter(Bytes& data, std::size_t row_bytes, std::size_t pixel_bytes) {
  const Bytes zeros(row_bytes);
  const std::uint8_t* above = zeros.data();
  for (std::size_t start = 0; start < data.size(); start += row_bytes + 1) {
    const int filter = data[start];
    if (filter > 4) return false;
    std::uint8_t* row = &data[start + 1];
    for (std::size_t x = 0; x < row_bytes; ++x) {
      const int left = x >= pixel_bytes ? row[x - pixel_bytes] : 0;
      const int corner = x >= pixel_bytes ? above[x - pixel_bytes] : 0;
      const int guess[] = {0, left, above[x], (left + above[x]) / 2, paeth(left, above[x], corner)};
      row[x] = static_cast<std::uint8_t>(row[x] + guess[filter]);
    }
    above = row;
  }
  return true;
}

inline Result<Picture> png_pixels(const PngHeader& header, const Bytes& packed,
                                  const Bytes& palette) {
  const std::size_t sample_bytes = header.depth == 16 ? 2 : 1;
  const std::size_t pixel_bytes = header.samples() * sample_bytes;
  const std::size_t row_bytes = header.width * pixel_bytes;
  // Deflate makes at most 1032 bytes of one.
  const bool whole = (row_bytes + 1) * header.height / 1032 <= packed.size();
  Result<Picture> picture = blank(header.width, header.height, whole);
  if (!picture) return picture;
  Bytes data;
  if (!inflate_zlib(packed, (row_bytes + 1) * header.height, data)) {
    return unreadable("the PNG's data is damaged");
  }
  if (!unfilter(data, row_bytes, pixel_bytes)) return unreadable("the PNG's data is damaged");
  std::uint8_t* out = picture->pixels.data();
  for (std::size_t row = 0; row < header.height; ++row) {
    const std::uint8_t* source = &data[row * (row_bytes + 1) + 1];
    for (std::size_t x = 0; x < header.width; ++x, source += pixel_bytes, out += 3) {
      const bool gray = header.color == 0 || header.color == 4;
      for (std::size_t channel = 0; channel < 3; ++channel) {
        if (header.color == 3) {
          const std::size_t entry = 3U * source[0] + channel;
          if (entry >= palette.size()) return unreadable("a PNG colour outside its palette");
          out[channel] = palette[entry];
        } else {
          out[channel] = source[gray ? 0 : channel * sample_bytes];
        }
      }
    }
  }
  return picture;
}

// 8 or 16 bits a sample, not interlaced; 16 bits keep the upper 8, alpha is dropped.
inline Result<Picture> read_png(const Bytes& file) {
  PngHeader header;
  Bytes packed, palette;
  for (std::size_t at = 8; file.size() - at >= 12;) {
    const std::size_t length = big_endian(&file[at]);
    const std::string kind(file.begin() + static_cast<std::ptrdiff_t>(at + 4),
                           file.begin() + static_cast<std::ptrdiff_t>(at + 8));
    if (length > file.size() - at - 12) return unreadable("the file is cut short");
    const auto start = file.begin() + static_cast<std::ptrdiff_t>(at + 8);
    const auto end = start + static_cast<std::ptrdiff_t>(length);
    if (kind == "IHDR" && length == 13) {
      header = {big_endian(&*start), big_endian(&*start + 4), start[8], start[9]};
      const bool depth = header.depth == 8 || (header.depth == 16 && header.color != 3);
      if (!depth || header.samples() == 0 || start[12] != 0) {
        return unreadable("a PNG that is interlaced or has fewer than 8 bits");
      }
    } else if (kind == "PLTE") {
      palette.assign(start, end);
    } else if (kind == "IDAT") {
      packed.insert(packed.end(), start, end);
    } else if (kind == "IEND") {
      break;
    }
    at += length + 12;
  }
  if (header.width == 0) return unreadable("the PNG has no header");
  return png_pixels(header, packed, palette);
}

}  // namespace detail

// Decodes the bytes of a picture file.
inline Result<Picture> decode_picture(const Bytes& file) {
  static constexpr std::uint8_t kPng[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
  if (file.size() >= 8 && std::equal(kPng, kPng + 8, file.begin())) return detail::read_png(file);
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
