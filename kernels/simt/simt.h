// The part of CUDA C++ that our kernels use, run on a CPU: each thread of a block is a fiber, blocks run one after
// another, and every warp operation is an exchange between the fibers of a warp.
//
// It is for correctness, not speed. What a GPU forgives or hides ends here with a message that names kernel, block and
// thread: a barrier that only part of a block reaches, a lane outside its own mask, a mask that never fills, lanes of
// one warp in different operations, threads that wait at different barriers.
//
// What kernels may not use, so that both sides work: grid-wide sync, spinning on another thread of the same block or on
// a block that may start later, inline PTX, textures, __activemask. Dynamic shared memory is spelled SIMT_DYN_SHARED.
#pragma once

#include <climits>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <tuple>
#include <utility>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __noinline__
#define __restrict__
#define __launch_bounds__(...)
#define __shared__ static thread_local
#define __align__(n) alignas(n)

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
};
struct alignas(16) float4 {
  float x, y, z, w;
};

namespace simt {

// Operations that lanes meet in; a lane that arrives with another one than its peers is an error.
enum class Op : int { Sync, Ballot, Any, All, Shuffle, MatchAny };

struct Launch {
  const char* kernel;
  dim3 grid, block;
  size_t dynamic_shared;
};

// State of the running thread, for the macros below.
const uint3& thread_index();
const uint3& block_index();
const Launch& current_launch();
unsigned lane();
void* dynamic_shared();

// Runs `body` once for each thread of each block, in the order that `simt_set_order` chose.
void run(const Launch& launch, void (*body)(void*), void* context);

void barrier(const char* file, int line);
// Gives `value` to the lanes of `mask` and returns all 32 lanes' values (those of absent lanes are undefined).
const uint64_t* exchange(Op op, unsigned mask, uint64_t value, unsigned* present, const char* file, int line);

template <class T>
uint64_t pack(T value) {
  static_assert(sizeof(T) <= 8);
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  return bits;
}
template <class T>
T unpack(uint64_t bits) {
  T value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

template <class T>
T shuffle(unsigned mask, T value, unsigned source, const char* file, int line) {
  unsigned present;
  const uint64_t* all = exchange(Op::Shuffle, mask, pack(value), &present, file, line);
  return present >> source & 1 ? unpack<T>(all[source]) : value;
}
inline unsigned ballot(Op op, unsigned mask, bool predicate, unsigned* present, const char* file, int line) {
  const uint64_t* all = exchange(op, mask, predicate, present, file, line);
  unsigned bits = 0;
  for (unsigned i = 0; i < 32; ++i)
    if (*present >> i & 1 && all[i]) bits |= 1u << i;
  return bits;
}
inline unsigned ballot(unsigned mask, bool p, const char* f, int l) {
  unsigned present;
  return ballot(Op::Ballot, mask, p, &present, f, l);
}
inline int any(unsigned mask, bool p, const char* f, int l) {
  unsigned present;
  return ballot(Op::Any, mask, p, &present, f, l) != 0;
}
inline int all(unsigned mask, bool p, const char* f, int l) {
  unsigned present;
  unsigned bits = ballot(Op::All, mask, p, &present, f, l);
  return bits == present;
}
template <class T>
unsigned match_any(unsigned mask, T value, const char* file, int line) {
  unsigned present, bits = 0;
  const uint64_t mine = pack(value), *all = exchange(Op::MatchAny, mask, mine, &present, file, line);
  for (unsigned i = 0; i < 32; ++i)
    if (present >> i & 1 && all[i] == mine) bits |= 1u << i;
  return bits;
}
inline void sync_warp(unsigned mask, const char* file, int line) {
  unsigned present;
  exchange(Op::Sync, mask, 0, &present, file, line);
}

// `args[i]` points to the i-th argument, as cuLaunchKernel takes them.
template <class... A, size_t... I>
void call(void (*kernel)(A...), void** args, std::index_sequence<I...>) {
  kernel(*static_cast<std::remove_cv_t<std::remove_reference_t<A>>*>(args[I])...);
}
template <class... A>
void launch(const Launch& shape, void (*kernel)(A...), void** args) {
  std::pair<void (*)(A...), void**> context{kernel, args};
  run(
      shape,
      [](void* p) {
        auto& [k, a] = *static_cast<std::pair<void (*)(A...), void**>*>(p);
        call(k, a, std::index_sequence_for<A...>{});
      },
      &context);
}

}  // namespace simt

#define threadIdx (::simt::thread_index())
#define blockIdx (::simt::block_index())
#define blockDim (::simt::current_launch().block)
#define gridDim (::simt::current_launch().grid)

#define __syncthreads() ::simt::barrier(__FILE__, __LINE__)
#define __syncwarp(mask) ::simt::sync_warp(mask, __FILE__, __LINE__)
#define __shfl_sync(mask, v, from) ::simt::shuffle(mask, v, (from) & 31u, __FILE__, __LINE__)
#define __shfl_up_sync(mask, v, by) \
  ::simt::shuffle(mask, v, ::simt::lane() >= unsigned(by) ? ::simt::lane() - unsigned(by) : ::simt::lane(), __FILE__, __LINE__)
#define __shfl_down_sync(mask, v, by) \
  ::simt::shuffle(mask, v, ::simt::lane() + unsigned(by) < 32 ? ::simt::lane() + unsigned(by) : ::simt::lane(), __FILE__, __LINE__)
#define __shfl_xor_sync(mask, v, bits) ::simt::shuffle(mask, v, (::simt::lane() ^ unsigned(bits)) & 31u, __FILE__, __LINE__)
#define __ballot_sync(mask, p) ::simt::ballot(mask, p, __FILE__, __LINE__)
#define __any_sync(mask, p) ::simt::any(mask, p, __FILE__, __LINE__)
#define __all_sync(mask, p) ::simt::all(mask, p, __FILE__, __LINE__)
#define __match_any_sync(mask, v) ::simt::match_any(mask, v, __FILE__, __LINE__)

// One operating-system thread runs a launch and switches fibers only at barriers and warp operations, so plain reads and
// writes are atomic here.
template <class T>
T atomicAdd(T* p, T v) {
  T old = *p;
  *p = T(old + v);
  return old;
}
template <class T>
T atomicOr(T* p, T v) {
  T old = *p;
  *p = T(old | v);
  return old;
}
template <class T>
T atomicMin(T* p, T v) {
  T old = *p;
  if (v < old) *p = v;
  return old;
}
template <class T>
T atomicMax(T* p, T v) {
  T old = *p;
  if (old < v) *p = v;
  return old;
}
inline void __threadfence() {}

inline int __popc(unsigned v) { return __builtin_popcount(v); }
inline int __ffs(int v) { return __builtin_ffs(v); }
inline int __clz(int v) { return v == 0 ? 32 : __builtin_clz(unsigned(v)); }
inline unsigned __float_as_uint(float v) { return ::simt::unpack<unsigned>(::simt::pack(v)); }
inline float __uint_as_float(unsigned v) { return ::simt::unpack<float>(v); }
inline double __longlong_as_double(long long v) { return ::simt::unpack<double>(uint64_t(v)); }
// The build forbids contraction (-ffp-contract=off), as -fmad=false does for nvcc.
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fsqrt_rn(float v) { return std::sqrt(v); }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __ddiv_rn(double a, double b) { return a / b; }
inline double __dsqrt_rn(double v) { return std::sqrt(v); }
inline double __dmul_rn(double a, double b) { return a * b; }
// Round half to even: the shim never leaves the default rounding mode.
inline long long __double2ll_rn(double v) { return std::llrint(v); }
inline float __double2float_rn(double v) { return float(v); }
inline double __ll2double_rn(long long v) { return double(v); }
inline float __ll2float_rn(long long v) { return float(v); }

#define SIMT_DYN_SHARED(T, name) T* name = static_cast<T*>(::simt::dynamic_shared())
#define SIMT_EXPORT(k)                                                                                              \
  extern "C" void simt_##k(unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, \
                           void** args) {                                                                           \
    ::simt::launch(::simt::Launch{#k, {gx, gy, gz}, {bx, by, bz}, shared}, k, args);                                 \
  }
