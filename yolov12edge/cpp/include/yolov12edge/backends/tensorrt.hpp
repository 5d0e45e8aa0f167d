// The detector in TensorRT 8.5 to 11 or in TensorRT-RTX, from a plan.
//
// Only the name-based API is used, which all of these versions share. The plan is checked before
// the library sees it: whole, the right file, the right library version, the right GPU.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <NvInfer.h>
#include <cuda_runtime_api.h>

#include "yolov12edge/backend.hpp"
#include "yolov12edge/cuda/resources.hpp"
#include "yolov12edge/model_file.hpp"
#include "yolov12edge/model_info.hpp"
#include "yolov12edge/plan_header.hpp"

#if defined(YOLOV12EDGE_CUDA_PREPROCESS)
#include "yolov12edge/cuda/device_letterbox.hpp"
#endif

namespace yolov12edge {

namespace detail {

#if defined(YOLOV12EDGE_BACKEND_TENSORRT_RTX)
inline constexpr bool kIsRtx = true;
inline constexpr const char* kPlanBackend = "tensorrt_rtx";
inline constexpr const char* kPlanLibrary = "TensorRT-RTX";
#else
inline constexpr bool kIsRtx = false;
inline constexpr const char* kPlanBackend = "tensorrt";
inline constexpr const char* kPlanLibrary = "TensorRT";
#endif

// The library keeps a pointer to its first logger for as long as the process lives, so there is
// one; each thread has its own last error, so that detectors do not report each other's.
class TensorRtLog final : public nvinfer1::ILogger {
 public:
  static TensorRtLog& instance() {
    static TensorRtLog log;
    return log;
  }

  void log(Severity severity, const char* message) noexcept override {
    if (severity > Severity::kERROR) return;
    try {
      last_error() = message;
    } catch (...) {  // without memory for the text the status code has to do
    }
  }

  // Forgets this thread's errors: what is taken afterwards belongs to what was called in between.
  static void forget_errors() noexcept { last_error().clear(); }

  // This thread's last error, or `otherwise`.
  static std::string take_error(const std::string& otherwise) {
    return last_error().empty() ? otherwise : std::exchange(last_error(), {});
  }

 private:
  static std::string& last_error() noexcept {
    thread_local std::string text;
    return text;
  }
};

// "8.6.1", "10.3.0": the version of the library that is loaded.
inline std::string plan_library_version() {
  const int number = getInferLibVersion();
  const bool wide = kIsRtx || number >= 100000;
  const int major = wide ? number / 10000 : number / 1000;
  const int minor = wide ? number / 100 % 100 : number / 100 % 10;
  return std::to_string(major) + "." + std::to_string(minor) + "." + std::to_string(number % 100);
}

}  // namespace detail

class TensorRtBackend final : public Backend {
 public:
  static Result<std::unique_ptr<Backend>> open(const std::string& folder, const ModelInfo& info,
                                               const BackendOptions& options) {
    const Result<Bytes> plan = read_model_file(folder, info.plan);
    if (!plan) return plan.status();
    const Result<PlanOrigin> header = read_plan_header(*plan);
    if (!header) return header.status();
    const PlanOrigin origin = merge(*header, info.plan_origin);
    if (Status status = check_platform(origin, this_platform()); !status.ok()) return status;
    if (Status status = check_version(origin, detail::kPlanBackend, detail::plan_library_version());
        !status.ok()) {
      return status;
    }
    auto model = std::make_shared<Model>();
    model->device = options.device;
    model->cuda_graph = options.cuda_graph && !detail::kIsRtx;  // TensorRT-RTX compiles as it runs
    model->zero_copy = options.zero_copy;
    if (Status status = model->check_gpu(origin); !status.ok()) return status;
    if (Status status = model->load(*plan, origin); !status.ok()) return status;
    if (Status status = model->describe(info, options); !status.ok()) return status;
    return instance(std::move(model));
  }

  ~TensorRtBackend() override {
    if (stream_) cudaStreamSynchronize(stream_.get());
  }

