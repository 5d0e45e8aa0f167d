// What the detector finds on a list of pictures, at the settings that evaluations count with: one
// JSON document a line, for `yolov12edge deploy` to judge on another machine.
//
// Lines are written as they are found. Started again on the same file, the program goes on after
// the last whole line; a file of another runtime is begun anew.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "arguments.hpp"
#include "image_file.hpp"
#include "yolov12edge/model_constants.hpp"
#include "yolov12edge/open.hpp"

namespace {

using namespace yolov12edge;

constexpr char kUsage[] =
    "usage: evaluate --list FILE --out FILE [options]\n"
    "  --list FILE       pictures, a line each, relative to the folder of FILE\n"
    "  --out FILE        detections, a JSON document a line; goes on where it ends\n"
    "  --threads N       CPU threads\n"
    "  --device N        number of the GPU\n"
    "  --bundle DIR      the folder that holds model/\n";

struct Close {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, Close>;

std::vector<std::string> lines_of(const Bytes& text) {
  std::vector<std::string> lines;
  std::string line;
  for (const std::uint8_t byte : text) {
    if (byte == '\n') {
      lines.push_back(line);
      line.clear();
    } else {
      line += static_cast<char>(byte);
    }
  }
  return lines;
}

std::string folder_of(const std::string& path) {
  const std::size_t slash = path.find_last_of('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

// From input pixels to image pixels. Not clipped: a box that reaches beyond the image would lose
// its area, and with it the detection that it is compared with.
Box unclipped(const Box& box, const Placement& placement) {
  const auto gain = static_cast<float>(placement.gain);
  const auto left = static_cast<float>(placement.left), top = static_cast<float>(placement.top);
  return {(box.left - left) / gain, (box.top - top) / gain, (box.right - left) / gain,
          (box.bottom - top) / gain};
}

std::string describe(const Detections& found, const Placement& placement) {
  std::string json;
  for (const Detection& detection : found) {
    const Box box = unclipped(detection.box, placement);
    char numbers[160];
    std::snprintf(numbers, sizeof numbers, "%s[%d, %.9g, %.9g, %.9g, %.9g, %.9g]",
                  json.empty() ? "" : ", ", detection.class_id,
                  static_cast<double>(detection.score), static_cast<double>(box.left),
                  static_cast<double>(box.top), static_cast<double>(box.right),
                  static_cast<double>(box.bottom));
    json += numbers;
  }
  return json;
}

class Evaluation {
 public:
  explicit Evaluation(Detector& detector)
      : detector_(detector), letterbox_(detector.info().letterbox) {
    options_.confidence = 0.001F;
    options_.multi_label = true;
  }

  // The line about one picture.
  Result<std::string> operator()(const std::string& folder, const std::string& name) {
    const Result<apps::Picture> picture = apps::read_picture(join_path(folder, name));
    if (!picture) return picture.status();
    const Result<Placement> placement =
        letterbox_.to_tensor(picture->view(), detector_.backend().input());
    if (!placement) return placement.status();
    if (Status status = detector_.backend().infer(1); !status.ok()) return status;
    const OutputView output = detector_.output(0);
    const std::string head = "{\"picture\": " + apps::json_text(name) + ", \"size\": [" +
                             std::to_string(placement->width) + ", " +
                             std::to_string(placement->height) + "], ";
    if (!all_finite(output.data, output.size())) return head + "\"finite\": false}\n";
    return head + "\"detections\": [" + describe(decoder_(output, options_), *placement) + "]}\n";
  }

 private:
  Detector& detector_;
  Letterbox letterbox_;
  Decoder decoder_;
  DecodeOptions options_;
};

// Opens the file to go on with: how many pictures it tells of already is left in `done`.
File open_output(const std::string& path, const std::string& head, std::size_t& done) {
  done = 0;
  if (const Result<Bytes> before = read_file(path, 200'000'000); before) {
    const std::vector<std::string> lines = lines_of(*before);
    if (!lines.empty() && lines.front() + '\n' == head) {
      File file(std::fopen(path.c_str(), "wb"));
      if (!file) return file;
      for (const std::string& line : lines) {
        if (std::fprintf(file.get(), "%s\n", line.c_str()) < 0) return nullptr;
      }
      done = lines.size() - 1;
      return file;
    }
  }
  File file(std::fopen(path.c_str(), "wb"));
  if (file && std::fputs(head.c_str(), file.get()) < 0) return nullptr;
  return file;
}

int evaluate(Detector& detector, const std::string& list, const std::string& out) {
  const Result<Bytes> text = read_file(list, 16'000'000);
  if (!text) return apps::fail(text.status());
  const std::vector<std::string> names = lines_of(*text);
  const std::string head =
      "{\"schema_version\": 1, \"runtime\": " + apps::json_text(detector.backend().description()) +
      "}\n";
  std::size_t done = 0;
  File file = open_output(out, head, done);
  Evaluation evaluation(detector);
  for (std::size_t index = done; file && index < names.size(); ++index) {
    const Result<std::string> line = evaluation(folder_of(list), names[index]);
    if (!line) return apps::fail(line.status());
    if (std::fputs(line->c_str(), file.get()) < 0 || std::fflush(file.get()) != 0) {
      file.reset();
      break;
    }
    std::printf("%zu of %zu\n", index + 1, names.size());
    std::fflush(stdout);
  }
  if (file && std::fclose(file.release()) == 0) return 0;
  return apps::fail({StatusCode::file_not_found, "cannot write " + out + ": is the disk full?"});
}

}  // namespace

int main(int argc, char** argv) {
  const apps::Arguments arguments(argc, argv, kUsage,
                                  {"--list", "--out", "--threads", "--device", "--bundle"});
  if (!arguments.rest().empty() || !arguments.has("--list") || !arguments.has("--out")) {
    arguments.stop(2);
  }
  BackendOptions options;
  options.threads = static_cast<int>(arguments.number("--threads", 0));
  options.device = static_cast<int>(arguments.number("--device", 0));
  Result<Detector> detector =
      open_detector(join_path(apps::bundle_folder(arguments), "model"), model_info(), options);
  if (!detector) return apps::fail(detector.status());
  return evaluate(*detector, arguments.text("--list", ""), arguments.text("--out", ""));
}
