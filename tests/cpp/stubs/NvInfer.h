// What the C++ backend uses of TensorRT, declared from the documented API so that it compiles
// without NVIDIA's headers. -DSTUB_MAJOR, -DSTUB_MINOR and -DSTUB_PATCH choose the version.
//
// The real methods are not virtual; here they are, for fake_gpu.cpp to implement them.
// api_facts.cpp and test_tensorrt.py hold these declarations to the real ones.
#pragma once

#include <cstddef>
#include <cstdint>

#include <cuda_runtime_api.h>

#define NV_TENSORRT_MAJOR STUB_MAJOR
#define NV_TENSORRT_MINOR STUB_MINOR
#define NV_TENSORRT_PATCH STUB_PATCH

// TensorRT-RTX begins at 1.0 with what TensorRT 10 has.
#if STUB_MAJOR >= 10 || STUB_MAJOR == 1
#define STUB_SINCE_10
#endif
#if defined(STUB_SINCE_10) || STUB_MINOR >= 6
#define STUB_SINCE_8_6
#endif

extern "C" std::int32_t getInferLibVersion() noexcept;

namespace nvinfer1 {

enum class DataType : std::int32_t { kFLOAT = 0, kHALF = 1, kINT8 = 2, kINT32 = 3, kBOOL = 4 };
enum class TensorIOMode : std::int32_t { kNONE = 0, kINPUT = 1, kOUTPUT = 2 };
enum class OptProfileSelector : std::int32_t { kMIN = 0, kOPT = 1, kMAX = 2 };
#if defined(STUB_SINCE_10)
enum class ExecutionContextAllocationStrategy : std::int32_t { kSTATIC = 0 };
#endif

struct Dims {
  std::int32_t nbDims;
#if defined(STUB_SINCE_10)
  std::int64_t d[8];
#else
  std::int32_t d[8];
#endif
};

class ILogger {
 public:
  enum class Severity : std::int32_t {
    kINTERNAL_ERROR = 0,
    kERROR = 1,
    kWARNING = 2,
    kINFO = 3,
    kVERBOSE = 4,
  };
  virtual void log(Severity severity, char const* message) noexcept = 0;
  virtual ~ILogger() = default;
};

class IExecutionContext {
 public:
  virtual ~IExecutionContext() noexcept = default;
  virtual bool setInputShape(char const* name, Dims const& shape) noexcept = 0;
  virtual Dims getTensorShape(char const* name) const noexcept = 0;
  virtual bool setTensorAddress(char const* name, void* data) noexcept = 0;
  virtual bool enqueueV3(cudaStream_t stream) noexcept = 0;
};

class ICudaEngine {
 public:
  virtual ~ICudaEngine() noexcept = default;
  virtual std::int32_t getNbIOTensors() const noexcept = 0;
  virtual char const* getIOTensorName(std::int32_t index) const noexcept = 0;
  virtual TensorIOMode getTensorIOMode(char const* name) const noexcept = 0;
  virtual DataType getTensorDataType(char const* name) const noexcept = 0;
  virtual Dims getTensorShape(char const* name) const noexcept = 0;
  virtual Dims getProfileShape(char const* name, std::int32_t profile,
                               OptProfileSelector which) const noexcept = 0;
#if defined(STUB_SINCE_10)
  virtual IExecutionContext* createExecutionContext(
      ExecutionContextAllocationStrategy strategy =
          ExecutionContextAllocationStrategy::kSTATIC) noexcept = 0;
#else
  virtual IExecutionContext* createExecutionContext() noexcept = 0;
#endif
};

class IRuntime {
 public:
  virtual ~IRuntime() noexcept = default;
  virtual ICudaEngine* deserializeCudaEngine(void const* plan, std::size_t size) noexcept = 0;
#if defined(STUB_SINCE_8_6)
  virtual void setEngineHostCodeAllowed(bool allowed) noexcept = 0;
#endif
};

IRuntime* createInferRuntime(ILogger& logger) noexcept;

}  // namespace nvinfer1
