// Pixels in memory, and what may become a picture.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "yolov12edge/image.hpp"
#include "yolov12edge/model_file.hpp"

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

// Whether a file may claim that size: neither empty nor too large, and the file is `whole`:
// nobody gets memory for pixels that are not there.
inline Status check_size(std::uint64_t width, std::uint64_t height, bool whole) {
  if (width == 0 || height == 0 || width > kMaxSide || height > kMaxSide ||
      width * height > kMaxPixels) {
    return unreadable(std::to_string(width) + "x" + std::to_string(height) + " pixels");
  }
  return whole ? Status() : unreadable("the file is cut short");
}

// A black picture of a size that check_size() lets pass.
inline Result<Picture> blank(std::uint64_t width, std::uint64_t height, bool whole) {
  if (Status status = check_size(width, height, whole); !status.ok()) return status;
  return Picture{static_cast<int>(width), static_cast<int>(height),
                 Bytes(static_cast<std::size_t>(3 * width * height))};
}

}  // namespace detail

}  // namespace yolov12edge::apps
