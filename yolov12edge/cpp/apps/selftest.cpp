// Proves on this device that the detector detects what Python detects.
//
// For each golden image four questions, in the order of the data: does the letterbox give the
// recorded pixels, the model the recorded tensor, the decoder the recorded detections, and all of
// it together the recorded detections, none missing and none extra? The first that fails says
// where a difference starts. A fifth for all of them: are they the same in the largest batch?

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "arguments.hpp"
#include "compare.hpp"
#include "image_file.hpp"
#include "yolov12edge/model_constants.hpp"
#include "yolov12edge/open.hpp"

namespace {

using namespace yolov12edge;

constexpr char kUsage[] =
    "usage: selftest [--bundle DIR] [--threads N] [--device N]\n"
    "exit code: 0 equal, 1 different, 10 and more: could not run\n";

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

// Judges the tensor of the detector's last inference.
bool tensor_close(const Golden& golden, const OutputView& found, const ModelInfo& info,
                  const apps::Tolerance& tolerance, const char* stage, const Report& report) {
  if (found.size() != golden.output.size()) {
    return report.differs(stage, "the recording has %zu numbers, the output %zu",
                          golden.output.size(), found.size());
  }
  if (!all_finite(found.data, found.size())) {
    return report.differs(stage, "%s", "the output holds NaN or infinity");
  }
  const OutputView recorded{golden.output.data(), found.classes, found.anchors};
  const auto levels = apps::levels_of(found, info.letterbox.height, info.letterbox.width);
  apps::Difference difference = apps::tensor_difference(recorded, found, tolerance, levels);
  if (!difference) difference = apps::level_difference(recorded, found, tolerance, levels);
  return !difference || report.differs(stage, "%s", difference->c_str());
}

// What this device's decoder makes of a tensor, in image pixels.
Detections decoded(const OutputView& output, const DecodeOptions& options,
                   const Placement& placement) {
  Decoder decoder;
  Detections found = decoder(output, options);
  for (Detection& detection : found) detection.box = placement.to_image(detection.box);
  return found;
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
  const Placement placement = place(info.letterbox, golden.picture.width, golden.picture.height);
  for (const bool evaluate : {false, true}) {
    DecodeOptions options;
    options.multi_label = evaluate;
    if (evaluate) options.confidence = 0.001F;
    const Detections found = decoded(recorded, options, placement);
    const Detections& expected = evaluate ? golden.evaluated : golden.predicted;
    const std::size_t common = std::min(found.size(), expected.size());
    for (std::size_t index = 0; index < common; ++index) {
      if (same(found[index], expected[index])) continue;
      return report.differs("decode", "detection %zu: class %d with %g, recorded class %d with %g",
                            index, found[index].class_id, static_cast<double>(found[index].score),
                            expected[index].class_id, static_cast<double>(expected[index].score));
    }
    if (found.size() != expected.size()) {
      return report.differs("decode", "%zu detections, recorded %zu", found.size(),
                            expected.size());
    }
  }
  return true;
}

// Detects the picture as an application does. The detections have to be the recorded ones; and
// they have to follow from a tensor that is, so that tolerances hide nothing.
bool detections_equal(const Golden& golden, Detector& detector, const apps::Tolerance& tolerance,
                      const Report& report) {
  const Result<Detections> found = detector.detect(golden.picture.view());
  if (!found) return report.stopped("detections", found.status());
  const OutputView output = detector.output(0);
  const OutputView recorded{golden.output.data(), output.classes, output.anchors};
  const Placement placement =
      place(detector.info().letterbox, golden.picture.width, golden.picture.height);
  apps::DetectionComparison comparison(golden.predicted, *found, recorded, placement, tolerance);
  if (const apps::Difference difference = comparison.difference()) {
    return report.differs("detections", "%s", difference->c_str());
  }
  if (!tensor_close(golden, output, detector.info(), tolerance, "detections", report)) return false;
  const Detections again = decoded(output, DecodeOptions(), placement);
  if (!std::equal(found->begin(), found->end(), again.begin(), again.end(), same)) {
    return report.differs("detections", "%s", "they do not follow from the model's output");
  }
  std::printf("%s: equal, %zu detections", golden.name.c_str(), found->size());
  if (comparison.unmatched() > 0) {
    std::printf(", %zu more or less at a threshold", comparison.unmatched());
  }
  std::printf("\n");
  return true;
}

// The recorded pixels as the model takes them.
void feed(const Golden& golden, float* input) {
  const std::size_t plane = golden.letterboxed.size() / 3;
  for (std::size_t pixel = 0; pixel < plane; ++pixel) {
    for (std::size_t channel = 0; channel < 3; ++channel) {
      const auto value = static_cast<float>(golden.letterboxed[3 * pixel + channel]);
      input[channel * plane + pixel] = value / 255.0F;
    }
  }
}

bool check(const Golden& golden, Detector& detector, const apps::Tolerance& tolerance) {
  const Report report(golden.name);
  const ModelInfo& info = detector.info();
  if (!letterbox_equal(golden, info, report)) return false;
  // What is fed is the recording, so that a difference is the model's own.
  feed(golden, detector.backend().input());
  if (Status status = detector.backend().infer(1); !status.ok()) {
    return report.stopped("tensor", status);
  }
  const OutputView output = detector.output(0);
  return tensor_close(golden, output, info, tolerance, "tensor", report) &&
         decode_equal(golden, output, info, report) &&
         detections_equal(golden, detector, tolerance, report);
}

// Images for the fifth question: TensorRT takes the number down to its profile's largest.
int many() { return std::strncmp(YOLOV12EDGE_BACKEND_NAME, "tensorrt", 8) == 0 ? 1 << 20 : 4; }

// Whether full batches, with the images in another order, give what each gives alone.
bool batch_equal(const Goldens& goldens, Detector& detector, const apps::Tolerance& tolerance) {
  const int batch = detector.backend().max_batch(), count = static_cast<int>(goldens.images.size());
  if (batch == 1) return true;
  const auto golden_at = [&](int place) -> const Golden& {
    return goldens.images[static_cast<std::size_t>(count - 1 - place % count)];
  };
  for (int start = 0; start < count; start += batch) {
    for (int place = 0; place < batch; ++place) {
      const Golden& golden = golden_at(start + place);
      const auto offset = golden.letterboxed.size() * static_cast<std::size_t>(place);
      feed(golden, detector.backend().input() + offset);
    }
    const Report whole("batch of " + std::to_string(batch));
    if (Status status = detector.backend().infer(batch); !status.ok()) {
      return whole.stopped("batch", status);
    }
    for (int place = 0; place < batch; ++place) {
      const Golden& golden = golden_at(start + place);
      const Report report(golden.name + " in place " + std::to_string(place) + " of a batch of " +
                          std::to_string(batch));
      const OutputView output = detector.output(static_cast<std::size_t>(place));
      if (!tensor_close(golden, output, detector.info(), tolerance, "batch", report)) return false;
    }
  }
  std::printf("batch of %d: equal\n", batch);
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
  const bool same_runtime = goldens->runtime == YOLOV12EDGE_BACKEND_NAME;
  apps::Tolerance tolerance{};
  int failed = 0;
  {
    Result<Detector> detector = open_detector(join_path(bundle, "model"), model_info(), options);
    if (!detector) return apps::fail(detector.status());
    std::printf("%s, recorded with %s\n", detector->backend().description().c_str(),
                goldens->runtime.c_str());
    tolerance = apps::tolerance_of(detector->info().precision, same_runtime);
    for (const Golden& golden : goldens->images) {
      if (!check(golden, *detector, tolerance)) ++failed;
    }
  }
  bool together = true;
  if (failed == 0) {
    // A device with little memory holds one of the two at a time.
    options.batch = many();
    Result<Detector> detector = open_detector(join_path(bundle, "model"), model_info(), options);
    if (!detector) return apps::fail(detector.status());
    together = batch_equal(*goldens, *detector, tolerance);
  }
  std::printf("%s: %zu of %zu images equal%s\n", failed == 0 && together ? "PASSED" : "FAILED",
              goldens->images.size() - static_cast<std::size_t>(failed), goldens->images.size(),
              together ? "" : " alone, not in a batch");
  return failed == 0 && together ? 0 : 1;
}
