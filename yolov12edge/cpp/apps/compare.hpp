// Whether what this device computes is what was recorded, within stated tolerances.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "yolov12edge/decode.hpp"
#include "yolov12edge/detection.hpp"
#include "yolov12edge/detector.hpp"
#include "yolov12edge/geometry.hpp"

namespace yolov12edge::apps {

// What differs, in words; nothing where it is equal.
using Difference = std::optional<std::string>;

// How far results may be from the recorded ones.
struct Tolerance {
  float score;    // of a class at an anchor
  float box;      // of centre, width and height, in input pixels
  float overlap;  // of two boxes' IoU, where it decides in NMS
};

// `same_runtime`: the recording was made by the runtime that runs here.
inline Tolerance tolerance_of(const std::string& precision, bool same_runtime) {
  if (precision == "int8") return {0.15F, 8.0F, 0.2F};
  if (precision == "fp16") return {0.05F, 2.0F, 0.1F};
  return same_runtime ? Tolerance{1e-4F, 0.01F, 0.01F} : Tolerance{0.01F, 1.0F, 0.05F};
}

template <typename... Values>
std::string formatted(const char* format, Values... values) {
  char text[256];
  std::snprintf(text, sizeof text, format, values...);
  return text;
}

// The best score at each anchor.
inline std::vector<float> best_scores(const OutputView& output) {
  std::vector<float> best(static_cast<std::size_t>(output.anchors), 0.0F);
  for (int id = 0; id < output.classes; ++id) {
    const float* scores = output.row(4 + id);
    for (std::size_t anchor = 0; anchor < best.size(); ++anchor) {
      best[anchor] = std::max(best[anchor], scores[anchor]);
    }
  }
  return best;
}

inline constexpr const char* kBoxRows[] = {"x", "y", "width", "height"};

// The anchors of one level.
struct Level {
  int stride, first, end;
};

// The levels of an output for images of this size; none where it has another number of anchors.
inline std::vector<Level> levels_of(const OutputView& output, int height, int width) {
  std::vector<Level> levels;
  int first = 0;
  for (const int stride : {8, 16, 32}) {
    const int end = first + (height / stride) * (width / stride);
    levels.push_back({stride, first, end});
    first = end;
  }
  if (first != output.anchors) levels.clear();
  return levels;
}

// Which levels anchors lie on, where it is not all of them: ", at stride 8 alone".
inline std::string levels_named(const std::vector<Level>& levels, const std::vector<int>& anchors) {
  std::string named;
  std::size_t count = 0;
  for (const Level& level : levels) {
    const auto here = [&](int anchor) { return level.first <= anchor && anchor < level.end; };
    if (std::none_of(anchors.begin(), anchors.end(), here)) continue;
    named += (count++ == 0 ? "" : " and ") + std::to_string(level.stride);
  }
  return count == 0 || count == levels.size() ? "" : ", at stride " + named + " alone";
}

// The first number of an output that is too far from the recorded one.
//
// Scores are compared at every anchor: an object that only this device sees is a difference. Boxes
// are compared at the anchors that either side calls an object and at the recording's best fifty;
// elsewhere, in the background, a box means little: see level_difference.
inline Difference tensor_difference(const OutputView& recorded, const OutputView& found,
                                    const Tolerance& tolerance, const std::vector<Level>& levels) {
  const std::vector<float> before = best_scores(recorded), here = best_scores(found);
  std::vector<float> ranked = before;
  const std::size_t rank = std::min<std::size_t>(ranked.size(), 50) - 1;
  std::nth_element(ranked.begin(), ranked.begin() + static_cast<std::ptrdiff_t>(rank), ranked.end(),
                   std::greater<>());
  const float object = DecodeOptions().confidence, least = std::min(ranked[rank], object);
  std::string first;
  std::vector<int> differing;
  bool boxes_alone = true;
  for (int anchor = 0; anchor < found.anchors; ++anchor) {
    const auto at = static_cast<std::size_t>(anchor);
    const auto differs = [&](int row, float limit) {
      const float value = found.row(row)[anchor], expected = recorded.row(row)[anchor];
      if (std::fabs(value - expected) <= limit) return false;
      differing.push_back(anchor);
      boxes_alone = boxes_alone && row < 4;
      if (differing.size() == 1) {
        first = row < 4 ? kBoxRows[row] : "score of class " + std::to_string(row - 4);
        first += formatted(" at anchor %d is %g, recorded %g", anchor, static_cast<double>(value),
                           static_cast<double>(expected));
      }
      return true;
    };
    bool different = false;
    for (int id = 0; id < found.classes && !different; ++id) {
      different = differs(4 + id, tolerance.score);
    }
    if (different || (before[at] < least && here[at] <= object)) continue;
    for (int row = 0; row < 4 && !different; ++row) {
      different = differs(row, tolerance.box);
    }
  }
  if (differing.empty()) return {};
  return first + formatted("; %zu of %d anchors differ", differing.size(), found.anchors) +
         (boxes_alone ? ", boxes alone" : "") + levels_named(levels, differing);
}

// A level whose boxes are off although nothing is recorded there: at more than a quarter of its
// best sixteen anchors, by more than four tolerances.
inline Difference level_difference(const OutputView& recorded, const OutputView& found,
                                   const Tolerance& tolerance, const std::vector<Level>& levels) {
  const std::vector<float> best = best_scores(recorded);
  for (const Level& level : levels) {
    std::vector<int> anchors;
    for (int anchor = level.first; anchor < level.end; ++anchor) anchors.push_back(anchor);
    const std::size_t kept = std::min<std::size_t>(anchors.size(), 16);
    std::partial_sort(anchors.begin(), anchors.begin() + static_cast<std::ptrdiff_t>(kept),
                      anchors.end(), [&](int a, int b) {
                        return best[static_cast<std::size_t>(a)] >
                               best[static_cast<std::size_t>(b)];
                      });
    anchors.resize(kept);
    const auto off = std::count_if(anchors.begin(), anchors.end(), [&](int anchor) {
      for (int row = 0; row < 4; ++row) {
        const float apart = found.row(row)[anchor] - recorded.row(row)[anchor];
        if (!(std::fabs(apart) <= 4 * tolerance.box)) return true;
      }
      return false;
    });
    if (4 * static_cast<std::size_t>(off) > kept) {
      return formatted("boxes at stride %d are off at %zu of its best %zu anchors", level.stride,
                       static_cast<std::size_t>(off), kept);
    }
  }
  return {};
}

inline float overlap(const Box& a, const Box& b) {
  const float width = std::min(a.right, b.right) - std::max(a.left, b.left);
  const float height = std::min(a.bottom, b.bottom) - std::max(a.top, b.top);
  if (width <= 0 || height <= 0) return 0.0F;
  const auto area = [](const Box& box) { return (box.right - box.left) * (box.bottom - box.top); };
  return width * height / (area(a) + area(b) - width * height);
}

// Compares detections one to one, both ways: none may be missing, extra or there twice.
//
// Two are partners if they are of one class, their scores are within the tolerance, and their boxes
// are too or overlap as much as boxes of which NMS keeps one. Without a partner may remain only
// what the tolerances themselves leave open:
// - a score within the tolerance of the threshold, or of the last rank where a list is full;
// - a box that NMS decides on by a hair: it overlaps one that has a partner by the IoU limit,
//   give or take the tolerance;
// - a class that wins by a hair: the recorded tensor gives both classes nearly the same score.
class DetectionComparison {
 public:
  // `recorded_output` and `placement` belong to the recorded detections, which are in image pixels.
  DetectionComparison(const Detections& recorded, const Detections& found,
                      const OutputView& recorded_output, const Placement& placement,
                      const Tolerance& tolerance)
      : recorded_(recorded),
        found_(found),
        output_(recorded_output),
        placement_(placement),
        tolerance_(tolerance),
        // Centre and half a side may both be off.
        reach_(1.5F * tolerance.box / static_cast<float>(placement.gain) + 1e-3F),
        partner_of_recorded_(recorded.size(), kNone),
        partner_of_found_(found.size(), kNone) {}

