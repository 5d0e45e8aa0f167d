// Runs recorded cases of letterbox, decode, picture files, JSON and hashes: binary records on
// stdin, results on stdout.
//
// A record is eight int32 and two floats, then its payload; see cases.py for the meanings.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "image_file.hpp"
#include "yolov12edge/cuda/letterbox_job.hpp"
#include "yolov12edge/decode.hpp"
#include "yolov12edge/detail/json.hpp"
#include "yolov12edge/detail/sha256.hpp"
#include "yolov12edge/letterbox.hpp"

namespace {

using namespace yolov12edge;

template <typename T>
bool read(std::vector<T>& values, std::size_t count) {
  values.resize(count);
  return std::fread(values.data(), sizeof(T), count, stdin) == count;
}

template <typename T>
void write(const T* values, std::size_t count) {
  std::fwrite(values, sizeof(T), count, stdout);
}

struct Header {
  std::int32_t kind, a, b, c, d, e, f, payload;
  float confidence, iou;
};

// a: format, b: width, c: height, d: stride, e: input width, f: input height
int letterbox(const Header& header) {
  std::vector<std::uint8_t> data;
  if (!read(data, static_cast<std::size_t>(header.payload))) return 1;
  const ImageView image{data.data(), header.b, header.c, header.d,
                        static_cast<PixelFormat>(header.a)};
  const LetterboxSpec spec{header.f, header.e};
  const std::size_t size =
      3U * static_cast<std::size_t>(header.e) * static_cast<std::size_t>(header.f);
  std::vector<float> tensor(size), twin(size);
  std::vector<std::uint8_t> pixels(size);
  static Letterbox letterbox(spec);
  if (letterbox.spec().width != spec.width || letterbox.spec().height != spec.height) {
    letterbox = Letterbox(spec);
  }
  const Result<Placement> placement = letterbox.to_tensor(image, tensor.data());
  if (!placement || !letterbox.to_pixels(image, pixels.data())) return 1;
  const auto columns =
      detail::linear_taps(image.width, placement->scaled_width, detail::Edge::collapse);
  const auto rows = detail::linear_taps(image.height, placement->scaled_height, detail::Edge::keep);
  cuda::letterbox_on_cpu(
      cuda::make_job(*checked(image), spec, *placement, columns.data(), rows.data()), twin.data());
  const double numbers[] = {placement->gain, double(placement->left), double(placement->top)};
  write(numbers, 3);
  write(pixels.data(), size);
  write(tensor.data(), size);
  write(twin.data(), size);
  return 0;
}

// a: classes, b: anchors, c: max detections, d: multi label, e: image width, f: image height
int decode(const Header& header) {
  std::vector<float> data;
  if (!read(data, static_cast<std::size_t>(header.payload) / sizeof(float))) return 1;
  const DecodeOptions options{header.confidence, header.iou, header.c, header.d != 0};
  static Decoder decoder;
  const auto& found = decoder({data.data(), header.a, header.b}, options);
  const auto count = static_cast<std::int32_t>(found.size());
  write(&count, 1);
  write(found.data(), found.size());
  const Placement placement = place({640, 640}, header.e, header.f);
  for (const Detection& detection : found) {
    const Box box = placement.to_image(detection.box);
    write(&box, 1);
  }
  return 0;
}

// The payload is a picture file; its size comes back as 0 x 0 where it is refused.
int picture(const Header& header) {
  std::vector<std::uint8_t> file;
  if (!read(file, static_cast<std::size_t>(header.payload))) return 1;
  const Result<apps::Picture> decoded = apps::decode_picture(file);
  const std::int32_t sides[] = {decoded ? decoded->width : 0, decoded ? decoded->height : 0};
  write(sides, 2);
  if (decoded) write(decoded->pixels.data(), decoded->pixels.size());
  return 0;
}

// The payload is a text; its value comes back as nested marks and texts, or "refused".
void describe(const detail::Json& value, std::string& out) {
  using Kind = detail::Json::Kind;
  const auto put = [&out](const std::string& text) {
    out += std::to_string(text.size()) + ":" + text;
  };
  switch (value.kind) {
    case Kind::null: out += "n"; break;
    case Kind::boolean: out += value.truth ? "t" : "f"; break;
    case Kind::number:
      out += "#";
      put(value.text);
      break;
    case Kind::string:
      out += "s";
      put(value.text);
      break;
    case Kind::array:
      out += "[";
      for (const detail::Json& item : value.items) describe(item, out);
      out += "]";
      break;
    case Kind::object:
      out += "{";
      for (const auto& [name, member] : value.members) {
        put(name);
        describe(member, out);
      }
      out += "}";
      break;
  }
}

int json(const Header& header) {
  std::vector<char> text;
  if (!read(text, static_cast<std::size_t>(header.payload))) return 1;
  std::string described = "refused";
  if (const auto value = detail::JsonReader({text.data(), text.size()}).read()) {
    described.clear();
    describe(*value, described);
  }
  const auto length = static_cast<std::int32_t>(described.size());
  write(&length, 1);
  write(described.data(), described.size());
  return 0;
}

// The payload's SHA-256, 64 digits; a: bytes that are handed over at once.
int hash(const Header& header) {
  std::vector<std::uint8_t> data;
  if (!read(data, static_cast<std::size_t>(header.payload))) return 1;
  detail::Sha256 digest;
  const auto piece = static_cast<std::size_t>(header.a);
  for (std::size_t start = 0; start < data.size(); start += piece) {
    digest.update(data.data() + start, std::min(piece, data.size() - start));
  }
  write(digest.hex().data(), 64);
  return 0;
}

int run(const Header& header) {
  switch (header.kind) {
    case 1: return letterbox(header);
    case 2: return decode(header);
    case 3: return picture(header);
    case 4: return json(header);
    case 5: return hash(header);
    default: return 1;
  }
}

}  // namespace

int main() {
  static_assert(sizeof(Header) == 40 && sizeof(Detection) == 24 && sizeof(Box) == 16);
  std::vector<Header> header;
  while (read(header, 1)) {
    if (run(header[0]) != 0) return 1;
  }
  return 0;
}
