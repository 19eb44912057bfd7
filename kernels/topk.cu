// Top-k by magnitude of a vector. The algorithm is in select.cuh; `_u64` kernels are for 2^32 elements and more.
#include "select.cuh"

// Error feedback: e becomes e + lr * g as it is read. Not fused, so that the CPU computes the same bits.
struct ErrorFeedback {
  float* e;
  const float* g;
  float lr;
  u64 n;

  __device__ __forceinline__ u64 size() const { return n; }
  __device__ __forceinline__ float at(u64 i) const {
    const float v = __fadd_rn(e[i], __fmul_rn(lr, g[i]));
    e[i] = v;
    return v;
  }
};

// First histogram, of x (or of the list, if a hinted gather filled it).
extern "C" __global__ void __launch_bounds__(HIST_THREADS)
    topk_histogram(const float* x, u64 n, SelectState* st, u64* bins, u32 level, const float* list_value) {
  const Dense source{x, n};
  refine(st, bins, level, list_value, [&](auto f) { source.visit(f); });
}
SIMT_EXPORT(topk_histogram)

// First histogram of e + lr * g, which it stores in e.
extern "C" __global__ void __launch_bounds__(HIST_THREADS)
    topk_ef_histogram(float* e, const float* g, float lr, u64 n, SelectState* st, u64* bins) {
  const ErrorFeedback source{e, g, lr, n};
  histogram(st, bins, 0, true, [&](auto f) { visit_strided(source, f); });
}
SIMT_EXPORT(topk_ef_histogram)

#define TOPK_ORDERED(suffix, Index)                                                                                      \
  extern "C" __global__ void __launch_bounds__(TILE_THREADS, 2) topk_gather##suffix(                                        \
      const float* x, u64 n, SelectState* st, u64* words, u32 hinted, Index* list_index, float* list_value) {             \
    const Dense source{x, n};                                                                                            \
    gather(st, words, hinted != 0, n, list_index, list_value, [&](u64 i) { return source.at(i); });                       \
  }                                                                                                                      \
  SIMT_EXPORT(topk_gather##suffix)                                                                                       \
  extern "C" __global__ void __launch_bounds__(TILE_THREADS, 2)                                                             \
      topk_ef_gather##suffix(float* e, const float* g, float lr, u64 n, SelectState* st, u64* words, Index* list_index,  \
                             float* list_value) {                                                                        \
    const ErrorFeedback source{e, g, lr, n};                                                                             \
    gather(st, words, true, n, list_index, list_value, [&](u64 i) { return source.at(i); });                              \
  }                                                                                                                      \
  SIMT_EXPORT(topk_ef_gather##suffix)                                                                                    \
  extern "C" __global__ void __launch_bounds__(TILE_THREADS, 2)                                                             \
      topk_write##suffix(const float* x, u64 n, SelectState* st, u64* words, const Index* list_index,                    \
                         const float* list_value, Index* index, float* value, u32* mask, float* zero) {                  \
    const Dense source{x, n};                                                                                            \
    write(st, words, n, list_index, list_value, Output<Index>{index, value, mask, zero},                                  \
          [&](u64 i) { return source.at(i); });                                                                          \
  }                                                                                                                      \
  SIMT_EXPORT(topk_write##suffix)

TOPK_ORDERED(, u32)
TOPK_ORDERED(_u64, u64)
