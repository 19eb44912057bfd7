// Noise to a vector: fill, or add and divide. 4 bytes an element to fill, 8 to add.
#include "noise.cuh"

constexpr u32 NOISE_THREADS = 256;
constexpr u32 NOISE_TILE = 4096;  // 16 elements a thread

// out[i] = (sum[i] + scale * z(offset + i)) / divisor; without `sum`, out[i] = scale * z(offset + i).
// `sum` may be `out`.
extern "C" __global__ void __launch_bounds__(NOISE_THREADS)
    noise_write(const float* sum, float* out, u64 n, u64 offset, const u32* key, u32 param, u32 step, u32 flags, float scale,
                float divisor) {
  __shared__ float z[NOISE_TILE];
  const NoiseStream stream{key, param, step, flags};
  // Tiles start at multiples of their size, whatever the offset.
  const u64 skip = offset % NOISE_TILE, base = offset - skip;
  const u64 tiles = (skip + n + NOISE_TILE - 1) / NOISE_TILE;
  for (u64 tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    const u64 from = tile == 0 ? skip : 0;
    const u64 left = skip + n - tile * NOISE_TILE, until = left < NOISE_TILE ? left : NOISE_TILE;
    noise_to_shared(stream, base + tile * NOISE_TILE, (u32)until, z);
    __syncthreads();
    for (u64 at = from + threadIdx.x; at < until; at += NOISE_THREADS) {
      const u64 i = tile * NOISE_TILE + at - skip;
      const float noise = __fmul_rn(scale, z[at]);
      if (!sum)
        out[i] = noise;
      else if (divisor == 1.0f)
        out[i] = __fadd_rn(sum[i], noise);
      else
        out[i] = __fdiv_rn(__fadd_rn(sum[i], noise), divisor);
    }
    __syncthreads();
  }
}
SIMT_EXPORT(noise_write)
