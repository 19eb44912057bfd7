// Packed int4 groups and Q8_0 blocks to f32, bf16 and f16. A value is (code - zero-point) * scale, one rounding in f32 and
// one to the output. Bytes an element: 0.5 + scales in (1.06 for Q8_0), 4 or 2 out. 8 elements a thread: one 4-byte load of
// codes, one or two 16-byte stores.
#include "half.cuh"

constexpr u32 DEQUANT_THREADS = 256, UNIT = 8;
// `flags` of int4: f16 scales (else f32), a zero-point byte a group (else 8).
constexpr u32 INT4_F16_SCALES = 1, INT4_STORED_ZEROS = 2;
constexpr u32 Q8_VALUES = 32, Q8_BYTES = 34;

struct __align__(16) Words {
  u32 w[4];
};

struct AsF32 {
  typedef float Out;
  static __device__ __forceinline__ float of(float v) { return v; }
  static __device__ __forceinline__ void store(float* out, const float* v) {
    Words* to = reinterpret_cast<Words*>(out);
#pragma unroll
    for (u32 half = 0; half < 2; ++half) {
      Words words;
#pragma unroll
      for (u32 i = 0; i < 4; ++i) words.w[i] = __float_as_uint(v[4 * half + i]);
      to[half] = words;
    }
  }
};
template <u16 (*ROUND)(float)>
struct AsHalf {
  typedef u16 Out;
  static __device__ __forceinline__ u16 of(float v) { return ROUND(v); }
  static __device__ __forceinline__ void store(u16* out, const float* v) {
    Words words;
#pragma unroll
    for (u32 i = 0; i < 4; ++i) words.w[i] = (u32)ROUND(v[2 * i]) | (u32)ROUND(v[2 * i + 1]) << 16;
    *reinterpret_cast<Words*>(out) = words;
  }
};

// `packed` and `out` are aligned to 16 bytes, `scales` and `zeros` are byte offsets in `packed`.
template <class As>
__device__ __forceinline__ void unpack_int4(const u8* packed, u64 n, u32 group_log2, u32 flags, u64 scales, u64 zeros,
                                            typename As::Out* out) {
  const u64 units = (n + UNIT - 1) / UNIT;
  for (u64 unit = global_thread(); unit < units; unit += global_threads()) {
    const u64 first = unit * UNIT, group = first >> group_log2;
    float scale, zero = 8.0f;
    if (flags & INT4_F16_SCALES)
      scale = f16_to_f32(reinterpret_cast<const u16*>(packed + scales)[group]);
    else
      scale = reinterpret_cast<const float*>(packed + scales)[group];
    if (flags & INT4_STORED_ZEROS) zero = (float)(int)packed[zeros + group];
    if (first + UNIT <= n) {
      const u32 codes = reinterpret_cast<const u32*>(packed)[unit];
      float v[UNIT];
#pragma unroll
      for (u32 i = 0; i < UNIT; ++i) v[i] = __fmul_rn(__fadd_rn((float)(int)(codes >> (4 * i) & 15u), -zero), scale);
      As::store(out + first, v);
    } else {
      for (u64 i = first; i < n; ++i) {
        const u32 code = packed[i / 2] >> (4 * (i & 1)) & 15u;
        out[i] = As::of(__fmul_rn(__fadd_rn((float)(int)code, -zero), scale));
      }
    }
  }
}

// n is a multiple of 32; `packed` is aligned to 2 bytes, `out` to 16.
template <class As>
__device__ __forceinline__ void unpack_q8_0(const u8* packed, u64 n, typename As::Out* out) {
  for (u64 unit = global_thread(); unit < n / UNIT; unit += global_threads()) {
    const u16* block = reinterpret_cast<const u16*>(packed + unit / (Q8_VALUES / UNIT) * Q8_BYTES);
    const float scale = f16_to_f32(block[0]);
    const u16* codes = block + 1 + unit % (Q8_VALUES / UNIT) * (UNIT / 2);
    float v[UNIT];
#pragma unroll
    for (u32 i = 0; i < UNIT / 2; ++i) {
      const u32 pair = codes[i];
      v[2 * i] = __fmul_rn((float)(int)(signed char)(pair & 0xffu), scale);
      v[2 * i + 1] = __fmul_rn((float)(int)(signed char)(pair >> 8), scale);
    }
    As::store(out + unit * UNIT, v);
  }
}

#define DEQUANT(suffix, As)                                                                                              \
  extern "C" __global__ void __launch_bounds__(DEQUANT_THREADS) dequant_int4_##suffix(                                   \
      const u8* packed, u64 n, u32 group_log2, u32 flags, u64 scales, u64 zeros, As::Out* out) {                         \
    unpack_int4<As>(packed, n, group_log2, flags, scales, zeros, out);                                                          \
  }                                                                                                                      \
  SIMT_EXPORT(dequant_int4_##suffix)                                                                                     \
  extern "C" __global__ void __launch_bounds__(DEQUANT_THREADS)                                                          \
      dequant_q8_0_##suffix(const u8* packed, u64 n, As::Out* out) {                                                     \
    unpack_q8_0<As>(packed, n, out);                                                                                            \
  }                                                                                                                      \
  SIMT_EXPORT(dequant_q8_0_##suffix)

DEQUANT(f32, AsF32)
DEQUANT(bf16, AsHalf<f32_to_bf16>)
DEQUANT(f16, AsHalf<f32_to_f16>)
