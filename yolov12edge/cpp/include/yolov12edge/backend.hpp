// What every runtime offers: floats in, floats out.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "yolov12edge/geometry.hpp"
#include "yolov12edge/image.hpp"
#include "yolov12edge/status.hpp"

namespace yolov12edge {

struct BackendOptions {
  int threads = 0;         // CPU threads of one inference; 0: the runtime's own choice
  int batch = 1;           // most images an inference, where the model leaves it open
  int device = 0;          // number of the GPU
  bool cuda_graph = true;  // TensorRT: capture an inference once, replay it afterwards
  bool zero_copy = true;   // TensorRT on a GPU that shares the host's memory: no copies
};

// A loaded model with buffers for one inference at a time; one instance a thread.
class Backend {
 public:
  Backend() = default;
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;
  virtual ~Backend() = default;

  virtual std::string description() const = 0;  // runtime, version and device, for people
  virtual int max_batch() const noexcept = 0;
  virtual int height() const noexcept = 0;
  virtual int width() const noexcept = 0;
  virtual int classes() const noexcept = 0;
  virtual int anchors() const noexcept = 0;

  // Room for max_batch() images of 3 x height x width floats, R, G, B planes in 0..1.
  virtual float* input() noexcept = 0;
  // (4 + classes) x anchors floats for each image of the last inference; those of further images
  // mean nothing.
  virtual const float* output() const noexcept = 0;

  // Runs the first `batch` images of input(); 1 <= batch <= max_batch(). A model of a fixed batch
  // computes all of it, whatever is asked for.
  virtual Status infer(int batch) = 0;

  // Letterboxes images that lie in device memory straight into the model and runs it.
  virtual Status infer_on_device(const std::vector<ImageView>& /*images*/,
                                 const LetterboxSpec& /*spec*/,
                                 std::vector<Placement>& /*placements*/) {
    return {StatusCode::unsupported, description() + " takes images from host memory only"};
  }

  // Another instance that shares the weights.
  virtual Result<std::unique_ptr<Backend>> clone() const = 0;
};

}  // namespace yolov12edge
