// Exact selection of the k largest magnitudes, over any source of values (a vector, or a sketch's estimates).
//
// key(x) = bits(x) & 0x7fffffff orders by magnitude (NaN > inf > finite, -0 = +0). Sweeps:
//   histogram  counts the top 11 bits of all keys; the last block finds the bin in which the k-th key lies;
//   gather     copies everything in that bin or above, in index order, to a list of `capacity` entries;
//   histogram  twice more, 10 bits each, on the list: now the k-th key is known;
//   write      the winners, in index order; of the keys equal to the k-th, those with the lowest indices.
// If the list would not fit, the last three read the source again. With a threshold hint, `gather` goes first: if it
// finds between k and `capacity` keys above the cutoff, the answer is among them and the source is read only once.
// No decision comes back to the host between the sweeps.
//
// Index order comes from decoupled look-back: tiles are handed out by a ticket, so a tile only ever waits for tiles
// that have started, and each publishes its count, then the count of all tiles up to it.
#pragma once

#include "common.cuh"

constexpr u32 HIST_THREADS = 512;
constexpr u32 HIST_COPIES = 2;  // neighbouring lanes count in different copies
constexpr u32 TOP_BINS = 2048;  // bits 30..20
constexpr u32 LOW_BINS = 1024;  // bits 19..10, then 9..0
constexpr u32 TILE_THREADS = 256;
constexpr u32 TILE_STEPS = 16;
constexpr u32 TILE = TILE_THREADS * TILE_STEPS;
constexpr u32 TILE_WARPS = TILE_THREADS / 32;

constexpr u32 NAN_LARGEST = 0, NAN_ERROR = 1, NAN_ZERO = 2;
constexpr u32 INFINITY_KEY = 0x7f800000u;

// Shared by all sweeps of one selection, in device memory. Rust: `launch::select::State`.
struct SelectState {
  u64 k;            // wanted
  u64 capacity;     // of the list
  u64 above;        // keys above the prefix's range
  u64 through;      // keys in the prefix's range or above
  u64 listed;       // entries of the list
  u64 nans[2];      // seen by the histogram, by the hinted gather
  u64 first_nan;    // index of the first one
  u32 prefix;       // the k-th key's leading bits, right-aligned; all 31 in the end
  u32 hint;         // cutoff of the hinted gather
  u32 use_list;     // the list holds the answer
  u32 policy;       // NAN_*
  u32 done;         // blocks through with the histogram
  u32 tickets[3];   // next tile of: hinted gather, gather, write
};

__device__ __forceinline__ u32 key_of(float value, u32 policy) {
  u32 key = __float_as_uint(value) & 0x7fffffffu;
  return policy == NAN_ZERO && key > INFINITY_KEY ? 0u : key;
}

// A selection that NanPolicy::Error ends changes nothing any more.
__device__ __forceinline__ bool refused(const SelectState* st) { return st->policy == NAN_ERROR && (st->nans[0] | st->nans[1]); }

// ---- sources -------------------------------------------------------------------------------------------------------

// A vector. `visit` is free in its order, `at` is for the sweeps that keep it.
struct Dense {
  const float* x;
  u64 n;

  __device__ __forceinline__ u64 size() const { return n; }
  __device__ __forceinline__ float at(u64 i) const { return x[i]; }

  template <class F>
  __device__ void visit(F f) const {
    // Elements before the first 16-byte boundary, then four at a time, then the rest.
    u64 head = ((16u - ((u64)x & 15u)) & 15u) / 4u;
    if (head > n) head = n;
    const u64 quads = (n - head) / 4u, tail = head + quads * 4u;
    const u64 t = global_thread(), stride = global_threads();
    if (t < head) f(t, x[t]);
    const float4* body = (const float4*)(x + head);
    for (u64 q = t; q < quads; q += stride) {
      const float4 v = body[q];
      const u64 i = head + 4u * q;
      f(i, v.x);
      f(i + 1, v.y);
      f(i + 2, v.z);
      f(i + 3, v.w);
    }
    if (tail + t < n) f(tail + t, x[tail + t]);
  }
};

// A source read in a grid-stride loop.
template <class Source, class F>
__device__ void visit_strided(const Source& s, F f) {
  const u64 n = s.size(), stride = global_threads();
  for (u64 i = global_thread(); i < n; i += stride) f(i, s.at(i));
}

// ---- histogram -----------------------------------------------------------------------------------------------------

