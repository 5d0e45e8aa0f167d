#include "fake_gpu.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <utility>

#include <sys/mman.h>

#include <NvInfer.h>

#if defined(YOLOV12EDGE_CUDA_PREPROCESS)
#include "yolov12edge/cuda/letterbox_kernel.hpp"
#endif

using Work = std::vector<std::function<void()>>;

struct CUgraph_st {
  Work work;
};
struct CUgraphExec_st {
  Work work;
};
struct CUstream_st {
  Work work;
  std::unique_ptr<CUgraph_st> captured;  // while a capture runs
};

namespace fake {

namespace {

constexpr char kMagic[] = "fake engine";
constexpr float kPoison = -12345.0F;  // what fresh memory holds

Gpu the_gpu;
std::map<const char*, std::size_t> device_memory, host_memory;
std::vector<const void*> bound;  // addresses that living contexts use

void misuse(const std::string& what) { the_gpu.misuses.push_back(what); }

// Notes a call; true where it is the one that has to fail.
bool fails(const char* call) {
  the_gpu.calls.emplace_back(call);
  return the_gpu.failing_call == call && the_gpu.count(call) == the_gpu.failing_time;
}

// CUDA keeps the last error until somebody asks for it.
cudaError_t report(cudaError_t error) { return the_gpu.last_error = error; }

// Whether `bytes` from `memory` on lie in one block.
bool holds(const std::map<const char*, std::size_t>& blocks, const void* memory,
           std::size_t bytes) {
  const auto* start = static_cast<const char*>(memory);
  auto block = blocks.upper_bound(start);
  if (start == nullptr || block == blocks.begin()) return false;
  --block;
  return start + bytes <= block->first + block->second;
}

std::size_t pages(std::size_t bytes) { return (bytes + 4095) / 4096 * 4096; }

// Device memory is open to what was queued, and to nobody else.
void perform(const Work& work) {
  const auto protect = [](int how) {
    for (const auto& [start, bytes] : device_memory) {
      if (mprotect(const_cast<char*>(start), pages(bytes), how) != 0) std::abort();
    }
  };
  protect(PROT_READ | PROT_WRITE);
  for (const auto& task : work) task();
  protect(PROT_NONE);
}

void queue(cudaStream_t stream, std::function<void()> task) {
  Work& work = stream->captured ? stream->captured->work : stream->work;
  work.push_back(std::move(task));
}

template <typename T>
void poison(T* memory, std::size_t bytes) {
  std::fill_n(reinterpret_cast<float*>(memory), bytes / sizeof(float), kPoison);
}

}  // namespace

int Gpu::count(const std::string& call) const {
  return static_cast<int>(std::count(calls.begin(), calls.end(), call));
}

Gpu& gpu() { return the_gpu; }

void reset() {
  if (the_gpu.live != 0 || !device_memory.empty() || !host_memory.empty()) std::abort();
  the_gpu = {};
}

std::string version() {
  return std::to_string(NV_TENSORRT_MAJOR) + "." + std::to_string(NV_TENSORRT_MINOR) + "." +
         std::to_string(NV_TENSORRT_PATCH);
}

std::vector<std::uint8_t> make_plan(const Network& network) {
  const std::size_t size = kHeaderBytes + sizeof kMagic + sizeof network;
  std::vector<std::uint8_t> plan(size);
  constexpr bool kRtx = NV_TENSORRT_MAJOR == 1;
  constexpr bool kBefore86 = NV_TENSORRT_MAJOR == 8 && NV_TENSORRT_MINOR < 6;
  const std::uint8_t numbers[] = {NV_TENSORRT_MAJOR, NV_TENSORRT_MINOR, NV_TENSORRT_PATCH, 0};
  std::memcpy(&plan[0], kRtx ? "vtrt" : kBefore86 ? "ptrt" : "ftrt", 4);
  if (!kBefore86) std::memcpy(&plan[24], numbers, 4);
  if (kRtx) {
    plan[16] = static_cast<std::uint8_t>(size);
    std::memcpy(&plan[28], "vtrt", 4);
    plan[32] = 1U << 2;  // SM86
  }
  std::memcpy(&plan[kHeaderBytes], kMagic, sizeof kMagic);
  std::memcpy(&plan[kHeaderBytes + sizeof kMagic], &network, sizeof network);
  return plan;
}

std::vector<float> output_of(const Network& network, const float* image, int index) {
  const auto inputs = static_cast<std::size_t>(network.channels * network.height * network.width);
  std::vector<float> output(static_cast<std::size_t>(network.rows * network.anchors));
  // 7919 is prime to the sizes here: every part of the image has a say.
  for (std::size_t at = 0; at < output.size(); ++at) {
    output[at] = 8 * image[7919 * at % inputs] + static_cast<float>(at % 11) +
                 100.0F * static_cast<float>(index);
  }
  return output;
}

namespace {

using nvinfer1::Dims;

class Engine;

Dims shape_of(const Network& network, bool input, int batch) {
  if (!input) return {3, {batch, network.rows, network.anchors}};
  return {4, {batch, network.channels, network.height, network.width}};
}

std::size_t bytes_of(const Dims& shape) {
  std::size_t bytes = sizeof(float);
  for (int index = 0; index < shape.nbDims; ++index) {
    bytes *= static_cast<std::size_t>(shape.d[index]);
  }
  return bytes;
}

// Counts what lives, of all kinds and of this one.
template <typename Kind>
struct Counted {
  static inline int alive = 0;
  Counted() { ++alive, ++the_gpu.live; }
  ~Counted() { --alive, --the_gpu.live; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
};

using Severity = nvinfer1::ILogger::Severity;

class Context final : public nvinfer1::IExecutionContext, Counted<Context> {
 public:
  Context(const Network& network, nvinfer1::ILogger& logger)
      : network_(network),
        logger_(logger),
        batch_(network.dynamic_batch != 0 ? -1 : network.smallest) {}

