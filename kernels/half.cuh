// f16 and bf16 by integer operations, with the bits of crates/kernels/src/dequant/float.rs: no cuda_fp16.h, so that the CPU
// shim compiles the same lines.
#pragma once

#include "common.cuh"

typedef unsigned short u16;
typedef unsigned char u8;

// Exact.
__device__ __forceinline__ float f16_to_f32(u16 h) {
  const u32 sign = (u32)(h & 0x8000u) << 16, magnitude = (u32)(h & 0x7fffu) << 13;
  // Denormals: the magnitude as a float's mantissa under 2^-14, less that power, which is exact.
  if (magnitude < 0x00800000u)
    return __uint_as_float(sign | __float_as_uint(__fadd_rn(__uint_as_float(magnitude + 0x38800000u), -0x1p-14f)));
  // Infinities and NaNs have the exponent 31; the rest is 112 lower.
  return __uint_as_float(sign | (magnitude + (magnitude < 0x0f800000u ? 0x38000000u : 0x70000000u)));
}

// To nearest, ties to even; NaN stays NaN.
__device__ __forceinline__ u16 f32_to_f16(float v) {
  const u32 bits = __float_as_uint(v), sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
  u32 half;
  if (magnitude > 0x7f800000u)
    half = 0x7e00u | (magnitude >> 13 & 0x3ffu);
  else if (magnitude >= 0x47800000u)  // 2^16 and more
    half = 0x7c00u;
  else if (magnitude < 0x38800000u)  // below 2^-14: adding 1/2 rounds to multiples of 2^-24
    half = __float_as_uint(__fadd_rn(__uint_as_float(magnitude), 0.5f)) - 0x3f000000u;
  else
    half = (magnitude - 0x38000000u + 0xfffu + (magnitude >> 13 & 1u)) >> 13;
  return (u16)(sign | half);
}
__device__ __forceinline__ u16 f32_to_bf16(float v) {
  const u32 bits = __float_as_uint(v);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return (u16)(bits >> 16 | 0x40u);
  return (u16)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}
