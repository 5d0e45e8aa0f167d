// The TensorRT backend on a fake library and a fake GPU: loading, batches, copies, graphs, what
// is refused, and every call failing once.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "fake_gpu.hpp"
#include "yolov12edge/async.hpp"
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

constexpr char kPlan[] = "fake.plan";

ModelInfo info_of(const fake::Network& network) {
  ModelInfo info;
  info.class_names.assign(static_cast<std::size_t>(network.rows - 4), "thing");
  info.letterbox = {network.height, network.width};
  info.output_name = "output0";
  info.plan = {kPlan, "", 0};
  return info;
}

void write_plan(const Bytes& plan) {
  std::ofstream(kPlan, std::ios::binary)
      .write(reinterpret_cast<const char*>(plan.data()), static_cast<std::streamsize>(plan.size()));
}

Result<std::unique_ptr<Backend>> open(const fake::Network& network, const BackendOptions& options,
                                      const ModelInfo& info) {
  write_plan(fake::make_plan(network));
  return TensorRtBackend::open(".", info, options);
}

std::unique_ptr<Backend> opened(const fake::Network& network, const BackendOptions& options = {}) {
  Result<std::unique_ptr<Backend>> backend = open(network, options, info_of(network));
  if (!backend) std::printf("%s\n", backend.status().message().c_str());
  CHECK(backend);
  return std::move(*backend);
}

StatusCode refusal(const fake::Network& network, const BackendOptions& options = {}) {
  const auto backend = open(network, options, info_of(network));
  CHECK(backend || !backend.status().message().empty());
  return backend.status().code();
}

bool mentions(const Status& status, const std::string& text) {
  return status.message().find(text) != std::string::npos;
}

// Floats that differ from image to image and from call to call.
std::vector<float> images(const fake::Network& network, int batch, int call) {
  const int count = batch * network.channels * network.height * network.width;
  std::vector<float> values(static_cast<std::size_t>(count));
  for (int index = 0; index < count; ++index) {
    values[static_cast<std::size_t>(index)] = static_cast<float>((index * 31 + call * 7) % 997);
  }
  return values;
}

// Runs `batch` images; where that succeeds, each has to have its own output.
Status run(Backend& backend, const fake::Network& network, int batch, int call, int output = 0) {
  const std::vector<float> given = images(network, batch, call);
  std::copy(given.begin(), given.end(), backend.input());
  if (Status status = backend.infer(batch); !status.ok()) return status;
  const std::size_t image = given.size() / static_cast<std::size_t>(batch);
  const float* found = backend.output();
  for (std::size_t start = 0; start < given.size(); start += image) {
    for (const float expected : fake::output_of(network, &given[start], output)) {
      CHECK(*found++ == expected);
    }
  }
  return {};
}

// Ends a test: everything is freed, in the right order, and nothing was misused.
void finish() {
  for (const std::string& misuse : fake::gpu().misuses) std::printf("%s\n", misuse.c_str());
  CHECK(fake::gpu().misuses.empty());
  CHECK(fake::gpu().live == 0);
  fake::reset();
  std::remove(kPlan);
}

void runs_what_it_is_given() {
  const fake::Network network;
  {
    const auto backend = opened(network);
    CHECK(backend->max_batch() == 1 && backend->height() == 32 && backend->width() == 32);
    CHECK(backend->classes() == 2 && backend->anchors() == 21);
    CHECK(backend->description() ==
          std::string(detail::kPlanLibrary) + " " + fake::version() + " on Fake");
    for (int call = 0; call < 5; ++call) CHECK(run(*backend, network, 1, call).ok());
    CHECK(fake::gpu().count("cudaGraphLaunch") == (detail::kIsRtx ? 0 : 4));
    CHECK(fake::gpu().count("enqueueV3") == (detail::kIsRtx ? 5 : 2));
  }
  finish();
}

void runs_without_graphs() {
  BackendOptions options;
  options.cuda_graph = false;
  {
    const auto backend = opened({}, options);
    for (int call = 0; call < 3; ++call) CHECK(run(*backend, {}, 1, call).ok());
    CHECK(fake::gpu().count("cudaStreamBeginCapture") == 0);
  }
  finish();
}