  Difference difference() {
    find_partners();
    std::vector<std::string> faults;
    for (std::size_t index = 0; index < found_.size(); ++index) {
      if (partner_of_found_[index] != kNone) continue;
      if (is_there_twice(index)) {
        faults.push_back(named(found_[index]) + " is there twice");
      } else if (!left_open(found_[index], recorded_, partner_of_recorded_)) {
        faults.push_back(named(found_[index]) + " is extra: nothing like it is recorded");
      }
    }
    for (std::size_t index = 0; index < recorded_.size(); ++index) {
      if (partner_of_recorded_[index] == kNone &&
          !left_open(recorded_[index], found_, partner_of_found_)) {
        faults.push_back(named(recorded_[index]) + " is missing");
      }
    }
    if (faults.empty()) return {};
    return faults.front() + formatted("; %zu differ, %zu found, %zu recorded", faults.size(),
                                      found_.size(), recorded_.size());
  }

  // Detections without a partner; the tolerances leave them open where there is no difference.
  std::size_t unmatched() const {
    const auto none = [](const std::vector<std::size_t>& partners) {
      return static_cast<std::size_t>(std::count(partners.begin(), partners.end(), kNone));
    };
    return none(partner_of_recorded_) + none(partner_of_found_);
  }

 private:
  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);

