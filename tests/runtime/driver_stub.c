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
CUresult cuMemGetInfo_v2(size_t *available, size_t *total) {
  if (!current_is_set) return 201;
  *available = (size_t)5 << 30;
  *total = (size_t)8 << 30;
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

// Events and graphs. A stream is "not ready" for the first queries after each record; a graph is
// what a test's executor does when stub_replay calls it back.
static int pending, recorded_at[64], events, capturing, captures, launches;
static void (*replay)(void);

void stub_on_replay(void (*callback)(void)) { replay = callback; }
int stub_is_capturing(void) { return capturing; }
int stub_captures(void) { return captures; }
int stub_launches(void) { return launches; }

CUresult cuStreamQuery(void *stream) {
  if (stream != (void *)0x7f0000002000) return 400;
  return pending > 0 ? (pending--, 600) : 0;
}
CUresult cuEventCreate(void **event, unsigned int flags) {
  if (flags != 0 && flags != 3) return 1;
  alive++;
  *event = (void *)(uintptr_t)(0x1000 + (events++ % 64));
  return 0;
}
CUresult cuEventDestroy_v2(void *event) { (void)event; alive--; return 0; }
CUresult cuEventRecord(void *event, void *stream) {
  static int now;
  pending = 3;
  recorded_at[(uintptr_t)event - 0x1000] = ++now;
  return cuStreamQuery(stream) == 400 ? 400 : 0;
}
CUresult cuEventSynchronize(void *event) { pending = 0; return recorded_at[(uintptr_t)event - 0x1000] ? 0 : 400; }
CUresult cuEventElapsedTime(float *milliseconds, void *first, void *last) {
  *milliseconds = (float)(recorded_at[(uintptr_t)last - 0x1000] - recorded_at[(uintptr_t)first - 0x1000]);
  return 0;
}
CUresult cuStreamBeginCapture_v2(void *stream, int mode) {
  if (mode != 1 || stream != (void *)0x7f0000002000) return 1;
  capturing = 1;
  return 0;
}
CUresult cuStreamEndCapture(void *stream, void **graph) {
  (void)stream;
  if (!capturing) return 1;
  capturing = 0;
  captures++;
  alive++;
  *graph = (void *)0x7f0000003000;
  return 0;
}
CUresult cuGraphInstantiateWithFlags(void **executable, void *graph, unsigned long long flags) {
  if (flags != 0 || graph != (void *)0x7f0000003000) return 1;
  alive++;
  *executable = (void *)0x7f0000004000;
  return 0;
}
CUresult cuGraphDestroy(void *graph) { if (graph) alive--; return 0; }
CUresult cuGraphExecDestroy(void *executable) { (void)executable; alive--; return 0; }
CUresult cuGraphLaunch(void *executable, void *stream) {
  if (executable != (void *)0x7f0000004000) return 1;
  launches++;
  if (replay) replay();
  return cuStreamSynchronize(stream);
}
