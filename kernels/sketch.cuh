// Count-sketch: hashes, quantisation, estimates. One definition with the CPU's `sketch` module, bit for bit.
#pragma once

#include "common.cuh"

constexpr u32 SKETCH_THREADS = 256;
constexpr u32 MAX_ROWS = 64;

__device__ __forceinline__ u64 fmix64(u64 h) {
  h ^= h >> 33;
  h *= 0xff51afd7ed558ccdull;
  h ^= h >> 33;
  h *= 0xc4ceb9fe1a85ec53ull;
  return h ^ h >> 33;
}

// Bucket and sign of a coordinate in the row with this key.
struct Place {
  u64 bucket;
  bool minus;
};
__device__ __forceinline__ Place place(u64 key, u64 i, u64 cols) {
  const u64 h = fmix64(i ^ key);
  return {(h >> 32) * cols >> 32, (h & 1) != 0};
}

__device__ __forceinline__ float negate_if(bool minus, float v) { return __uint_as_float(__float_as_uint(v) ^ (minus ? 0x80000000u : 0u)); }

// round-half-even(x * 2^s): f64 holds the product exactly, so there is one rounding.
__device__ __forceinline__ i64 quantise(float x, double scale) { return __double2ll_rn(__dmul_rn((double)x, scale)); }
__device__ __forceinline__ u64 magnitude(i64 v) { return v < 0 ? 0 - (u64)v : (u64)v; }

// What is added to a sketch: n values at consecutive coordinates from `offset`, or at `index`. Fixed-point tables take
// integers that are quantised already, or f32 values with the factor 2^s.
template <class Value>
struct Items {
  const Value* x;
  const u32* index;  // null: consecutive
  u64 offset, n;

  __device__ __forceinline__ u64 coordinate(u64 at) const { return index ? (u64)index[at] : offset + at; }
};
__device__ __forceinline__ i64 integer(float x, double scale) { return quantise(x, scale); }
__device__ __forceinline__ i64 integer(i64 x, double) { return x; }

// f32::total_cmp as an order of integers (-0 below +0): medians have the CPU's bits, zeros' signs too.
__device__ __forceinline__ int ordered(float v) {
  const int bits = (int)__float_as_uint(v);
  return bits ^ (bits >> 31 & 0x7fffffff);
}
__device__ __forceinline__ float from_ordered(int bits) { return __uint_as_float((u32)(bits ^ (bits >> 31 & 0x7fffffff))); }
__device__ __forceinline__ int low(int a, int b) { return a < b ? a : b; }
__device__ __forceinline__ int high(int a, int b) { return a > b ? a : b; }
__device__ __forceinline__ int median3(int a, int b, int c) { return high(low(a, b), low(high(a, b), c)); }

// A vector's estimates, computed on the fly: never stored for all coordinates. Any odd number of rows.
struct Estimates {
  const float* table;
  const u64* keys;
  u32 rows;
  u64 cols, d;

  __device__ __forceinline__ u64 size() const { return d; }
  __device__ __forceinline__ float row(u32 r, u64 i) const {
    const Place p = place(keys[r], i, cols);
    return negate_if(p.minus, table[(u64)r * cols + p.bucket]);
  }
  // Not inlined: the sweeps unroll over many coordinates, and this waits for its cells anyway.
  __device__ __noinline__ float at(u64 i) const {
    if (rows == 5) {
      const int a = ordered(row(0, i)), b = ordered(row(1, i)), c = ordered(row(2, i)), d_ = ordered(row(3, i)),
                e = ordered(row(4, i));
      return from_ordered(median3(e, high(low(a, b), low(c, d_)), low(high(a, b), high(c, d_))));
    }
    if (rows == 3) return from_ordered(median3(ordered(row(0, i)), ordered(row(1, i)), ordered(row(2, i))));
    int all[MAX_ROWS];
    all[0] = ordered(row(0, i));
    for (u32 r = 1; r < rows; ++r) all[r] = ordered(row(r, i));
    int median = all[0];
    for (u32 r = 0; r < rows; ++r) {  // the estimate with as many before it as after it
      u32 before = 0;
      for (u32 q = 0; q < rows; ++q) before += all[q] < all[r] || (all[q] == all[r] && q < r);
      if (before == rows / 2) median = all[r];
    }
    return from_ordered(median);
  }
};

// round-half-even(cell * factor), exact; sets `overflow` past 63 bits. `factor` is finite.
__device__ inline i64 scale_cell(i64 cell, float factor, bool& overflow) {
  const u32 bits = __float_as_uint(factor);
  const int biased = (int)(bits >> 23 & 0xff);
  const u64 fraction = bits & 0x7fffff;
  const u64 mantissa = biased ? fraction | 0x800000 : fraction;  // |factor| = mantissa * 2^exponent
  const int exponent = biased ? biased - 150 : -149;
  const bool minus = (cell < 0) != (bits >> 31 != 0);

  typedef unsigned __int128 u128;
  u128 product = (u128)magnitude(cell) * mantissa;  // below 2^88
  const u64 limit = minus ? 1ull << 63 : (1ull << 63) - 1;
  if (product == 0) return 0;
  if (exponent > 0) {
    if (exponent >= 64 || product >> (64 - (exponent < 64 ? exponent : 0))) {
      overflow = true;
      return 0;
    }
    product <<= exponent;
  } else if (exponent < 0) {
    const int shift = -exponent;
    if (shift > 89) return 0;
    const u128 half = (u128)1 << (shift - 1), rest = product & (((u128)1 << shift) - 1);
    product >>= shift;
    if (rest > half || (rest == half && product & 1)) ++product;
  }
  if (product > limit) {
    overflow = true;
    return 0;
  }
  return minus ? (i64)(0 - (u64)product) : (i64)product;
}
