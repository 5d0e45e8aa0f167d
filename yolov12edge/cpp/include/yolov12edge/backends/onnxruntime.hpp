// The detector in ONNX Runtime on the CPU, through its C API.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <onnxruntime_c_api.h>

#include "yolov12edge/backend.hpp"
#include "yolov12edge/model_file.hpp"
#include "yolov12edge/model_info.hpp"

namespace yolov12edge {

namespace detail {

// Releases an object with the function that the API names for its type.
template <typename T>
struct OrtRelease {
  void(ORT_API_CALL* release)(T*) = nullptr;
  void operator()(T* object) const noexcept { release(object); }
};

}  // namespace detail

class OnnxRuntimeBackend final : public Backend {
 public:
  static Result<std::unique_ptr<Backend>> open(const std::string& folder, const ModelInfo& info,
                                               const BackendOptions& options) {
    const Result<Bytes> content = read_model_file(folder, info.onnx);
    if (!content) return content.status();
    auto model = std::make_shared<Model>();
    if (Status status = model->load(*content, info, options); !status.ok()) return status;
    return instance(std::move(model));
  }

  std::string description() const override {
    return std::string("ONNX Runtime ") + OrtGetApiBase()->GetVersionString() + " on the CPU";
  }
  int max_batch() const noexcept override { return side(model_->input_shape, 0); }
  int height() const noexcept override { return side(model_->input_shape, 2); }
  int width() const noexcept override { return side(model_->input_shape, 3); }
  int classes() const noexcept override { return side(model_->output_shape, 1) - 4; }
  int anchors() const noexcept override { return side(model_->output_shape, 2); }
  float* input() noexcept override { return input_.data(); }
  const float* output() const noexcept override { return output_.data(); }

  Status infer(int batch) override {
    // A model of a fixed batch runs all of it; what was not asked for is left over.
    if (Status status = bind(model_->open_batch ? batch : max_batch()); !status.ok()) return status;
    const char* inputs[] = {model_->input_name.c_str()};
    const char* outputs[] = {model_->output_name.c_str()};
    const OrtValue* fed[] = {input_value_.get()};
    OrtValue* filled[] = {output_value_.get()};
    return model_->check(
        model_->api->Run(model_->session.get(), nullptr, inputs, fed, 1, outputs, 1, filled),
        StatusCode::runtime_failure);
  }

  Result<std::unique_ptr<Backend>> clone() const override { return instance(model_); }

 private:
  template <typename T>
  using Owned = std::unique_ptr<T, detail::OrtRelease<T>>;
  using Shape = std::vector<std::int64_t>;

  // What clones share.
  struct Model {
    const OrtApi* api = nullptr;
    Owned<OrtEnv> env;
    Owned<OrtSession> session;
    std::string input_name, output_name;
    Shape input_shape, output_shape;
    bool open_batch = false;  // takes any number of images

    Status load(const Bytes& content, const ModelInfo& info, const BackendOptions& options) {
      api = OrtGetApiBase()->GetApi(ORT_API_VERSION);
      if (api == nullptr) {
        return {StatusCode::version_mismatch,
                std::string("ONNX Runtime ") + OrtGetApiBase()->GetVersionString() +
                    " is older than the headers this program was compiled with"};
      }
      Status status = create(api->ReleaseEnv, env, [&](OrtEnv** out) {
        return api->CreateEnv(ORT_LOGGING_LEVEL_ERROR, "yolov12edge", out);
      });
      Owned<OrtSessionOptions> settings;
      if (status.ok()) {
        status = create(api->ReleaseSessionOptions, settings,
                        [&](OrtSessionOptions** out) { return api->CreateSessionOptions(out); });
      }
      if (status.ok() && options.threads > 0) {
        status = check(api->SetIntraOpNumThreads(settings.get(), options.threads),
                       StatusCode::runtime_failure);
      }
      if (status.ok()) {
        status = create(
            api->ReleaseSession, session,
            [&](OrtSession** out) {
              return api->CreateSessionFromArray(env.get(), content.data(), content.size(),
                                                 settings.get(), out);
            },
            StatusCode::model_damaged);
      }
      return status.ok() ? describe(info, options) : status;
    }

    Status describe(const ModelInfo& info, const BackendOptions& options) {
      input_name = info.input_name;
      output_name = info.output_name;
      std::size_t inputs = 0, outputs = 0;
      if (Status status = check(api->SessionGetInputCount(session.get(), &inputs)); !status.ok()) {
        return status;
      }
      if (Status status = check(api->SessionGetOutputCount(session.get(), &outputs));
          !status.ok()) {
        return status;
      }
      std::size_t input_index = inputs, output_index = outputs;
      if (Status status = find(inputs, true, input_name, input_index); !status.ok()) return status;
      if (Status status = find(outputs, false, output_name, output_index); !status.ok()) {
        return status;
      }
      if (Status status = read_shape(true, input_index, input_shape); !status.ok()) return status;
      if (Status status = read_shape(false, output_index, output_shape); !status.ok()) {
        return status;
      }
      if (inputs != 1 || input_shape.size() != 4 || output_shape.size() != 3) return no_detector();
      const Shape described{options.batch, 3, info.letterbox.height, info.letterbox.width};
      open_batch = input_shape[0] < 1 && output_shape[0] < 1;
      for (std::size_t index = 0; index < 4; ++index) {
        if (input_shape[index] < 1) input_shape[index] = described[index];
      }
      if (output_shape[0] < 1) output_shape[0] = input_shape[0];
      if (output_shape[1] < 1) output_shape[1] = info.classes() + 4;
      if (output_shape[2] < 1) output_shape[2] = anchors_of(input_shape);
      const bool sensible =
          input_shape[1] == 3 && output_shape[0] == input_shape[0] && output_shape[1] >= 5;
      return sensible ? Status() : no_detector();
    }

