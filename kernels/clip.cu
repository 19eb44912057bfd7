// Per-sample clipping: norms, factors, clipped sums with noise, and norms and sums from a layer's inputs and output
// gradients. Every sum has the order of the CPU's `clip` module.
#include "noise.cuh"

constexpr u32 CLIP_THREADS = 256, CLIP_WARPS = CLIP_THREADS / 32;
constexpr u32 CHUNK = 2048;
constexpr u32 PER_THREAD = CHUNK / CLIP_THREADS;

// One chunk of columns: where it starts, how many, whose layer, and where that starts. Rust: `launch::clip`.
struct Chunk {
  u64 start, len, layer, layer_start;
};

// The sum over the 32 lanes, right in lane 0: halves are added to halves, as on the CPU.
__device__ __forceinline__ float warp_tree(float v) {
  for (u32 step = 16; step; step /= 2) v = __fadd_rn(v, __shfl_xor_sync(FULL_WARP, v, step));
  return v;
}
__device__ __forceinline__ double warp_tree(double v) {
  for (u32 step = 16; step; step /= 2) v = __dadd_rn(v, __shfl_xor_sync(FULL_WARP, v, step));
  return v;
}

// Sum of squares of x(0)..x(len - 1), len at most CHUNK, by one warp: 64 interleaved lanes, two a thread.
template <class X>
__device__ __forceinline__ double chunk_square(u32 len, X x) {
  float low = 0.0f, high = 0.0f;
  for (u32 at = lane_id(); at < len; at += 64) {
    const float a = x(at);
    low = __fadd_rn(low, __fmul_rn(a, a));
    if (at + 32 < len) {
      const float b = x(at + 32);
      high = __fadd_rn(high, __fmul_rn(b, b));
    }
  }
  return (double)warp_tree(__fadd_rn(low, high));
}

// partial[b, c] = sum of squares of chunk c of row b: a warp each.
extern "C" __global__ void __launch_bounds__(CLIP_THREADS)
    clip_squares(const float* g, u64 rows, u64 columns, const Chunk* chunks, u64 count, double* partial) {
  const u64 warps = global_threads() / 32;
  for (u64 item = global_thread() / 32; item < rows * count; item += warps) {
    const Chunk chunk = chunks[item % count];
    const float* x = g + item / count * columns + chunk.start;
    const double sum = chunk_square((u32)chunk.len, [&](u32 at) { return x[at]; });
    if (lane_id() == 0) partial[item] = sum;
  }
}
SIMT_EXPORT(clip_squares)

// squared[i] = sum of partial[starts[i]..starts[i + 1]]: a warp each, 32 interleaved lanes.
extern "C" __global__ void __launch_bounds__(CLIP_THREADS)
    clip_reduce(const double* partial, const u64* starts, u64 count, double* squared) {
  const u64 warps = global_threads() / 32;
  for (u64 item = global_thread() / 32; item < count; item += warps) {
    const u64 from = starts[item], until = starts[item + 1];
    double sum = 0.0;
    for (u64 at = from + lane_id(); at < until; at += 32) sum = __dadd_rn(sum, partial[at]);
    sum = warp_tree(sum);
    if (lane_id() == 0) squared[item] = sum;
  }
}
SIMT_EXPORT(clip_reduce)

constexpr u32 RULE_FLAT = 0, RULE_AUTOMATIC = 1, RULE_NORMALIZE = 2, RULE_GLOBAL = 3;

__device__ __forceinline__ bool is_finite(double v) { return v - v == 0.0; }

// Rounded down, so that rounding adds nothing to the bound.
__device__ __forceinline__ float factor_of(u32 rule, double constant, double squared, double bound) {
  const double norm = __dsqrt_rn(squared);
  // One division for all rules: several would need more registers than there are without spilling.
  const double divisor = rule == RULE_AUTOMATIC ? __dadd_rn(norm, constant) : rule == RULE_GLOBAL ? constant : norm;
  double factor = __ddiv_rn(bound, divisor);
  if (rule == RULE_FLAT && norm <= bound) factor = 1.0;
  if (rule == RULE_NORMALIZE && squared < 1e-30) factor = 0.0;
  if (rule == RULE_GLOBAL && norm > constant) factor = 0.0;
  const float near = __double2float_rn(factor);
  return (double)near > factor ? __uint_as_float(__float_as_uint(near) - 1) : near;
}