// The bin of the k-th key, by the last block: a suffix sum from the top bin down.
__device__ inline void choose_bin(SelectState* st, u64* bins, u32 count) {
  __shared__ u64 sums[2][HIST_THREADS];
  const u32 t = threadIdx.x, per = count / HIST_THREADS;
  const u64 k = st->k, above = st->above;
  const u32 prefix = st->prefix;
  u64 mine = 0;
  for (u32 j = 0; j < per; ++j) mine += fresh(&bins[count - 1 - (t * per + j)]);
  sums[0][t] = mine;
  __syncthreads();
  u32 from = 0;
  for (u32 step = 1; step < HIST_THREADS; step *= 2, from ^= 1) {
    sums[from ^ 1][t] = sums[from][t] + (t >= step ? sums[from][t - step] : 0);
    __syncthreads();
  }
  u64 before = above + sums[from][t] - mine;
  if (before < k && k <= before + mine) {  // one thread
    u32 bin = count - 1 - t * per;
    for (;; --bin) {
      const u64 here = fresh(&bins[bin]);
      if (k <= before + here) {
        st->above = before;
        st->through = before + here;
        break;
      }
      before += here;
    }
    st->prefix = count == TOP_BINS ? bin : prefix << 10 | bin;
  }
  __syncthreads();
  for (u32 b = t; b < count; b += HIST_THREADS) bins[b] = 0;
  if (t == 0) st->done = 0;
}

// One histogram sweep. `visit(f)` calls f(index, value) for the calling thread's share of the values.
template <class Visit>
__device__ void histogram(SelectState* st, u64* bins, u32 level, bool count_nans, Visit visit) {
  __shared__ u32 local[HIST_COPIES][TOP_BINS];
  __shared__ u32 last_block;
  const u32 count = level == 0 ? TOP_BINS : LOW_BINS;
  for (u32 b = threadIdx.x; b < count; b += HIST_THREADS)
    for (u32 c = 0; c < HIST_COPIES; ++c) local[c][b] = 0;
  const u32 prefix = st->prefix, policy = st->policy;
  const u32 prefix_shift = 31u - 10u * level - (level ? 1u : 0u);  // 20 at level 1, 10 at level 2
  const u32 bin_shift = level == 0 ? 20u : level == 1 ? 10u : 0u;
  __syncthreads();

  // Runs of one bin (zeros, constant vectors) cost one atomic.
  u32* mine = local[threadIdx.x & (HIST_COPIES - 1)];
  u32 bin = 0, run = 0;
  u64 nans = 0, first_nan = ~0ull;
  visit([&](u64 i, float value) {
    const u32 key = key_of(value, policy);
    if (count_nans && (__float_as_uint(value) & 0x7fffffffu) > INFINITY_KEY) {
      ++nans;
      if (i < first_nan) first_nan = i;
    }
    if (level != 0 && key >> prefix_shift != prefix) return;
    const u32 b = (key >> bin_shift) & (count - 1);
    if (b != bin) {
      if (run) atomicAdd(&mine[bin], run);
      bin = b;
      run = 0;
    }
    ++run;
  });
  if (run) atomicAdd(&mine[bin], run);
  if (nans) {
    atomicAdd(&st->nans[0], nans);
    atomicMin(&st->first_nan, first_nan);
  }
  __syncthreads();

  for (u32 b = threadIdx.x; b < count; b += HIST_THREADS) {
    u32 sum = 0;
    for (u32 c = 0; c < HIST_COPIES; ++c) sum += local[c][b];
    if (sum) atomicAdd(&bins[b], (u64)sum);
  }
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) last_block = atomicAdd(&st->done, 1u) == gridDim.x - 1;
  __syncthreads();
  if (last_block) {
    __threadfence();
    choose_bin(st, bins, count);
  }
}

// The next histogram on the list if it holds the answer, else on the source.
template <class Visit>
__device__ void refine(SelectState* st, u64* bins, u32 level, const float* list_value, Visit visit_source) {
  const bool listed = st->use_list;
  const Dense list{list_value, listed ? st->listed : 0};
  histogram(st, bins, level, level == 0 && !listed, [&](auto f) {
    if (listed)
      list.visit(f);
    else
      visit_source(f);
  });
}

// ---- index order ---------------------------------------------------------------------------------------------------

// A tile's word: its own count, or the count of all tiles up to it; 0 until it has published.
constexpr u64 OWN = 1ull << 62, INCLUSIVE = 2ull << 62, COUNT = OWN - 1;

