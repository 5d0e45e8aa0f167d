// Proves on this device that the detector detects what Python detects.
//
// For each golden image four questions, in the order of the data: does the letterbox give the
// recorded pixels, the model the recorded tensor, the decoder the recorded detections, and all of
// it together the recorded detections? The first that fails says where a difference starts.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "arguments.hpp"
#include "image_file.hpp"
#include "yolov12edge/model_constants.hpp"
#include "yolov12edge/open.hpp"

namespace {

using namespace yolov12edge;

constexpr char kUsage[] =
    "usage: selftest [--bundle DIR] [--threads N] [--device N]\n"
    "exit code: 0 equal, 1 different, 10 and more: could not run\n";

// How far a tensor may be from the recorded one, at anchors that matter.
struct Tolerance {
  float score, box;
};

// `same_runtime`: the recording was made by the runtime that runs here.
Tolerance tolerance_of(const std::string& precision, bool same_runtime) {
  if (precision == "int8") return {0.15F, 8.0F};
  if (precision == "fp16") return {0.05F, 2.0F};
  return same_runtime ? Tolerance{1e-4F, 0.01F} : Tolerance{0.01F, 1.0F};
}

struct Golden {
  std::string name;
  apps::Picture picture;
  Bytes letterboxed;
  std::vector<float> output;
  Detections predicted, evaluated;
};

struct Goldens {
  std::string runtime;
  std::vector<Golden> images;
};

template <typename T>
Status read_values(const std::string& path, std::vector<T>& values) {
  const Result<Bytes> content = read_file(path);
  if (!content) return content.status();
  if (content->size() % sizeof(T) != 0) {
    return {StatusCode::invalid_argument, path + " is cut short"};
  }
  values.resize(content->size() / sizeof(T));
  if (!values.empty()) std::memcpy(values.data(), content->data(), content->size());
  return {};
}

Status read_golden(const std::string& folder, const std::string& name, Golden& golden) {
  golden.name = name;
  const std::string base = join_path(folder, name);
  Result<apps::Picture> picture = apps::read_picture(base + ".png");
  if (!picture) return picture.status();
  golden.picture = std::move(*picture);
  Status status = read_values(base + ".letterbox", golden.letterboxed);
  if (status.ok()) status = read_values(base + ".output", golden.output);
  if (status.ok()) status = read_values(base + ".predict", golden.predicted);
  if (status.ok()) status = read_values(base + ".evaluate", golden.evaluated);
  return status;
}

// golden.txt: the runtime that made the recording, then one name a line.
Result<Goldens> read_goldens(const std::string& folder) {
  const std::string path = join_path(folder, "golden.txt");
  const Result<Bytes> text = read_file(path, 1'000'000);
  if (!text) return text.status();
  Goldens goldens;
  for (auto start = text->begin(); start != text->end();) {
    const auto end = std::find(start, text->end(), '\n');
    const std::string line(start, end);
    start = end == text->end() ? end : end + 1;
    if (goldens.runtime.empty()) {
      goldens.runtime = line;
    } else if (!line.empty()) {
      goldens.images.emplace_back();
      if (Status status = read_golden(folder, line, goldens.images.back()); !status.ok()) {
        return status;
      }
    }
  }
  if (goldens.images.empty()) {
    return Status(StatusCode::invalid_argument, path + " names no image");
  }
  return goldens;
}

// Prints one line about the first difference; returns whether there was none.
class Report {
 public:
  explicit Report(std::string image) : image_(std::move(image)) {}

  template <typename... Values>
  bool differs(const char* stage, const char* format, Values... values) const {
    std::printf("%s: first difference in %s: ", image_.c_str(), stage);
    std::printf(format, values...);
    std::printf("\n");
    return false;
  }

  bool stopped(const char* stage, const Status& status) const {
    return differs(stage, "%s", status.message().c_str());
  }

