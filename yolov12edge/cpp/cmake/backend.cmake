# Finds the runtime that YOLOV12EDGE_BACKEND names. Used when this project is compiled and, as the
# runtime may lie elsewhere then, again by find_package(yolov12edge).

# An imported target of headers and libraries.
function(yolov12edge_import name include_dirs libraries)
  if(NOT TARGET ${name})
    add_library(${name} INTERFACE IMPORTED GLOBAL)
    set_target_properties(${name} PROPERTIES
      INTERFACE_INCLUDE_DIRECTORIES "${include_dirs}"
      INTERFACE_SYSTEM_INCLUDE_DIRECTORIES "${include_dirs}"
      INTERFACE_LINK_LIBRARIES "${libraries}")
  endif()
endfunction()

function(yolov12edge_require variable what option)
  if(NOT ${variable})
    message(FATAL_ERROR "yolov12edge: ${what} not found; pass -D${option}=DIR")
  endif()
endfunction()

function(yolov12edge_find_tensorrt library)
  set(places ${TENSORRT_ROOT} $ENV{TENSORRT_ROOT})
  set(suffix ${CMAKE_LIBRARY_ARCHITECTURE})
  find_path(TENSORRT_INCLUDE_DIR NvInfer.h HINTS ${places}
    PATH_SUFFIXES include include/${suffix})
  find_library(TENSORRT_LIBRARY NAMES ${library} ${library}_10 ${library}_11 HINTS ${places}
    PATH_SUFFIXES lib lib64 lib/${suffix})
  set(cuda ${CUDAToolkit_ROOT} $ENV{CUDA_HOME} $ENV{CUDA_PATH} /usr/local/cuda)
  set(targets targets/${CMAKE_SYSTEM_PROCESSOR}-linux)
  find_path(YOLOV12EDGE_CUDA_INCLUDE_DIR cuda_runtime_api.h HINTS ${cuda}
    PATH_SUFFIXES include ${targets}/include)
  find_library(YOLOV12EDGE_CUDART_LIBRARY cudart HINTS ${cuda}
    PATH_SUFFIXES lib64 lib ${targets}/lib)
  yolov12edge_require(TENSORRT_INCLUDE_DIR "NvInfer.h" TENSORRT_ROOT)
  yolov12edge_require(TENSORRT_LIBRARY "lib${library}" TENSORRT_ROOT)
  yolov12edge_require(YOLOV12EDGE_CUDA_INCLUDE_DIR "cuda_runtime_api.h" CUDAToolkit_ROOT)
  yolov12edge_require(YOLOV12EDGE_CUDART_LIBRARY "libcudart" CUDAToolkit_ROOT)
  yolov12edge_import(yolov12edge_runtime
    "${TENSORRT_INCLUDE_DIR};${YOLOV12EDGE_CUDA_INCLUDE_DIR}"
    "${TENSORRT_LIBRARY};${YOLOV12EDGE_CUDART_LIBRARY}")
endfunction()

function(yolov12edge_find_onnxruntime)
  set(places ${ONNXRUNTIME_ROOT} $ENV{ONNXRUNTIME_ROOT})
  find_path(ONNXRUNTIME_INCLUDE_DIR onnxruntime_c_api.h HINTS ${places}
    PATH_SUFFIXES include include/onnxruntime include/onnxruntime/core/session)
  find_library(ONNXRUNTIME_LIBRARY onnxruntime HINTS ${places} PATH_SUFFIXES lib lib64)
  yolov12edge_require(ONNXRUNTIME_INCLUDE_DIR "onnxruntime_c_api.h" ONNXRUNTIME_ROOT)
  yolov12edge_require(ONNXRUNTIME_LIBRARY "libonnxruntime" ONNXRUNTIME_ROOT)
  yolov12edge_import(yolov12edge_runtime "${ONNXRUNTIME_INCLUDE_DIR}" "${ONNXRUNTIME_LIBRARY}")
endfunction()

# Defines the target that stands for the runtime.
function(yolov12edge_find_backend)
  if(YOLOV12EDGE_BACKEND STREQUAL "tensorrt")
    yolov12edge_find_tensorrt(nvinfer)
  elseif(YOLOV12EDGE_BACKEND STREQUAL "tensorrt_rtx")
    yolov12edge_find_tensorrt(tensorrt_rtx)
  elseif(YOLOV12EDGE_BACKEND STREQUAL "openvino")
    find_package(OpenVINO REQUIRED COMPONENTS Runtime)
    get_target_property(include_dirs openvino::runtime INTERFACE_INCLUDE_DIRECTORIES)
    yolov12edge_import(yolov12edge_runtime "${include_dirs}" openvino::runtime)
  elseif(YOLOV12EDGE_BACKEND STREQUAL "onnxruntime")
    yolov12edge_find_onnxruntime()
  else()
    message(FATAL_ERROR "yolov12edge: YOLOV12EDGE_BACKEND is '${YOLOV12EDGE_BACKEND}', expected "
      "tensorrt, tensorrt_rtx, openvino or onnxruntime")
  endif()
endfunction()

function(yolov12edge_link_backend target)
  yolov12edge_find_backend()
  string(TOUPPER ${YOLOV12EDGE_BACKEND} upper)
  target_compile_definitions(${target} INTERFACE
    YOLOV12EDGE_BACKEND_${upper} YOLOV12EDGE_BACKEND_NAME="${YOLOV12EDGE_BACKEND}")
  target_link_libraries(${target} INTERFACE yolov12edge_runtime)
endfunction()