    static Status no_detector() {
      return {StatusCode::model_mismatch,
              "not a detector: expected one image input and an output of 4 + classes rows"};
    }

    // One anchor for each cell of strides 8, 16 and 32.
    static std::int64_t anchors_of(const Shape& input) {
      std::int64_t count = 0;
      for (const std::int64_t stride : {8, 16, 32}) {
        count += (input[2] / stride) * (input[3] / stride);
      }
      return count;
    }

    // The index of the input or output of that name.
    Status find(std::size_t count, bool input, const std::string& name, std::size_t& index) const {
      OrtAllocator* allocator = nullptr;
      if (Status status = check(api->GetAllocatorWithDefaultOptions(&allocator)); !status.ok()) {
        return status;
      }
      for (std::size_t candidate = 0; candidate < count; ++candidate) {
        char* found = nullptr;
        OrtStatus* result =
            input ? api->SessionGetInputName(session.get(), candidate, allocator, &found)
                  : api->SessionGetOutputName(session.get(), candidate, allocator, &found);
        if (Status status = check(result); !status.ok()) return status;
        if (name == found) index = candidate;
        if (Status status = check(api->AllocatorFree(allocator, found)); !status.ok()) {
          return status;
        }
      }
      if (index < count) return {};
      return {StatusCode::model_mismatch,
              "the model has no " + std::string(input ? "input " : "output ") + name};
    }

    Status read_shape(bool input, std::size_t index, Shape& shape) const {
      Owned<OrtTypeInfo> type;
      Status status = create(api->ReleaseTypeInfo, type, [&](OrtTypeInfo** out) {
        return input ? api->SessionGetInputTypeInfo(session.get(), index, out)
                     : api->SessionGetOutputTypeInfo(session.get(), index, out);
      });
      const OrtTensorTypeAndShapeInfo* tensor = nullptr;
      if (status.ok()) status = check(api->CastTypeInfoToTensorInfo(type.get(), &tensor));
      if (!status.ok()) return status;
      if (tensor == nullptr) return no_detector();
      ONNXTensorElementDataType element = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
      std::size_t rank = 0;
      if (status = check(api->GetTensorElementType(tensor, &element)); !status.ok()) return status;
      if (element != ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT) {
        return {StatusCode::unsupported, "the model's input and output have to be float32"};
      }
      if (status = check(api->GetDimensionsCount(tensor, &rank)); !status.ok()) return status;
      shape.resize(rank);
      return check(api->GetDimensions(tensor, shape.data(), rank));
    }

    Status check(OrtStatus* result, StatusCode code = StatusCode::runtime_failure) const {
      if (result == nullptr) return {};
      const std::string message = api->GetErrorMessage(result);
      api->ReleaseStatus(result);
      return {code, "ONNX Runtime: " + message.substr(0, message.find('\n'))};
    }

    template <typename T, typename Function>
    Status create(void(ORT_API_CALL* release)(T*), Owned<T>& owner, const Function& function,
                  StatusCode code = StatusCode::runtime_failure) const {
      T* object = nullptr;
      Status status = check(function(&object), code);
      owner = Owned<T>(object, detail::OrtRelease<T>{release});
      return status;
    }
  };

  explicit OnnxRuntimeBackend(std::shared_ptr<const Model> model) : model_(std::move(model)) {}

  static Result<std::unique_ptr<Backend>> instance(std::shared_ptr<const Model> model) {
    std::unique_ptr<OnnxRuntimeBackend> backend(new OnnxRuntimeBackend(std::move(model)));
    backend->input_.assign(count_of(backend->model_->input_shape), 0.0F);
    backend->output_.assign(count_of(backend->model_->output_shape), 0.0F);
    if (Status status = backend->bind(backend->max_batch()); !status.ok()) return status;
    return std::unique_ptr<Backend>(std::move(backend));
  }

  // Lets the session read and write the first `batch` images of the buffers.
  Status bind(int batch) {
    if (batch == batch_) return {};
    batch_ = 0;
    const OrtApi* api = model_->api;
    Owned<OrtMemoryInfo> memory;
    Status status = model_->create(api->ReleaseMemoryInfo, memory, [&](OrtMemoryInfo** out) {
      return api->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, out);
    });
    const auto wrap = [&](std::vector<float>& values, Shape shape, Owned<OrtValue>& owner) {
      shape[0] = batch;
      return model_->create(api->ReleaseValue, owner, [&](OrtValue** out) {
        return api->CreateTensorWithDataAsOrtValue(
            memory.get(), values.data(), count_of(shape) * sizeof(float), shape.data(),
            shape.size(), ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, out);
      });
    };
    if (status.ok()) status = wrap(input_, model_->input_shape, input_value_);
    if (status.ok()) status = wrap(output_, model_->output_shape, output_value_);
    if (status.ok()) batch_ = batch;
    return status;
  }

  static std::size_t count_of(const Shape& shape) noexcept {
    std::size_t count = 1;
    for (const std::int64_t length : shape) count *= static_cast<std::size_t>(length);
    return count;
  }

  static int side(const Shape& shape, std::size_t index) noexcept {
    return static_cast<int>(shape[index]);
  }

  std::shared_ptr<const Model> model_;
  std::vector<float> input_, output_;
  Owned<OrtValue> input_value_, output_value_;
  int batch_ = 0;  // images that the values hold
};

}  // namespace yolov12edge
