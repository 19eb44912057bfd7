// Work on the kept coordinates alone. Indices increase strictly (checked on the host), so no two threads write to one
// place. Order of operations as in Rust's `sparse` module.
#include "common.cuh"

constexpr u32 SPARSE_THREADS = 256;
constexpr u32 SIDE = 32;         // of a square that is transposed
constexpr u32 MASK_TILE = 256;   // words of 64 bits

// Calls `each` with the place of every kept value in the dense rows and among the kept ones. A warp takes 32 columns of a
// row, so that there is a division a warp, not a value.
template <class Each>
__device__ __forceinline__ void each_value(const u32* idx, u64 n, u64 width, Each each) {
  if (width == 1) {
    for (u64 j = global_thread(); j < n; j += global_threads()) each(idx[j], j);
    return;
  }
  const u64 across = (width + 31) / 32;
  for (u64 unit = global_thread() / 32; unit < n * across; unit += global_threads() / 32) {
    const u64 j = unit / across, c = unit % across * 32 + lane_id();
    if (c < width) each(idx[j] * width + c, j * width + c);
  }
}

// out[j, :] = x[idx[j], :]; 12 bytes a value.
extern "C" __global__ void __launch_bounds__(SPARSE_THREADS)
    sparse_gather(const float* x, const u32* idx, float* out, u64 n, u64 width) {
  each_value(idx, n, width, [=](u64 from, u64 to) { out[to] = x[from]; });
}
SIMT_EXPORT(sparse_gather)

// dst[idx[j], :] += scale * val[j, :]; 16 bytes a value.
extern "C" __global__ void __launch_bounds__(SPARSE_THREADS)
    sparse_axpy(float* dst, const u32* idx, const float* val, float scale, u64 n, u64 width) {
  each_value(idx, n, width, [=](u64 to, u64 from) { dst[to] = __fadd_rn(dst[to], __fmul_rn(scale, val[from])); });
}
SIMT_EXPORT(sparse_axpy)

// SGD with momentum; g is read at the indices if `dense`, else in order.
extern "C" __global__ void __launch_bounds__(SPARSE_THREADS)
    sparse_sgd(float* w, const float* g, const u32* idx, float* b, u64 n, u32 dense, float lr, float momentum, float decay,
               u32 nesterov) {
  for (u64 j = global_thread(); j < n; j += global_threads()) {
    const u32 i = idx[j];
    const float grad = __fadd_rn(g[dense ? i : j], __fmul_rn(decay, w[i]));
    const float buffer = __fadd_rn(__fmul_rn(momentum, b[j]), grad);
    b[j] = buffer;
    const float move = nesterov ? __fadd_rn(grad, __fmul_rn(momentum, buffer)) : buffer;
    w[i] = __fsub_rn(w[i], __fmul_rn(lr, move));
  }
}
SIMT_EXPORT(sparse_sgd)

// AdamW; 32 bytes a value.
extern "C" __global__ void __launch_bounds__(SPARSE_THREADS)
    sparse_adamw(float* w, const float* g, const u32* idx, float* m, float* v, u64 n, u32 dense, float scale, float keep,
                 float rate, float root, float beta1, float beta2, float eps) {
  for (u64 j = global_thread(); j < n; j += global_threads()) {
    const u32 i = idx[j];
    const float grad = __fmul_rn(g[dense ? i : j], scale);
    const float first = __fadd_rn(m[j], __fmul_rn(__fsub_rn(1.0f, beta1), __fsub_rn(grad, m[j])));
    const float square = __fmul_rn(__fmul_rn(__fsub_rn(1.0f, beta2), grad), grad);
    const float second = __fadd_rn(__fmul_rn(beta2, v[j]), square);
    m[j] = first;
    v[j] = second;
    const float divisor = __fadd_rn(__fdiv_rn(__fsqrt_rn(second), root), eps);
    w[i] = __fsub_rn(__fmul_rn(w[i], keep), __fdiv_rn(__fmul_rn(rate, first), divisor));
  }
}
SIMT_EXPORT(sparse_adamw)