  std::string description() const override { return model_->description; }
  int max_batch() const noexcept override { return model_->largest; }
  int height() const noexcept override { return side(model_->input_shape, 2); }
  int width() const noexcept override { return side(model_->input_shape, 3); }
  int classes() const noexcept override { return side(output_shape_, 1) - 4; }
  int anchors() const noexcept override { return side(output_shape_, 2); }
  float* input() noexcept override { return static_cast<float*>(input_.host()); }
  const float* output() const noexcept override {
    return static_cast<const float*>(output_.host());
  }

  Status infer(int batch) override {
    if (Status status = enter(); !status.ok()) return status;
    batch = std::max(batch, model_->smallest);
    if (!replayable(batch)) {
      Status status = set_batch(batch);
      if (status.ok()) status = queue_host(batch);
      if (status.ok()) status = finish();
      if (status.ok() && model_->cuda_graph) capture(batch);
      return status;
    }
    Status status = cuda::check(cudaGraphLaunch(graph_.get(), stream_.get()), "launch the graph");
    return status.ok() ? finish() : status;
  }

#if defined(YOLOV12EDGE_CUDA_PREPROCESS)
  Status infer_on_device(const std::vector<ImageView>& images, const LetterboxSpec& spec,
                         std::vector<Placement>& placements) override {
    if (Status status = enter(); !status.ok()) return status;
    const int batch = std::max(static_cast<int>(images.size()), model_->smallest);
    letterboxes_.resize(std::max(letterboxes_.size(), images.size()));
    placements.assign(images.size(), {});
    auto* planes = static_cast<float*>(input_.device());
    for (std::size_t index = 0; index < images.size(); ++index) {
      Status status = letterboxes_[index].queue(images[index], spec, planes + index * input_count(),
                                                stream_.get(), placements[index]);
      if (!status.ok()) return status;
    }
    Status status = set_batch(batch);
    if (status.ok()) status = queue_device(batch);
    return status.ok() ? finish() : status;
  }
#endif

  Result<std::unique_ptr<Backend>> clone() const override { return instance(model_); }

 private:
  // What clones share. Members are destroyed in reverse: the engine before its runtime.
  struct Model {
    int device = 0;
    bool cuda_graph = false, zero_copy = false;
    std::string description;
    std::unique_ptr<nvinfer1::IRuntime> runtime;
    std::unique_ptr<nvinfer1::ICudaEngine> engine;
    std::string input_name, output_name;
    nvinfer1::Dims input_shape{};
    int smallest = 1, largest = 1;

    Status check_gpu(const PlanOrigin& origin) {
      int count = 0;
      const cudaError_t error = cudaGetDeviceCount(&count);
      if (error != cudaSuccess || device >= count) {
        return {StatusCode::device_mismatch,
                "no NVIDIA GPU with number " + std::to_string(device) +
                    (error == cudaSuccess ? "" : std::string(": ") + cudaGetErrorString(error))};
      }
      cudaDeviceProp gpu{};
      if (Status status = cuda::check(cudaGetDeviceProperties(&gpu, device), "ask for the GPU");
          !status.ok()) {
        return status;
      }
      description = std::string(detail::kPlanLibrary) + " " + detail::plan_library_version() +
                    " on " + gpu.name;
      if (Status status = check_compute_capability(origin, gpu.major * 10 + gpu.minor, gpu.name);
          !status.ok()) {
        return status;
      }
      zero_copy = zero_copy && cuda::shares_host_memory(device);
      return cuda::check(cudaSetDevice(device), "select the GPU");
    }

