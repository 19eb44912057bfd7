// Noise as a pure function of its coordinates: one definition with the CPU's `noise` module, bit for bit.
#pragma once

#include "common.cuh"

constexpr u32 NOISE_CHACHA = 1, NOISE_LAPLACE = 2, NOISE_SUM4 = 4;

// ---- arithmetic with the same bits everywhere ----------------------------------------------------------------------

// The coefficients of crates/kernels/src/noise/math.rs, where a test compares these lines.
__device__ __forceinline__ float horner(const u32* c, int count, float x) {
  float sum = __uint_as_float(c[count - 1]);
#pragma unroll
  for (int at = count - 2; at >= 0; --at) sum = __fadd_rn(__fmul_rn(sum, x), __uint_as_float(c[at]));
  return sum;
}

// ln(n * 2^-24), n odd and below 2^24.
__device__ __forceinline__ float ln_uniform(u32 n) {
  const u32 ln[9] = {0x3eaaaaa4u, 0xbe800003u, 0x3e4cd25bu, 0xbe2aae27u, 0x3e119bb3u, 0xbdfe1104u, 0x3df37842u, 0xbdef1e10u, 0x3d8a2bbeu};  /* LN */
  const u32 ln2[2] = {0x3f318000u, 0xb95e8083u};  /* LN2 */
  const u32 sqrt_half = 0x3f3504f3u;  /* SQRT_HALF */
  const u32 bits = __float_as_uint(__fmul_rn((float)(int)n, 1.0f / 16777216.0f));
  const int exponent = (int)(bits - sqrt_half) >> 23;
  const float f = __fadd_rn(__uint_as_float(bits - ((u32)exponent << 23)), -1.0f);
  const float e = (float)exponent, z = __fmul_rn(f, f);
  float y = __fmul_rn(__fmul_rn(f, z), horner(ln, 9, f));
  y = __fadd_rn(y, __fmul_rn(e, __uint_as_float(ln2[1])));
  y = __fadd_rn(y, -__fmul_rn(0.5f, z));
  return __fadd_rn(__fadd_rn(f, y), __fmul_rn(e, __uint_as_float(ln2[0])));
}

// cos and sin of 2 pi n * 2^-24.
__device__ __forceinline__ void cos_sin_turns(u32 n, float& cosine, float& sine) {
  const u32 sin_[5] = {0x40c90fdbu, 0xc2255de7u, 0x42a335ddu, 0xc299654fu, 0x4225e44du};  /* SIN */
  const u32 cos_[5] = {0xc19de9e6u, 0x4281e0f8u, 0xc2aae9deu, 0x4270f42eu, 0xc1d08431u};  /* COS */
  const u32 quarter = (n + (1u << 21)) >> 22;
  const float r = __fmul_rn((float)(int)(n - (quarter << 22)), 1.0f / 16777216.0f), z = __fmul_rn(r, r);
  const u32 s = __float_as_uint(__fmul_rn(r, horner(sin_, 5, z)));
  const u32 c = __float_as_uint(__fadd_rn(__fmul_rn(z, horner(cos_, 5, z)), 1.0f));
  const u32 swap = (s ^ c) & (0u - (quarter & 1u));
  cosine = __uint_as_float(c ^ swap ^ ((quarter + 1) << 30 & 0x80000000u));
  sine = __uint_as_float(s ^ swap ^ (quarter << 30 & 0x80000000u));
}

__device__ __forceinline__ u32 numerator(u32 word) { return word >> 9 << 1 | 1u; }

// Box and Muller: two words, two normals.
__device__ __forceinline__ void normal_pair(u32 w0, u32 w1, float& z0, float& z1) {
  const float radius = __fsqrt_rn(__fmul_rn(-2.0f, ln_uniform(numerator(w0))));
  float c, s;
  cos_sin_turns(numerator(w1), c, s);
  z0 = __fmul_rn(radius, c);
  z1 = __fmul_rn(radius, s);
}
__device__ __forceinline__ float laplace(u32 word) {
  return __uint_as_float(__float_as_uint(-ln_uniform(numerator(word))) ^ word << 31);
}

// ---- generators ----------------------------------------------------------------------------------------------------

// Which stream. `key` is eight words in device memory, of which Philox uses two.
struct NoiseStream {
  const u32* key;
  u32 param, step, flags;
};