// Count of all tiles before `tile`, by one warp; publishes this tile's.
__device__ inline u64 look_back(u64* words, u32 tile, u64 own) {
  volatile u64* w = words;
  if (tile == 0) {
    if (lane_id() == 0) w[0] = INCLUSIVE | own;
    return 0;
  }
  if (lane_id() == 0) w[tile] = OWN | own;
  u64 before = 0;
  for (u32 end = tile;; end -= 32) {  // lane l reads tile end - 1 - l
    u64 word;
    do {
      word = INCLUSIVE;  // before the first tile: nothing more to add
      if (lane_id() < end) word = w[end - 1 - lane_id()];
    } while (__any_sync(FULL_WARP, word < OWN));
    const u32 closed = __ballot_sync(FULL_WARP, word >= INCLUSIVE);
    const u32 nearest = closed ? (u32)__ffs((int)closed) - 1 : 31u;
    u64 part = lane_id() <= nearest ? word & COUNT : 0;
    for (u32 step = 16; step; step /= 2) part += __shfl_xor_sync(FULL_WARP, part, step);
    before += part;
    if (closed) break;
  }
  if (lane_id() == 0) w[tile] = INCLUSIVE | (before + own);
  return before;
}

// Takes the next tile for the whole block.
__device__ inline u32 next_tile(u32* ticket) {
  __shared__ u32 tile;
  __syncthreads();  // all have read the previous one
  if (threadIdx.x == 0) tile = atomicAdd(ticket, 1u);
  __syncthreads();
  return tile;
}

// The place of a lane's first element in step s of its tile: warps take 512 consecutive elements, 32 a step.
__device__ __forceinline__ u64 tile_element(u32 tile, u32 s) {
  return (u64)tile * TILE + warp_id() * (32u * TILE_STEPS) + s * 32u + lane_id();
}

// Turns each warp's count in `warps` into the count before it in the whole sweep; returns the tile's.
__device__ inline u64 offsets(u64* words, u32 tile, u64* warps) {
  __shared__ u64 total;
  __syncthreads();
  if (warp_id() == 0) {
    const u64 mine = lane_id() < TILE_WARPS ? warps[lane_id()] : 0;
    u64 sum = mine;
    for (u32 step = 1; step < TILE_WARPS; step *= 2) {
      const u64 other = __shfl_up_sync(FULL_WARP, sum, step);
      if (lane_id() >= step) sum += other;
    }
    const u64 own = __shfl_sync(FULL_WARP, sum, TILE_WARPS - 1);
    const u64 before = look_back(words, tile, own);
    if (lane_id() < TILE_WARPS) warps[lane_id()] = before + sum - mine;
    if (lane_id() == 0) total = before + own;
  }
  __syncthreads();
  return total;
}

// ---- gather and write ----------------------------------------------------------------------------------------------

// Everything that may win, in index order, to the list. `at(i)` gives a source value.
template <class Index, class At>
__device__ void gather(SelectState* st, u64* words, bool hinted, u64 n, Index* list_index, float* list_value, At at) {
  __shared__ u64 warps[TILE_WARPS];
  __shared__ u32 skip;
  if (threadIdx.x == 0) skip = !hinted && (fresh(&st->use_list) || st->through > st->capacity || refused(st));
  __syncthreads();
  if (skip) return;  // the list would not fit, or holds the answer already
  const u32 cutoff = hinted ? st->hint : st->prefix << 20, policy = st->policy;
  const u64 capacity = st->capacity, tiles = (n + TILE - 1) / TILE;

  for (;;) {
    const u32 tile = next_tile(&st->tickets[hinted ? 0 : 1]);
    if (tile >= tiles) break;
    float value[TILE_STEPS];
    u32 keep[TILE_STEPS];
    u32 kept = 0;
    u64 nans = 0, first_nan = ~0ull;
#pragma unroll
    for (u32 s = 0; s < TILE_STEPS; ++s) {
      const u64 i = tile_element(tile, s);
      value[s] = i < n ? at(i) : 0.0f;
    }
#pragma unroll
    for (u32 s = 0; s < TILE_STEPS; ++s) {
      const u64 i = tile_element(tile, s);
      keep[s] = __ballot_sync(FULL_WARP, i < n && key_of(value[s], policy) >= cutoff);
      kept += (u32)__popc(keep[s]);
      if (hinted && i < n && (__float_as_uint(value[s]) & 0x7fffffffu) > INFINITY_KEY) {
        ++nans;
        if (i < first_nan) first_nan = i;
      }
    }
    if (nans) {
      atomicAdd(&st->nans[1], nans);
      atomicMin(&st->first_nan, first_nan);
    }
    if (lane_id() == 0) warps[warp_id()] = kept;
    const u64 through = offsets(words, tile, warps);
    u64 place = warps[warp_id()];
#pragma unroll
    for (u32 s = 0; s < TILE_STEPS; ++s) {
      const u64 mine = place + (u32)__popc(keep[s] & ((1u << lane_id()) - 1));
      if (keep[s] >> lane_id() & 1 && mine < capacity) {
        list_index[mine] = (Index)tile_element(tile, s);
        list_value[mine] = value[s];
      }
      place += (u32)__popc(keep[s]);
    }
    if (tile == tiles - 1 && threadIdx.x == 0) {
      st->listed = through;
      st->use_list = through >= st->k && through <= capacity;
    }
  }
}