    Status load(const Bytes& plan, const PlanOrigin& origin) {
      detail::TensorRtLog& log = detail::TensorRtLog::instance();
      log.forget_errors();
      runtime.reset(nvinfer1::createInferRuntime(log));
      if (!runtime) {
        return {StatusCode::runtime_failure,
                std::string(detail::kPlanLibrary) + ": " + log.take_error("no runtime")};
      }
#if NV_TENSORRT_MAJOR > 8 || NV_TENSORRT_MINOR >= 6 || defined(YOLOV12EDGE_BACKEND_TENSORRT_RTX)
      if (origin.version_compatible) runtime->setEngineHostCodeAllowed(true);
#else
      (void)origin;
#endif
      engine.reset(runtime->deserializeCudaEngine(plan.data(), plan.size()));
      if (engine) return {};
      return {StatusCode::model_damaged,
              std::string(detail::kPlanLibrary) +
                  " cannot load the plan: " + log.take_error("it gave no reason")};
    }

    Status describe(const ModelInfo& info, const BackendOptions& options) {
      int inputs = 0;
      std::string only_output;
      for (int index = 0; index < engine->getNbIOTensors(); ++index) {
        const char* name = engine->getIOTensorName(index);
        if (engine->getTensorIOMode(name) == nvinfer1::TensorIOMode::kINPUT) {
          ++inputs;
          input_name = name;
        } else if (only_output.empty() || name == info.output_name) {
          only_output = name;
        }
      }
      output_name = only_output;
      input_shape = inputs == 1 ? engine->getTensorShape(input_name.c_str()) : nvinfer1::Dims{};
      if (input_shape.nbDims != 4 || side(input_shape, 1) != 3 || output_name.empty()) {
        return {StatusCode::model_mismatch,
                "not a detector: expected one image input of batch x 3 x height x width"};
      }
      for (const std::string& name : {input_name, output_name}) {
        if (engine->getTensorDataType(name.c_str()) != nvinfer1::DataType::kFLOAT) {
          return {StatusCode::unsupported, "the plan's " + name + " has to be float32"};
        }
      }
      if (side(input_shape, 0) > 0) {
        smallest = largest = side(input_shape, 0);
        return {};
      }
      const auto profile = [&](nvinfer1::OptProfileSelector which) {
        return side(engine->getProfileShape(input_name.c_str(), 0, which), 0);
      };
      smallest = profile(nvinfer1::OptProfileSelector::kMIN);
      largest = std::clamp(options.batch, smallest, profile(nvinfer1::OptProfileSelector::kMAX));
      return {};
    }
  };

  explicit TensorRtBackend(std::shared_ptr<const Model> model) : model_(std::move(model)) {}

  static Result<std::unique_ptr<Backend>> instance(std::shared_ptr<const Model> model) {
    std::unique_ptr<TensorRtBackend> backend(new TensorRtBackend(std::move(model)));
    if (Status status = backend->prepare(); !status.ok()) return status;
    return std::unique_ptr<Backend>(std::move(backend));
  }

  // Context, stream and memory for the largest batch.
  Status prepare() {
    if (Status status = enter(); !status.ok()) return status;
    if (Status status = cuda::create(stream_); !status.ok()) return status;
    context_.reset(model_->engine->createExecutionContext());
    if (!context_) return refused("create a context");
    if (Status status = set_batch(model_->largest); !status.ok()) return status;
    output_shape_ = context_->getTensorShape(model_->output_name.c_str());
    if (output_shape_.nbDims != 3 || side(output_shape_, 0) != model_->largest ||
        side(output_shape_, 1) < 5) {
      return {StatusCode::model_mismatch,
              "the plan's output is not batch x (4 + classes) x anchors"};
    }
    for (int index = 0; index < model_->engine->getNbIOTensors(); ++index) {
      if (Status status = bind(model_->engine->getIOTensorName(index)); !status.ok()) return status;
    }
    const auto batch = static_cast<std::size_t>(model_->largest);
    std::fill_n(input(), batch * input_count(), 0.0F);
    return {};
  }

  // Gives a tensor of the plan its memory.
  Status bind(const char* name) {
    const std::size_t bytes = count_of(context_->getTensorShape(name)) * sizeof(float);
    void* address = nullptr;
    if (name == model_->input_name || name == model_->output_name) {
      cuda::SharedBuffer& buffer = name == model_->input_name ? input_ : output_;
      if (Status status = buffer.allocate(bytes, model_->zero_copy); !status.ok()) return status;
      address = buffer.device();
    } else {
      others_.emplace_back();
      if (Status status = cuda::allocate(bytes, others_.back()); !status.ok()) return status;
      address = others_.back().get();
    }
    return context_->setTensorAddress(name, address) ? Status() : refused("use a buffer");
  }

