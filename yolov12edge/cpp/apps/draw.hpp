// Boxes and labels on a picture.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>

#include "font.hpp"
#include "picture.hpp"
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
      const std::size_t pixel =
          static_cast<std::size_t>(y) * static_cast<std::size_t>(picture.width) +
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

}  // namespace yolov12edge::apps