void copies_nothing_where_memory_is_shared() {
  fake::Network network;
  network.dynamic_batch = 1;
  network.largest = 2;
  for (const bool zero_copy : {true, false}) {
    BackendOptions options;
    options.batch = 2;
    options.zero_copy = zero_copy;
    fake::gpu().integrated = true;
    {
      const auto backend = opened(network, options);
      for (int call = 0; call < 4; ++call) {
        CHECK(run(*backend, network, 1 + call % 2, call).ok());
      }
      CHECK((fake::gpu().count("cudaMemcpyAsync") == 0) == zero_copy);
      CHECK((fake::gpu().count("cudaMalloc") == 0) == zero_copy);
    }
    finish();
  }
}

void runs_batches_within_the_profile() {
  fake::Network network;
  network.dynamic_batch = 1;
  network.smallest = 2;
  network.largest = 8;
  const std::vector<std::vector<int>> asked_given{{1, 2}, {4, 4}, {100, 8}};
  for (const auto& sizes : asked_given) {
    BackendOptions options;
    options.batch = sizes[0];
    const auto backend = opened(network, options);
    CHECK(backend->max_batch() == sizes[1]);
  }
  finish();
  {
    BackendOptions options;
    options.batch = 4;
    const auto backend = opened(network, options);
    int call = 0;
    for (const int batch : {4, 3, 1, 1, 2, 4, 4, 3}) {
      CHECK(run(*backend, network, batch, ++call).ok());
    }
    CHECK(fake::gpu().images == 4 + 3 + 2 + 2 + 2 + 4 + 4 + 3);
  }
  finish();
}

void runs_a_static_batch() {
  fake::Network network;
  network.smallest = network.largest = 3;
  {
    const auto backend = opened(network);
    CHECK(backend->max_batch() == 3);
    for (int call = 0; call < 2; ++call) CHECK(run(*backend, network, 2, call).ok());
  }
  finish();
}

void takes_the_output_of_the_right_name() {
  fake::Network network;
  network.outputs = 3;
  ModelInfo info = info_of(network);
  info.output_name = "output2";
  {
    const auto backend = open(network, {}, info);
    CHECK(backend && run(**backend, network, 1, 0, 2).ok());
  }
  finish();
}

void clones_share_the_engine_and_outlive_each_other() {
  const fake::Network network;
  {
    auto first = opened(network);
    auto second = std::move(*first->clone());
    CHECK(fake::gpu().count("deserializeCudaEngine") == 1);
    CHECK(first->input() != second->input());
    for (const int call : {1, 2, 3}) {
      CHECK(run(call == 2 ? *second : *first, network, 1, call).ok());
    }
    first = nullptr;
    CHECK(run(*second, network, 1, 4).ok());
  }
  finish();
}

void refuses_what_is_no_detector() {
  const auto with = [](auto change) {
    fake::Network network;
    change(network);
    const StatusCode code = refusal(network);
    finish();
    return code;
  };
  const auto mismatch = StatusCode::model_mismatch;
  CHECK(with([](fake::Network& network) { network.inputs = 2; }) == mismatch);
  CHECK(with([](fake::Network& network) { network.outputs = 0; }) == mismatch);
  CHECK(with([](fake::Network& network) { network.channels = 1; }) == mismatch);
  CHECK(with([](fake::Network& network) { network.output_type = 1; }) == StatusCode::unsupported);
  CHECK(with([](fake::Network&) {}) == StatusCode::ok);
}

void refuses_other_plans_before_the_library_sees_them() {
  const Bytes plan = fake::make_plan({});
  const auto code = [](const Bytes& bytes, const PlanOrigin& origin = {}) {
    write_plan(bytes);
    ModelInfo info = info_of({});
    info.plan_origin = origin;
    const StatusCode found = TensorRtBackend::open(".", info, {}).status().code();
    CHECK(fake::gpu().count("createInferRuntime") == 0);
    return found;
  };
  CHECK(code({}) == StatusCode::model_damaged);
  CHECK(code({'o', 'n', 'n', 'x', 0, 0, 0, 0}) == StatusCode::model_damaged);
  const Bytes other = [] {
    Bytes bytes(64);
    const char* tag = detail::kIsRtx ? "ftrt" : "vtrt";
    std::copy(tag, tag + 4, bytes.begin());
    return bytes;
  }();
  CHECK(code(other) == StatusCode::model_mismatch);
  // The header's version wins over the description's; before 8.6 a plan has none in its header.
  Bytes newer = plan;
  newer[24] = 77;
  PlanOrigin origin;
  origin.version = "77.0.0";
  CHECK(code(newer, origin) == StatusCode::version_mismatch);
  origin = {};
  origin.compute_capabilities = {87};
  if (!detail::kIsRtx) CHECK(code(plan, origin) == StatusCode::device_mismatch);
  std::remove(kPlan);
  CHECK(TensorRtBackend::open(".", info_of({}), {}).status().code() == StatusCode::file_not_found);
  finish();
}

