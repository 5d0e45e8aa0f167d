#include "png.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>

#include <lodepng.h>

namespace yolov12edge::apps {

namespace {

struct State : LodePNGState {
  State() {
    lodepng_state_init(this);
    info_raw.colortype = LCT_RGB;
    info_raw.bitdepth = 8;
#if defined(FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION)
    // A fuzzer guesses no checksums; what lies behind them is what it is to look at.
    decoder.ignore_crc = 1;
    decoder.zlibsettings.ignore_adler32 = 1;
#endif
  }
  ~State() { lodepng_state_cleanup(this); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
};

struct Free {
  void operator()(unsigned char* bytes) const noexcept { std::free(bytes); }
};
using Owned = std::unique_ptr<unsigned char, Free>;

Status damaged(unsigned error) {
  constexpr unsigned kNoMemory = 83;
  if (error == kNoMemory) return {StatusCode::out_of_memory, "not enough memory for the picture"};
  return detail::unreadable(std::string("the PNG's data is damaged: ") + lodepng_error_text(error));
}

}  // namespace

Result<Picture> decode_png(const Bytes& file) {
  State state;
  unsigned width = 0, height = 0;
  if (lodepng_inspect(&width, &height, &state, file.data(), file.size()) != 0) {
    return detail::unreadable("the PNG has no header");
  }
  const std::uint64_t row_bits = std::uint64_t{width} * lodepng_get_bpp(&state.info_png.color);
  const std::uint64_t bytes = row_bits / 8 * height;
  // Deflate makes at most 1032 bytes of one.
  const Status size = detail::check_size(width, height, bytes / 1032 <= file.size());
  if (!size.ok()) return size;
  // Rows are padded to bytes and begin with one; an interlaced picture has not quite twice as many.
  state.decoder.zlibsettings.max_output_size =
      static_cast<std::size_t>(bytes + 5 * std::uint64_t{height} + 64);
  unsigned char* pixels = nullptr;
  const unsigned error = lodepng_decode(&pixels, &width, &height, &state, file.data(), file.size());
  const Owned owner(pixels);
  if (error != 0) return damaged(error);
  const std::size_t count = std::size_t{3} * width * height;
  return Picture{static_cast<int>(width), static_cast<int>(height), Bytes(pixels, pixels + count)};
}

Bytes encode_png(const Picture& picture) {
  State state;
  state.info_png.color.colortype = LCT_RGB;
  state.encoder.auto_convert = 0;
  // Twice as fast as the defaults, and hardly larger.
  state.encoder.zlibsettings.windowsize = 256;
  state.encoder.zlibsettings.lazymatching = 0;
  unsigned char* bytes = nullptr;
  std::size_t size = 0;
  const unsigned error =
      lodepng_encode(&bytes, &size, picture.pixels.data(), static_cast<unsigned>(picture.width),
                     static_cast<unsigned>(picture.height), &state);
  const Owned owner(bytes);
  return error == 0 ? Bytes(bytes, bytes + size) : Bytes();
}

}  // namespace yolov12edge::apps