  ~Context() noexcept override {
    for (const auto& [name, address] : addresses_) unbind(address);
  }

  bool setInputShape(char const* name, Dims const& shape) noexcept override {
    if (fails("setInputShape")) return refuse("no shape today");
    const Dims expected = shape_of(network_, true, static_cast<int>(shape.d[0]));
    const bool same = shape.nbDims == 4 && std::equal(shape.d, shape.d + 4, expected.d);
    if (std::string(name) != "input0" || !same || shape.d[0] < network_.smallest ||
        shape.d[0] > network_.largest) {
      return refuse("the shape is not in the profile");
    }
    batch_ = static_cast<int>(shape.d[0]);
    return true;
  }

  Dims getTensorShape(char const* name) const noexcept override {
    return shape_of(network_, name[0] == 'i', batch_);
  }

  bool setTensorAddress(char const* name, void* data) noexcept override {
    if (fails("setTensorAddress")) return refuse("no address today");
    if (const auto old = addresses_.find(name); old != addresses_.end()) unbind(old->second);
    addresses_[name] = data;
    bound.push_back(data);
    return true;
  }

  bool enqueueV3(cudaStream_t stream) noexcept override {
    if (fails("enqueueV3")) return refuse("no run today");
    if (batch_ < 1) return refuse("no shape is set");
    for (int kind = 0; kind < 2; ++kind) {
      const int tensors = kind == 0 ? network_.inputs : network_.outputs;
      for (int index = 0; index < tensors; ++index) {
        const std::string name = (kind == 0 ? "input" : "output") + std::to_string(index);
        const void* address = addresses_.count(name) != 0 ? addresses_.at(name) : nullptr;
        const std::size_t bytes = bytes_of(getTensorShape(name.c_str()));
        if (!holds(device_memory, address, bytes) && !holds(host_memory, address, bytes)) {
          return refuse("a tensor has no memory");
        }
      }
    }
    for (int index = 0; index < network_.outputs; ++index) {
      const std::string name = "output" + std::to_string(index);
      queue(stream, [network = network_, batch = batch_, index, in = addresses_["input0"],
                     out = addresses_[name]] {
        run(network, batch, index, static_cast<float*>(in), static_cast<float*>(out));
      });
    }
    return true;
  }

 private:
  bool refuse(const char* why) {
    logger_.log(Severity::kERROR, why);
    return false;
  }

