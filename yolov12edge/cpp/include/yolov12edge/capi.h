/* The detector for C, and for languages that call C. No exception leaves these functions. */
#ifndef YOLOV12EDGE_CAPI_H
#define YOLOV12EDGE_CAPI_H

#include <stddef.h>
#include <stdint.h>

#define YOLOV12EDGE_VERSION "0.1.0"
/* Raised where a program compiled against an older header would break. */
#define YOLOV12EDGE_ABI_VERSION 1

/* Define YOLOV12EDGE_STATIC where src/capi.cpp is compiled into the program itself, or into a
   library that is not to offer these functions. CMake defines yolov12edge_c_EXPORTS where it
   compiles the shared library. */
#if defined(YOLOV12EDGE_STATIC)
#define YOLOV12EDGE_API
#elif defined(_WIN32) && defined(yolov12edge_c_EXPORTS)
#define YOLOV12EDGE_API __declspec(dllexport)
#elif defined(_WIN32)
#define YOLOV12EDGE_API __declspec(dllimport)
#else
#define YOLOV12EDGE_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef enum yolov12edge_status {
  YOLOV12EDGE_OK = 0,
  YOLOV12EDGE_INVALID_ARGUMENT = 1,
  YOLOV12EDGE_FILE_NOT_FOUND = 2,
  YOLOV12EDGE_MODEL_DAMAGED = 3,
  YOLOV12EDGE_MODEL_MISMATCH = 4,
  YOLOV12EDGE_VERSION_MISMATCH = 5,
  YOLOV12EDGE_DEVICE_MISMATCH = 6,
  YOLOV12EDGE_UNSUPPORTED = 7,
  YOLOV12EDGE_OUT_OF_MEMORY = 8,
  YOLOV12EDGE_RUNTIME_FAILURE = 9,
  YOLOV12EDGE_INVALID_OUTPUT = 10
} yolov12edge_status;

typedef enum yolov12edge_format {
  YOLOV12EDGE_RGB = 0,
  YOLOV12EDGE_BGR = 1,
  YOLOV12EDGE_RGBA = 2,
  YOLOV12EDGE_BGRA = 3,
  YOLOV12EDGE_NV12 = 4,
  YOLOV12EDGE_YUYV = 5
} yolov12edge_format;

typedef struct yolov12edge_image {
  const uint8_t* data;
  int32_t width;
  int32_t height;
  int64_t stride;        /* bytes from a row to the next; 0: rows touch */
  int32_t format;        /* a yolov12edge_format */
  const uint8_t* chroma; /* NV12's U V plane; NULL: it follows the Y plane */
  int64_t chroma_stride; /* 0: as stride */
} yolov12edge_image;

typedef struct yolov12edge_detection {
  float left, top, right, bottom; /* pixels of the image */
  float score;
  int32_t class_id;
} yolov12edge_detection;

typedef struct yolov12edge_options {
  float confidence;       /* 0.25 */
  float iou;              /* 0.7 */
  int32_t max_detections; /* 300 */
  int32_t multi_label;    /* 0 */
} yolov12edge_options;

/* One detector serves one thread at a time; clones share the weights. */
typedef struct yolov12edge_detector yolov12edge_detector;

/* Of the library that is loaded: YOLOV12EDGE_VERSION and YOLOV12EDGE_ABI_VERSION when it was
   compiled. A program that loads it at run time compares the latter with its own. */
YOLOV12EDGE_API const char* yolov12edge_version(void);
YOLOV12EDGE_API int32_t yolov12edge_abi_version(void);

/* Opens the model in `folder` that this library was compiled for. `threads`: CPU threads of one
   inference, 0 for the runtime's choice; `device`: number of the GPU. */
YOLOV12EDGE_API yolov12edge_status yolov12edge_open(const char* folder, int32_t threads,
                                                    int32_t device,
                                                    yolov12edge_detector** detector);
YOLOV12EDGE_API yolov12edge_status yolov12edge_clone(const yolov12edge_detector* detector,
                                                     yolov12edge_detector** clone);
YOLOV12EDGE_API void yolov12edge_close(yolov12edge_detector* detector);

/* Writes the best `capacity` detections and how many there are in all. `options` may be NULL. */
YOLOV12EDGE_API yolov12edge_status yolov12edge_detect(yolov12edge_detector* detector,
                                                      const yolov12edge_image* image,
                                                      const yolov12edge_options* options,
                                                      yolov12edge_detection* detections,
                                                      size_t capacity, size_t* count);

YOLOV12EDGE_API int32_t yolov12edge_class_count(const yolov12edge_detector* detector);
/* NULL where there is no such class. */
YOLOV12EDGE_API const char* yolov12edge_class_name(const yolov12edge_detector* detector,
                                                   int32_t class_id);

/* What went wrong in this thread's last call that failed. */
YOLOV12EDGE_API const char* yolov12edge_last_error(void);
YOLOV12EDGE_API const char* yolov12edge_status_name(yolov12edge_status status);

#ifdef __cplusplus
}
#endif

#endif