  // What every call into the library starts with.
  Status enter() const {
    detail::TensorRtLog::forget_errors();
    return cuda::check(cudaSetDevice(model_->device), "select the GPU");
  }

  Status set_batch(int batch) {
    if (batch == batch_) return {};
    nvinfer1::Dims shape = model_->input_shape;
    shape.d[0] = batch;
    if (!context_->setInputShape(model_->input_name.c_str(), shape))
      return refused("set the batch");
    batch_ = batch;
    return {};
  }

  Status queue_host(int batch) {
    const std::size_t bytes = static_cast<std::size_t>(batch) * input_count() * sizeof(float);
    Status status = input_.upload(bytes, stream_.get());
    return status.ok() ? queue_device(batch) : status;
  }

  Status queue_device(int batch) {
    if (!context_->enqueueV3(stream_.get())) return refused("run");
    const std::size_t bytes = static_cast<std::size_t>(batch) * output_count() * sizeof(float);
    return output_.download(bytes, stream_.get());
  }

  Status finish() { return cuda::check(cudaStreamSynchronize(stream_.get()), "run"); }

  bool replayable(int batch) const noexcept { return graph_ && graph_batch_ == batch; }

  // Records what a run queues. Where that fails, runs stay as they are, only slower.
  void capture(int batch) {
    if (cudaStreamBeginCapture(stream_.get(), cudaStreamCaptureModeThreadLocal) != cudaSuccess) {
      return;
    }
    const Status queued = queue_host(batch);
    cudaGraph_t captured = nullptr;
    const cudaError_t ended = cudaStreamEndCapture(stream_.get(), &captured);
    const cuda::Graph graph(captured);
    cudaGraphExec_t executable = nullptr;
    if (queued.ok() && ended == cudaSuccess &&
        cudaGraphInstantiateWithFlags(&executable, captured, 0) == cudaSuccess) {
      graph_.reset(executable);
      graph_batch_ = batch;
    } else {
      (void)cudaGetLastError();  // a failed capture is no error of the next call
    }
  }

  static Status refused(const std::string& what) {
    return {StatusCode::runtime_failure, std::string(detail::kPlanLibrary) + " refused to " + what +
                                             ": " +
                                             detail::TensorRtLog::take_error("it gave no reason")};
  }

  std::size_t input_count() const noexcept {
    return std::size_t{3} * static_cast<std::size_t>(height()) * static_cast<std::size_t>(width());
  }
  std::size_t output_count() const noexcept {
    return static_cast<std::size_t>(side(output_shape_, 1)) *
           static_cast<std::size_t>(side(output_shape_, 2));
  }
  static int side(const nvinfer1::Dims& shape, int index) noexcept {
    return static_cast<int>(shape.d[index]);
  }
  static std::size_t count_of(const nvinfer1::Dims& shape) noexcept {
    std::size_t count = 1;
    for (int index = 0; index < shape.nbDims; ++index) {
      count *= static_cast<std::size_t>(std::max(side(shape, index), 1));
    }
    return count;
  }

  // Destroyed from the last to the first: the context before its memory, then the stream.
  std::shared_ptr<const Model> model_;
  cuda::Stream stream_;
  cuda::SharedBuffer input_, output_;
  std::vector<cuda::DeviceMemory> others_;
#if defined(YOLOV12EDGE_CUDA_PREPROCESS)
  std::vector<cuda::DeviceLetterbox> letterboxes_;
#endif
  nvinfer1::Dims output_shape_{};
  std::unique_ptr<nvinfer1::IExecutionContext> context_;
  cuda::GraphExec graph_;
  int graph_batch_ = 0;
  int batch_ = 0;
};

}  // namespace yolov12edge