  static void run(const Network& network, int batch, int index, const float* in, float* out) {
    const std::size_t inputs = bytes_of(shape_of(network, true, 1)) / sizeof(float);
    if (index == 0) the_gpu.images += batch;
    for (int image = 0; image < batch; ++image, in += inputs) {
      for (const float value : output_of(network, in, index)) *out++ = value;
    }
  }

  static void unbind(const void* address) {
    bound.erase(std::find(bound.begin(), bound.end(), address));
  }

  Network network_;
  nvinfer1::ILogger& logger_;
  int batch_;
  std::map<std::string, void*> addresses_;
};

class Engine final : public nvinfer1::ICudaEngine, Counted<Engine> {
 public:
  Engine(const Network& network, nvinfer1::ILogger& logger) : network_(network), logger_(logger) {
    for (int index = 0; index < network.inputs; ++index) {
      names_.push_back("input" + std::to_string(index));
    }
    for (int index = 0; index < network.outputs; ++index) {
      names_.push_back("output" + std::to_string(index));
    }
  }

  ~Engine() noexcept override {
    if (Counted<Context>::alive != 0) misuse("an engine was destroyed before its contexts");
  }

  std::int32_t getNbIOTensors() const noexcept override {
    return static_cast<std::int32_t>(names_.size());
  }
  char const* getIOTensorName(std::int32_t index) const noexcept override {
    return names_[static_cast<std::size_t>(index)].c_str();
  }
  nvinfer1::TensorIOMode getTensorIOMode(char const* name) const noexcept override {
    using nvinfer1::TensorIOMode;
    return name[0] == 'i' ? TensorIOMode::kINPUT : TensorIOMode::kOUTPUT;
  }
  nvinfer1::DataType getTensorDataType(char const* name) const noexcept override {
    return static_cast<nvinfer1::DataType>(name[0] == 'i' ? 0 : network_.output_type);
  }
  Dims getTensorShape(char const* name) const noexcept override {
    const bool dynamic = network_.dynamic_batch != 0;
    return shape_of(network_, name[0] == 'i', dynamic ? -1 : network_.smallest);
  }
  Dims getProfileShape(char const* name, std::int32_t profile,
                       nvinfer1::OptProfileSelector which) const noexcept override {
    if (profile != 0 || name[0] != 'i') return {-1, {}};
    const bool least = which == nvinfer1::OptProfileSelector::kMIN;
    return shape_of(network_, true, least ? network_.smallest : network_.largest);
  }

#if defined(STUB_SINCE_10)
  nvinfer1::IExecutionContext* createExecutionContext(
      nvinfer1::ExecutionContextAllocationStrategy) noexcept override {
    return create();
  }
#else
  nvinfer1::IExecutionContext* createExecutionContext() noexcept override { return create(); }
#endif

 private:
  nvinfer1::IExecutionContext* create() {
    if (!fails("createExecutionContext")) return new Context(network_, logger_);
    logger_.log(Severity::kERROR, "no context today");
    return nullptr;
  }

  Network network_;
  nvinfer1::ILogger& logger_;
  std::vector<std::string> names_;
};

class Runtime final : public nvinfer1::IRuntime, Counted<Runtime> {
 public:
  explicit Runtime(nvinfer1::ILogger& logger) : logger_(logger) {}

  ~Runtime() noexcept override {
    if (Counted<Engine>::alive != 0) misuse("a runtime was destroyed before its engines");
  }

  nvinfer1::ICudaEngine* deserializeCudaEngine(void const* plan,
                                               std::size_t size) noexcept override {
    logger_.log(Severity::kWARNING, "a warning that is no reason");
    const auto* bytes = static_cast<const char*>(plan) + kHeaderBytes;
    Network network;
    if (fails("deserializeCudaEngine") || size != kHeaderBytes + sizeof kMagic + sizeof network ||
        std::memcmp(bytes, kMagic, sizeof kMagic) != 0) {
      logger_.log(Severity::kERROR, "the magic tag does not match");
      return nullptr;
    }
    std::memcpy(&network, bytes + sizeof kMagic, sizeof network);
    return new Engine(network, logger_);
  }

#if defined(STUB_SINCE_8_6)
  void setEngineHostCodeAllowed(bool allowed) noexcept override {
    the_gpu.host_code_allowed = allowed;
  }
#endif

