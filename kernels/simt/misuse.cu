// Kernels that are wrong on purpose: each must end with the shim's message (crates/kernels/tests/simt.rs).
#include "../common.cuh"

extern "C" __global__ void misuse_half_barrier() {
  if (threadIdx.x >= 32) return;
  __syncthreads();
}
SIMT_EXPORT(misuse_half_barrier)

extern "C" __global__ void misuse_half_shuffle(u32* out) {
  if (lane_id() < 16) out[threadIdx.x] = __shfl_sync(FULL_WARP, threadIdx.x, 0);
}
SIMT_EXPORT(misuse_half_shuffle)

extern "C" __global__ void misuse_outside_mask(u32* out) { out[threadIdx.x] = __shfl_sync(0x0000ffffu, threadIdx.x, 0); }
SIMT_EXPORT(misuse_outside_mask)

extern "C" __global__ void misuse_mixed(u32* out) {
  if (lane_id() & 1)
    out[threadIdx.x] = __ballot_sync(FULL_WARP, 1);
  else
    out[threadIdx.x] = __shfl_sync(FULL_WARP, threadIdx.x, 0);
}
SIMT_EXPORT(misuse_mixed)

extern "C" __global__ void misuse_two_barriers() {
  if (threadIdx.x < 32)
    __syncthreads();
  else
    __syncthreads();
}
SIMT_EXPORT(misuse_two_barriers)

extern "C" __global__ void misuse_stack(u32* out) {
  if (threadIdx.x != 1) return;
  volatile u32 large[8448];  // 33 KiB of the 32
  for (u32 i = 0; i < 8448; ++i) large[i] = i;
  out[0] = large[17];
}
SIMT_EXPORT(misuse_stack)
