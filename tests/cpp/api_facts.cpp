// Facts about CUDA's and TensorRT's API that the backend relies on. Compiles against NVIDIA's
// headers, of every version supported, and against the stubs that stand for them: what is true of
// both is what the stubs promise.

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include <NvInfer.h>
#include <cuda_runtime_api.h>

namespace {

using namespace nvinfer1;

template <typename Actual, typename Expected>
constexpr bool same = std::is_same_v<Actual, Expected>;

// TensorRT: signatures. Overloaded methods are asked for by a call.
static_assert(same<decltype(&IExecutionContext::setInputShape),
                   bool (IExecutionContext::*)(char const*, Dims const&) noexcept>);
static_assert(same<decltype(&IExecutionContext::getTensorShape),
                   Dims (IExecutionContext::*)(char const*) const noexcept>);
static_assert(same<decltype(&IExecutionContext::setTensorAddress),
                   bool (IExecutionContext::*)(char const*, void*) noexcept>);
static_assert(same<decltype(&IExecutionContext::enqueueV3),
                   bool (IExecutionContext::*)(cudaStream_t) noexcept>);
static_assert(
    same<decltype(&ICudaEngine::getNbIOTensors), std::int32_t (ICudaEngine::*)() const noexcept>);
static_assert(same<decltype(&ICudaEngine::getIOTensorName),
                   char const* (ICudaEngine::*)(std::int32_t) const noexcept>);
static_assert(same<decltype(&ICudaEngine::getTensorIOMode),
                   TensorIOMode (ICudaEngine::*)(char const*) const noexcept>);
static_assert(same<decltype(&ICudaEngine::getTensorDataType),
                   DataType (ICudaEngine::*)(char const*) const noexcept>);
static_assert(same<decltype(&ICudaEngine::getTensorShape),
                   Dims (ICudaEngine::*)(char const*) const noexcept>);
static_assert(
    same<decltype(&ICudaEngine::getProfileShape),
         Dims (ICudaEngine::*)(char const*, std::int32_t, OptProfileSelector) const noexcept>);
static_assert(
    same<decltype(std::declval<ICudaEngine&>().createExecutionContext()), IExecutionContext*>);
static_assert(same<decltype(std::declval<IRuntime&>().deserializeCudaEngine(
                       std::declval<void const*>(), std::size_t{})),
                   ICudaEngine*>);
#if NV_TENSORRT_MAJOR != 8 || NV_TENSORRT_MINOR >= 6
static_assert(
    same<decltype(&IRuntime::setEngineHostCodeAllowed), void (IRuntime::*)(bool) noexcept>);
#endif
static_assert(same<decltype(createInferRuntime(std::declval<ILogger&>())), IRuntime*>);
static_assert(same<decltype(getInferLibVersion()), std::int32_t>);
static_assert(
    same<decltype(&ILogger::log), void (ILogger::*)(ILogger::Severity, char const*) noexcept>);

// TensorRT: who deletes, and what numbers mean.
static_assert(std::has_virtual_destructor_v<IRuntime> &&
              std::has_virtual_destructor_v<ICudaEngine> &&
              std::has_virtual_destructor_v<IExecutionContext>);
static_assert(same<decltype(Dims::nbDims), std::int32_t>);
#if NV_TENSORRT_MAJOR == 8
static_assert(same<decltype(Dims::d), std::int32_t[8]>);
#else
static_assert(same<decltype(Dims::d), std::int64_t[8]>);
#endif
template <typename Enum>
constexpr int number(Enum value) {
  return static_cast<int>(value);
}
static_assert(number(DataType::kFLOAT) == 0 && number(DataType::kHALF) == 1 &&
              number(DataType::kINT8) == 2 && number(DataType::kINT32) == 3 &&
              number(DataType::kBOOL) == 4);
static_assert(number(TensorIOMode::kNONE) == 0 && number(TensorIOMode::kINPUT) == 1 &&
              number(TensorIOMode::kOUTPUT) == 2);
static_assert(number(OptProfileSelector::kMIN) == 0 && number(OptProfileSelector::kOPT) == 1 &&
              number(OptProfileSelector::kMAX) == 2);
static_assert(number(ILogger::Severity::kINTERNAL_ERROR) == 0 &&
              number(ILogger::Severity::kERROR) == 1 && number(ILogger::Severity::kWARNING) == 2 &&
              number(ILogger::Severity::kINFO) == 3 && number(ILogger::Severity::kVERBOSE) == 4);

// CUDA.
template <typename Actual, typename... Arguments>
constexpr bool takes = same<Actual, cudaError_t(Arguments...)>;

static_assert(same<decltype(cudaGetErrorString), const char*(cudaError_t)>);
static_assert(takes<decltype(cudaGetLastError)>);
static_assert(takes<decltype(cudaGetDeviceCount), int*>);
static_assert(takes<decltype(cudaGetDeviceProperties), cudaDeviceProp*, int>);
static_assert(takes<decltype(cudaDeviceGetAttribute), int*, cudaDeviceAttr, int>);
static_assert(takes<decltype(cudaSetDevice), int>);
static_assert(takes<decltype(cudaMalloc), void**, std::size_t>);
static_assert(takes<decltype(cudaFree), void*>);
static_assert(takes<decltype(cudaMallocHost), void**, std::size_t>);
static_assert(takes<decltype(cudaHostAlloc), void**, std::size_t, unsigned>);
static_assert(takes<decltype(cudaHostGetDevicePointer), void**, void*, unsigned>);
static_assert(takes<decltype(cudaFreeHost), void*>);
static_assert(takes<decltype(cudaMemcpyAsync), void*, const void*, std::size_t, cudaMemcpyKind,
                    cudaStream_t>);
static_assert(takes<decltype(cudaStreamCreateWithFlags), cudaStream_t*, unsigned>);
static_assert(takes<decltype(cudaStreamSynchronize), cudaStream_t>);
static_assert(takes<decltype(cudaStreamDestroy), cudaStream_t>);
static_assert(takes<decltype(cudaStreamBeginCapture), cudaStream_t, cudaStreamCaptureMode>);
static_assert(takes<decltype(cudaStreamEndCapture), cudaStream_t, cudaGraph_t*>);
static_assert(takes<decltype(cudaGraphInstantiateWithFlags), cudaGraphExec_t*, cudaGraph_t,
                    unsigned long long>);
static_assert(takes<decltype(cudaGraphLaunch), cudaGraphExec_t, cudaStream_t>);
static_assert(takes<decltype(cudaGraphDestroy), cudaGraph_t>);
static_assert(takes<decltype(cudaGraphExecDestroy), cudaGraphExec_t>);

static_assert(cudaSuccess == 0 && cudaErrorInvalidValue == 1 && cudaErrorMemoryAllocation == 2 &&
              cudaErrorNoDevice == 100 && cudaErrorInvalidDevice == 101 &&
              cudaErrorIllegalAddress == 700 && cudaErrorStreamCaptureUnsupported == 900);
static_assert(cudaMemcpyHostToDevice == 1 && cudaMemcpyDeviceToHost == 2);
static_assert(cudaStreamCaptureModeThreadLocal == 1 && cudaStreamNonBlocking == 1 &&
              cudaHostAllocMapped == 2);
static_assert(cudaDevAttrIntegrated == 18 && cudaDevAttrCanMapHostMemory == 19);
static_assert(same<decltype(cudaDeviceProp::name), char[256]> &&
              same<decltype(cudaDeviceProp::major), int> &&
              same<decltype(cudaDeviceProp::minor), int> &&
              same<decltype(cudaDeviceProp::integrated), int> &&
              same<decltype(cudaDeviceProp::canMapHostMemory), int>);

}  // namespace