void refuses_other_gpus() {
  fake::gpu().devices = 0;
  CHECK(refusal({}) == StatusCode::device_mismatch);
  finish();
  BackendOptions second;
  second.device = 1;
  CHECK(refusal({}, second) == StatusCode::device_mismatch);
  finish();
  if (detail::kIsRtx) {  // whose plans say what they were built for
    fake::gpu().major = 9;
    CHECK(refusal({}) == StatusCode::device_mismatch);
    finish();
  }
}

void says_why_the_library_refused_a_plan() {
  Bytes plan = fake::make_plan({});
  plan[fake::kHeaderBytes] ^= 1;
  write_plan(plan);
  const Status status = TensorRtBackend::open(".", info_of({}), {}).status();
  CHECK(status.code() == StatusCode::model_damaged);
  CHECK(mentions(status, "the magic tag does not match"));
  finish();
}

void lets_compatible_plans_bring_code() {
  for (const bool compatible : {false, true}) {
    write_plan(fake::make_plan({}));
    ModelInfo info = info_of({});
    info.plan_origin.version_compatible = compatible;
    CHECK(TensorRtBackend::open(".", info, {}));
#if defined(STUB_SINCE_8_6)
    CHECK(fake::gpu().host_code_allowed == (compatible && !detail::kIsRtx));
#endif
    finish();
  }
}

// Opens, runs, clones and runs the clone; the first status that is not ok. A backend that failed
// has to work again at once, or is destroyed as it is.
Status live_a_life(const fake::Network& network, bool try_again) {
  BackendOptions options;
  options.batch = network.largest;
  auto backend = open(network, options, info_of(network));
  if (!backend) return backend.status();
  auto clone = (*backend)->clone();
  if (!clone) return clone.status();
  for (Backend* one : {backend->get(), clone->get()}) {
    for (int call = 0; call < 3; ++call) {
      const int batch = 1 + call % network.largest;
      if (Status status = run(*one, network, batch, call); !status.ok()) {
        CHECK(!try_again || run(*one, network, batch, call).ok());
        return status;
      }
    }
  }
  return {};
}

void survives_every_call_failing(bool integrated) {
  fake::Network network;
  network.dynamic_batch = 1;
  network.largest = 2;
  fake::gpu().integrated = integrated;
  CHECK(live_a_life(network, false).ok());
  const std::vector<std::string> calls = fake::gpu().calls;
  finish();
  // Without a graph, or without what a GPU like this one has, runs are slower and no more.
  const std::set<std::string> harmless{"cudaDeviceGetAttribute", "cudaStreamBeginCapture",
                                       "cudaStreamEndCapture", "cudaGraphInstantiateWithFlags"};
  // These happen during a capture and at the end as well.
  const std::set<std::string> sometimes{"enqueueV3", "cudaMemcpyAsync", "cudaStreamSynchronize"};
  for (const std::string& call : std::set<std::string>(calls.begin(), calls.end())) {
    const auto times = static_cast<int>(std::count(calls.begin(), calls.end(), call));
    int failures = 0;
    for (int time = 1; time <= times; ++time) {
      fake::gpu().integrated = integrated;
      fake::gpu().failing_call = call;
      fake::gpu().failing_time = time;
      const Status status = live_a_life(network, time % 2 == 0);
      CHECK(status.ok() || !status.message().empty());
      failures += status.ok() ? 0 : 1;
      finish();
    }
    if (harmless.count(call) != 0) {
      CHECK(failures == 0);
    } else {
      CHECK(failures > 0 && (failures == times || sometimes.count(call) != 0));
    }
  }
}