// Factors [rows, layers]; all 0 in a row with a norm that is not finite. A thread a row.
extern "C" __global__ void __launch_bounds__(CLIP_THREADS)
    clip_factors(const double* squared, u64 rows, u64 layers, u32 rule, double constant, const double* bounds, float* factors) {
  for (u64 row = global_thread(); row < rows; row += global_threads()) {
    bool finite = true;
    for (u64 l = 0; l < layers; ++l) finite = finite && is_finite(squared[row * layers + l]);
    for (u64 l = 0; l < layers; ++l) {
      const double s = squared[row * layers + l];
      factors[row * layers + l] = finite ? factor_of(rule, constant, s < 0.0 ? 0.0 : s, bounds[l]) : 0.0f;
    }
  }
}
SIMT_EXPORT(clip_factors)

// sum[j] += factor[b, layer of j] * g[b, j] for b = 0, 1, ...; at the end of a step (`finish`) then
// (sum + scale * noise) / divisor. A block a chunk; noise is made in shared memory and never stored.
extern "C" __global__ void __launch_bounds__(CLIP_THREADS)
    clip_accumulate(const float* g, u64 rows, u64 columns, const Chunk* chunks, u64 count, u64 layers, const float* factors,
                    float* sum, u32 finish, const u32* key, u32 param, u32 step, u32 flags, float scale, float divisor) {
  __shared__ float z[CHUNK];
  for (u64 c = blockIdx.x; c < count; c += gridDim.x) {
    const Chunk chunk = chunks[c];
    if (finish) {
      const NoiseStream stream{key, param + (u32)chunk.layer, step, flags};
      noise_to_shared(stream, chunk.start - chunk.layer_start, (u32)chunk.len, z);
      __syncthreads();
    }
    float own[PER_THREAD];
#pragma unroll
    for (u32 i = 0; i < PER_THREAD; ++i) {
      const u32 at = threadIdx.x + i * CLIP_THREADS;
      own[i] = at < chunk.len ? sum[chunk.start + at] : 0.0f;
    }
    for (u64 row = 0; row < rows; ++row) {
      const float factor = factors[row * layers + chunk.layer];
      if (factor == 0.0f) continue;  // not multiplied: 0 * NaN is NaN
      const float* x = g + row * columns + chunk.start;
#pragma unroll
      for (u32 i = 0; i < PER_THREAD; ++i) {
        const u32 at = threadIdx.x + i * CLIP_THREADS;
        if (at < chunk.len) own[i] = __fadd_rn(own[i], __fmul_rn(factor, x[at]));
      }
    }
#pragma unroll
    for (u32 i = 0; i < PER_THREAD; ++i) {
      const u32 at = threadIdx.x + i * CLIP_THREADS;
      if (at < chunk.len) {
        float v = own[i];
        if (finish) {
          v = __fadd_rn(v, __fmul_rn(scale, z[at]));
          if (divisor != 1.0f) v = __fdiv_rn(v, divisor);
        }
        sum[chunk.start + at] = v;
      }
    }
    if (finish) __syncthreads();
  }
}
SIMT_EXPORT(clip_accumulate)

// ---- tiles of inner products ---------------------------------------------------------------------------------------

constexpr u32 SIDE = 32, DEPTH = 128, STEP = 32;
constexpr u32 OWN_ROWS = SIDE / CLIP_WARPS;  // a thread has one column and rows warp, warp + 8, ...

// Term k of item i of one side of a tile, items first..first + count.
struct Side {
  const float* x;
  u64 term_stride, item_stride, first;
  u32 count;

  __device__ __forceinline__ float at(u64 k, u32 i) const { return x[k * term_stride + (first + i) * item_stride]; }
};
__device__ __forceinline__ u32 side_count(u64 items, u64 first) { return items - first < SIDE ? (u32)(items - first) : SIDE; }

struct TileMemory {
  float left[STEP][SIDE + 1], right[STEP][SIDE + 1];
};

// Shared memory in the order of memory: along the terms or along the items, whichever is contiguous.
__device__ inline void load_side(const Side& side, u64 from, u32 depth, float (*to)[SIDE + 1]) {
#pragma unroll
  for (u32 at = threadIdx.x; at < STEP * SIDE; at += CLIP_THREADS) {
    const u32 outer = at / 32, inner = at % 32;
    const u32 k = side.term_stride == 1 ? inner : outer, i = side.term_stride == 1 ? outer : inner;
    to[k][i] = k < depth && i < side.count ? side.at(from + k, i) : 0.0f;
  }
}