// Where `write` puts the winners; each pointer may be null.
template <class Index>
struct Output {
  Index* index;
  float* value;
  u32* mask;    // one bit an element, zeroed beforehand
  float* zero;  // the source, to be zeroed at the winners
};

template <class Index, class At>
__device__ void write(SelectState* st, u64* words, u64 n, const Index* list_index, const float* list_value, Output<Index> out,
                      At at) {
  __shared__ u64 greater_warps[TILE_WARPS], equal_warps[TILE_WARPS];
  if (refused(st)) return;
  const bool listed = st->use_list;
  const u32 threshold = st->prefix, policy = st->policy;
  const u64 ties = st->k - st->above, count = listed ? st->listed : n;
  const u64 tiles = (count + TILE - 1) / TILE, all_tiles = (n + TILE - 1) / TILE;

  for (;;) {
    const u32 tile = next_tile(&st->tickets[2]);
    if (tile >= tiles) break;
    float value[TILE_STEPS];
    u32 greater[TILE_STEPS], equal[TILE_STEPS];
    u32 greater_count = 0, equal_count = 0;
#pragma unroll
    for (u32 s = 0; s < TILE_STEPS; ++s) {
      const u64 j = tile_element(tile, s);
      value[s] = j < count ? (listed ? list_value[j] : at(j)) : 0.0f;
    }
#pragma unroll
    for (u32 s = 0; s < TILE_STEPS; ++s) {
      const bool in = tile_element(tile, s) < count;
      const u32 key = key_of(value[s], policy);
      greater[s] = __ballot_sync(FULL_WARP, in && key > threshold);
      equal[s] = __ballot_sync(FULL_WARP, in && key == threshold);
      greater_count += (u32)__popc(greater[s]);
      equal_count += (u32)__popc(equal[s]);
    }
    if (lane_id() == 0) {
      greater_warps[warp_id()] = greater_count;
      equal_warps[warp_id()] = equal_count;
    }
    offsets(words, tile, greater_warps);
    offsets(words + all_tiles, tile, equal_warps);
    u64 greater_before = greater_warps[warp_id()], equal_before = equal_warps[warp_id()];
    const u32 lower = (1u << lane_id()) - 1;
#pragma unroll
    for (u32 s = 0; s < TILE_STEPS; ++s) {
      const u64 eq = equal_before + (u32)__popc(equal[s] & lower);
      const bool wins = greater[s] >> lane_id() & 1 || (equal[s] >> lane_id() & 1 && eq < ties);
      const u64 j = tile_element(tile, s);
      if (wins) {
        const u64 place = greater_before + (u32)__popc(greater[s] & lower) + (eq < ties ? eq : ties);
        const u64 i = listed ? (u64)list_index[j] : j;
        if (out.index) {
          out.index[place] = (Index)i;
          out.value[place] = policy == NAN_ZERO && value[s] != value[s] ? 0.0f : value[s];
        }
        if (out.zero) out.zero[i] = 0.0f;
        if (out.mask && listed) atomicOr(&out.mask[i / 32], 1u << (i & 31u));
      }
      if (out.mask && !listed) {  // these 32 elements are one word of the mask
        const u32 word = __ballot_sync(FULL_WARP, wins);
        if (lane_id() == 0 && word) out.mask[j / 32] = word;
      }
      greater_before += (u32)__popc(greater[s]);
      equal_before += (u32)__popc(equal[s]);
    }
  }
}