 private:
  nvinfer1::ILogger& logger_;
};

}  // namespace

}  // namespace fake

using fake::fails;
using fake::misuse;
using fake::report;
using fake::the_gpu;

std::int32_t getInferLibVersion() noexcept {
  constexpr bool kWide = NV_TENSORRT_MAJOR != 8;
  return NV_TENSORRT_MAJOR * (kWide ? 10000 : 1000) + NV_TENSORRT_MINOR * 100 + NV_TENSORRT_PATCH;
}

nvinfer1::IRuntime* nvinfer1::createInferRuntime(ILogger& logger) noexcept {
  if (!fails("createInferRuntime")) return new fake::Runtime(logger);
  logger.log(ILogger::Severity::kERROR, "no runtime today");
  return nullptr;
}

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess: return "no error";
    case cudaErrorMemoryAllocation: return "out of memory";
    case cudaErrorNoDevice: return "no CUDA-capable device is detected";
    default: return "a failure that was asked for";
  }
}

cudaError_t cudaGetLastError() { return std::exchange(the_gpu.last_error, cudaSuccess); }

cudaError_t cudaGetDeviceCount(int* count) {
  if (fails("cudaGetDeviceCount")) return report(cudaErrorInvalidValue);
  *count = the_gpu.devices;
  return the_gpu.devices == 0 ? cudaErrorNoDevice : cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (fails("cudaGetDeviceProperties")) return report(cudaErrorInvalidValue);
  if (device < 0 || device >= the_gpu.devices) return cudaErrorInvalidDevice;
  *properties = {};
  std::strcpy(properties->name, "Fake");
  properties->major = the_gpu.major;
  properties->minor = the_gpu.minor;
  properties->integrated = the_gpu.integrated ? 1 : 0;
  properties->canMapHostMemory = 1;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  if (fails("cudaDeviceGetAttribute")) return report(cudaErrorInvalidValue);
  if (device < 0 || device >= the_gpu.devices) return cudaErrorInvalidDevice;
  *value = attribute == cudaDevAttrIntegrated && !the_gpu.integrated ? 0 : 1;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
  if (fails("cudaSetDevice")) return report(cudaErrorInvalidValue);
  return device >= 0 && device < the_gpu.devices ? cudaSuccess : cudaErrorInvalidDevice;
}

cudaError_t cudaMalloc(void** memory, std::size_t bytes) {
  if (fails("cudaMalloc")) return report(cudaErrorMemoryAllocation);
  const int how = MAP_PRIVATE | MAP_ANONYMOUS;
  void* mapped = mmap(nullptr, fake::pages(bytes), PROT_READ | PROT_WRITE, how, -1, 0);
  if (mapped == MAP_FAILED) return cudaErrorMemoryAllocation;
  fake::poison(mapped, bytes);
  if (mprotect(mapped, fake::pages(bytes), PROT_NONE) != 0) return cudaErrorMemoryAllocation;
  fake::device_memory[static_cast<char*>(mapped)] = bytes;
  ++the_gpu.live;
  *memory = mapped;
  return cudaSuccess;
}

cudaError_t cudaFree(void* memory) {
  if (memory == nullptr) return cudaSuccess;
  const auto block = fake::device_memory.find(static_cast<char*>(memory));
  if (block == fake::device_memory.end()) {
    misuse("cudaFree of memory that is none of the device's");
    return cudaErrorInvalidValue;
  }
  if (std::find(fake::bound.begin(), fake::bound.end(), memory) != fake::bound.end()) {
    misuse("a context's memory was freed before the context");
  }
  munmap(memory, fake::pages(block->second));
  fake::device_memory.erase(block);
  --the_gpu.live;
  return cudaSuccess;
}

namespace {

cudaError_t allocate_host(void** memory, std::size_t bytes) {
  void* allocated = std::malloc(bytes);
  if (allocated == nullptr) return cudaErrorMemoryAllocation;
  fake::poison(allocated, bytes);
  fake::host_memory[static_cast<char*>(allocated)] = bytes;
  ++the_gpu.live;
  *memory = allocated;
  return cudaSuccess;
}

}  // namespace

