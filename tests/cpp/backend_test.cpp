// A real runtime behind the backend interface: how many images an inference computes.
//
// backend_test FOLDER BATCH fixed|open: FOLDER/model.onnx doubles the first numbers of each image;
// its batch is fixed or open. See test_backends.py.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "yolov12edge/open.hpp"

namespace {

using namespace yolov12edge;

#define CHECK(condition)                                                  \
  do {                                                                    \
    if (!(condition)) {                                                   \
      std::printf("%s:%d: failed: %s\n", __FILE__, __LINE__, #condition); \
      std::exit(1);                                                       \
    }                                                                     \
  } while (false)

constexpr int kSide = 32, kClasses = 2, kAnchors = 21;
constexpr std::size_t kInput = 3 * kSide * kSide, kOutput = (4 + kClasses) * kAnchors;

// Fills the whole input, each image with a number of its own.
void fill(Backend& backend, float first) {
  for (int image = 0; image < backend.max_batch(); ++image) {
    std::fill_n(backend.input() + static_cast<std::size_t>(image) * kInput, kInput,
                first + static_cast<float>(image));
  }
}

bool holds(const Backend& backend, int image, float value) {
  const float* output = backend.output() + static_cast<std::size_t>(image) * kOutput;
  return std::all_of(output, output + kOutput, [value](float one) { return one == value; });
}

void computes_what_is_asked_for(Backend& backend, bool open) {
  const int most = backend.max_batch();
  for (int batch = most; batch >= 1; --batch) {
    fill(backend, 100);
    CHECK(backend.infer(most).ok());
    for (int image = 0; image < most; ++image) {
      CHECK(holds(backend, image, 2 * (100 + static_cast<float>(image))));
    }
    fill(backend, 500);
    CHECK(backend.infer(batch).ok());
    for (int image = 0; image < batch; ++image) {
      CHECK(holds(backend, image, 2 * (500 + static_cast<float>(image))));
    }
    // Where the batch is open, nobody has computed the images that were not asked for.
    for (int image = batch; image < most && open; ++image) {
      CHECK(holds(backend, image, 2 * (100 + static_cast<float>(image))));
    }
  }
}

void clones_compute_side_by_side(const Backend& prototype, bool open) {
  std::vector<std::thread> threads;
  for (int index = 0; index < 3; ++index) {
    threads.emplace_back([&prototype, open] {
      Result<std::unique_ptr<Backend>> clone = prototype.clone();
      CHECK(clone);
      computes_what_is_asked_for(**clone, open);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  ModelInfo info;
  info.precision = "fp32";
  info.class_names = {"a", "b"};
  info.letterbox = {kSide, kSide};
  info.onnx = {"model.onnx", "", 0};
  BackendOptions options;
  options.threads = 1;
  options.batch = std::atoi(argv[2]);
  const bool open = std::string(argv[3]) == "open";
  Result<Detector> detector = open_detector(argv[1], info, options);
  if (!detector) {
    std::printf("%s\n", detector.status().message().c_str());
    return 1;
  }
  Backend& backend = detector->backend();
  CHECK(backend.max_batch() == (open ? options.batch : 3));
  CHECK(backend.anchors() == kAnchors && backend.classes() == kClasses);
  clones_compute_side_by_side(backend, open);
  computes_what_is_asked_for(backend, open);
  std::printf("all passed\n");
  return 0;
}
