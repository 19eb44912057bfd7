// What every kernel file shares: one spelling for nvcc and for the CPU shim, integer types, float bits.
#pragma once

#ifdef ASHLAR_SIMT
#include "simt/simt.h"
#else
#include <cuda_runtime.h>
#define SIMT_DYN_SHARED(T, name)                               \
  extern __shared__ __align__(16) unsigned char simt_dynamic[]; \
  T* name = reinterpret_cast<T*>(simt_dynamic)
#define SIMT_EXPORT(k)
#endif

typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

static_assert(sizeof(u64) == 8 && sizeof(u32) == 4, "kernel arguments have the layout that Rust gives them");

constexpr u32 FULL_WARP = 0xffffffffu;

__device__ __forceinline__ u32 lane_id() { return threadIdx.x & 31u; }
__device__ __forceinline__ u32 warp_id() { return threadIdx.x >> 5; }
__device__ __forceinline__ u64 global_thread() { return (u64)blockIdx.x * blockDim.x + threadIdx.x; }
__device__ __forceinline__ u64 global_threads() { return (u64)gridDim.x * blockDim.x; }

// The value another block published, not a cached one.
template <class T>
__device__ __forceinline__ T fresh(const T* p) {
  return *(const volatile T*)p;
}
