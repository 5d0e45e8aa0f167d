// Pictures in, annotated PNGs and one JSON document out.

#include <cstddef>
#include <cstdio>
#include <string>
#include <vector>

#include "arguments.hpp"
#include "draw.hpp"
#include "image_file.hpp"
#include "png.hpp"
#include "yolov12edge/model_constants.hpp"
#include "yolov12edge/open.hpp"

namespace {

using namespace yolov12edge;

constexpr char kUsage[] =
    "usage: detect [options] PICTURE...\n"
    "  --out DIR         write annotated PNGs here\n"
    "  --confidence F    least score (0.25)\n"
    "  --iou F           overlap above which the lower score goes (0.7)\n"
    "  --evaluate        score 0.001 and every class of a box, as an evaluation wants\n"
    "  --threads N       CPU threads\n"
    "  --device N        number of the GPU\n"
    "  --bundle DIR      the folder that holds model/\n";

// The detections of one picture as a JSON object.
std::string describe(const std::string& file, const Detections& found, const ModelInfo& info) {
  std::string json = "\n    {\"file\": " + apps::json_text(file) + ", \"detections\": [";
  for (std::size_t index = 0; index < found.size(); ++index) {
    const auto& [box, score, class_id] = found[index];
    const std::string& name = info.class_names[static_cast<std::size_t>(class_id)];
    char numbers[160];
    std::snprintf(numbers, sizeof numbers,
                  "\"class\": %d, \"score\": %.9g, \"box\": [%.9g, %.9g, %.9g, %.9g]", class_id,
                  static_cast<double>(score), static_cast<double>(box.left),
                  static_cast<double>(box.top), static_cast<double>(box.right),
                  static_cast<double>(box.bottom));
    json += index == 0 ? "\n      {" : ",\n      {";
    json += "\"name\": " + apps::json_text(name) + ", " + numbers + "}";
  }
  return json + "\n    ]}";
}

Status write_annotated(apps::Picture picture, const Detections& found, const ModelInfo& info,
                       const std::string& path) {
  for (auto detection = found.rbegin(); detection != found.rend(); ++detection) {
    apps::draw(picture, *detection,
               info.class_names[static_cast<std::size_t>(detection->class_id)]);
  }
  const Bytes png = apps::encode_png(picture);
  if (png.empty()) return {StatusCode::out_of_memory, "not enough memory to write " + path};
  std::FILE* file = std::fopen(path.c_str(), "wb");
  bool written = file != nullptr && std::fwrite(png.data(), 1, png.size(), file) == png.size();
  if (file != nullptr) written = std::fclose(file) == 0 && written;
  if (written) return {};
  return {StatusCode::file_not_found, "cannot write " + path};
}

// "a/b.c.jpg" to "b.c.png".
std::string png_name(const std::string& path) {
  const std::string name = path.substr(path.find_last_of('/') + 1);
  return name.substr(0, name.find_last_of('.')) + ".png";
}

}  // namespace

int main(int argc, char** argv) {
  const apps::Arguments arguments(
      argc, argv, kUsage, {"--out", "--confidence", "--iou", "--threads", "--device", "--bundle"},
      {"--evaluate"});
  if (arguments.rest().empty()) arguments.stop(2);
  BackendOptions backend;
  backend.threads = static_cast<int>(arguments.number("--threads", 0));
  backend.device = static_cast<int>(arguments.number("--device", 0));
  DecodeOptions decode;
  decode.multi_label = arguments.has("--evaluate");
  const double confidence = arguments.number("--confidence", decode.multi_label ? 0.001 : 0.25);
  decode.confidence = static_cast<float>(confidence);
  decode.iou = static_cast<float>(arguments.number("--iou", 0.7));

  Result<Detector> detector =
      open_detector(join_path(apps::bundle_folder(arguments), "model"), model_info(), backend);
  if (!detector) return apps::fail(detector.status());
  std::string pictures;
  for (const std::string& path : arguments.rest()) {
    const Result<apps::Picture> picture = apps::read_picture(path);
    if (!picture) return apps::fail(picture.status());
    const Result<Detections> found = detector->detect(picture->view(), decode);
    if (!found) return apps::fail(found.status());
    pictures += (pictures.empty() ? "" : ",") + describe(path, *found, detector->info());
    if (arguments.has("--out")) {
      const std::string target = join_path(arguments.text("--out", ""), png_name(path));
      const Status status = write_annotated(*picture, *found, detector->info(), target);
      if (!status.ok()) return apps::fail(status);
    }
  }
  std::printf("{\n  \"schema_version\": 1,\n  \"runtime\": %s,\n  \"pictures\": [%s\n  ]\n}\n",
              apps::json_text(detector->backend().description()).c_str(), pictures.c_str());
  return 0;
}