// total[r] = sum over k of left(k, warp + 8 r) * right(k, lane): f32, in blocks of DEPTH terms.
__device__ inline void tile_products(const Side& left, const Side& right, u64 terms, TileMemory& m, float* total) {
#pragma unroll
  for (u32 r = 0; r < OWN_ROWS; ++r) total[r] = 0.0f;
  for (u64 block = 0; block < terms; block += DEPTH) {
    float part[OWN_ROWS];
#pragma unroll
    for (u32 r = 0; r < OWN_ROWS; ++r) part[r] = 0.0f;
#pragma unroll 1
    for (u64 from = block; from < block + DEPTH && from < terms; from += STEP) {
      const u32 depth = terms - from < STEP ? (u32)(terms - from) : STEP;
      __syncthreads();
      load_side(left, from, depth, m.left);
      load_side(right, from, depth, m.right);
      __syncthreads();
#pragma unroll 8
      for (u32 k = 0; k < depth; ++k) {
        const float b = m.right[k][lane_id()];
#pragma unroll
        for (u32 r = 0; r < OWN_ROWS; ++r)
          part[r] = __fadd_rn(part[r], __fmul_rn(m.left[k][warp_id() + CLIP_WARPS * r], b));
      }
    }
#pragma unroll
    for (u32 r = 0; r < OWN_ROWS; ++r) total[r] = __fadd_rn(total[r], part[r]);
  }
}

// Sum of p * q over the tile's first rows and columns, in thread 0.
__device__ inline double tile_inner(const float* p, const float* q, u32 rows, u32 columns, double* warps) {
  double sum = 0.0;
#pragma unroll
  for (u32 r = 0; r < OWN_ROWS; ++r)
    if (warp_id() + CLIP_WARPS * r < rows && lane_id() < columns) sum = __dadd_rn(sum, __dmul_rn((double)p[r], (double)q[r]));
  sum = warp_tree(sum);
  __syncthreads();  // the last tile's sums have been read
  if (lane_id() == 0) warps[warp_id()] = sum;
  __syncthreads();
  double total = 0.0;
  for (u32 w = 0; w < CLIP_WARPS; ++w) total = __dadd_rn(total, warps[w]);
  return total;
}

// partial[sample, pair]: a tile pair of <A Aᵀ, B Bᵀ>, A [n, s, d], B [n, s, p].
extern "C" __global__ void __launch_bounds__(CLIP_THREADS, 4)
    clip_gram(const float* a, const float* b, u64 samples, u64 positions, u64 inputs, u64 outputs, double* partial) {
  __shared__ TileMemory m;
  __shared__ double warps[CLIP_WARPS];
  const u64 tiles = (positions + SIDE - 1) / SIDE, pairs = tiles * tiles;
  for (u64 item = blockIdx.x; item < samples * pairs; item += gridDim.x) {
    const u64 sample = item / pairs, i = item % pairs / tiles, j = item % tiles;
    double sum = 0.0;
    if (j >= i) {
      const u32 rows = side_count(positions, i * SIDE), columns = side_count(positions, j * SIDE);
      const float *x = a + sample * positions * inputs, *y = b + sample * positions * outputs;
      float p[OWN_ROWS], q[OWN_ROWS];
      tile_products(Side{x, 1, inputs, i * SIDE, rows}, Side{x, 1, inputs, j * SIDE, columns}, inputs, m, p);
      tile_products(Side{y, 1, outputs, i * SIDE, rows}, Side{y, 1, outputs, j * SIDE, columns}, outputs, m, q);
      sum = tile_inner(p, q, rows, columns, warps);
      if (i != j) sum = __dmul_rn(2.0, sum);
    }
    if (threadIdx.x == 0) partial[item] = sum;
  }
}
SIMT_EXPORT(clip_gram)

// partial[sample, tile]: squares of a tile of the explicit gradient BᵀA [p, d].
extern "C" __global__ void __launch_bounds__(CLIP_THREADS, 4)
    clip_explicit(const float* a, const float* b, u64 samples, u64 positions, u64 inputs, u64 outputs, double* partial) {
  __shared__ TileMemory m;
  __shared__ double warps[CLIP_WARPS];
  const u64 across = (inputs + SIDE - 1) / SIDE, tiles = (outputs + SIDE - 1) / SIDE * across;
  for (u64 item = blockIdx.x; item < samples * tiles; item += gridDim.x) {
    const u64 sample = item / tiles, i = item % tiles / across * SIDE, j = item % tiles % across * SIDE;
    const u32 rows = side_count(outputs, i), columns = side_count(inputs, j);
    float p[OWN_ROWS];
    tile_products(Side{b + sample * positions * outputs, outputs, 1, i, rows},
                  Side{a + sample * positions * inputs, inputs, 1, j, columns}, positions, m, p);
    const double sum = tile_inner(p, p, rows, columns, warps);
    if (threadIdx.x == 0) partial[item] = sum;
  }
}
SIMT_EXPORT(clip_explicit)

