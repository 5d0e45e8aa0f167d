// libFuzzer target: everything that reads bytes of others. The first byte chooses which.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "image_file.hpp"
#include "yolov12edge/cuda/letterbox_job.hpp"
#include "yolov12edge/decode.hpp"
#include "yolov12edge/letterbox.hpp"
#include "yolov12edge/manifest.hpp"
#include "yolov12edge/plan_header.hpp"

namespace {

using namespace yolov12edge;

void require(bool truth) {
  if (!truth) std::abort();
}

void fuzz_letterbox(const std::vector<std::uint8_t>& bytes) {
  if (bytes.size() < 8) return;
  const int width = bytes[0] | (bytes[1] & 1) << 8, height = bytes[2];
  const auto format = static_cast<PixelFormat>(bytes[3] % 8);
  const LetterboxSpec spec{1 + bytes[4] % 64, 1 + bytes[5] % 64, bytes[6], (bytes[7] & 1) != 0};
  const auto pixel = static_cast<std::size_t>(bytes_per_pixel(format));
  const std::size_t size =
      static_cast<std::size_t>(width) * static_cast<std::size_t>(height) * pixel;
  std::vector<std::uint8_t> pixels(format == PixelFormat::nv12 ? size + size / 2 : size);
  for (std::size_t index = 0; index < pixels.size(); ++index) {
    pixels[index] = bytes[index % bytes.size()];
  }
  const ImageView image{pixels.data(), width, height, 0, format};
  const std::size_t count =
      3U * static_cast<std::size_t>(spec.width) * static_cast<std::size_t>(spec.height);
  std::vector<float> tensor(count), twin(count);
  Letterbox letterbox(spec);
  const Result<Placement> placed = letterbox.to_tensor(image, tensor.data());
  require(placed.ok() == checked(image).ok());
  if (!placed) return;
  const auto columns = detail::linear_taps(width, placed->scaled_width, detail::Edge::collapse);
  const auto rows = detail::linear_taps(height, placed->scaled_height, detail::Edge::keep);
  cuda::letterbox_on_cpu(
      cuda::make_job(*checked(image), spec, *placed, columns.data(), rows.data()), twin.data());
  require(tensor == twin);
}

void fuzz_decode(const std::vector<std::uint8_t>& bytes) {
  if (bytes.size() < 2) return;
  const int classes = 1 + bytes[0] % 5;
  const auto rows = static_cast<std::size_t>(4 + classes);
  const std::size_t anchors = (bytes.size() - 2) / sizeof(float) / rows;
  if (anchors == 0) return;
  std::vector<float> output(rows * anchors);
  std::memcpy(output.data(), bytes.data() + 2, output.size() * sizeof(float));
  Decoder decoder;
  const DecodeOptions options{0.25F, 0.5F, bytes[1], (bytes[1] & 1) != 0};
  const auto& found = decoder({output.data(), classes, static_cast<int>(anchors)}, options);
  require(found.size() <= bytes[1]);
  for (std::size_t index = 0; index < found.size(); ++index) {
    require(found[index].score > 0.25F && found[index].class_id < classes);
    require(index == 0 || found[index - 1].score >= found[index].score);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::vector<std::uint8_t> bytes(data + 1, data + size);
  switch (data[0] % 5) {
    case 0:
      (void)parse_manifest({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
      break;
    case 1: {
      const auto picture = apps::decode_picture(bytes);
      require(!picture || !picture->pixels.empty());
      break;
    }
    case 2: (void)read_plan_header(bytes); break;
    case 3: fuzz_letterbox(bytes); break;
    default: fuzz_decode(bytes); break;
  }
  return 0;
}
