// A stand-in for the CUDA driver library: the ABI of cuda.h over host memory, for one SM 8.7
// device. It counts what is alive so that a test can see leaks.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef int CUresult;
typedef int CUdevice;
typedef unsigned long long CUdeviceptr;

static int alive, current_is_set;

int stub_alive(void) { return alive; }

CUresult cuInit(unsigned int flags) { return flags == 0 ? 0 : 1; }
CUresult cuDriverGetVersion(int *version) { *version = 12060; return 0; }
CUresult cuDeviceGetCount(int *count) { *count = 1; return 0; }
CUresult cuDeviceGet(CUdevice *device, int ordinal) {
  if (ordinal != 0) return 101;
  *device = 0;
  return 0;
}
CUresult cuDeviceGetName(char *name, int length, CUdevice device) {
  (void)device;
  strncpy(name, "Orin (stub)", (size_t)length);
  return 0;
}
CUresult cuDeviceTotalMem_v2(size_t *bytes, CUdevice device) {
  (void)device;
  *bytes = (size_t)8 << 30;
  return 0;
}
CUresult cuDeviceGetAttribute(int *value, int attribute, CUdevice device) {
  (void)device;
  if (attribute == 75) *value = 8;
  else if (attribute == 76) *value = 7;
  else return 1;
  return 0;
}
CUresult cuGetErrorName(CUresult error, const char **text) {
  *text = error == 2 ? "CUDA_ERROR_OUT_OF_MEMORY" : error == 101 ? "CUDA_ERROR_INVALID_DEVICE" : 0;
  return *text ? 0 : 1;
}
CUresult cuDevicePrimaryCtxRetain(void **context, CUdevice device) {
  (void)device;
  alive++;
  *context = (void *)0x7f0000001000;
  return 0;
}
CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device) { (void)device; alive--; return 0; }
CUresult cuCtxSetCurrent(void *context) {
  current_is_set = context == (void *)0x7f0000001000;
  return current_is_set ? 0 : 201;
}
CUresult cuStreamCreate(void **stream, unsigned int flags) {
  if (!current_is_set || flags != 1) return 1;
  alive++;
  *stream = (void *)0x7f0000002000;
  return 0;
}
CUresult cuStreamDestroy_v2(void *stream) {
  if (stream != (void *)0x7f0000002000) return 400;
  alive--;
  return 0;
}
CUresult cuStreamSynchronize(void *stream) { return stream == (void *)0x7f0000002000 ? 0 : 400; }
CUresult cuMemAlloc_v2(CUdeviceptr *address, size_t bytes) {
  if (bytes > (size_t)8 << 30) return 2;
  alive++;
  *address = (CUdeviceptr)(uintptr_t)malloc(bytes);
  return 0;
}
CUresult cuMemFree_v2(CUdeviceptr address) { free((void *)(uintptr_t)address); alive--; return 0; }
CUresult cuMemHostAlloc(void **pointer, size_t bytes, unsigned int flags) {
  if (flags != 0) return 1;
  alive++;
  *pointer = malloc(bytes);
  return 0;
}
CUresult cuMemFreeHost(void *pointer) { free(pointer); alive--; return 0; }
CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr target, const void *source, size_t bytes, void *stream) {
  memcpy((void *)(uintptr_t)target, source, bytes);
  return cuStreamSynchronize(stream);
}
CUresult cuMemcpyDtoHAsync_v2(void *target, CUdeviceptr source, size_t bytes, void *stream) {
  memcpy(target, (void *)(uintptr_t)source, bytes);
  return cuStreamSynchronize(stream);
}
