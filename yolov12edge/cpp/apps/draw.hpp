// Boxes and labels on a picture.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "font.hpp"
#include "image_file.hpp"
#include "yolov12edge/detection.hpp"

namespace yolov12edge::apps {

using Color = std::array<std::uint8_t, 3>;

// Always the same for a class, and far from its neighbours'.
inline Color class_color(int class_id) {
  const double hue = std::fmod(class_id * 0.618034, 1.0) * 6;
  const auto part = [hue](double center) {
    const double distance = std::fabs(std::fmod(hue - center + 9, 6) - 3);
    return static_cast<std::uint8_t>(255 * (0.15 + 0.85 * std::clamp(2 - distance, 0.0, 1.0)));
  };
  return {part(0), part(2), part(4)};
}

inline void fill(Picture& picture, int left, int top, int right, int bottom, const Color& color) {
  left = std::max(left, 0);
  top = std::max(top, 0);
  right = std::min(right, picture.width);
  bottom = std::min(bottom, picture.height);
  for (int y = top; y < bottom; ++y) {
    for (int x = left; x < right; ++x) {
      const std::size_t pixel = static_cast<std::size_t>(y) * static_cast<std::size_t>(picture.width) +
                                static_cast<std::size_t>(x);
      std::copy(color.begin(), color.end(), &picture.pixels[3 * pixel]);
    }
  }
}

inline void draw_text(Picture& picture, int left, int top, int scale, const std::string& text,
                      const Color& color) {
  for (const char letter : text) {
    const Glyph& glyph = glyph_of(letter);
    for (int row = 0; row < kGlyphHeight; ++row) {
      for (int column = 0; column < kGlyphWidth; ++column) {
        if ((glyph[static_cast<std::size_t>(row)] >> (kGlyphWidth - 1 - column) & 1) == 0) continue;
        const int x = left + column * scale, y = top + row * scale;
        fill(picture, x, y, x + scale, y + scale, color);
      }
    }
    left += (kGlyphWidth + 1) * scale;
  }
}

inline void draw(Picture& picture, const Detection& detection, const std::string& name) {
  const Color color = class_color(detection.class_id);
  const int side = std::min(picture.width, picture.height);
  const int line = std::max(1, side / 300), scale = std::max(1, side / 400);
  const auto whole = [](float value) { return static_cast<int>(std::lrintf(value)); };
  const int left = whole(detection.box.left), right = whole(detection.box.right);
  const int top = whole(detection.box.top), bottom = whole(detection.box.bottom);
  fill(picture, left, top, right, top + line, color);
  fill(picture, left, bottom - line, right, bottom, color);
  fill(picture, left, top, left + line, bottom, color);
  fill(picture, right - line, top, right, bottom, color);

  char score[16];
  std::snprintf(score, sizeof score, " %.2f", static_cast<double>(detection.score));
  const std::string text = name + score;
  const int height = (kGlyphHeight + 2) * scale;
  const int width = (static_cast<int>(text.size()) * (kGlyphWidth + 1) + 1) * scale;
  const int label_top = top >= height ? top - height : top;
  const int label_left = std::max(0, std::min(left, picture.width - width));
  fill(picture, label_left, label_top, label_left + width, label_top + height, color);
  const bool bright = 2 * color[0] + 5 * color[1] + color[2] > 8 * 110;
  const Color ink = bright ? Color{0, 0, 0} : Color{255, 255, 255};
  draw_text(picture, label_left + scale, label_top + scale, scale, text, ink);
}

// The bytes of a PNG, without compression.
inline Bytes encode_png(const Picture& picture) {
  Bytes file{0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
  const auto put = [](Bytes& out, std::uint32_t value) {
    for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<std::uint8_t>(value >> shift));
  };
  const auto chunk = [&](const char* kind, const Bytes& data) {
    put(file, static_cast<std::uint32_t>(data.size()));
    const std::size_t start = file.size();
    file.insert(file.end(), kind, kind + 4);
    file.insert(file.end(), data.begin(), data.end());
    std::uint32_t crc = ~0U;
    for (std::size_t index = start; index < file.size(); ++index) {
      crc ^= file[index];
      for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (0xEDB88320U & (0U - (crc & 1)));
    }
    put(file, ~crc);
  };
  Bytes header;
  put(header, static_cast<std::uint32_t>(picture.width));
  put(header, static_cast<std::uint32_t>(picture.height));
  header.insert(header.end(), {8, 2, 0, 0, 0});
  chunk("IHDR", header);

  Bytes data{0x78, 0x01};
  std::uint32_t low = 1, high = 0;  // Adler-32
  const std::size_t row_bytes = 3 * static_cast<std::size_t>(picture.width);
  const std::size_t total = (row_bytes + 1) * static_cast<std::size_t>(picture.height);
  for (std::size_t at = 0; at < total;) {
    const std::size_t length = std::min<std::size_t>(total - at, 65535);
    const auto size = static_cast<std::uint16_t>(length);
    data.push_back(at + length == total ? 1 : 0);
    for (const int value : {size & 255, size >> 8, ~size & 255, ~size >> 8 & 255}) {
      data.push_back(static_cast<std::uint8_t>(value));
    }
    for (const std::size_t end = at + length; at < end; ++at) {
      const std::size_t row = at / (row_bytes + 1), column = at % (row_bytes + 1);
      const std::uint8_t byte =
          column == 0 ? std::uint8_t{0} : picture.pixels[row * row_bytes + column - 1];
      data.push_back(byte);
      low = (low + byte) % 65521;
      high = (high + low) % 65521;
    }
  }
  put(data, high << 16 | low);
  chunk("IDAT", data);
  chunk("IEND", {});
  return file;
}

}  // namespace yolov12edge::apps
