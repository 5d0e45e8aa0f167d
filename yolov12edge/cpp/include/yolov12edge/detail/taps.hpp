// Fixed-point bilinear interpolation: which source pixels, and how much of each.
//
// The arithmetic is that of OpenCV's INTER_LINEAR on 8-bit images: weights of 11 bits, a
// horizontal pass that keeps 15 bits, a vertical pass that rounds at the end. On x86-64 the
// results equal OpenCV's; its ARM kernels may differ from them by one grey level.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "yolov12edge/detail/rounded.hpp"

namespace yolov12edge::detail {

inline constexpr int kWeightOne = 2048;

// One output row or column is source[first] * weight_first + source[second] * weight_second.
struct Tap {
  std::int32_t first;
  std::int32_t second;
  std::int16_t weight_first;
  std::int16_t weight_second;
};

// Whether the weights of taps beyond the edge are those of the edge pixel alone (columns) or are
// kept, with the edge pixel on both sides (rows). The results differ by a truncation.
enum class Edge { collapse, keep };

inline std::vector<Tap> linear_taps(int source, int target, Edge edge) {
  const double scale = 1.0 / (static_cast<double>(target) / source);
  std::vector<Tap> taps(static_cast<std::size_t>(target));
  for (int index = 0; index < target; ++index) {
    const auto position = static_cast<float>(rounded((index + 0.5) * scale) - 0.5);
    auto first = static_cast<int>(std::floor(position));
    float share = position - static_cast<float>(first);
    if (edge == Edge::collapse && (first < 0 || first >= source - 1)) share = 0.0F;
    Tap& tap = taps[static_cast<std::size_t>(index)];
    tap.first = std::clamp(first, 0, source - 1);
    tap.second = std::clamp(first + 1, 0, source - 1);
    tap.weight_first = static_cast<std::int16_t>(std::lrintf((1.0F - share) * kWeightOne));
    tap.weight_second = static_cast<std::int16_t>(std::lrintf(share * kWeightOne));
  }
  return taps;
}

}  // namespace yolov12edge::detail
