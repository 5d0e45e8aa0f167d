// Where a rounding must not be lost in a fused multiply-add.
#pragma once

namespace yolov12edge::detail {

// The value as a variable of its type holds it. Compilers for ARM and for x86 with FMA fuse
// a * b + c into one operation with one rounding; the reference rounds twice.
template <typename Real>
inline Real rounded(Real value) noexcept {
#if defined(__CUDA_ARCH__)
  return value;
#elif defined(__GNUC__) && defined(__aarch64__)
  asm("" : "+w"(value));
  return value;
#elif defined(__GNUC__) && defined(__SSE2__)
  asm("" : "+x"(value));
  return value;
#elif defined(__GNUC__)
  asm("" : "+m"(value));
  return value;
#else
  return value;
#endif
}

}  // namespace yolov12edge::detail