#if defined(YOLOV12EDGE_CUDA_PREPROCESS)
// A frame in the GPU's memory.
class DeviceFrame {
 public:
  explicit DeviceFrame(const Bytes& pixels) {
    cuda::Stream stream;
    CHECK(cuda::allocate(pixels.size(), memory_).ok() && cuda::create(stream).ok());
    CHECK(cudaMemcpyAsync(memory_.get(), pixels.data(), pixels.size(), cudaMemcpyHostToDevice,
                          stream.get()) == cudaSuccess);
    CHECK(cudaStreamSynchronize(stream.get()) == cudaSuccess);
  }
  const std::uint8_t* data() const { return static_cast<const std::uint8_t*>(memory_.get()); }

 private:
  cuda::DeviceMemory memory_;
};

void a_failed_capture_is_no_error_of_the_next_call() {
  if (detail::kIsRtx) return;  // which captures nothing
  const fake::Network network;
  {
    const DeviceFrame frame(Bytes(3 * 32 * 32, 128));
    const auto backend = opened(network);
    fake::gpu().failing_call = "cudaStreamEndCapture";
    fake::gpu().failing_time = 1;
    CHECK(run(*backend, network, 1, 0).ok());
    CHECK(fake::gpu().count("cudaStreamEndCapture") == 1);
    std::vector<Placement> placements;
    CHECK(backend->infer_on_device({{frame.data(), 32, 32}}, {32, 32}, placements).ok());
  }
  finish();
}

void detects_the_same_in_device_memory() {
  fake::Network network;
  network.dynamic_batch = 1;
  network.largest = 4;
  write_plan(fake::make_plan(network));
  BackendOptions options;
  options.batch = 2;  // three frames are two runs
  {
    Result<Detector> detector = open_detector(".", info_of(network), options);
    CHECK(detector);
    std::vector<Bytes> frames;
    std::vector<DeviceFrame> copies;
    std::vector<ImageView> here, there;
    for (int index = 0; index < 3; ++index) {
      const int width = 50 + 7 * index, height = 40;
      Bytes pixels(static_cast<std::size_t>(3 * width * height));
      for (std::size_t at = 0; at < pixels.size(); ++at) {
        pixels[at] = static_cast<std::uint8_t>(at * at / 7 + static_cast<std::size_t>(index));
      }
      frames.push_back(pixels);
      copies.emplace_back(pixels);
      here.push_back({nullptr, width, height});
      there.push_back({nullptr, width, height});
    }
    for (std::size_t index = 0; index < 3; ++index) {
      here[index].data = frames[index].data();
      there[index].data = copies[index].data();
    }
    const auto expected = detector->detect(here), found = detector->detect_on_device(there);
    CHECK(expected && found && found->size() == 3);
    for (std::size_t index = 0; index < 3; ++index) {
      const Detections &one = (*expected)[index], &other = (*found)[index];
      CHECK(!one.empty() && one.size() == other.size());
      for (std::size_t at = 0; at < one.size(); ++at) {
        CHECK(one[at].score == other[at].score && one[at].class_id == other[at].class_id);
        CHECK(one[at].box.left == other[at].box.left && one[at].box.top == other[at].box.top);
      }
    }
    CHECK(run(detector->backend(), network, 2, 0).ok());
  }
  finish();
}
#endif

}  // namespace

int main() {
  runs_what_it_is_given();
  runs_without_graphs();
  copies_nothing_where_memory_is_shared();
  runs_batches_within_the_profile();
  runs_a_static_batch();
  takes_the_output_of_the_right_name();
  clones_share_the_engine_and_outlive_each_other();
  refuses_what_is_no_detector();
  refuses_other_plans_before_the_library_sees_them();
  refuses_other_gpus();
  says_why_the_library_refused_a_plan();
  lets_compatible_plans_bring_code();
  survives_every_call_failing(false);
  survives_every_call_failing(true);
#if defined(YOLOV12EDGE_CUDA_PREPROCESS)
  a_failed_capture_is_no_error_of_the_next_call();
  detects_the_same_in_device_memory();
#endif
  std::printf("all passed\n");
  return 0;
}