 private:
  std::string image_;
};

bool letterbox_equal(const Golden& golden, const ModelInfo& info, const Report& report) {
  Letterbox letterbox(info.letterbox);
  const auto width = static_cast<std::size_t>(info.letterbox.width);
  Bytes found(3 * width * static_cast<std::size_t>(info.letterbox.height));
  if (found.size() != golden.letterboxed.size()) {
    return report.differs("preprocess", "the recording has %zu bytes, the input %zu",
                          golden.letterboxed.size(), found.size());
  }
  const Result<Placement> placed = letterbox.to_pixels(golden.picture.view(), found.data());
  if (!placed) return report.stopped("preprocess", placed.status());
  const auto first = std::mismatch(found.begin(), found.end(), golden.letterboxed.begin());
  if (first.first == found.end()) return true;
  const auto at = static_cast<std::size_t>(first.first - found.begin());
  return report.differs("preprocess", "row %zu, column %zu, channel %c: %d, recorded %d",
                        at / (3 * width), at / 3 % width, "RGB"[at % 3], *first.first,
                        *first.second);
}

// The recording's best score at each anchor.
std::vector<float> best_scores(const OutputView& recorded) {
  std::vector<float> best(static_cast<std::size_t>(recorded.anchors), 0.0F);
  for (int id = 0; id < recorded.classes; ++id) {
    const float* scores = recorded.row(4 + id);
    for (std::size_t anchor = 0; anchor < best.size(); ++anchor) {
      best[anchor] = std::max(best[anchor], scores[anchor]);
    }
  }
  return best;
}

// Anchors matter from this best score on: those that make detections, and always the best fifty.
float score_that_matters(std::vector<float> best) {
  const std::size_t rank = std::min<std::size_t>(best.size(), 50) - 1;
  std::nth_element(best.begin(), best.begin() + static_cast<std::ptrdiff_t>(rank), best.end(),
                   std::greater<>());
  return std::min(best[rank], DecodeOptions().confidence);
}

bool tensor_close(const Golden& golden, const OutputView& found, const Tolerance& tolerance,
                  const Report& report) {
  if (found.size() != golden.output.size()) {
    return report.differs("tensor", "the recording has %zu numbers, the output %zu",
                          golden.output.size(), found.size());
  }
  if (!all_finite(found.data, found.size())) {
    return report.differs("tensor", "%s", "the output holds NaN or infinity");
  }
  const OutputView recorded{golden.output.data(), found.classes, found.anchors};
  const std::vector<float> best = best_scores(recorded);
  const float least = score_that_matters(best);
  for (int anchor = 0; anchor < found.anchors; ++anchor) {
    if (best[static_cast<std::size_t>(anchor)] < least) continue;
    for (int row = 0; row < 4 + found.classes; ++row) {
      const float value = found.row(row)[anchor], expected = recorded.row(row)[anchor];
      if (std::fabs(value - expected) > (row < 4 ? tolerance.box : tolerance.score)) {
        return report.differs("tensor", "row %d, anchor %d: %g, recorded %g", row, anchor,
                              static_cast<double>(value), static_cast<double>(expected));
      }
    }
  }
  return true;
}

bool same(const Detection& a, const Detection& b) {
  const auto close = [](float x, float y) { return std::fabs(x - y) <= 1e-4F; };
  return a.class_id == b.class_id && a.score == b.score && close(a.box.left, b.box.left) &&
         close(a.box.top, b.box.top) && close(a.box.right, b.box.right) &&
         close(a.box.bottom, b.box.bottom);
}

bool decode_equal(const Golden& golden, const OutputView& shape, const ModelInfo& info,
                  const Report& report) {
  const OutputView recorded{golden.output.data(), shape.classes, shape.anchors};
  const Placement placement =
      place(info.letterbox, golden.picture.width, golden.picture.height);
  Decoder decoder;
  for (const bool evaluate : {false, true}) {
    DecodeOptions options;
    options.multi_label = evaluate;
    if (evaluate) options.confidence = 0.001F;
    Detections found = decoder(recorded, options);
    for (Detection& detection : found) detection.box = placement.to_image(detection.box);
    const Detections& expected = evaluate ? golden.evaluated : golden.predicted;
    const std::size_t common = std::min(found.size(), expected.size());
    for (std::size_t index = 0; index < common; ++index) {
      if (same(found[index], expected[index])) continue;
      return report.differs("decode", "detection %zu: class %d with %g, recorded class %d with %g",
                            index, found[index].class_id,
                            static_cast<double>(found[index].score), expected[index].class_id,
                            static_cast<double>(expected[index].score));
    }
    if (found.size() != expected.size()) {
      return report.differs("decode", "%zu detections, recorded %zu", found.size(),
                            expected.size());
    }
  }
  return true;
}

float overlap(const Box& a, const Box& b) {
  const float width = std::min(a.right, b.right) - std::max(a.left, b.left);
  const float height = std::min(a.bottom, b.bottom) - std::max(a.top, b.top);
  if (width <= 0 || height <= 0) return 0.0F;
  const auto area = [](const Box& box) { return (box.right - box.left) * (box.bottom - box.top); };
  return width * height / (area(a) + area(b) - width * height);
}

// Every recorded detection but those at the threshold has to be found again.
bool detections_match(const Golden& golden, const Detections& found, const Tolerance& tolerance,
                      const Report& report) {
  for (const Detection& expected : golden.predicted) {
    const bool at_threshold = expected.score <= DecodeOptions().confidence + tolerance.score;
    const auto again = std::find_if(found.begin(), found.end(), [&](const Detection& candidate) {
      return candidate.class_id == expected.class_id &&
             overlap(candidate.box, expected.box) >= 0.75F;
    });
    if (again == found.end() && !at_threshold) {
      return report.differs("detections", "class %d with %g at %.1f,%.1f is not found",
                            expected.class_id, static_cast<double>(expected.score),
                            static_cast<double>(expected.box.left),
                            static_cast<double>(expected.box.top));
    }
  }
  return true;
}

bool check(const Golden& golden, Detector& detector, const Tolerance& tolerance) {
  const Report report(golden.name);
  const ModelInfo& info = detector.info();
  if (!letterbox_equal(golden, info, report)) return false;
  // What is fed is the recording, so that a difference is the model's own.
  float* input = detector.backend().input();
  const std::size_t plane = golden.letterboxed.size() / 3;
  for (std::size_t pixel = 0; pixel < plane; ++pixel) {
    for (std::size_t channel = 0; channel < 3; ++channel) {
      const auto value = static_cast<float>(golden.letterboxed[3 * pixel + channel]);
      input[channel * plane + pixel] = value / 255.0F;
    }
  }
  if (Status status = detector.backend().infer(1); !status.ok()) {
    return report.stopped("tensor", status);
  }
  const OutputView output = detector.output(0);
  if (!tensor_close(golden, output, tolerance, report)) return false;
  if (!decode_equal(golden, output, info, report)) return false;
  const Result<Detections> found = detector.detect(golden.picture.view());
  if (!found) return report.stopped("detect", found.status());
  if (!detections_match(golden, *found, tolerance, report)) return false;
  std::printf("%s: equal, %zu detections\n", golden.name.c_str(), found->size());
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  const apps::Arguments arguments(argc, argv, kUsage, {"--bundle", "--threads", "--device"});
  if (!arguments.rest().empty()) arguments.stop(2);
  BackendOptions options;
  options.threads = static_cast<int>(arguments.number("--threads", 0));
  options.device = static_cast<int>(arguments.number("--device", 0));
  const std::string bundle = apps::bundle_folder(arguments);
  const Result<Goldens> goldens = read_goldens(join_path(bundle, "golden"));
  if (!goldens) return apps::fail(goldens.status());
  Result<Detector> detector = open_detector(join_path(bundle, "model"), model_info(), options);
  if (!detector) return apps::fail(detector.status());
  std::printf("%s, recorded with %s\n", detector->backend().description().c_str(),
              goldens->runtime.c_str());
  const bool same_runtime = goldens->runtime == YOLOV12EDGE_BACKEND_NAME;
  const Tolerance tolerance = tolerance_of(detector->info().precision, same_runtime);
  int failed = 0;
  for (const Golden& golden : goldens->images) {
    if (!check(golden, *detector, tolerance)) ++failed;
  }
  std::printf("%s: %zu of %zu images equal\n", failed == 0 ? "PASSED" : "FAILED",
              goldens->images.size() - static_cast<std::size_t>(failed), goldens->images.size());
  return failed == 0 ? 0 : 1;
}
