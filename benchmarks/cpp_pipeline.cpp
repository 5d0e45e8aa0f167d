// Times letterbox and decode of the C++ runtime; started by cpp_pipeline.py.
//
// arguments: the output's file, its classes, its anchors, runs. Prints a line of median
// milliseconds for each stage.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "yolov12edge/decode.hpp"
#include "yolov12edge/letterbox.hpp"
#include "yolov12edge/model_file.hpp"

namespace {

using namespace yolov12edge;

template <typename Function>
double median_ms(int runs, const Function& function) {
  std::vector<double> times;
  function();
  for (int run = 0; run < runs; ++run) {
    const auto start = std::chrono::steady_clock::now();
    function();
    const auto spent = std::chrono::steady_clock::now() - start;
    times.push_back(std::chrono::duration<double, std::milli>(spent).count());
  }
  std::nth_element(times.begin(), times.begin() + runs / 2, times.end());
  return times[static_cast<std::size_t>(runs / 2)];
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  const Result<Bytes> file = read_file(argv[1]);
  const int classes = std::atoi(argv[2]), anchors = std::atoi(argv[3]), runs = std::atoi(argv[4]);
  if (!file || runs < 1) return 1;
  std::vector<float> output(file->size() / sizeof(float));
  std::memcpy(output.data(), file->data(), file->size());
  const OutputView view{output.data(), classes, anchors};
  if (view.size() != output.size()) return 1;

  std::vector<std::uint8_t> pixels(std::size_t{1920} * 1080 * 4);
  for (std::size_t index = 0; index < pixels.size(); ++index) {
    pixels[index] = static_cast<std::uint8_t>(index * 2654435761U >> 13);
  }
  std::vector<float> tensor(std::size_t{3} * 640 * 640);
  Letterbox letterbox({640, 640});
  const auto scale = [&](PixelFormat format) {
    return median_ms(runs, [&] {
      if (!letterbox.to_tensor({pixels.data(), 1920, 1080, 0, format}, tensor.data())) std::exit(1);
    });
  };
  Decoder decoder;
  DecodeOptions evaluation;
  evaluation.confidence = 0.001F;
  evaluation.multi_label = true;
  const auto decode = [&](const DecodeOptions& options) {
    return median_ms(runs, [&] {
      // What Detector does: refuse NaN, then decode.
      if (!all_finite(view.data, view.size())) std::exit(1);
      (void)decoder(view, options);
    });
  };
  std::printf("letterbox rgb %.4f\n", scale(PixelFormat::rgb));
  std::printf("letterbox bgr %.4f\n", scale(PixelFormat::bgr));
  std::printf("letterbox rgba %.4f\n", scale(PixelFormat::rgba));
  std::printf("letterbox nv12 %.4f\n", scale(PixelFormat::nv12));
  std::printf("letterbox yuyv %.4f\n", scale(PixelFormat::yuyv));
  std::printf("decode predict %.4f\n", decode({}));
  std::printf("decode evaluate %.4f\n", decode(evaluation));
  return 0;
}
