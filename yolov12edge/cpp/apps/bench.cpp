// Times the detector alone on this device: warm up until the times settle, then rounds of five
// calls after an untimed one. A call goes from images in host memory to the output in host memory;
// letterbox and decode are timed beside it.
//
// With --against a second model is timed in turn with it: in each round every model is called once,
// in a random order, after an untimed call; ratios are made of these rounds.
//
// What `yolov12edge bench` does beyond that is not done here: no look at the cores, no rounds until
// a ratio is certain. Other work on the machine only makes calls longer, so compare by
// `undisturbed`, the mean of the fastest tenth, or by `min`.

#include <charconv>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <system_error>
#include <tuple>
#include <utility>
#include <vector>

#include "arguments.hpp"
#include "statistics.hpp"
#include "yolov12edge/manifest.hpp"
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
    "  --against DIR     a second model folder, timed in turn; its manifest.json describes it\n"
    "prints one JSON document\n";

constexpr std::size_t kBurst = 5, kFewestRounds = 5, kFewestTurns = 20;
constexpr std::size_t kMostWarmups = 50, kWindow = 3;
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
std::size_t warm_up(const Function& call) {
  Times warm;
  while (warm.size() < kMostWarmups && !settled(warm)) warm.push_back(milliseconds(call));
  return warm.size();
}

template <typename Function>
Summary measure(const Function& call, double duration, std::size_t runs) {
  Summary summary;
  summary.warmup = warm_up(call);
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

// Both in turn: one timed call of each a round, in a random order, each after an untimed one.
template <typename Function>
std::pair<Summary, Summary> measure_in_turn(const Function& call, const Function& other,
                                            double duration, std::size_t runs) {
  std::pair<Summary, Summary> both;
  both.first.warmup = warm_up(call);
  both.second.warmup = warm_up(other);
  std::uint32_t noise = 1;
  const auto turn = [](const Function& function, Summary& summary) {
    const double untimed = milliseconds(function);
    summary.times.push_back(milliseconds(function));
    return untimed + summary.times.back();
  };
  double spent = 0;
  for (std::size_t rounds = 0;; ++rounds) {
    const bool enough =
        runs > 0 ? rounds >= runs : rounds >= kFewestTurns && spent >= 2e3 * duration;
    if (enough) return both;
    noise = noise * 1664525U + 1013904223U;
    const bool first = noise >> 31 == 0;
    if (first) spent += turn(call, both.first);
    spent += turn(other, both.second);
    if (!first) spent += turn(call, both.first);
  }
}

template <typename Function>
double stage(const Function& function) {
  Times times;
  function();
  for (int run = 0; run < kStageRuns; ++run) times.push_back(milliseconds(function));
  return median(times);
}

void print_model(const Summary& summary, const Backend& backend, const char* indent) {
  const Times& times = summary.times;
  std::printf("%s\"runtime\": %s,\n", indent, apps::json_text(backend.description()).c_str());
  std::printf("%s\"input_shape\": [%d, 3, %d, %d],\n%s\"warmup\": %zu,\n", indent,
              backend.max_batch(), backend.height(), backend.width(), indent, summary.warmup);
  std::printf("%s\"latency_ms\": {", indent);
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
  std::printf("%s\"throughput\": %.2f,\n", indent, backend.max_batch() * 1e3 / median(times));
}

void print_times(const Times& times) {
  std::printf("\"times_ms\": [");
  for (std::size_t index = 0; index < times.size(); ++index) {
    std::printf("%s%.4f", index == 0 ? "" : ", ", times[index]);
  }
  std::printf("]");
}

void print(const Summary& summary, Detector& detector, double preprocess, double postprocess,
           const Summary* second, const Detector* against) {
  std::printf("{\n  \"schema_version\": 1,\n");
  print_model(summary, detector.backend(), "  ");
  if (against != nullptr) {
    std::printf("  ");
    print_times(summary.times);
    std::printf(",\n  \"against\": {\n");
    print_model(*second, against->backend(), "    ");
    std::printf("    ");
    print_times(second->times);
    std::printf("\n  },\n");
  }
  std::printf(
      "  \"stages_ms\": {\"preprocess\": %.4f, \"infer\": %.4f, \"postprocess\": %.4f}\n}\n",
      preprocess, median(summary.times), postprocess);
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

// Noise, letterboxed into every image of the batch.
Status fill(Detector& detector, Letterbox& letterbox, const ImageView& frame) {
  for (int index = 0; index < detector.backend().max_batch(); ++index) {
    const std::size_t start = static_cast<std::size_t>(index) * detector.input_size();
    const auto placed = letterbox.to_tensor(frame, detector.backend().input() + start);
    if (!placed) return placed.status();
  }
  return {};
}

// The second model, as its own manifest describes it.
Result<Detector> open_against(const std::string& folder, const BackendOptions& options) {
  Result<ModelInfo> info = load_manifest(folder);
  if (!info) return info.status();
  return open_detector(folder, std::move(*info), options);
}

struct Call {
  Backend* backend;
  Status* failure;
  void operator()() const {
    if (Status status = backend->infer(backend->max_batch()); !status.ok()) {
      *failure = std::move(status);
    }
  }
};

int run(const apps::Arguments& arguments, const ImageView& frame) {
  BackendOptions options;
  options.threads = static_cast<int>(arguments.number("--threads", 0));
  options.device = static_cast<int>(arguments.number("--device", 0));
  options.zero_copy = !arguments.has("--copies");
  Result<Detector> detector =
      open_detector(join_path(apps::bundle_folder(arguments), "model"), model_info(), options);
  if (!detector) return apps::fail(detector.status());
  Letterbox letterbox(detector->info().letterbox);
  Status failure = fill(*detector, letterbox, frame);
  const double duration = arguments.number("--duration", 5);
  const auto runs = static_cast<std::size_t>(arguments.number("--runs", 0));
  const Call call{&detector->backend(), &failure};
  Summary summary, second;
  Result<Detector> against = Status(StatusCode::file_not_found, "no second model");
  if (arguments.has("--against")) {
    against = open_against(arguments.text("--against", ""), options);
    if (!against) return apps::fail(against.status());
    Letterbox other(against->info().letterbox);
    if (Status status = fill(*against, other, frame); !status.ok()) return apps::fail(status);
    const Call next{&against->backend(), &failure};
    std::tie(summary, second) = measure_in_turn(call, next, duration, runs);
  } else if (failure.ok()) {
    summary = measure(call, duration, runs);
  }
  if (!failure.ok()) return apps::fail(failure);
  Decoder decoder;
  float* input = detector->backend().input();
  const double preprocess = stage([&] { (void)letterbox.to_tensor(frame, input); });
  const double postprocess = stage([&] { (void)decoder(detector->output(0), DecodeOptions()); });
  print(summary, *detector, preprocess, postprocess, &second, against ? &*against : nullptr);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const apps::Arguments arguments(
      argc, argv, kUsage,
      {"--duration", "--runs", "--frame", "--threads", "--device", "--bundle", "--against"},
      {"--copies"});
  const auto [width, height] = parse_size(arguments.text("--frame", "1920x1080"));
  if (!arguments.rest().empty() || width == 0) arguments.stop(2);
  Bytes pixels(3U * static_cast<std::size_t>(width) * static_cast<std::size_t>(height));
  std::uint32_t noise = 1;
  for (std::uint8_t& sample : pixels) {
    noise = noise * 1664525U + 1013904223U;
    sample = static_cast<std::uint8_t>(noise >> 24);
  }
  return run(arguments, {pixels.data(), width, height, 0, PixelFormat::rgb});
}
