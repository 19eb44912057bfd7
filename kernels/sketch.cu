// Count-sketch kernels. Tables are rows of `cols` cells; only the Fmix64 family exists here.
//
// Fixed-point tables add integers, in any order, with the same result. f32 tables add in index order: each cell has one
// owner, which meets its coordinates in order; slower, but the same bits as the CPU.
#include "select.cuh"
#include "sketch.cuh"

// ---- accumulate ----------------------------------------------------------------------------------------------------

// What must hold before integers go into a table; device memory. Rust: `launch::sketch::Check`.
struct SketchCheck {
  u64 bad;    // values that are NaN, infinite, or of magnitude 2^62 and more once quantised
  u64 units;  // sum of (|q| >> 32) + 1: the sum of |q| is below units * 2^32
};

template <class Value>
__device__ void check_items(const Value* x, u64 n, double scale, SketchCheck* check) {
  const double limit = 4611686018427387904.0;  // 2^62
  u64 bad = 0, units = 0;
  for (u64 i = global_thread(); i < n; i += global_threads()) {
    if constexpr (sizeof(Value) == 4) {
      const double scaled = __dmul_rn((double)x[i], scale);
      if (!(scaled < limit && scaled > -limit)) {
        ++bad;
        continue;
      }
    }
    units += (magnitude(integer(x[i], scale)) >> 32) + 1;
  }
  for (u32 step = 16; step; step /= 2) {
    bad += __shfl_xor_sync(FULL_WARP, bad, step);
    units += __shfl_xor_sync(FULL_WARP, units, step);
  }
  if (lane_id() == 0) {
    if (bad) atomicAdd(&check->bad, bad);
    if (units) atomicAdd(&check->units, units);
  }
}

template <class Value>
__device__ void add_global(const Items<Value>& items, double scale, const u64* keys, u32 rows, u64 cols, i64* table) {
  for (u64 at = global_thread(); at < items.n; at += global_threads()) {
    const i64 q = integer(items.x[at], scale);
    if (q == 0) continue;
    const u64 i = items.coordinate(at);
    for (u32 r = 0; r < rows; ++r) {
      const Place p = place(keys[r], i, cols);
      atomicAdd((u64*)&table[(u64)r * cols + p.bucket], (u64)(p.minus ? -q : q));
    }
  }
}

// blockIdx.y is the row, which the block sums up in shared memory first.
template <class Value>
__device__ void add_shared(const Items<Value>& items, double scale, const u64* keys, u64 cols, i64* table) {
  SIMT_DYN_SHARED(u64, row);
  for (u64 c = threadIdx.x; c < cols; c += blockDim.x) row[c] = 0;
  const u64 key = keys[blockIdx.y];
  __syncthreads();
  for (u64 at = global_thread(); at < items.n; at += global_threads()) {
    const i64 q = integer(items.x[at], scale);
    if (q == 0) continue;
    const Place p = place(key, items.coordinate(at), cols);
    atomicAdd(&row[p.bucket], (u64)(p.minus ? -q : q));
  }
  __syncthreads();
  u64* out = (u64*)table + (u64)blockIdx.y * cols;
  for (u64 c = threadIdx.x; c < cols; c += blockDim.x)
    if (row[c]) atomicAdd(&out[c], row[c]);
}

