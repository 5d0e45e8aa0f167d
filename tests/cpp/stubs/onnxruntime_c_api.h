// ONNX Runtime's C interface as far as the runtime uses it: pip's wheel has the library but not the
// headers.
//
// The interface is a table of function pointers whose order never changes. `ORT_UNUSED(a, b)`
// stands for the entries a to b. Compared with the header of 1.23.
#pragma once

#include <cstddef>
#include <cstdint>

#define ORT_API_CALL
#define ORT_API_VERSION 16

#define ORT_UNUSED(first, last) void* unused_##first[(last) - (first) + 1]

struct OrtEnv;
struct OrtStatus;
struct OrtMemoryInfo;
struct OrtSession;
struct OrtValue;
struct OrtRunOptions;
struct OrtTypeInfo;
struct OrtTensorTypeAndShapeInfo;
struct OrtSessionOptions;
struct OrtAllocator;

enum OrtLoggingLevel { ORT_LOGGING_LEVEL_ERROR = 3 };
enum OrtAllocatorType { OrtArenaAllocator = 1 };
enum OrtMemType { OrtMemTypeDefault = 0 };
enum ONNXTensorElementDataType {
  ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED = 0,
  ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT = 1
};

struct OrtApi {
  ORT_UNUSED(0, 1);
  const char* (*GetErrorMessage)(const OrtStatus*);
  OrtStatus* (*CreateEnv)(OrtLoggingLevel, const char*, OrtEnv**);
  ORT_UNUSED(4, 7);
  OrtStatus* (*CreateSessionFromArray)(const OrtEnv*, const void*, std::size_t,
                                       const OrtSessionOptions*, OrtSession**);
  OrtStatus* (*Run)(OrtSession*, const OrtRunOptions*, const char* const*, const OrtValue* const*,
                    std::size_t, const char* const*, std::size_t, OrtValue**);
  OrtStatus* (*CreateSessionOptions)(OrtSessionOptions**);
  ORT_UNUSED(11, 23);
  OrtStatus* (*SetIntraOpNumThreads)(OrtSessionOptions*, int);
  ORT_UNUSED(25, 29);
  OrtStatus* (*SessionGetInputCount)(const OrtSession*, std::size_t*);
  OrtStatus* (*SessionGetOutputCount)(const OrtSession*, std::size_t*);
  ORT_UNUSED(32, 32);
  OrtStatus* (*SessionGetInputTypeInfo)(const OrtSession*, std::size_t, OrtTypeInfo**);
  OrtStatus* (*SessionGetOutputTypeInfo)(const OrtSession*, std::size_t, OrtTypeInfo**);
  ORT_UNUSED(35, 35);
  OrtStatus* (*SessionGetInputName)(const OrtSession*, std::size_t, OrtAllocator*, char**);
  OrtStatus* (*SessionGetOutputName)(const OrtSession*, std::size_t, OrtAllocator*, char**);
  ORT_UNUSED(38, 48);
  OrtStatus* (*CreateTensorWithDataAsOrtValue)(const OrtMemoryInfo*, void*, std::size_t,
                                               const std::int64_t*, std::size_t,
                                               ONNXTensorElementDataType, OrtValue**);
  ORT_UNUSED(50, 54);
  OrtStatus* (*CastTypeInfoToTensorInfo)(const OrtTypeInfo*, const OrtTensorTypeAndShapeInfo**);
  ORT_UNUSED(56, 59);
  OrtStatus* (*GetTensorElementType)(const OrtTensorTypeAndShapeInfo*, ONNXTensorElementDataType*);
  OrtStatus* (*GetDimensionsCount)(const OrtTensorTypeAndShapeInfo*, std::size_t*);
  OrtStatus* (*GetDimensions)(const OrtTensorTypeAndShapeInfo*, std::int64_t*, std::size_t);
  ORT_UNUSED(63, 68);
  OrtStatus* (*CreateCpuMemoryInfo)(OrtAllocatorType, OrtMemType, OrtMemoryInfo**);
  ORT_UNUSED(70, 75);
  OrtStatus* (*AllocatorFree)(OrtAllocator*, void*);
  ORT_UNUSED(77, 77);
  OrtStatus* (*GetAllocatorWithDefaultOptions)(OrtAllocator**);
  ORT_UNUSED(79, 91);
  void (*ReleaseEnv)(OrtEnv*);
  void (*ReleaseStatus)(OrtStatus*);
  void (*ReleaseMemoryInfo)(OrtMemoryInfo*);
  void (*ReleaseSession)(OrtSession*);
  void (*ReleaseValue)(OrtValue*);
  ORT_UNUSED(97, 97);
  void (*ReleaseTypeInfo)(OrtTypeInfo*);
  ORT_UNUSED(99, 99);
  void (*ReleaseSessionOptions)(OrtSessionOptions*);
};

static_assert(offsetof(OrtApi, ReleaseSessionOptions) == 100 * sizeof(void*));

struct OrtApiBase {
  const OrtApi* (*GetApi)(std::uint32_t version);
  const char* (*GetVersionString)();
};

extern "C" const OrtApiBase* OrtGetApiBase();
