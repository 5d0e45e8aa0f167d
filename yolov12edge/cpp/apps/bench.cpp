// Times the detector alone on this device: warm up until the times settle, then rounds of five
// calls after an untimed one. A call goes from images in host memory to the output in host memory;
// letterbox and decode are timed beside it.
//
// What `yolov12edge bench` does beyond that is not done here: no second model in turns, no look at
// the cores, no rounds until a ratio is certain. Other work on the machine only makes calls longer,
// so compare by `undisturbed`, the mean of the fastest tenth, or by `min`.

#include <charconv>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "arguments.hpp"
#include "statistics.hpp"
#include "yolov12edge/model_constants.hpp"
#include "yolov12edge/open.hpp"

namespace {

using namespace yolov12edge;
using apps::median, apps::percentile, apps::Times;

constexpr char kUsage[] =
    "usage: bench [options]\n"
    "  --duration S      seconds to spend (5)\n"
    "  --runs N          timed calls instead of a duration\n"
    "  --frame WxH       size of the frame to letterbox (1920x1080)\n"
    "  --threads N       CPU threads\n"
    "  --device N        number of the GPU\n"
    "  --copies          copy images and outputs also where GPU and host share memory\n"
    "  --bundle DIR      the folder that holds model/\n"
    "prints one JSON document\n";

constexpr std::size_t kBurst = 5, kFewestRounds = 5, kMostWarmups = 50, kWindow = 3;
constexpr int kStageRuns = 50;

template <typename Function>
double milliseconds(const Function& function) {
  const auto start = std::chrono::steady_clock::now();
  function();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
      .count();
}

bool settled(const Times& times) {
  if (times.size() < 2 * kWindow) return false;
  const auto end = times.end();
  const double before = median({end - 2 * kWindow, end - kWindow});
  return std::fabs(median({end - kWindow, end}) - before) <= 0.05 * before;
}

struct Summary {
  std::size_t warmup = 0;
  Times times;
};

template <typename Function>
Summary measure(const Function& call, double duration, std::size_t runs) {
  Summary summary;
  Times warm;
  while (warm.size() < kMostWarmups && !settled(warm)) warm.push_back(milliseconds(call));
  summary.warmup = warm.size();
  double spent = 0;
  for (std::size_t rounds = 0;; ++rounds) {
    const bool enough = runs > 0 ? summary.times.size() >= runs
                                 : rounds >= kFewestRounds && spent >= 1e3 * duration;
    if (enough) return summary;
    spent += milliseconds(call);
    for (std::size_t index = 0; index < kBurst; ++index) {
      summary.times.push_back(milliseconds(call));
      spent += summary.times.back();
    }
  }
}

template <typename Function>
double stage(const Function& function) {
  Times times;
  function();
  for (int run = 0; run < kStageRuns; ++run) times.push_back(milliseconds(function));
  return median(times);
}

void print(const Summary& summary, Detector& detector, double preprocess, double postprocess) {
  const Times& times = summary.times;
  const Backend& backend = detector.backend();
  std::printf("{\n  \"schema_version\": 1,\n  \"runtime\": %s,\n",
              apps::json_text(backend.description()).c_str());
  std::printf("  \"input_shape\": [%d, 3, %d, %d],\n  \"warmup\": %zu,\n", backend.max_batch(),
              backend.height(), backend.width(), summary.warmup);
  std::printf("  \"latency_ms\": {");
  const std::pair<const char*, double> latency[] = {{"min", percentile(times, 0)},
                                                    {"undisturbed", apps::undisturbed(times)},
                                                    {"mean", apps::mean(times)},
                                                    {"p50", median(times)},
                                                    {"p90", percentile(times, 0.9)},
                                                    {"p95", percentile(times, 0.95)},
                                                    {"p99", percentile(times, 0.99)},
                                                    {"max", percentile(times, 1)},
                                                    {"std", apps::standard_deviation(times)}};
  for (const auto& [name, value] : latency) std::printf("\"%s\": %.4f, ", name, value);
  std::printf("\"n\": %zu},\n", times.size());
  std::printf("  \"throughput\": %.2f,\n", backend.max_batch() * 1e3 / median(times));
  std::printf(
      "  \"stages_ms\": {\"preprocess\": %.4f, \"infer\": %.4f, \"postprocess\": %.4f}\n}\n",
      preprocess, median(times), postprocess);
}

// "1920x1080" as width and height of 1 to 16384; zeros where the text is anything else.
std::pair<int, int> parse_size(const std::string& text) {
  std::pair<int, int> size;
  const char *start = text.data(), *end = start + text.size();
  const auto width = std::from_chars(start, end, size.first);
  if (width.ec != std::errc() || width.ptr == end || *width.ptr != 'x') return {};
  const auto height = std::from_chars(width.ptr + 1, end, size.second);
  if (height.ec != std::errc() || height.ptr != end) return {};
  const auto sensible = [](int side) { return side >= 1 && side <= 16384; };
  return sensible(size.first) && sensible(size.second) ? size : std::pair<int, int>();
}

}  // namespace

int main(int argc, char** argv) {
  const apps::Arguments arguments(
      argc, argv, kUsage, {"--duration", "--runs", "--frame", "--threads", "--device", "--bundle"},
      {"--copies"});
  const auto [width, height] = parse_size(arguments.text("--frame", "1920x1080"));
  if (!arguments.rest().empty() || width == 0) arguments.stop(2);
  BackendOptions options;
  options.threads = static_cast<int>(arguments.number("--threads", 0));
  options.device = static_cast<int>(arguments.number("--device", 0));
  options.zero_copy = !arguments.has("--copies");
  Result<Detector> detector =
      open_detector(join_path(apps::bundle_folder(arguments), "model"), model_info(), options);
  if (!detector) return apps::fail(detector.status());

  Bytes pixels(3U * static_cast<std::size_t>(width) * static_cast<std::size_t>(height));
  std::uint32_t noise = 1;
  for (std::uint8_t& sample : pixels) {
    noise = noise * 1664525U + 1013904223U;
    sample = static_cast<std::uint8_t>(noise >> 24);
  }
  const ImageView frame{pixels.data(), width, height, 0, PixelFormat::rgb};
  Backend& backend = detector->backend();
  Letterbox letterbox(detector->info().letterbox);
  for (int index = 0; index < backend.max_batch(); ++index) {
    float* input = backend.input() + static_cast<std::size_t>(index) * detector->input_size();
    if (const auto placed = letterbox.to_tensor(frame, input); !placed) {
      return apps::fail(placed.status());
    }
  }
  Status failure;
  const auto call = [&] {
    if (Status status = backend.infer(backend.max_batch()); !status.ok())
      failure = std::move(status);
  };
  const Summary summary = measure(call, arguments.number("--duration", 5),
                                  static_cast<std::size_t>(arguments.number("--runs", 0)));
  if (!failure.ok()) return apps::fail(failure);
  Decoder decoder;
  const double preprocess = stage([&] { (void)letterbox.to_tensor(frame, backend.input()); });
  const double postprocess = stage([&] { (void)decoder(detector->output(0), DecodeOptions()); });
  print(summary, *detector, preprocess, postprocess);
  return 0;
}
