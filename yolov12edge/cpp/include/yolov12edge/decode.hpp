// From the detector's output to detections: candidates, best first, without overlapping ones.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "yolov12edge/detail/rounded.hpp"
#include "yolov12edge/detection.hpp"

namespace yolov12edge {

// One image's output: rows cx, cy, w, h in input pixels, then a row of scores for each class.
struct OutputView {
  const float* data = nullptr;
  int classes = 0;
  int anchors = 0;

  const float* row(int index) const noexcept {
    return data + static_cast<std::ptrdiff_t>(index) * anchors;
  }
  std::size_t size() const noexcept {
    return (static_cast<std::size_t>(classes) + 4) * static_cast<std::size_t>(anchors);
  }
};

// Whether there is no NaN and no infinity among `count` floats.
inline bool all_finite(const float* values, std::size_t count) noexcept {
  constexpr std::uint32_t kExponent = 0x7F800000;
  std::uint32_t bad = 0;
  for (std::size_t index = 0; index < count; ++index) {
    std::uint32_t bits = 0;
    std::memcpy(&bits, values + index, sizeof bits);
    bad |= static_cast<std::uint32_t>((bits & kExponent) == kExponent);
  }
  return bad == 0;
}

// Non-maximum suppression as YOLOv12's published evaluation does it, in float32 and in the order
// of the Python package: the same boxes, scores and order, bit by bit. Keeps its buffers between
// calls; one instance a thread.
class Decoder {
 public:
  // Detections in input pixels, best first; boxes may reach beyond the input.
  const std::vector<Detection>& operator()(const OutputView& output, const DecodeOptions& options) {
    candidates_.clear();
    if (options.multi_label) {
      collect_all(output, options.confidence);
    } else {
      collect_best(output, options.confidence);
    }
    keep_best_candidates();
    suppress(output, options);
    return kept_;
  }

 private:
  static constexpr std::size_t kMaxCandidates = 30000;
  // Boxes of different classes are moved this far apart, so that one pass serves all classes.
  static constexpr float kClassOffset = 7680.0F;
  static constexpr int kBlock = 256;

  struct Candidate {
    float score;
    std::int32_t anchor;
    std::int32_t class_id;
  };

  // A kept box, moved by its class.
  struct Kept {
    Box box;
    float area;
  };

  static bool finite_box(const OutputView& output, int anchor) noexcept {
    for (int row = 0; row < 4; ++row) {
      if (!std::isfinite(output.row(row)[anchor])) return false;
    }
    return true;
  }

  void collect_all(const OutputView& output, float confidence) {
    for (int anchor = 0; anchor < output.anchors; ++anchor) {
      for (int id = 0; id < output.classes; ++id) {
        const float score = output.row(4 + id)[anchor];
        if (score > confidence && finite_box(output, anchor)) {
          candidates_.push_back({score, anchor, id});
        }
      }
    }
  }

  // The first of the highest scores decides; an anchor with a NaN among its scores has none.
  void collect_best(const OutputView& output, float confidence) {
    std::array<float, kBlock> best;
    for (int start = 0; start < output.anchors; start += kBlock) {
      const int count = std::min(kBlock, output.anchors - start);
      std::copy_n(output.row(4) + start, count, best.begin());
      for (int id = 1; id < output.classes; ++id) {
        const float* scores = output.row(4 + id) + start;
        for (std::size_t index = 0; index < static_cast<std::size_t>(count); ++index) {
          // Not (score <= best): a NaN replaces what is there, and nothing replaces a NaN.
          best[index] = scores[index] <= best[index] || best[index] != best[index] ? best[index]
                                                                                   : scores[index];
        }
      }
      for (int index = 0; index < count; ++index) {
        if (best[static_cast<std::size_t>(index)] > confidence) {
          add_best(output, start + index, best[static_cast<std::size_t>(index)]);
        }
      }
    }
  }

  void add_best(const OutputView& output, int anchor, float best) {
    if (!finite_box(output, anchor)) return;
    int id = 0;
    while (output.row(4 + id)[anchor] != best) ++id;
    candidates_.push_back({best, anchor, id});
  }

  // Sort by score; equal scores stay in the order of anchors, then classes.
  void keep_best_candidates() {
    const auto before = [](const Candidate& a, const Candidate& b) {
      if (a.score != b.score) return a.score > b.score;
      return a.anchor != b.anchor ? a.anchor < b.anchor : a.class_id < b.class_id;
    };
    if (candidates_.size() > kMaxCandidates) {
      const auto last = candidates_.begin() + static_cast<std::ptrdiff_t>(kMaxCandidates);
      std::nth_element(candidates_.begin(), last, candidates_.end(), before);
      candidates_.resize(kMaxCandidates);
    }
    std::sort(candidates_.begin(), candidates_.end(), before);
  }

  void suppress(const OutputView& output, const DecodeOptions& options) {
    kept_.clear();
    moved_.clear();
    const auto limit = static_cast<std::size_t>(std::max(options.max_detections, 0));
    for (const Candidate& candidate : candidates_) {
      if (kept_.size() >= limit) return;
      const Box box = corners(output, candidate.anchor);
      const Kept moved = move(box, candidate.class_id);
      if (!overlaps_kept(moved, options.iou)) {
        kept_.push_back({box, candidate.score, candidate.class_id});
        moved_.push_back(moved);
      }
    }
  }

  static Box corners(const OutputView& output, int anchor) noexcept {
    const float x = output.row(0)[anchor], half_width = output.row(2)[anchor] / 2;
    const float y = output.row(1)[anchor], half_height = output.row(3)[anchor] / 2;
    return {x - half_width, y - half_height, x + half_width, y + half_height};
  }

  static Kept move(const Box& box, int class_id) noexcept {
    const float offset = detail::rounded(static_cast<float>(class_id) * kClassOffset);
    const Box moved{box.left + offset, box.top + offset, box.right + offset, box.bottom + offset};
    return {moved, detail::rounded((moved.right - moved.left) * (moved.bottom - moved.top))};
  }

  bool overlaps_kept(const Kept& candidate, float iou) const noexcept {
    const Box& a = candidate.box;
    for (const Kept& kept : moved_) {
      const Box& b = kept.box;
      const bool near =
          a.left < b.right && a.right > b.left && a.top < b.bottom && a.bottom > b.top;
      if (!near) continue;
      const float width = std::min(a.right, b.right) - std::max(a.left, b.left);
      const float height = std::min(a.bottom, b.bottom) - std::max(a.top, b.top);
      const float overlap = detail::rounded(width * height);
      if (overlap / (kept.area + candidate.area - overlap) > iou) return true;
    }
    return false;
  }

  std::vector<Candidate> candidates_;
  std::vector<Kept> moved_;
  std::vector<Detection> kept_;
};

}  // namespace yolov12edge
