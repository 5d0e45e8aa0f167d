// One output pixel from a 2 x 2 square of RGB pixels, in SSE2, NEON and plain C++.
#pragma once

#include <cstdint>
#include <cstring>

#include "yolov12edge/detail/host_device.hpp"

#if defined(__SSE2__) || defined(_M_X64)
#include <emmintrin.h>
#define YOLOV12EDGE_BLEND_SSE2 1
#elif defined(__ARM_NEON) && defined(__aarch64__)
#include <arm_neon.h>
#define YOLOV12EDGE_BLEND_NEON 1
#endif

namespace yolov12edge::detail {

// The four weights, of 11 bits each.
struct BlendWeights {
  std::int16_t left, right, top, bottom;
};

YOLOV12EDGE_HOST_DEVICE inline std::uint8_t blend_sample(int top_left, int top_right,
                                                         int bottom_left, int bottom_right,
                                                         BlendWeights weights) noexcept {
  const int top = (top_left * weights.left + top_right * weights.right) >> 4;
  const int bottom = (bottom_left * weights.left + bottom_right * weights.right) >> 4;
  const int sum = ((top * weights.top) >> 16) + ((bottom * weights.bottom) >> 16);
  return static_cast<std::uint8_t>((sum + 2) >> 2);
}

// `top` and `bottom` point at the left pixel of each row, the right one is kStep bytes further.
template <int kStep>
inline void blend_pixel(const std::uint8_t* top, const std::uint8_t* bottom, BlendWeights weights,
                        std::uint8_t* out) noexcept {
  for (int channel = 0; channel < 3; ++channel) {
    out[channel] = blend_sample(top[channel], top[channel + kStep], bottom[channel],
                                bottom[channel + kStep], weights);
  }
}

// As blend_pixel; eight bytes of each row must be readable and four of `out` writable.
template <int kStep>
inline void blend_pixel_wide(const std::uint8_t* top, const std::uint8_t* bottom,
                             BlendWeights weights, std::uint8_t* out) noexcept {
#if defined(YOLOV12EDGE_BLEND_SSE2)
  const __m128i zero = _mm_setzero_si128();
  const __m128i across = _mm_set1_epi32(weights.left | (weights.right << 16));
  const __m128i down =
      _mm_unpacklo_epi64(_mm_set1_epi16(weights.top), _mm_set1_epi16(weights.bottom));
  const auto horizontal = [&](const std::uint8_t* row) {
    const __m128i pixels = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(row));
    const __m128i pairs = _mm_unpacklo_epi8(pixels, _mm_srli_si128(pixels, kStep));
    return _mm_srai_epi32(_mm_madd_epi16(_mm_unpacklo_epi8(pairs, zero), across), 4);
  };
  const __m128i rows = _mm_packs_epi32(horizontal(top), horizontal(bottom));
  const __m128i parts = _mm_mulhi_epi16(rows, down);
  const __m128i sum = _mm_add_epi16(parts, _mm_srli_si128(parts, 8));
  const __m128i rounded = _mm_srai_epi16(_mm_add_epi16(sum, _mm_set1_epi16(2)), 2);
  const int rgb = _mm_cvtsi128_si32(_mm_packus_epi16(rounded, zero));
  std::memcpy(out, &rgb, sizeof rgb);
#elif defined(YOLOV12EDGE_BLEND_NEON)
  const auto horizontal = [&](const std::uint8_t* row) {
    const uint8x8_t pixels = vld1_u8(row);
    const uint16x4_t left = vget_low_u16(vmovl_u8(pixels));
    const uint16x4_t right = vget_low_u16(vmovl_u8(vext_u8(pixels, pixels, kStep)));
    const uint32x4_t sum = vmull_n_u16(left, static_cast<std::uint16_t>(weights.left));
    return vshrn_n_u32(vmlal_n_u16(sum, right, static_cast<std::uint16_t>(weights.right)), 4);
  };
  const auto vertical = [](uint16x4_t row, std::int16_t weight) {
    return vshrn_n_u32(vmull_n_u16(row, static_cast<std::uint16_t>(weight)), 16);
  };
  const uint16x4_t sum = vadd_u16(vertical(horizontal(top), weights.top),
                                  vertical(horizontal(bottom), weights.bottom));
  const uint16x4_t rounded = vshr_n_u16(vadd_u16(sum, vdup_n_u16(2)), 2);
  const uint8x8_t bytes = vmovn_u16(vcombine_u16(rounded, rounded));
  const std::uint32_t rgb = vget_lane_u32(vreinterpret_u32_u8(bytes), 0);
  std::memcpy(out, &rgb, sizeof rgb);
#else
  blend_pixel<kStep>(top, bottom, weights, out);
#endif
}

}  // namespace yolov12edge::detail