// Philox4x32-10.
__device__ __forceinline__ void philox(u32 k0, u32 k1, u64 block, u32 high, u32 param, u32 step, u32* out) {
  u32 a = (u32)block, b = (u32)(block >> 32) | high, c = param, d = step;
#pragma unroll
  for (int round = 0; round < 10; ++round) {
    const u64 p0 = (u64)0xd2511f53u * a, p1 = (u64)0xcd9e8d57u * c;
    a = (u32)(p1 >> 32) ^ b ^ k0;
    b = (u32)p1;
    c = (u32)(p0 >> 32) ^ d ^ k1;
    d = (u32)p0;
    k0 += 0x9e3779b9u;
    k1 += 0xbb67ae85u;
  }
  out[0] = a;
  out[1] = b;
  out[2] = c;
  out[3] = d;
}

__device__ __forceinline__ u32 rotate(u32 x, int bits) { return x << bits | x >> (32 - bits); }
__device__ __forceinline__ void quarter_round(u32& a, u32& b, u32& c, u32& d) {
  a += b; d = rotate(d ^ a, 16);
  c += d; b = rotate(b ^ c, 12);
  a += b; d = rotate(d ^ a, 8);
  c += d; b = rotate(b ^ c, 7);
}

// ChaCha20.
__device__ __forceinline__ void chacha(const u32* key, u64 block, u32 high, u32 param, u32 step, u32* x) {
  const u32 low = (u32)block, upper = (u32)(block >> 32) | high;
  x[0] = 0x61707865u, x[1] = 0x3320646eu, x[2] = 0x79622d32u, x[3] = 0x6b206574u;
#pragma unroll
  for (int word = 0; word < 8; ++word) x[4 + word] = key[word];
  x[12] = low, x[13] = upper, x[14] = param, x[15] = step;
#pragma unroll 1
  for (int round = 0; round < 10; ++round) {
    quarter_round(x[0], x[4], x[8], x[12]);
    quarter_round(x[1], x[5], x[9], x[13]);
    quarter_round(x[2], x[6], x[10], x[14]);
    quarter_round(x[3], x[7], x[11], x[15]);
    quarter_round(x[0], x[5], x[10], x[15]);
    quarter_round(x[1], x[6], x[11], x[12]);
    quarter_round(x[2], x[7], x[8], x[13]);
    quarter_round(x[3], x[4], x[9], x[14]);
  }
  x[0] += 0x61707865u, x[1] += 0x3320646eu, x[2] += 0x79622d32u, x[3] += 0x6b206574u;
#pragma unroll
  for (int word = 0; word < 8; ++word) x[4 + word] += key[word];
  x[12] += low, x[13] += upper, x[14] += param, x[15] += step;
}

// One draw for the elements of a block: `count` words to as many values; `part` keeps the draws of a sum apart.
template <int WORDS>
__device__ __forceinline__ void draw(const NoiseStream& s, u64 block, u32 part, float* z) {
  u32 words[WORDS];
  if constexpr (WORDS == 4)
    philox(s.key[0], s.key[1], block, part << 30, s.param, s.step, words);
  else
    chacha(s.key, block, part << 30, s.param, s.step, words);
  if (s.flags & NOISE_LAPLACE) {
#pragma unroll
    for (int w = 0; w < WORDS; ++w) z[w] = laplace(words[w]);
  } else {
#pragma unroll
    for (int w = 0; w < WORDS; w += 2) normal_pair(words[w], words[w + 1], z[w], z[w + 1]);
  }
}

template <int WORDS>
__device__ __forceinline__ void noise_blocks(const NoiseStream& s, u64 first, u32 count, float* z) {
  const u32 blocks = (count + WORDS - 1) / WORDS;
  for (u32 b = threadIdx.x; b < blocks; b += blockDim.x) {
    const u64 block = first / WORDS + b;
    float value[WORDS];
    draw<WORDS>(s, block, 0, value);
    if (s.flags & NOISE_SUM4) {
#pragma unroll 1
      for (u32 part = 1; part < 4; ++part) {
        float more[WORDS];
        draw<WORDS>(s, block, part, more);
#pragma unroll
        for (int w = 0; w < WORDS; ++w) value[w] = __fadd_rn(value[w], more[w]);
      }
#pragma unroll
      for (int w = 0; w < WORDS; ++w) value[w] = __fmul_rn(value[w], 0.5f);
    }
#pragma unroll
    for (int w = 0; w < WORDS; ++w) z[b * WORDS + w] = value[w];
  }
}

// Noise of the elements first..first + count to shared memory, by the whole block; `first` is a multiple of 16, and
// there is room for `count` rounded up to 16. The caller waits before it reads.
__device__ inline void noise_to_shared(const NoiseStream& s, u64 first, u32 count, float* z) {
  if (s.flags & NOISE_CHACHA)
    noise_blocks<16>(s, first, count, z);
  else
    noise_blocks<4>(s, first, count, z);
}