cudaError_t cudaMallocHost(void** memory, std::size_t bytes) {
  if (fails("cudaMallocHost")) return report(cudaErrorMemoryAllocation);
  return allocate_host(memory, bytes);
}

cudaError_t cudaHostAlloc(void** memory, std::size_t bytes, unsigned /*flags*/) {
  if (fails("cudaHostAlloc")) return report(cudaErrorMemoryAllocation);
  return allocate_host(memory, bytes);
}

cudaError_t cudaHostGetDevicePointer(void** device, void* host, unsigned /*flags*/) {
  if (fails("cudaHostGetDevicePointer")) return report(cudaErrorInvalidValue);
  if (!fake::holds(fake::host_memory, host, 1)) return cudaErrorInvalidValue;
  *device = host;
  return cudaSuccess;
}

cudaError_t cudaFreeHost(void* memory) {
  if (memory == nullptr) return cudaSuccess;
  if (fake::host_memory.erase(static_cast<char*>(memory)) == 0) {
    misuse("cudaFreeHost of memory that is not pinned");
    return cudaErrorInvalidValue;
  }
  if (std::find(fake::bound.begin(), fake::bound.end(), memory) != fake::bound.end()) {
    misuse("a context's memory was freed before the context");
  }
  std::free(memory);
  --the_gpu.live;
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* target, const void* source, std::size_t bytes,
                            cudaMemcpyKind kind, cudaStream_t stream) {
  if (fails("cudaMemcpyAsync")) return report(cudaErrorIllegalAddress);
  const bool upload = kind == cudaMemcpyHostToDevice;
  if (!fake::holds(fake::device_memory, upload ? target : source, bytes)) {
    misuse("a copy leaves the device's memory");
    return cudaErrorInvalidValue;
  }
  const void* host = upload ? source : target;
  if (stream->captured && !fake::holds(fake::host_memory, host, bytes)) {
    misuse("a captured copy uses memory that is not pinned");
  }
  fake::queue(stream, [=] { std::memcpy(target, source, bytes); });
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  if (fails("cudaStreamCreateWithFlags")) return report(cudaErrorMemoryAllocation);
  if (flags != cudaStreamNonBlocking) misuse("a stream that waits for all others");
  *stream = new CUstream_st;
  ++the_gpu.live;
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  const bool failing = fails("cudaStreamSynchronize");
  if (stream->captured) misuse("a stream was synchronized while a capture runs");
  const Work work = std::move(stream->work);
  stream->work.clear();
  if (failing) return report(cudaErrorIllegalAddress);
  fake::perform(work);
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  if (!stream->work.empty()) misuse("a stream was destroyed with work in it");
  delete stream;
  --the_gpu.live;
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode /*mode*/) {
  if (fails("cudaStreamBeginCapture")) return report(cudaErrorStreamCaptureUnsupported);
  stream->captured = std::make_unique<CUgraph_st>();
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  const bool failing = fails("cudaStreamEndCapture");
  std::unique_ptr<CUgraph_st> captured = std::move(stream->captured);
  if (failing || !captured) return report(cudaErrorStreamCaptureUnsupported);
  *graph = captured.release();
  ++the_gpu.live;
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* executable, cudaGraph_t graph,
                                          unsigned long long /*flags*/) {
  if (fails("cudaGraphInstantiateWithFlags")) return report(cudaErrorMemoryAllocation);
  *executable = new CUgraphExec_st{graph->work};
  ++the_gpu.live;
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  if (fails("cudaGraphLaunch")) return report(cudaErrorIllegalAddress);
  for (const auto& task : executable->work) fake::queue(stream, task);
  return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  if (graph == nullptr) return cudaErrorInvalidValue;
  delete graph;
  --the_gpu.live;
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  delete executable;
  --the_gpu.live;
  return cudaSuccess;
}

#if defined(YOLOV12EDGE_CUDA_PREPROCESS)
cudaError_t yolov12edge::cuda::launch_letterbox(const LetterboxJob& job, float* planes,
                                                cudaStream_t stream) {
  if (fails("launch_letterbox")) return report(cudaErrorInvalidValue);
  fake::queue(stream, [=] { letterbox_on_cpu(job, planes); });
  return cudaGetLastError();
}
#endif