#define SKETCH_INTEGERS(suffix, Value)                                                                                    \
  extern "C" __global__ void __launch_bounds__(SKETCH_THREADS)                                                            \
      sketch_check##suffix(const Value* x, u64 n, double scale, SketchCheck* check) {                                     \
    check_items(x, n, scale, check);                                                                                      \
  }                                                                                                                       \
  SIMT_EXPORT(sketch_check##suffix)                                                                                       \
  extern "C" __global__ void __launch_bounds__(SKETCH_THREADS)                                                            \
      sketch_add##suffix(const Value* x, const u32* index, u64 offset, u64 n, double scale, const u64* keys, u32 rows,    \
                         u64 cols, i64* table) {                                                                          \
    add_global(Items<Value>{x, index, offset, n}, scale, keys, rows, cols, table);                                        \
  }                                                                                                                       \
  SIMT_EXPORT(sketch_add##suffix)                                                                                         \
  extern "C" __global__ void __launch_bounds__(SKETCH_THREADS)                                                            \
      sketch_add_shared##suffix(const Value* x, const u32* index, u64 offset, u64 n, double scale, const u64* keys,       \
                                u64 cols, i64* table) {                                                                   \
    add_shared(Items<Value>{x, index, offset, n}, scale, keys, cols, table);                                              \
  }                                                                                                                       \
  SIMT_EXPORT(sketch_add_shared##suffix)

SKETCH_INTEGERS(_quantised, float)
SKETCH_INTEGERS(_fixed, i64)

constexpr u32 OWNED = 4096;      // most columns a block may own
constexpr u32 SWEEP = 2048;      // values a block looks at in one go
constexpr u32 SWEEP_STEPS = SWEEP / SKETCH_THREADS;

// Adds to an f32 table in index order. A block owns `width` columns of row blockIdx.y; of each sweep it lists the values
// that fall there, in index order, and each thread adds those of its own columns.
extern "C" __global__ void __launch_bounds__(SKETCH_THREADS)
    sketch_add_ordered(const float* x, const u32* index, u64 offset, u64 n, const u64* keys, u64 cols, u32 width,
                       float* table) {
  __shared__ float cells[OWNED];
  __shared__ u32 hit_column[SWEEP];
  __shared__ float hit_value[SWEEP];
  __shared__ u32 warps[SKETCH_THREADS / 32];
  const Items<float> items{x, index, offset, n};
  const u64 first = (u64)blockIdx.x * width, key = keys[blockIdx.y];
  const u32 owned = first + width <= cols ? width : (u32)(cols - first);
  float* row = table + (u64)blockIdx.y * cols + first;
  for (u32 c = threadIdx.x; c < owned; c += SKETCH_THREADS) cells[c] = row[c];

  for (u64 base = 0; base < n; base += SWEEP) {
    u32 column[SWEEP_STEPS], hits[SWEEP_STEPS], count = 0;
    float value[SWEEP_STEPS];
#pragma unroll
    for (u32 s = 0; s < SWEEP_STEPS; ++s) {
      const u64 at = base + warp_id() * (32u * SWEEP_STEPS) + s * 32u + lane_id();
      bool mine = false;
      column[s] = 0;
      value[s] = 0.0f;
      if (at < n) {
        const Place p = place(key, items.coordinate(at), cols);
        mine = p.bucket >= first && p.bucket - first < owned;
        column[s] = (u32)(p.bucket - first);
        value[s] = negate_if(p.minus, x[at]);
      }
      hits[s] = __ballot_sync(FULL_WARP, mine);
      count += (u32)__popc(hits[s]);
    }
    if (lane_id() == 0) warps[warp_id()] = count;
    __syncthreads();
    u32 place_in_list = 0, total = 0;
    for (u32 w = 0; w < SKETCH_THREADS / 32; ++w) {
      if (w == warp_id()) place_in_list = total;
      total += warps[w];
    }
#pragma unroll
    for (u32 s = 0; s < SWEEP_STEPS; ++s) {
      if (hits[s] >> lane_id() & 1) {
        const u32 h = place_in_list + (u32)__popc(hits[s] & ((1u << lane_id()) - 1));
        hit_column[h] = column[s];
        hit_value[h] = value[s];
      }
      place_in_list += (u32)__popc(hits[s]);
    }
    __syncthreads();
    for (u32 h = 0; h < total; ++h) {
      const u32 c = hit_column[h];
      if (c % SKETCH_THREADS == threadIdx.x) cells[c] = __fadd_rn(cells[c], hit_value[h]);
    }
    __syncthreads();
  }
  for (u32 c = threadIdx.x; c < owned; c += SKETCH_THREADS) row[c] = cells[c];  // a thread's own columns
}
SIMT_EXPORT(sketch_add_ordered)

// ---- whole tables --------------------------------------------------------------------------------------------------

#define FOR_EACH_CELL(i, cells) for (u64 i = global_thread(); i < (cells); i += global_threads())

// table = scale_table * table + factor * other, product and sum rounded; `other` may be null (scale only).
extern "C" __global__ void __launch_bounds__(SKETCH_THREADS)
    sketch_combine_f32(float* table, const float* other, float factor, u32 scaled, u64 cells) {
  FOR_EACH_CELL(i, cells) {
    if (!other)
      table[i] = __fmul_rn(table[i], factor);
    else
      table[i] = __fadd_rn(table[i], scaled ? __fmul_rn(factor, other[i]) : other[i]);
  }
}
SIMT_EXPORT(sketch_combine_f32)

// The same on integers, exact; counts the cells that overflow. The host first asks with apply = 0, so that a table never
// changes in part. scaled = 0 takes factor for 1.
extern "C" __global__ void __launch_bounds__(SKETCH_THREADS)
    sketch_combine_fixed(i64* table, const i64* other, float factor, u32 scaled, u32 apply, u64* overflows, u64 cells) {
  FOR_EACH_CELL(i, cells) {
    bool overflow = false;
    const i64 cell = table[i];
    i64 next;
    if (other) {
      const i64 add = scaled ? scale_cell(other[i], factor, overflow) : other[i];
      next = (i64)((u64)cell + (u64)add);
      overflow |= (cell < 0) == (add < 0) && (next < 0) != (cell < 0);
    } else {
      next = scale_cell(cell, factor, overflow);
    }
    if (overflow && !apply) atomicAdd(overflows, (u64)1);
    if (apply) table[i] = next;
  }
}
SIMT_EXPORT(sketch_combine_fixed)

template <class Cell>
__device__ void zero_where_nonzero(Cell* table, const Cell* other, u64* masked, u64 cells) {
  u64 count = 0;
  FOR_EACH_CELL(i, cells) {
    if (other[i] != 0) {
      table[i] = 0;
      ++count;
    }
  }
  for (u32 step = 16; step; step /= 2) count += __shfl_xor_sync(FULL_WARP, count, step);
  if (lane_id() == 0 && count) atomicAdd(masked, count);
}
extern "C" __global__ void __launch_bounds__(SKETCH_THREADS)
    sketch_zero_f32(float* table, const float* other, u64* masked, u64 cells) {
  zero_where_nonzero(table, other, masked, cells);
}
SIMT_EXPORT(sketch_zero_f32)
extern "C" __global__ void __launch_bounds__(SKETCH_THREADS)
    sketch_zero_fixed(i64* table, const i64* other, u64* masked, u64 cells) {
  zero_where_nonzero(table, other, masked, cells);
}
SIMT_EXPORT(sketch_zero_fixed)

// Largest |cell|, so that the host can tell whether more can be added without overflow.
extern "C" __global__ void __launch_bounds__(SKETCH_THREADS) sketch_max_fixed(const i64* table, u64* largest, u64 cells) {
  u64 most = 0;
  FOR_EACH_CELL(i, cells) {
    const u64 m = magnitude(table[i]);
    if (m > most) most = m;
  }
  if (most) atomicMax(largest, most);
}
SIMT_EXPORT(sketch_max_fixed)

// Fixed-point cells rounded to f32 and divided by 2^s (`unit` = 2^-s).
extern "C" __global__ void __launch_bounds__(SKETCH_THREADS)
    sketch_to_f32(const i64* table, float unit, float* out, u64 cells) {
  FOR_EACH_CELL(i, cells) out[i] = __fmul_rn(__ll2float_rn(table[i]), unit);
}
SIMT_EXPORT(sketch_to_f32)

// Index of the first cell that is NaN or infinite (~0 when there is none).
extern "C" __global__ void __launch_bounds__(SKETCH_THREADS) sketch_nonfinite(const float* table, u64* first, u64 cells) {
  FOR_EACH_CELL(i, cells) {
    if ((__float_as_uint(table[i]) & 0x7fffffffu) >= INFINITY_KEY) atomicMin(first, i);
  }
}
SIMT_EXPORT(sketch_nonfinite)

// ---- estimates and unsketch ----------------------------------------------------------------------------------------

// Estimates of the coordinates offset .. offset + n.
extern "C" __global__ void __launch_bounds__(SKETCH_THREADS)
    sketch_estimate(const float* table, const u64* keys, u32 rows, u64 cols, u64 offset, u64 n, float* out) {
  const Estimates source{table, keys, rows, cols, offset + n};
  for (u64 i = global_thread(); i < n; i += global_threads()) out[i] = source.at(offset + i);
}
SIMT_EXPORT(sketch_estimate)

// The selection of select.cuh over the estimates; fixed-point tables come as f32 (sketch_to_f32).
extern "C" __global__ void __launch_bounds__(HIST_THREADS)
    unsketch_histogram(const float* table, const u64* keys, u32 rows, u64 cols, u64 d, SelectState* st, u64* bins, u32 level,
                       const float* list_value) {
  const Estimates source{table, keys, rows, cols, d};
  refine(st, bins, level, list_value, [&](auto f) { visit_strided(source, f); });
}
SIMT_EXPORT(unsketch_histogram)

extern "C" __global__ void __launch_bounds__(TILE_THREADS, 2)
    unsketch_gather(const float* table, const u64* keys, u32 rows, u64 cols, u64 d, SelectState* st, u64* words,
                    u32* list_index, float* list_value) {
  const Estimates source{table, keys, rows, cols, d};
  gather(st, words, false, d, list_index, list_value, [&](u64 i) { return source.at(i); });
}
SIMT_EXPORT(unsketch_gather)

extern "C" __global__ void __launch_bounds__(TILE_THREADS, 2)
    unsketch_write(const float* table, const u64* keys, u32 rows, u64 cols, u64 d, SelectState* st, u64* words,
                   const u32* list_index, const float* list_value, u32* index, float* value) {
  const Estimates source{table, keys, rows, cols, d};
  write(st, words, d, list_index, list_value, Output<u32>{index, value, nullptr, nullptr},
        [&](u64 i) { return source.at(i); });
}
SIMT_EXPORT(unsketch_write)
