// The detector in OpenVINO on the CPU, in float32 as in Python.
#pragma once

#include <cstddef>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <openvino/openvino.hpp>

#include "yolov12edge/backend.hpp"
#include "yolov12edge/model_file.hpp"
#include "yolov12edge/model_info.hpp"

namespace yolov12edge {

class OpenVinoBackend final : public Backend {
 public:
  static Result<std::unique_ptr<Backend>> open(const std::string& folder, const ModelInfo& info,
                                               const BackendOptions& options) {
    Result<Bytes> content = read_model_file(folder, info.onnx);
    if (!content) return content.status();
    try {
      auto model = std::make_shared<Model>();
      if (Status status = model->load(*content, info, options); !status.ok()) return status;
      return std::unique_ptr<Backend>(new OpenVinoBackend(std::move(model)));
    } catch (const std::exception& error) {
      return Status(StatusCode::model_damaged,
                    "OpenVINO cannot load " + info.onnx.name + ": " + last_line(error.what()));
    }
  }

  std::string description() const override { return model_->description; }
  int max_batch() const noexcept override { return side(model_->input_shape, 0); }
  int height() const noexcept override { return side(model_->input_shape, 2); }
  int width() const noexcept override { return side(model_->input_shape, 3); }
  int classes() const noexcept override { return side(model_->output_shape, 1) - 4; }
  int anchors() const noexcept override { return side(model_->output_shape, 2); }
  float* input() noexcept override { return input_; }
  const float* output() const noexcept override { return output_; }

  Status infer(int batch) override {
    try {
      if (batch < max_batch() && model_->open_batch) {
        infer_part(static_cast<std::size_t>(batch));
      } else {
        request_.infer();
      }
      return {};
    } catch (const std::exception& error) {
      return {StatusCode::runtime_failure, "OpenVINO failed: " + last_line(error.what())};
    }
  }

  Result<std::unique_ptr<Backend>> clone() const override {
    try {
      return std::unique_ptr<Backend>(new OpenVinoBackend(model_));
    } catch (const std::exception& error) {
      return Status(StatusCode::runtime_failure, "OpenVINO failed: " + last_line(error.what()));
    }
  }

 private:
  // What clones share.
  struct Model {
    ov::Core core;
    ov::AnyMap settings;
    ov::CompiledModel compiled;
    std::shared_ptr<ov::Model> open_batch;  // the graph as it was, where it takes any batch
    ov::Shape input_shape, output_shape;
    std::string output_name, description;

    // Loads the bytes that were checked, not the file once more.
    Status load(const Bytes& content, const ModelInfo& info, const BackendOptions& options) {
      settings = {{ov::hint::performance_mode.name(), ov::hint::PerformanceMode::LATENCY},
                  {ov::hint::inference_precision.name(), ov::element::f32}};
      if (options.threads > 0) settings[ov::inference_num_threads.name()] = options.threads;
      const auto graph = core.read_model(std::string(content.begin(), content.end()), ov::Tensor());
      if (graph->inputs().size() != 1 || graph->input().get_partial_shape().rank() != 4) {
        return {StatusCode::model_mismatch, "not a detector: expected one image input"};
      }
      const ov::PartialShape shape = graph->input().get_partial_shape();
      if (shape[0].is_dynamic() && options.batch > 1) open_batch = graph->clone();
      fix_shape(*graph, info, options.batch);
      compiled = core.compile_model(graph, "CPU", settings);
      return describe(info);
    }

    // The model for fewer images than the full batch, compiled when it is first needed. Full
    // batches keep one of fixed shapes, which is faster.
    ov::CompiledModel& part() {
      const std::lock_guard lock(part_mutex_);
      if (!part_) {
        ov::PartialShape shape(input_shape);
        shape[0] = ov::Dimension(1, static_cast<ov::Dimension::value_type>(input_shape[0]) - 1);
        open_batch->reshape(shape);
        part_ = core.compile_model(open_batch, "CPU", settings);
      }
      return part_;
    }

    ov::Output<const ov::Node> output_of(const ov::CompiledModel& model) const {
      return model.outputs().size() == 1 ? model.output() : model.output(output_name);
    }

    Status describe(const ModelInfo& info) {
      const auto input = compiled.input();
      output_name = info.output_name;
      const auto output = output_of(compiled);
      if (input.get_element_type() != ov::element::f32 ||
          output.get_element_type() != ov::element::f32) {
        return {StatusCode::unsupported, "the model's input and output have to be float32"};
      }
      input_shape = input.get_shape();
      output_shape = output.get_shape();
      if (input_shape.size() != 4 || input_shape[1] != 3 || output_shape.size() != 3 ||
          output_shape[0] != input_shape[0] || output_shape[1] < 5) {
        return {StatusCode::model_mismatch,
                "not a detector: expected one image input and an output of 4 + classes rows"};
      }
      const ov::Version version = ov::get_openvino_version();
      description = std::string("OpenVINO ") + version.buildNumber + " on " +
                    core.get_property("CPU", ov::device::full_name);
      return {};
    }

   private:
    static void fix_shape(ov::Model& graph, const ModelInfo& info, int batch) {
      const ov::PartialShape shape = graph.input().get_partial_shape();
      if (shape.is_static()) return;
      graph.reshape(
          ov::PartialShape{shape[0].is_static() ? shape[0] : ov::Dimension(batch), 3,
                           shape[2].is_static() ? shape[2] : ov::Dimension(info.letterbox.height),
                           shape[3].is_static() ? shape[3] : ov::Dimension(info.letterbox.width)});
    }

    std::mutex part_mutex_;
    ov::CompiledModel part_;
  };

  explicit OpenVinoBackend(std::shared_ptr<Model> model)
      : model_(std::move(model)),
        request_(model_->compiled.create_infer_request()),
        input_(request_.get_input_tensor().data<float>()),
        output_(request_.get_tensor(model_->output_of(model_->compiled)).data<float>()) {}

  void infer_part(std::size_t batch) {
    ov::CompiledModel& part = model_->part();
    if (!part_request_) part_request_ = part.create_infer_request();
    const auto first = [batch](ov::Shape shape, float* values) {
      shape[0] = batch;
      return ov::Tensor(ov::element::f32, shape, values);
    };
    part_request_.set_input_tensor(first(model_->input_shape, input_));
    part_request_.set_tensor(model_->output_of(part), first(model_->output_shape, output_));
    part_request_.infer();
  }

  static int side(const ov::Shape& shape, std::ptrdiff_t index) noexcept {
    return static_cast<int>(shape[index]);
  }

  // OpenVINO puts source locations first and the reason last.
  static std::string last_line(std::string text) {
    while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
    const std::size_t start = text.rfind('\n');
    return start == std::string::npos ? text : text.substr(start + 1);
  }

  std::shared_ptr<Model> model_;
  ov::InferRequest request_, part_request_;
  float* input_;
  float* output_;
};

}  // namespace yolov12edge