  // Best first, each takes the free one that it overlaps most.
  void find_partners() {
    for (std::size_t index = 0; index < found_.size(); ++index) {
      float most = -1.0F;
      for (std::size_t other = 0; other < recorded_.size(); ++other) {
        const float shared = overlap(found_[index].box, recorded_[other].box);
        if (partner_of_recorded_[other] != kNone || shared <= most ||
            found_[index].class_id != recorded_[other].class_id ||
            !close(found_[index].score, recorded_[other].score) ||
            !same_place(found_[index].box, recorded_[other].box)) {
          continue;
        }
        most = shared;
        partner_of_found_[index] = other;
      }
      if (partner_of_found_[index] != kNone) {
        partner_of_recorded_[partner_of_found_[index]] = index;
      }
    }
  }

  bool is_there_twice(std::size_t index) const {
    for (std::size_t other = 0; other < found_.size(); ++other) {
      if (other != index && found_[other].class_id == found_[index].class_id &&
          partner_of_found_[other] != kNone &&
          overlap(found_[other].box, found_[index].box) > options_.iou + tolerance_.overlap) {
        return true;
      }
    }
    return false;
  }

  // Whether less than the tolerances decided that `one` has no partner among `others`.
  bool left_open(const Detection& one, const Detections& others,
                 const std::vector<std::size_t>& partners) const {
    const bool full = others.size() >= static_cast<std::size_t>(options_.max_detections);
    const float least = full ? others.back().score : options_.confidence;
    if (one.score <= least + tolerance_.score) return true;
    for (std::size_t index = 0; index < others.size(); ++index) {
      const bool same_class = others[index].class_id == one.class_id;
      if (same_class ? partners[index] != kNone && may_suppress(others[index].box, one.box)
                     : nearly_tied(one, others[index])) {
        return true;
      }
    }
    return false;
  }

  // Whether two classes scored nearly the same in one place of the recording.
  bool nearly_tied(const Detection& one, const Detection& other) const {
    return close(one.score, other.score) && same_place(one.box, other.box) && recorded_as(one) &&
           recorded_as(other);
  }

  // Whether the recorded tensor gives this class such a score in this place.
  bool recorded_as(const Detection& one) const {
    const float* scores = output_.row(4 + one.class_id);
    for (int anchor = 0; anchor < output_.anchors; ++anchor) {
      const float x = output_.row(0)[anchor], half_width = output_.row(2)[anchor] / 2;
      const float y = output_.row(1)[anchor], half_height = output_.row(3)[anchor] / 2;
      if (scores[anchor] >= one.score - 2 * tolerance_.score &&
          same_place(placement_.to_image(
                         {x - half_width, y - half_height, x + half_width, y + half_height}),
                     one.box)) {
        return true;
      }
    }
    return false;
  }

  bool close(float a, float b) const { return std::fabs(a - b) <= tolerance_.score; }

  bool same_place(const Box& a, const Box& b) const {
    const auto near = [this](float x, float y) { return std::fabs(x - y) <= reach_; };
    return (near(a.left, b.left) && near(a.top, b.top) && near(a.right, b.right) &&
            near(a.bottom, b.bottom)) ||
           may_suppress(a, b);
  }

  bool may_suppress(const Box& a, const Box& b) const {
    return overlap(a, b) > options_.iou - tolerance_.overlap;
  }

  static std::string named(const Detection& detection) {
    return formatted("class %d with %.3f at %.1f,%.1f", detection.class_id,
                     static_cast<double>(detection.score), static_cast<double>(detection.box.left),
                     static_cast<double>(detection.box.top));
  }

  const Detections& recorded_;
  const Detections& found_;
  OutputView output_;
  Placement placement_;
  Tolerance tolerance_;
  DecodeOptions options_;
  float reach_;
  std::vector<std::size_t> partner_of_recorded_, partner_of_found_;
};

}  // namespace yolov12edge::apps