// out: [columns, rows] = x: [rows, columns] transposed; a square a block at a time.
extern "C" __global__ void __launch_bounds__(SPARSE_THREADS)
    sparse_transpose(const float* x, u64 rows, u64 columns, float* out) {
  __shared__ float square[SIDE * (SIDE + 1)];  // a column more, so that columns lie in different banks
  const u64 across = (columns + SIDE - 1) / SIDE, squares = across * ((rows + SIDE - 1) / SIDE);
  for (u64 at = blockIdx.x; at < squares; at += gridDim.x) {
    const u64 r0 = at / across * SIDE, c0 = at % across * SIDE;
    for (u32 r = warp_id(); r < SIDE; r += SPARSE_THREADS / 32)
      if (r0 + r < rows && c0 + lane_id() < columns) square[r * (SIDE + 1) + lane_id()] = x[(r0 + r) * columns + c0 + lane_id()];
    __syncthreads();
    for (u32 c = warp_id(); c < SIDE; c += SPARSE_THREADS / 32)
      if (c0 + c < columns && r0 + lane_id() < rows) out[(c0 + c) * rows + r0 + lane_id()] = square[lane_id() * (SIDE + 1) + c];
    __syncthreads();
  }
}
SIMT_EXPORT(sparse_transpose)

// out[j] = dy[r, :] . x[c, :], rows of `positions`, for entry idx[j] = r * inputs + c: a warp each.
extern "C" __global__ void __launch_bounds__(SPARSE_THREADS)
    sparse_sddmm(const float* dy, const float* x, const u32* idx, u64 n, u64 positions, u64 inputs, float* out) {
  for (u64 j = global_thread() / 32; j < n; j += global_threads() / 32) {
    const float* a = dy + idx[j] / inputs * positions;
    const float* b = x + idx[j] % inputs * positions;
    float sum = 0.0f;
    for (u64 t = lane_id(); t < positions; t += 32) sum = __fadd_rn(sum, __fmul_rn(a[t], b[t]));
    for (u32 step = 16; step; step /= 2) sum = __fadd_rn(sum, __shfl_xor_sync(FULL_WARP, sum, step));
    if (lane_id() == 0) out[j] = sum;
  }
}
SIMT_EXPORT(sparse_sddmm)

__device__ __forceinline__ u32 bits_of(u64 word) { return __popc((u32)word) + __popc((u32)(word >> 32)); }

// Inclusive sum over the block of each thread's number.
__device__ __forceinline__ u32 block_scan(u32* sums, u32 value) {
  sums[threadIdx.x] = value;
  __syncthreads();
  for (u32 step = 1; step < MASK_TILE; step *= 2) {
    const u32 before = threadIdx.x >= step ? sums[threadIdx.x - step] : 0;
    __syncthreads();
    sums[threadIdx.x] += before;
    __syncthreads();
  }
  return sums[threadIdx.x];
}

// counts[tile] = bits that are 1 in it.
extern "C" __global__ void __launch_bounds__(SPARSE_THREADS) sparse_mask_count(const u64* words, u64 n, u64* counts) {
  __shared__ u32 sums[MASK_TILE];
  for (u64 tile = blockIdx.x; tile < (n + MASK_TILE - 1) / MASK_TILE; tile += gridDim.x) {
    const u64 at = tile * MASK_TILE + threadIdx.x;
    const u32 sum = block_scan(sums, at < n ? bits_of(words[at]) : 0);
    if (threadIdx.x == MASK_TILE - 1) counts[tile] = sum;
    __syncthreads();
  }
}
SIMT_EXPORT(sparse_mask_count)

// idx[offsets[tile]..] = places of the bits that are 1 in it.
extern "C" __global__ void __launch_bounds__(SPARSE_THREADS)
    sparse_mask_write(const u64* words, u64 n, const u64* offsets, u32* idx) {
  __shared__ u32 sums[MASK_TILE];
  for (u64 tile = blockIdx.x; tile < (n + MASK_TILE - 1) / MASK_TILE; tile += gridDim.x) {
    const u64 at = tile * MASK_TILE + threadIdx.x;
    const u64 word = at < n ? words[at] : 0;
    const u32 own = bits_of(word);
    u64 to = offsets[tile] + block_scan(sums, own) - own;
    for (u32 half = 0; half < 2; ++half)
      for (u32 rest = (u32)(word >> (32 * half)); rest; rest &= rest - 1)
        idx[to++] = (u32)(at * 64 + half * 32 + (u32)__ffs((int)rest) - 1);
    __syncthreads();
  }
}
SIMT_EXPORT(sparse_mask_write)

// Sets the bits at the indices; the first index in a word writes it whole, so that nothing is added up.
extern "C" __global__ void __launch_bounds__(SPARSE_THREADS) sparse_index_mask(const u32* idx, u64 n, u64* words) {
  for (u64 j = global_thread(); j < n; j += global_threads()) {
    const u32 place = idx[j] / 64;
    if (j && idx[j - 1] / 64 == place) continue;
    u64 word = 0;
    for (u64 i = j; i < n && idx[i] / 64 == place; ++i) word |= 1ull << (idx[i] % 64);
    words[place] = word;
  }
}
SIMT_EXPORT(sparse_index_mask)
