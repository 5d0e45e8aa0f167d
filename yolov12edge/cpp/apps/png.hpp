// PNG of every kind, by LodePNG (third_party/lodepng).
#pragma once

#include "picture.hpp"

namespace yolov12edge::apps {

// 16 bits keep the upper 8, alpha is dropped. Fails with invalid_argument where the bytes are no
// whole PNG, out_of_memory where there is no room for its pixels.
Result<Picture> decode_png(const Bytes& file);

// The bytes of a PNG file; empty where there is not enough memory.
Bytes encode_png(const Picture& picture);

}  // namespace yolov12edge::apps
