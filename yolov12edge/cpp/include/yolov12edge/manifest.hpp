// Optional: read manifest.json at run time instead of compiling model_constants.hpp in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "yolov12edge/detail/json.hpp"
#include "yolov12edge/image.hpp"
#include "yolov12edge/model_file.hpp"
#include "yolov12edge/model_info.hpp"
#include "yolov12edge/status.hpp"

namespace yolov12edge {

namespace detail {

// Reads members and remembers the first that is missing or of another kind.
class ManifestFields {
 public:
  std::string problem;

  int integer(const Json& value, const char* name, int low, int high) {
    const auto number = value.integer();
    if (number && *number >= low && *number <= high) return static_cast<int>(*number);
    return complain(name), low;
  }

  std::string text(const Json& value, const char* name) {
    if (value.kind == Json::Kind::string) return value.text;
    return complain(name), std::string();
  }

  bool truth(const Json& value, const char* name) {
    if (value.kind != Json::Kind::boolean) complain(name);
    return value.truth;
  }

  // A file of the same folder, never a path that leads elsewhere.
  ModelFile file(const std::string& name, const Json& digests) {
    if (name.empty() || name.find_first_of("/\\") != std::string::npos || name == "..") {
      complain("a file name");
    }
    const Json& digest = digests[name];
    return {name, digest.kind == Json::Kind::string ? digest.text : "", 0};
  }

  void complain(const char* name) {
    if (problem.empty()) problem = name;
  }
};

inline PlanOrigin read_origin(ManifestFields& fields, const Json& engine) {
  PlanOrigin origin;
  origin.backend = fields.text(engine["backend"], "engine.backend");
  origin.version = fields.text(engine["version"], "engine.version");
  for (const Json& sm : engine["sm"].items) {
    origin.compute_capabilities.push_back(fields.integer(sm, "engine.sm", 1, 9999));
  }
  origin.version_compatible = engine["version_compatible"].truth;
  const Json &hardware = engine["hardware_compatibility"], &platform = engine["platform"];
  if (hardware.kind == Json::Kind::string) origin.hardware_compatibility = hardware.text;
  if (platform.kind == Json::Kind::string) origin.platform = platform.text;
  return origin;
}

}  // namespace detail

// The description that a manifest's text gives; model_damaged where it is not a manifest.
inline Result<ModelInfo> parse_manifest(std::string_view text) {
  using detail::Json;
  const auto damaged = [](const std::string& why) {
    return Status(StatusCode::model_damaged, "manifest.json: " + why);
  };
  const std::optional<Json> document = detail::JsonReader(text).read();
  if (!document) return damaged("not a JSON document");
  const Json& root = *document;
  if (root["schema_version"].integer() != 1) return damaged("schema_version is not 1");

  detail::ManifestFields fields;
  ModelInfo info;
  const Json &model = root["model"], &input = root["input"], &digests = root["files"];
  info.name = "yolov12" + fields.text(model["scale"], "model.scale");
  info.precision = fields.text(root["precision"]["name"], "precision.name");
  for (const Json& name : model["names"].items) {
    info.class_names.push_back(fields.text(name, "model.names"));
  }
  if (info.class_names.empty()) fields.complain("model.names");
  const auto& size = model["imgsz"].items;
  if (size.size() == 2) {
    info.letterbox.height = fields.integer(size[0], "model.imgsz", 1, kMaxSide);
    info.letterbox.width = fields.integer(size[1], "model.imgsz", 1, kMaxSide);
  } else {
    fields.complain("model.imgsz");
  }
  const Json& letterbox = input["letterbox"];
  const int pad = fields.integer(letterbox["pad_value"], "input.letterbox.pad_value", 0, 255);
  info.letterbox.pad_value = static_cast<std::uint8_t>(pad);
  info.letterbox.center = fields.truth(letterbox["center"], "input.letterbox.center");
  info.input_name = fields.text(input["name"], "input.name");
  info.output_name = fields.text(root["output"]["name"], "output.name");
  const std::string onnx =
      info.precision == "fp32" ? "model.onnx" : "model." + info.precision + ".onnx";
  info.onnx = fields.file(onnx, digests);
  info.plan = {"engine.plan", "", 0};
  if (const Json& engine = root["engine"]; engine.kind == Json::Kind::object) {
    info.plan = fields.file(fields.text(engine["file"], "engine.file"), digests);
    info.plan.sha256 = fields.text(engine["sha256"], "engine.sha256");
    info.plan_origin = detail::read_origin(fields, engine);
  }
  if (!fields.problem.empty()) return damaged(fields.problem + " is missing or makes no sense");
  return info;
}

// Reads manifest.json of a model folder.
inline Result<ModelInfo> load_manifest(const std::string& folder) {
  constexpr std::size_t kMaxBytes = 16'000'000;
  const Result<Bytes> content = read_file(join_path(folder, "manifest.json"), kMaxBytes);
  if (!content) return content.status();
  return parse_manifest({reinterpret_cast<const char*>(content->data()), content->size()});
}

}  // namespace yolov12edge