// sum[p, d] += factor[i] * BᵢᵀAᵢ for i = 0, 1, ...: a block a tile.
extern "C" __global__ void __launch_bounds__(CLIP_THREADS, 4)
    clip_linear(const float* a, const float* b, const float* factors, u64 samples, u64 positions, u64 inputs, u64 outputs,
                float* sum) {
  __shared__ TileMemory m;
  const u64 across = (inputs + SIDE - 1) / SIDE, tiles = (outputs + SIDE - 1) / SIDE * across;
  for (u64 tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    const u64 i = tile / across * SIDE, j = tile % across * SIDE;
    const u32 rows = side_count(outputs, i), columns = side_count(inputs, j);
    float own[OWN_ROWS];
#pragma unroll
    for (u32 r = 0; r < OWN_ROWS; ++r) {
      const u32 row = warp_id() + CLIP_WARPS * r;
      own[r] = row < rows && lane_id() < columns ? sum[(i + row) * inputs + j + lane_id()] : 0.0f;
    }
#pragma unroll 1
    for (u64 sample = 0; sample < samples; ++sample) {
      const float factor = factors[sample];
      if (factor == 0.0f) continue;
      float p[OWN_ROWS];
      tile_products(Side{b + sample * positions * outputs, outputs, 1, i, rows},
                    Side{a + sample * positions * inputs, inputs, 1, j, columns}, positions, m, p);
#pragma unroll
      for (u32 r = 0; r < OWN_ROWS; ++r) own[r] = __fadd_rn(own[r], __fmul_rn(factor, p[r]));
    }
#pragma unroll
    for (u32 r = 0; r < OWN_ROWS; ++r) {
      const u32 row = warp_id() + CLIP_WARPS * r;
      if (row < rows && lane_id() < columns) sum[(i + row) * inputs + j + lane_id()] = own[r];
    }
  }
}
SIMT_EXPORT(clip_linear)

// ---- embeddings and channels ---------------------------------------------------------------------------------------

// Column k of the sum of a group's rows.
__device__ __forceinline__ float group_sum(const float* b, const u64* rows, u64 from, u64 until, u64 width, u64 k) {
  float sum = b[rows[from] * width + k];
  for (u64 at = from + 1; at < until; ++at) sum = __fadd_rn(sum, b[rows[at] * width + k]);
  return sum;
}

// partial[group] = squares of the sum of a group's rows of B [n * s, width]: a warp each.
extern "C" __global__ void __launch_bounds__(CLIP_THREADS)
    clip_group_squares(const float* b, const u64* rows, const u64* starts, u64 groups, u64 width, double* partial) {
  const u64 warps = global_threads() / 32;
  for (u64 group = global_thread() / 32; group < groups; group += warps) {
    double sum = 0.0;
    for (u64 from = 0; from < width; from += CHUNK) {
      const u32 len = width - from < CHUNK ? (u32)(width - from) : CHUNK;
      const double part = chunk_square(
          len, [&](u32 at) { return group_sum(b, rows, starts[group], starts[group + 1], width, from + at); });
      sum = __dadd_rn(sum, part);
    }
    if (lane_id() == 0) partial[group] = sum;
  }
}
SIMT_EXPORT(clip_group_squares)

// sum[token] += factor[sample] * (sum of the group's rows) over a token's groups in the order of their samples: a block a
// token.
extern "C" __global__ void __launch_bounds__(CLIP_THREADS)
    clip_embedding(const float* b, const u64* rows, const u64* starts, const u64* tokens, const u64* token_starts, u64 count,
                   const u64* by_token, const u64* sample_of, const float* factors, u64 width, float* sum) {
  for (u64 t = blockIdx.x; t < count; t += gridDim.x) {
    for (u64 k = threadIdx.x; k < width; k += CLIP_THREADS) {
      float own = sum[tokens[t] * width + k];
      for (u64 at = token_starts[t]; at < token_starts[t + 1]; ++at) {
        const u64 group = by_token[at];
        const float factor = factors[sample_of[group]];
        if (factor != 0.0f)
          own = __fadd_rn(own, __fmul_rn(factor, group_sum(b, rows, starts[group], starts[group + 1], width, k)));
      }
      sum[tokens[t] * width + k] = own;
    }
  }
}
SIMT_EXPORT(clip_embedding)

// out[sample, j] = sum over positions of x * b, or of b where x is null: f32, in blocks of DEPTH positions.
extern "C" __global__ void __launch_bounds__(CLIP_THREADS)
    clip_channels(const float* x, const float* b, u64 samples, u64 positions, u64 channels, float* out) {
  for (u64 at = global_thread(); at < samples * channels; at += global_threads()) {
    const u64 base = at / channels * positions * channels + at % channels;
    float total = 0.0f;
    for (u64 from = 0; from < positions; from += DEPTH) {
      float part = 0.0f;
      for (u64 s = from; s < from + DEPTH && s < positions; ++s) {
        const float v = b[base + s * channels];
        part = __fadd_rn(part, x ? __fmul_rn(x[base + s * channels], v) : v);
      }
      total = __fadd_rn(total, part);
    }
    out[at] = total;
  }
}
SIMT_EXPORT(clip_channels)
