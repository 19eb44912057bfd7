// Scheduler of the shim: fibers, barriers, warp exchanges, and the checks. See simt.h.
#include "simt.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <vector>

#if defined(__x86_64__) && !defined(_WIN32)
// System V: saves the callee-saved registers only, so a switch makes no system call.
extern "C" void simt_swap(void** save, void* load);
asm(R"(
.text
.globl simt_swap
.hidden simt_swap
.type simt_swap,@function
simt_swap:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size simt_swap,.-simt_swap
)");
static void* first_frame(char* top, void (*entry)()) {
  void** sp = reinterpret_cast<void**>(top);
  *--sp = nullptr;  // return address of `entry`: it never returns
  *--sp = reinterpret_cast<void*>(entry);
  for (int i = 0; i < 6; ++i) *--sp = nullptr;
  return sp;
}
#elif defined(__aarch64__) && !defined(_WIN32)
// AAPCS64: x19-x30 and d8-d15.
extern "C" void simt_swap(void** save, void* load);
#ifdef __APPLE__
#define SIMT_SYMBOL "_simt_swap"
#else
#define SIMT_SYMBOL "simt_swap"
#endif
asm(".text\n.globl " SIMT_SYMBOL "\n.p2align 2\n" SIMT_SYMBOL R"(:
  sub sp, sp, #160
  stp x19, x20, [sp, #0]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #0]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
)");
static void* first_frame(char* top, void (*entry)()) {
  char* sp = top - 160;
  std::memset(sp, 0, 160);
  void* link = reinterpret_cast<void*>(entry);
  std::memcpy(sp + 88, &link, sizeof link);  // x30
  return sp;
}
#else
#error "the SIMT shim has a stack switch for x86-64 (System V) and aarch64 only"
#endif

namespace simt {
namespace {

constexpr size_t STACK = 32 << 10;
constexpr unsigned SLOTS = 8;  // distinct masks a warp may use in one launch
constexpr uint64_t CANARY = 0x5afe57ac4b0770ffULL;

enum class State { Ready, Barrier, Warp, Done };

// The meeting place of one mask. A lane is at most one epoch ahead of its peers, so two buffers suffice.
struct Slot {
  unsigned mask = 0, arrived = 0, epoch = 0;
  uint64_t values[2][32];
  Op op[2];
  const char* file[2];
  int line[2];
};

struct Warp {
  Slot slots[SLOTS];
  unsigned used = 0;
};

struct Fiber {
  void* sp = nullptr;
  char* stack = nullptr;
  uint3 index{};
  unsigned linear = 0;
  State state = State::Done;
  Slot* slot = nullptr;
  unsigned epoch = 0;
  const char* file = nullptr;
  int line = 0;
};

struct Machine {
  std::unique_ptr<char[]> stacks;
  std::vector<Fiber> fibers;
  std::vector<Warp> warps;
  std::vector<unsigned char> shared;
  Launch launch{};
  uint3 block{};
  Fiber* current = nullptr;
  void* scheduler = nullptr;
  void (*body)(void*) = nullptr;
  void* context = nullptr;
  unsigned live = 0, at_barrier = 0;
  uint64_t order = 0;  // 0: ascending
};

thread_local Machine machine;

const char* name(Op op) {
  switch (op) {
    case Op::Sync: return "__syncwarp";
    case Op::Ballot: return "__ballot_sync";
    case Op::Any: return "__any_sync";
    case Op::All: return "__all_sync";
    case Op::Shuffle: return "a shuffle";
    case Op::MatchAny: return "__match_any_sync";
  }
  return "?";
}

template <class... A>
[[noreturn]] void die(const Fiber& f, const char* format, A... args) {
  const Machine& m = machine;
  std::fprintf(stderr, "simt: kernel %s, block (%u, %u, %u), thread (%u, %u, %u): ", m.launch.kernel, m.block.x, m.block.y,
               m.block.z, f.index.x, f.index.y, f.index.z);
  std::fprintf(stderr, format, args...);
  std::fputc('\n', stderr);
  std::fflush(stderr);
  std::abort();
}

// SplitMix64, for the orders of blocks and fibers.
uint64_t next(uint64_t& state) {
  uint64_t z = state += 0x9e3779b97f4a7c15ULL;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
  return z ^ z >> 31;
}
void shuffle_order(std::vector<unsigned>& order, uint64_t& state) {
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[next(state) % i]);
}

void yield() {
  Fiber* f = machine.current;
  simt_swap(&f->sp, machine.scheduler);
}

void fiber_main() {
  machine.body(machine.context);
  machine.current->state = State::Done;
  --machine.live;
  yield();
  std::abort();  // a finished fiber is never resumed
}

uint64_t* canary(Fiber& f) { return reinterpret_cast<uint64_t*>(f.stack); }

// Why nothing can go on: the first thread that waits for what will not come.
[[noreturn]] void report_deadlock() {
  Machine& m = machine;
  for (Fiber& f : m.fibers)
    if (f.state == State::Warp) {
      unsigned missing = f.slot->mask & ~f.slot->arrived;
      die(f, "waits in %s with mask %08x at %s:%d, which never fills: lanes %08x did not come",
          name(f.slot->op[f.slot->epoch & 1]), f.slot->mask, f.file, f.line, missing);
    }
  for (Fiber& f : m.fibers)
    if (f.state == State::Barrier)
      die(f, "waits at the barrier %s:%d, which only %u of %zu threads reached", f.file, f.line, m.at_barrier, m.fibers.size());
  std::abort();
}

// All live threads wait at a barrier: let them go on, unless some returned or they wait at different ones.
void release_barrier() {
  Machine& m = machine;
  Fiber* first = nullptr;
  for (Fiber& f : m.fibers) {
    if (f.state != State::Barrier) continue;
    if (!first) first = &f;
    if (f.line != first->line || std::strcmp(f.file, first->file) != 0)
      die(f, "waits at the barrier %s:%d while thread (%u, %u, %u) waits at %s:%d", f.file, f.line, first->index.x,
          first->index.y, first->index.z, first->file, first->line);
  }
  if (m.live != m.fibers.size())
    die(*first, "waits at the barrier %s:%d, which only %u of %zu threads reached: the others returned", first->file,
        first->line, m.at_barrier, m.fibers.size());
  m.at_barrier = 0;
  for (Fiber& f : m.fibers) f.state = State::Ready;
}

void start_block(unsigned threads) {
  Machine& m = machine;
  m.live = threads;
  m.at_barrier = 0;
  for (Warp& w : m.warps) w.used = 0;
  // What no kernel wrote must not look like zero.
  std::fill(m.shared.begin(), m.shared.end(), 0xa5);
  for (unsigned i = 0; i < threads; ++i) {
    Fiber& f = m.fibers[i];
    f.linear = i;
    f.index = {i % m.launch.block.x, i / m.launch.block.x % m.launch.block.y, i / (m.launch.block.x * m.launch.block.y)};
    f.state = State::Ready;
    f.stack = m.stacks.get() + size_t(i) * STACK;
    *canary(f) = CANARY;
    // Stacks start at staggered places, or those of all threads fall into the same cache sets.
    uintptr_t top = reinterpret_cast<uintptr_t>(f.stack) + STACK - i * 320 % 8192;
    f.sp = first_frame(reinterpret_cast<char*>(top & ~uintptr_t(15)), fiber_main);
  }
}

void run_block(std::vector<unsigned>& order, uint64_t& seed) {
  Machine& m = machine;
  start_block(unsigned(m.fibers.size()));
  while (m.live) {
    bool progress = false;
    if (m.order) shuffle_order(order, seed);
    for (unsigned i : order) {
      Fiber& f = m.fibers[i];
      if (f.state == State::Warp && f.slot->epoch != f.epoch) f.state = State::Ready;
      if (f.state != State::Ready) continue;
      m.current = &f;
      simt_swap(&m.scheduler, f.sp);
      if (*canary(f) != CANARY) die(f, "overran its stack of %zu bytes", STACK);
      progress = true;
    }
    if (m.live && m.at_barrier == m.live) {
      release_barrier();
      progress = true;
    }
    if (!progress) report_deadlock();
  }
}

}  // namespace

const uint3& thread_index() { return machine.current->index; }
const uint3& block_index() { return machine.block; }
const Launch& current_launch() { return machine.launch; }
unsigned lane() { return machine.current->linear % 32; }
void* dynamic_shared() { return machine.shared.data(); }

void barrier(const char* file, int line) {
  Fiber& f = *machine.current;
  f.file = file;
  f.line = line;
  f.state = State::Barrier;
  ++machine.at_barrier;
  yield();
}

const uint64_t* exchange(Op op, unsigned mask, uint64_t value, unsigned* present, const char* file, int line) {
  Machine& m = machine;
  Fiber& f = *m.current;
  const unsigned lane = f.linear % 32;
  f.file = file;
  f.line = line;
  if (!(mask >> lane & 1)) die(f, "lane %u calls %s at %s:%d with mask %08x, which leaves it out", lane, name(op), file, line, mask);
  const size_t first = f.linear - lane, lanes = std::min<size_t>(32, m.fibers.size() - first);
  if (lanes < 32) mask &= (1u << lanes) - 1;
  *present = mask;

  Warp& warp = m.warps[f.linear / 32];
  Slot* slot = nullptr;
  for (unsigned i = 0; i < warp.used; ++i)
    if (warp.slots[i].mask == mask) slot = &warp.slots[i];
  if (!slot) {
    if (warp.used == SLOTS) die(f, "its warp uses more than %u different masks", SLOTS);
    slot = &warp.slots[warp.used++];
    slot->mask = mask;
    slot->arrived = slot->epoch = 0;
  }

  const unsigned b = slot->epoch & 1;
  if (!slot->arrived) {
    slot->op[b] = op;
    slot->file[b] = file;
    slot->line[b] = line;
  } else if (slot->op[b] != op) {
    die(f, "is in %s at %s:%d while its warp is in %s at %s:%d", name(op), file, line, name(slot->op[b]), slot->file[b],
        slot->line[b]);
  }
  slot->values[b][lane] = value;
  slot->arrived |= 1u << lane;
  if (slot->arrived == mask) {
    slot->arrived = 0;
    ++slot->epoch;
  } else {
    f.slot = slot;
    f.epoch = slot->epoch;
    f.state = State::Warp;
    yield();
  }
  return slot->values[b];
}

void run(const Launch& launch, void (*body)(void*), void* context) {
  Machine& m = machine;
  const size_t threads = size_t(launch.block.x) * launch.block.y * launch.block.z;
  const size_t blocks = size_t(launch.grid.x) * launch.grid.y * launch.grid.z;
  m.launch = launch;
  m.body = body;
  m.context = context;
  if (m.fibers.size() != threads) {
    m.fibers.assign(threads, Fiber{});
    m.warps.assign((threads + 31) / 32, Warp{});
    m.stacks.reset(new char[threads * STACK]);
  }
  m.shared.assign(launch.dynamic_shared + 16, 0);

  std::vector<unsigned> threads_order(threads), blocks_order(blocks);
  std::iota(threads_order.begin(), threads_order.end(), 0u);
  std::iota(blocks_order.begin(), blocks_order.end(), 0u);
  uint64_t seed = m.order;
  if (m.order) shuffle_order(blocks_order, seed);
  for (unsigned b : blocks_order) {
    m.block = {b % launch.grid.x, b / launch.grid.x % launch.grid.y, b / (launch.grid.x * launch.grid.y)};
    run_block(threads_order, seed);
  }
  m.current = nullptr;
}

}  // namespace simt

// Order of this thread's next launches: 0 ascending, else blocks and fibers shuffled by this seed.
extern "C" void simt_set_order(uint64_t seed) { simt::machine.order = seed; }
