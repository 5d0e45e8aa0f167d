// The detector around a model that is no model: bad input, bad files, batches, threads.

#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <memory>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "compare.hpp"
#include "statistics.hpp"
#include "yolov12edge/async.hpp"
#include "yolov12edge/detector.hpp"
#include "yolov12edge/manifest.hpp"
#include "yolov12edge/model_file.hpp"
#include "yolov12edge/plan_header.hpp"

namespace {

using namespace yolov12edge;

#define CHECK(condition)                                                  \
  do {                                                                    \
    if (!(condition)) {                                                   \
      std::printf("%s:%d: failed: %s\n", __FILE__, __LINE__, #condition); \
      std::exit(1);                                                       \
    }                                                                     \
  } while (false)

// Finds one box of class 1 in the middle, its score the brightness of the first pixel.
class BrightnessBackend final : public Backend {
 public:
  static constexpr int kSide = 32, kBatch = 2, kClasses = 2, kAnchors = 3;
  static constexpr std::size_t kInput = 3 * kSide * kSide, kOutput = (4 + kClasses) * kAnchors;

  float poison = 0.0F;  // added to the output's first number
  bool clonable = true;
  std::atomic<int>* calls = nullptr;

  std::string description() const override { return "brightness"; }
  int max_batch() const noexcept override { return kBatch; }
  int height() const noexcept override { return kSide; }
  int width() const noexcept override { return kSide; }
  int classes() const noexcept override { return kClasses; }
  int anchors() const noexcept override { return kAnchors; }
  float* input() noexcept override { return input_.data(); }
  const float* output() const noexcept override { return output_.data(); }

  Status infer(int batch) override {
    if (calls != nullptr) ++*calls;
    for (std::size_t image = 0; image < static_cast<std::size_t>(batch); ++image) {
      float* out = output_.data() + image * kOutput;
      std::fill_n(out, kOutput, 0.0F);
      const float box[] = {16, 16, 8, 8};
      for (std::size_t row = 0; row < 4; ++row) out[row * kAnchors + 1] = box[row];
      out[5 * kAnchors + 1] = input_[image * kInput];
      out[0] += poison;
    }
    return {};
  }

  Result<std::unique_ptr<Backend>> clone() const override {
    if (!clonable) return Status(StatusCode::out_of_memory, "no more");
    auto copy = std::make_unique<BrightnessBackend>();
    copy->calls = calls;
    return std::unique_ptr<Backend>(std::move(copy));
  }

 private:
  std::vector<float> input_ = std::vector<float>(kBatch * kInput);
  std::vector<float> output_ = std::vector<float>(kBatch * kOutput);
};

ModelInfo two_classes() {
  ModelInfo info;
  info.class_names = {"dark", "bright"};
  info.letterbox = {BrightnessBackend::kSide, BrightnessBackend::kSide};
  return info;
}

Detector brightness_detector(
    std::unique_ptr<BrightnessBackend> backend = std::make_unique<BrightnessBackend>()) {
  Result<Detector> detector = Detector::create(std::move(backend), two_classes());
  CHECK(detector);
  return std::move(*detector);
}

// 64 x 64 pixels of one brightness.
struct Frame {
  explicit Frame(int brightness) : pixels(3 * 64 * 64, static_cast<std::uint8_t>(brightness)) {}
  ImageView view() const { return {pixels.data(), 64, 64}; }
  std::vector<std::uint8_t> pixels;
};

bool is_right(const Result<Detections>& found, int brightness) {
  const float score = static_cast<float>(brightness) / 255.0F;
  if (!found || found->size() != (score > 0.25F ? 1U : 0U)) return false;
  if (found->empty()) return true;
  const auto& [box, confidence, class_id] = found->front();
  return confidence == score && class_id == 1 && box.left == 24 && box.right == 40;
}

bool says(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

void finds_in_image_pixels() {
  Detector detector = brightness_detector();
  for (const int brightness : {0, 100, 255}) {
    CHECK(is_right(detector.detect(Frame(brightness).view()), brightness));
  }
}

void refuses_bad_images() {
  Detector detector = brightness_detector();
  const Frame frame(255);
  const auto code = [&](auto change) {
    ImageView view = frame.view();
    change(view);
    return detector.detect(view).status().code();
  };
  const auto bad = StatusCode::invalid_argument;
  CHECK(code([](ImageView& view) { view.width = 0; }) == bad);
  CHECK(code([](ImageView& view) { view.height = -1; }) == bad);
  CHECK(code([](ImageView& view) { view.width = std::numeric_limits<int>::max(); }) == bad);
  CHECK(code([](ImageView& view) { view.height = 1 << 16; }) == bad);
  CHECK(code([](ImageView& view) { view.data = nullptr; }) == bad);
  CHECK(code([](ImageView& view) { view.stride = 1; }) == bad);
  CHECK(code([](ImageView& view) { view.stride = -192; }) == bad);
  CHECK(code([](ImageView& view) { view.format = static_cast<PixelFormat>(77); }) == bad);
  CHECK(code([](ImageView& view) {
          view.format = PixelFormat::nv12;
          view.width = 31;
        }) == bad);
  CHECK(code([](ImageView& view) {
          view.format = PixelFormat::nv12;
          view.height = 31;
        }) == bad);
  CHECK(code([](ImageView&) {}) == StatusCode::ok);
}

void refuses_bad_options() {
  Detector detector = brightness_detector();
  const Frame frame(255);
  DecodeOptions options;
  options.confidence = std::nanf("");
  CHECK(detector.detect(frame.view(), options).status().code() == StatusCode::invalid_argument);
  options = {};
  options.max_detections = -1;
  CHECK(detector.detect(frame.view(), options).status().code() == StatusCode::invalid_argument);
}

void reports_output_that_is_not_finite() {
  for (const float poison : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
    auto backend = std::make_unique<BrightnessBackend>();
    backend->poison = poison;
    Detector detector = brightness_detector(std::move(backend));
    const auto status = detector.detect(Frame(255).view()).status();
    CHECK(status.code() == StatusCode::invalid_output && !status.message().empty());
  }
}

void refuses_another_model() {
  const auto code = [](auto change) {
    ModelInfo info = two_classes();
    change(info);
    return Detector::create(std::make_unique<BrightnessBackend>(), info).status().code();
  };
  const auto mismatch = StatusCode::model_mismatch;
  CHECK(code([](ModelInfo& info) { info.letterbox.width = 64; }) == mismatch);
  CHECK(code([](ModelInfo& info) { info.letterbox.height = 64; }) == mismatch);
  CHECK(code([](ModelInfo& info) { info.class_names.pop_back(); }) == mismatch);
}

void splits_into_batches() {
  std::atomic<int> calls{0};
  auto backend = std::make_unique<BrightnessBackend>();
  backend->calls = &calls;
  Detector detector = brightness_detector(std::move(backend));
  std::vector<Frame> frames;
  std::vector<ImageView> views;
  for (int index = 0; index < 5; ++index) frames.emplace_back(50 * index);
  for (const Frame& frame : frames) views.push_back(frame.view());
  const auto found = detector.detect(views);
  CHECK(found && found->size() == 5 && calls == 3);
  for (int index = 0; index < 5; ++index) {
    CHECK(is_right((*found)[static_cast<std::size_t>(index)], 50 * index));
  }
  CHECK(detector.detect(std::vector<ImageView>{})->empty());
  CHECK(detector.detect_on_device(views).status().code() == StatusCode::unsupported);
}

void works_in_threads() {
  const Detector prototype = brightness_detector();
  std::vector<std::thread> threads;
  std::atomic<int> right{0};
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&prototype, &right, thread] {
      Detector detector = std::move(*prototype.clone());
      for (int run = 0; run < 50; ++run) {
        const int brightness = (40 * thread + run) % 256;
        if (is_right(detector.detect(Frame(brightness).view()), brightness)) ++right;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(right == 200);
}

void works_in_the_background() {
  const Detector prototype = brightness_detector();
  auto background = AsyncDetector::create(prototype, 3, 2);
  CHECK(background);
  std::atomic<int> right{0};
  std::vector<std::thread> producers;
  for (int producer = 0; producer < 2; ++producer) {
    producers.emplace_back([&background, &right, producer] {
      std::vector<std::future<Result<Detections>>> futures;
      for (int index = 0; index < 40; ++index) {
        const Frame frame(producer * 100 + index);  // gone before the detector looks
        futures.push_back((*background)->submit(frame.view()));
      }
      for (int index = 0; index < 40; ++index) {
        if (is_right(futures[static_cast<std::size_t>(index)].get(), producer * 100 + index)) {
          ++right;
        }
      }
    });
  }
  for (std::thread& producer : producers) producer.join();
  CHECK(right == 80);
  CHECK(!(*background)->submit(ImageView{}).get());

  // What is queued is finished although nobody waits for it.
  std::future<Result<Detections>> last = (*background)->submit(Frame(200).view());
  *background = nullptr;
  CHECK(is_right(last.get(), 200));
}

void copies_frames_with_strides() {
  const Detector prototype = brightness_detector();
  auto background = AsyncDetector::create(prototype);
  CHECK(background);
  // Luma 235 and chroma 128 are white; what lies between the rows is not.
  std::vector<std::uint8_t> luma(80 * 64, 0), chroma(100 * 32, 0);
  for (std::size_t row = 0; row < 64; ++row) std::fill_n(&luma[80 * row], 64, std::uint8_t{235});
  for (std::size_t row = 0; row < 32; ++row) std::fill_n(&chroma[100 * row], 64, std::uint8_t{128});
  const ImageView view{luma.data(), 64, 64, 80, PixelFormat::nv12, chroma.data(), 100};
  CHECK(is_right((*background)->submit(view).get(), 255));
}

void reports_a_failed_clone() {
  auto backend = std::make_unique<BrightnessBackend>();
  backend->clonable = false;
  const Detector detector = brightness_detector(std::move(backend));
  CHECK(AsyncDetector::create(detector).status().code() == StatusCode::out_of_memory);
  CHECK(AsyncDetector::create(detector, 0).status().code() == StatusCode::invalid_argument);
}

// A thread that the system refuses to start where only `left` may be.
class ScarceThread {
 public:
  static inline int left = 0, joined = 0;

  template <typename Function>
  explicit ScarceThread(Function function) {
    if (left-- == 0) {
      throw std::system_error(std::make_error_code(std::errc::resource_unavailable_try_again));
    }
    thread_ = std::thread(std::move(function));
  }
  void join() {
    thread_.join();
    ++joined;
  }

 private:
  std::thread thread_;
};

void reports_a_thread_that_does_not_start() {
  const Detector prototype = brightness_detector();
  for (const int left : {0, 1, 2}) {
    ScarceThread::left = left;
    ScarceThread::joined = 0;
    const auto refused = BasicAsyncDetector<ScarceThread>::create(prototype, 3);
    CHECK(refused.status().code() == StatusCode::runtime_failure);
    CHECK(says(refused.status().message(),
               "cannot start worker " + std::to_string(left + 1) + " of 3: "));
    CHECK(ScarceThread::joined == left);
  }
  ScarceThread::left = 3;
  const auto background = BasicAsyncDetector<ScarceThread>::create(prototype, 3);
  CHECK(background && is_right((*background)->submit(Frame(200).view()).get(), 200));
}

// What the self-test says of detections beside recorded ones of an FP16 model; "" where equal.
std::string compared(const Detections& recorded, const Detections& found) {
  const std::vector<float> nothing((4 + 3) * 1, 0.0F);
  apps::DetectionComparison comparison(recorded, found, {nothing.data(), 3, 1}, Placement(),
                                       apps::tolerance_of("fp16", false));
  return comparison.difference().value_or("");
}

Detection detection(int class_id, float score, float left, float top = 0) {
  return {{left, top, left + 100, top + 100}, score, class_id};
}

void compares_detections_one_to_one() {
  const Detections two = {detection(0, 0.9F, 0), detection(1, 0.8F, 300)};
  CHECK(compared(two, two).empty());
  CHECK(compared({}, {}).empty());
  CHECK(says(compared(two, {}), "class 0 with 0.900 at 0.0,0.0 is missing; 2 differ, 0 found"));
  CHECK(says(compared({}, two), "class 0 with 0.900 at 0.0,0.0 is extra"));

  // The order is nothing: scores within the tolerance may change places.
  CHECK(compared(two, {detection(1, 0.84F, 301), detection(0, 0.87F, 1)}).empty());
  CHECK(says(compared(two, {two[0], detection(1, 0.74F, 300)}), "class 1 with 0.740"));
  CHECK(says(compared(two, {two[0], detection(1, 0.8F, 340)}), "is extra"));
  CHECK(says(compared(two, {two[0], detection(2, 0.8F, 300)}), "class 2 with 0.800"));

  // One recorded object excuses one detection only, wherever the second lies.
  CHECK(says(compared(two, {two[0], two[1], two[1]}),
             "class 1 with 0.800 at 300.0,0.0 is there "
             "twice; 1 differ, 3 found, 2 recorded"));
  CHECK(says(compared(two, {two[0], two[1], detection(1, 0.78F, 304)}), "is there twice"));
  CHECK(says(compared(two, {two[0], two[1], detection(1, 0.78F, 350)}), "is extra"));

  // Only what threshold or NMS decide by less than the tolerance is left open.
  CHECK(compared(two, {two[0], two[1], detection(2, 0.29F, 600)}).empty());
  CHECK(says(compared(two, {two[0], two[1], detection(2, 0.31F, 600)}), "class 2 with 0.310"));
  CHECK(compared({two[0], two[1], detection(2, 0.29F, 600)}, two).empty());
  CHECK(compared(two, {two[0], two[1], detection(1, 0.7F, 318)}).empty());            // IoU 0.69
  CHECK(says(compared(two, {two[0], two[1], detection(1, 0.7F, 326)}), "is extra"));  // 0.59
}

// The numbers are NumPy's.
void summarizes_times() {
  std::vector<double> times;
  for (int index = 0; index < 25; ++index) times.push_back((index * 7 + 3) % 25 + 1);
  CHECK(apps::percentile(times, 0) == 1 && apps::percentile(times, 1) == 25);
  CHECK(apps::median(times) == 13 && std::fabs(apps::percentile(times, 0.9) - 22.6) < 1e-12);
  CHECK(apps::undisturbed(times) == 2 && apps::mean(times) == 13);
  CHECK(std::fabs(apps::standard_deviation(times) - 7.3598007219398721) < 1e-12);
  CHECK(apps::undisturbed({4, 2, 3}) == 2 && apps::standard_deviation({4}) == 0);
}

void compares_full_lists() {
  Detections recorded;
  for (int index = 0; index < DecodeOptions().max_detections; ++index) {
    recorded.push_back(detection(0, 0.9F, 200.0F * static_cast<float>(index)));
  }
  Detections found = recorded;
  found.back() = detection(0, 0.9F, -200);
  CHECK(compared(recorded, found).empty());  // both lists end where others score the same
  found.back().score = 0.99F;
  CHECK(says(compared(recorded, found), "class 0 with 0.990 at -200.0,0.0 is extra"));
}

// A file of the working directory, removed at the end.
class TemporaryFile {
 public:
  TemporaryFile(std::string name, const std::string& content) : name_(std::move(name)) {
    std::ofstream(name_, std::ios::binary) << content;
  }
  ~TemporaryFile() { std::remove(name_.c_str()); }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

 private:
  std::string name_;
};

void checks_model_files() {
  const TemporaryFile whole("model_file_test.bin", "abc"), empty("model_file_empty.bin", "");
  const std::string sha = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  const auto code = [](const ModelFile& file) {
    return read_model_file(".", file).status().code();
  };
  CHECK(code({"model_file_test.bin", sha, 3}) == StatusCode::ok);
  CHECK(code({"model_file_test.bin", "", 0}) == StatusCode::ok);
  CHECK(code({"model_file_test.bin", sha, 4}) == StatusCode::model_damaged);
  CHECK(code({"model_file_test.bin", "ff" + sha.substr(2), 3}) == StatusCode::model_mismatch);
  CHECK(code({"model_file_empty.bin", "", 0}) == StatusCode::model_damaged);
  CHECK(code({"no_such_file.bin", sha, 3}) == StatusCode::file_not_found);
  CHECK(!read_file("model_file_test.bin", 2));
}

void hashes_as_the_standard_says() {
  const auto hash = [](const std::string& text) {
    detail::Sha256 digest;
    digest.update(reinterpret_cast<const std::uint8_t*>(text.data()), text.size());
    return digest.hex();
  };
  CHECK(hash("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(hash("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  CHECK(hash(std::string(1'000'000, 'a')) ==
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

Bytes rtx_plan() {
  Bytes plan(64);
  const std::string tag = "vtrt";
  std::copy(tag.begin(), tag.end(), plan.begin());
  std::copy(tag.begin(), tag.end(), plan.begin() + 28);
  plan[16] = 64;
  const std::uint8_t version[] = {1, 7, 1, 116};
  std::copy(version, version + 4, plan.begin() + 24);
  plan[32] = 0b110;
  return plan;
}

void reads_plan_headers() {
  Bytes plan = rtx_plan();
  const Result<PlanOrigin> origin = read_plan_header(plan);
  CHECK(origin && origin->backend == "tensorrt_rtx" && origin->version == "1.7.1.116");
  CHECK(origin->compute_capabilities == std::vector<int>({80, 86}));
  plan.pop_back();
  CHECK(read_plan_header(plan).status().code() == StatusCode::model_damaged);
  using namespace std::string_literals;
  for (const std::string& text : {""s, "ptr"s, "something else"s, "\x10\0\0\0{\"a\": 1}"s}) {
    CHECK(read_plan_header(Bytes(text.begin(), text.end())).status().code() ==
          StatusCode::model_damaged);
  }
}

// Which versions and GPUs fit is in plan_rules.json; see plan_rules_tool.cpp.
void says_why_a_plan_does_not_load() {
  PlanOrigin orin{"tensorrt", "10.3.0", {87}, "none", false, ""};
  CHECK(check_version(orin, "tensorrt_rtx", "1.7.1").code() == StatusCode::model_mismatch);
  const Status version = check_version(orin, "tensorrt", "10.4.0");
  CHECK(version.code() == StatusCode::version_mismatch);
  CHECK(says(version.message(), "built by tensorrt 10.3.0; this machine has 10.4.0"));
  const Status gpu = check_compute_capability(orin, 86, "A4000");
  CHECK(gpu.code() == StatusCode::device_mismatch);
  CHECK(says(gpu.message(), "built for SM87; this GPU (A4000) is SM86"));
  orin.hardware_compatibility = "ampere_plus";
  CHECK(says(check_compute_capability(orin, 75, "T4").message(), "built for SM80 and later"));
  orin.platform = "linux-aarch64";
  CHECK(check_platform(orin, "linux-aarch64").ok());
  CHECK(says(check_platform(orin, "linux-x86_64").message(), "on linux-aarch64; this machine is"));
  const std::string here = this_platform();
  CHECK(std::count(here.begin(), here.end(), '-') == 1 && !says(here, " "));
}

constexpr char kManifest[] = R"({
  "schema_version": 1,
  "model": {"scale": "n", "names": ["caf\u00e9", "\ud83d\ude97"], "imgsz": [320, 640]},
  "input": {"name": "images", "letterbox": {"pad_value": 114, "center": true, "stride": 32}},
  "output": {"name": "detections"},
  "precision": {"name": "fp16"},
  "engine": {"file": "engine.plan", "sha256": "ab", "bytes": 3, "backend": "tensorrt",
             "version": "10.3.0", "sm": [87], "version_compatible": true,
             "hardware_compatibility": "ampere_plus", "platform": "linux-aarch64"},
  "files": {"model.fp16.onnx": "cd"}
})";

void reads_manifests() {
  const Result<ModelInfo> info = parse_manifest(kManifest);
  CHECK(info && info->name == "yolov12n" && info->precision == "fp16");
  CHECK(info->class_names == std::vector<std::string>({"caf\xc3\xa9", "\xf0\x9f\x9a\x97"}));
  CHECK(info->letterbox.height == 320 && info->letterbox.width == 640 && info->letterbox.center);
  CHECK(info->onnx.name == "model.fp16.onnx" && info->onnx.sha256 == "cd");
  CHECK(info->plan.sha256 == "ab" && info->plan_origin.version_compatible);
  CHECK(info->plan_origin.compute_capabilities == std::vector<int>({87}));
  CHECK(info->plan_origin.hardware_compatibility == "ampere_plus");
  CHECK(info->plan_origin.platform == "linux-aarch64");
}

void refuses_damaged_manifests() {
  const std::string whole = kManifest;
  const auto damaged = [](const std::string& text) {
    return parse_manifest(text).status().code() == StatusCode::model_damaged;
  };
  for (std::size_t length = 0; length < whole.size(); ++length) {
    CHECK(damaged(whole.substr(0, length)));
  }
  CHECK(damaged(whole + "x"));
  CHECK(damaged(std::string(100'000, '[')));
  const auto replaced = [&whole](const std::string& from, const std::string& to) {
    std::string text = whole;
    return text.replace(text.find(from), from.size(), to);
  };
  CHECK(damaged(replaced("\"schema_version\": 1", "\"schema_version\": 2")));
  CHECK(damaged(replaced("[320, 640]", "[320, 1e9]")));
  CHECK(damaged(replaced("[320, 640]", "[320, 99999999999999999999]")));
  CHECK(damaged(replaced("[320, 640]", "[320]")));
  CHECK(damaged(replaced("\"pad_value\": 114", "\"pad_value\": 256")));
  CHECK(damaged(replaced("engine.plan", "../engine.plan")));
  CHECK(damaged(replaced("\\ud83d\\ude97", "\\ud83d")));
}

}  // namespace

int main() {
  finds_in_image_pixels();
  refuses_bad_images();
  refuses_bad_options();
  reports_output_that_is_not_finite();
  refuses_another_model();
  splits_into_batches();
  works_in_threads();
  works_in_the_background();
  copies_frames_with_strides();
  reports_a_failed_clone();
  reports_a_thread_that_does_not_start();
  compares_detections_one_to_one();
  compares_full_lists();
  summarizes_times();
  checks_model_files();
  hashes_as_the_standard_says();
  reads_plan_headers();
  says_why_a_plan_does_not_load();
  reads_manifests();
  refuses_damaged_manifests();
  std::printf("all passed\n");
  return 0;
}
