// runtime.cpp: runs kernels on the CPU. An OS thread (a worker) runs one threadgroup at a
// time; each GPU thread (a lane of a simdgroup) is a fiber. Barriers and collectives are
// the only places where a fiber gives up the processor, and a collective runs once, when
// its last lane arrives.
//
// With MSL_TSAN and MSL_MSAN it tells the sanitizers what they cannot see. It is itself
// never compiled with a sanitizer, or its own bookkeeping would be reported.
#include "abi.h"
#include "fiber.h"
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

typedef uint32_t u32;
typedef uint64_t u64;

extern "C" {
__thread msl_thread* msl_self __attribute__((tls_model("initial-exec")));

#ifdef MSL_TSAN
void* __tsan_create_fiber(unsigned);
void __tsan_destroy_fiber(void*);
void __tsan_switch_to_fiber(void*, unsigned);
void* __tsan_get_current_fiber();
void __tsan_acquire(void*);
void __tsan_release(void*);
#endif
#ifdef MSL_MSAN
void __msan_poison(const volatile void*, size_t);
#endif

// float to bfloat, to nearest even; some compilers' own libraries lack it.
__bf16 __truncsfbf2(float x) {
  u32 u;
  memcpy(&u, &x, 4);
  bool nan = (u & 0x7fffffff) > 0x7f800000;
  uint16_t h = nan ? (uint16_t)(u >> 16 | 0x40) : (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
  __bf16 r;
  memcpy(&r, &h, 2);
  return r;
}
}

namespace {

constexpr size_t stack_size = 256 << 10;
constexpr int max_threads = 1024;
constexpr int max_simdgroups = max_threads / 32;
constexpr size_t arena_size = 64 << 10; // twice what Metal has: who uses more is told how much
constexpr int max_variables = 64;

struct Lane : msl_thread {
  void* sp; // null before it starts
  char* stack;
  // the collective that it waits for; fn is null at a barrier
  const void* in;
  void* out;
  msl_collective fn;
  unsigned long aux;
  const void* site; // of the call
  const char* file; // and where that is in the source
  int line;
#ifdef MSL_TSAN
  void* tsan;
#endif
};

// Sets of lanes, as bits.
struct Simdgroup {
  u32 alive;      // have not returned
  u32 runnable;   // neither in a collective nor at the threadgroup's barrier
  u32 collecting; // in a collective or at a barrier of the simdgroup
  u32 waiting;    // at the threadgroup's barrier
  u32 barriers;   // that the simdgroup passed
  void* in[32];
  void* out[32];
};

struct Job {
  void (*run)();
  const msl_launch* launch;
  msl_uint3 groups;
  u64 group_count;
  u64 next; // group that nobody has taken
};

struct Worker {
  Job* job;
  msl_report report;
  Lane* lanes;
  Simdgroup simds[max_simdgroups];
  msl_group group;
  int simd_count, thread_count, alive;
  void* main_sp;

  u32 order;
  u64 random;
  u32 lane_at[32], rank_of[32]; // the lanes in the order in which they run, and its inverse
  u32 simd_at[max_simdgroups];

  char* stacks[max_threads]; // free ones
  int stack_count;

  char* arena; // threadgroup memory
  size_t used;
  void* buffers[8];
  const void* keys[max_variables];
  void* variables[max_variables];
  int variable_count;

#ifdef MSL_TSAN
  void* main_tsan;
  // Objects of synchronization: two for each barrier, by turns, or one who wakes late
  // would acquire what is released at the next barrier.
  char sync[(max_simdgroups + 1) * 2 * 64];
#endif
  Worker* next_free;
};

__thread Worker* worker;

Lane* self() { return (Lane*)msl_self; }

void* map(size_t size) {
  void* p = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) {
    fprintf(stderr, "mlx: the Metal emulator has no memory for %zu bytes\n", size);
    abort();
  }
  return p;
}

#ifdef MSL_TSAN
// remap makes ThreadSanitizer forget earlier accesses.
void remap(void* p, size_t size) {
  mmap(p, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}
#endif

// poison makes memory undefined: NaN in every float type. It is no memset, which the
// sanitizers intercept.
void poison(void* p, size_t n) {
#ifdef MSL_MSAN
  __msan_poison(p, n);
#endif
#if defined(__x86_64__)
  asm volatile("rep stosb" : "+D"(p), "+c"(n) : "a"(0xff) : "memory");
#else
  volatile char* c = (volatile char*)p;
  for (; n >= 8; n -= 8, c += 8) *(volatile u64*)c = ~0ull;
  while (n--) *c++ = (char)0xff;
#endif
}

u32 next_random(Worker* w) {
  w->random = w->random * 6364136223846793005ull + 1442695040888963407ull;
  return (u32)(w->random >> 33);
}

void shuffle(Worker* w, u32* list, int n) {
  for (int i = n - 1; i > 0; i--) {
    int k = next_random(w) % (i + 1);
    u32 t = list[i];
    list[i] = list[k];
    list[k] = t;
  }
}

// new_order shuffles lanes and simdgroups, if they are to be shuffled.
void new_order(Worker* w) {
  if (w->order == 2) {
    shuffle(w, w->lane_at, 32);
    shuffle(w, w->simd_at, w->simd_count);
  }
  for (int i = 0; i < 32; i++) w->rank_of[w->lane_at[i]] = i;
}

// pick gives the runnable lane that comes after the one of that rank, or -1.
inline int pick(Worker* w, const Simdgroup& s, int rank) {
  if (!s.runnable) return -1;
  if (w->order == 0) {
    u32 higher = rank >= 31 ? 0 : s.runnable & ~((2u << rank) - 1);
    return __builtin_ctz(higher ? higher : s.runnable);
  }
  for (int i = 1; i <= 32; i++) {
    int lane = w->lane_at[(rank + i) & 31];
    if (s.runnable >> lane & 1) return lane;
  }
  return -1;
}

// blame notes where something undefined is.
void blame(Worker* w, const Lane& l) {
  if (w->report.file) return;
  w->report.file = l.file;
  w->report.line = l.line;
}

// collect runs the collective of the lanes that are at the first call, in order of the
// code, when all that live are in some collective.
void collect(Worker* w, int q) {
  Simdgroup& s = w->simds[q];
  Lane* lanes = w->lanes + q * 32;
  const void* site = nullptr;
  for (u32 c = s.collecting; c; c &= c - 1) {
    const void* at = lanes[__builtin_ctz(c)].site;
    if (!site || at < site) site = at;
  }
  u32 here = 0;
  for (u32 c = s.collecting; c; c &= c - 1) {
    int l = __builtin_ctz(c);
    if (lanes[l].site != site) continue;
    here |= 1u << l;
    s.in[l] = (void*)lanes[l].in;
    s.out[l] = lanes[l].out;
  }
  Lane& any = lanes[__builtin_ctz(here)];
  w->report.collectives++;
  if (here != s.alive) {
    w->report.divergent_collectives++;
    blame(w, any);
  }
  if (!any.fn)
    s.barriers++;
  else if (any.aux == MSL_ALL_LANES && here != ~0u) {
    w->report.incomplete_matrices++;
    blame(w, any);
  } else
    any.fn(here, s.in, s.out, any.aux);
  s.collecting &= ~here;
  s.runnable |= here;
}

// pass lets the threadgroup pass its barrier, where all who live wait.
void pass(Worker* w) {
  const void* site = nullptr;
  const Lane* one = nullptr;
  bool divergent = w->alive != w->thread_count;
  for (int q = 0; q < w->simd_count; q++) {
    Simdgroup& s = w->simds[q];
    for (u32 c = s.waiting; c; c &= c - 1) {
      one = &w->lanes[q * 32 + __builtin_ctz(c)];
      divergent |= site && one->site != site;
      site = one->site;
    }
    s.runnable = s.waiting;
    s.waiting = 0;
  }
  w->report.barriers++;
  if (divergent) {
    w->report.divergent_barriers++;
    blame(w, *one);
  }
  new_order(w);
}

// schedule gives the lane to run after the one of that rank in simdgroup q, or null when
// the threadgroup is done.
Lane* schedule(Worker* w, int q, int rank) {
  for (;;) {
    for (int k = -1; k < w->simd_count; k++) {
      int at = k < 0 ? q : (int)w->simd_at[k];
      Simdgroup& s = w->simds[at];
      if (!s.runnable && s.collecting) {
        collect(w, at);
        rank = 31;
      }
      int lane = pick(w, s, at == q ? rank : 31);
      if (lane >= 0) return w->lanes + at * 32 + lane;
    }
    if (!w->alive) return nullptr;
    pass(w);
    q = w->simd_at[0];
    rank = 31;
  }
}

int rank(Worker* w, const Lane* l) { return w->order ? (int)w->rank_of[l->lane] : (int)l->lane; }

// start gives a lane its names.
void start(Worker* w, Lane* l) {
  const msl_group& g = w->group;
  u32 t = (u32)(l - w->lanes);
  if (g.threads.y == 1 && g.threads.z == 1)
    l->in_group = msl_uint3{t, 0, 0};
  else
    l->in_group = msl_uint3{t % g.threads.x, t / g.threads.x % g.threads.y, t / g.threads.x / g.threads.y};
  l->in_grid = g.position * g.dispatched + l->in_group;
  l->index = t;
  l->lane = t & 31;
  l->simdgroup = t >> 5;
  l->group = &w->group;
}

void lane_main();

// new_stack starts a lane on a stack of its own. The tops are staggered: at the same
// offset of all pages they would fight for one set of the cache.
void new_stack(Worker* w, Lane* l) {
#ifdef MSL_TSAN
  if (!l->stack) l->stack = (char*)map(stack_size);
  remap(l->stack, stack_size);
  l->tsan = __tsan_create_fiber(0);
#else
  l->stack = w->stack_count ? w->stacks[--w->stack_count] : (char*)map(stack_size);
#endif
  start(w, l);
  l->sp = fiber_make(l->stack + stack_size - (l->index * 37 % 64) * 64, lane_main);
}

inline __attribute__((always_inline)) void switch_to(Worker* w, void** save, Lane* l) {
  if (!l->sp) new_stack(w, l);
  msl_self = l;
  w->report.switches++;
#ifdef MSL_TSAN
  __tsan_switch_to_fiber(l->tsan, 1);
#endif
  fiber_switch(save, l->sp);
}

// block gives up the processor until the scheduler comes back to me.
inline __attribute__((always_inline)) void block(Worker* w, Lane* me) {
  const Simdgroup& s = w->simds[me->simdgroup];
  Lane* next;
  if (w->order == 0 && me->lane < 31 && s.runnable >> (me->lane + 1) & 1)
    next = me + 1;
  else
    next = schedule(w, me->simdgroup, rank(w, me));
  if (next != me) switch_to(w, &me->sp, next);
}

// end takes a lane that has returned out of the sets and gives the next.
Lane* end(Worker* w, Lane* me) {
#ifdef MSL_TSAN
  __tsan_release(&w->random);
#endif
  Simdgroup& s = w->simds[me->simdgroup];
  s.alive &= ~(1u << me->lane);
  s.runnable &= ~(1u << me->lane);
  w->alive--;
  return schedule(w, me->simdgroup, rank(w, me));
}

// lane_main is the bottom of each stack. A lane that was never blocked leaves its stack to
// the next one: kernels without barriers never switch.
void lane_main() {
  for (;;) {
    worker->job->run();
    Worker* w = worker;
    Lane* me = self();
    Lane* next = end(w, me);
#ifdef MSL_TSAN
    if (next) switch_to(w, &me->sp, next);
    // No order between threadgroups: races between them are found too.
    __tsan_switch_to_fiber(w->main_tsan, 1);
#else
    if (next && !next->sp) {
      next->stack = me->stack;
      next->sp = me->stack; // anything: it is stored when the lane blocks
      start(w, next);
      msl_self = next;
      continue;
    }
    w->stacks[w->stack_count++] = me->stack;
    if (next) switch_to(w, &me->sp, next);
#endif
    void* dead;
    fiber_switch(&dead, w->main_sp);
    __builtin_trap();
  }
}

// reserve takes threadgroup memory.
void* reserve(Worker* w, size_t size, size_t align) {
  w->used = (w->used + align - 1) & ~(align - 1);
  void* p = w->arena + w->used;
  w->used += size;
  if (w->used > arena_size) {
    fprintf(stderr, "mlx: a kernel needs more than %zu bytes of threadgroup memory: Metal has 32768\n", arena_size);
    abort();
  }
  if (w->used > w->report.threadgroup_bytes) w->report.threadgroup_bytes = w->used;
  poison(p, size);
  return p;
}

u32 clip(u32 grid, u32 group, u32 position) {
  u32 rest = grid - group * position;
  return rest < group ? rest : group;
}

void set_group(Worker* w, u64 index) {
  const Job& j = *w->job;
  const msl_launch& l = *j.launch;
  msl_group& g = w->group;
  g.position = msl_uint3{(u32)(index % j.groups.x), (u32)(index / j.groups.x % j.groups.y), (u32)(index / j.groups.x / j.groups.y)};
  g.dispatched = msl_uint3{l.group[0], l.group[1], l.group[2]};
  g.grid = msl_uint3{l.grid[0], l.grid[1], l.grid[2]};
  g.groups = j.groups;
  for (int i = 0; i < 3; i++) g.threads[i] = clip(g.grid[i], g.dispatched[i], g.position[i]);
  w->thread_count = w->alive = g.threads.x * g.threads.y * g.threads.z;
  w->simd_count = (w->thread_count + 31) / 32;
  g.simdgroups = w->simd_count;
  g.dispatched_simdgroups = (g.dispatched.x * g.dispatched.y * g.dispatched.z + 31) / 32;
  g.simd_width = 32;
  g.buffers = l.buffers;
  g.threadgroup_buffers = w->buffers;
}

void set_memory(Worker* w) {
  const msl_launch& l = *w->job->launch;
#ifdef MSL_TSAN
  remap(w->arena, arena_size);
#endif
  w->used = 0;
  w->variable_count = 0;
  for (int i = 0; i < l.threadgroup_count; i++) w->buffers[i] = reserve(w, l.threadgroup_lengths[i], 16);
}

void set_lanes(Worker* w) {
  for (int i = 0; i < 32; i++) w->lane_at[i] = w->order == 1 ? 31 - i : i;
  for (int i = 0; i < w->simd_count; i++) w->simd_at[i] = w->order == 1 ? w->simd_count - 1 - i : i;
  new_order(w);
  for (int t = 0; t < w->thread_count; t++) w->lanes[t].sp = nullptr;
  for (int q = 0; q < w->simd_count; q++) {
    int left = w->thread_count - q * 32;
    Simdgroup& s = w->simds[q];
    s.alive = s.runnable = left >= 32 ? ~0u : (1u << left) - 1;
    s.collecting = s.waiting = 0;
  }
}

void run_group(Worker* w, u64 index) {
  set_group(w, index);
  set_memory(w);
  set_lanes(w);
  w->report.groups++;
  w->report.threads += w->thread_count;
  switch_to(w, &w->main_sp, schedule(w, w->simd_at[0], 31));
#ifdef MSL_TSAN
  for (int t = 0; t < w->thread_count; t++) __tsan_destroy_fiber(w->lanes[t].tsan);
#endif
}

void* work(void* arg) {
  Worker* w = worker = (Worker*)arg;
  w->report = msl_report{};
  w->order = w->job->launch->order;
#ifdef MSL_TSAN
  w->main_tsan = __tsan_get_current_fiber();
#endif
  for (;;) {
    u64 g = __atomic_fetch_add(&w->job->next, 1, __ATOMIC_RELAXED);
    if (g >= w->job->group_count) break;
    w->random = (w->job->launch->seed + g) * 2654435761u + 12345; // whoever runs the group
    run_group(w, g);
  }
#ifdef MSL_TSAN
  __tsan_acquire(&w->random); // the host sees everything
#endif
  return nullptr;
}

pthread_mutex_t free_mutex = PTHREAD_MUTEX_INITIALIZER;
Worker* free_workers;

Worker* take_worker() {
  pthread_mutex_lock(&free_mutex);
  Worker* w = free_workers;
  if (w) free_workers = w->next_free;
  pthread_mutex_unlock(&free_mutex);
  if (!w) {
    w = (Worker*)map(sizeof(Worker));
    w->lanes = (Lane*)map(sizeof(Lane) * max_threads);
    w->arena = (char*)map(arena_size);
  }
  return w;
}

void return_worker(Worker* w) {
  pthread_mutex_lock(&free_mutex);
  w->next_free = free_workers;
  free_workers = w;
  pthread_mutex_unlock(&free_mutex);
}

void add(msl_report* sum, const msl_report& r) {
  sum->threads += r.threads;
  sum->groups += r.groups;
  sum->switches += r.switches;
  sum->barriers += r.barriers;
  sum->collectives += r.collectives;
  sum->divergent_barriers += r.divergent_barriers;
  sum->divergent_collectives += r.divergent_collectives;
  sum->incomplete_matrices += r.incomplete_matrices;
  if (!sum->file) {
    sum->file = r.file;
    sum->line = r.line;
  }
  if (r.threadgroup_bytes > sum->threadgroup_bytes) sum->threadgroup_bytes = r.threadgroup_bytes;
}

const char* constants; // "20=1,21=1065353216": index and bits

} // namespace

extern "C" {

__attribute__((noinline)) void msl_simd(const void* in, void* out, msl_collective fn, unsigned long aux, const char* file, int line) {
  Worker* w = worker;
  Lane* me = self();
  Simdgroup& s = w->simds[me->simdgroup];
  me->in = in;
  me->out = out;
  me->fn = fn;
  me->aux = aux;
  me->site = __builtin_return_address(0);
  me->file = file;
  me->line = line;
  s.runnable &= ~(1u << me->lane);
  s.collecting |= 1u << me->lane;
  block(w, me);
}

__attribute__((noinline)) void msl_barrier(bool whole, [[maybe_unused]] int flags, const char* file, int line) {
  Worker* w = worker;
  Lane* me = self();
  Simdgroup& s = w->simds[me->simdgroup];
  me->site = __builtin_return_address(0);
  me->file = file;
  me->line = line;
  me->fn = nullptr;
  s.runnable &= ~(1u << me->lane);
#ifdef MSL_TSAN
  int turn = whole ? w->report.barriers & 1 : 2 + 2 * me->simdgroup + (s.barriers & 1);
  char* sync = w->sync + 64 * turn;
  if (flags) __tsan_release(sync); // mem_none orders nothing
#endif
  if (whole)
    s.waiting |= 1u << me->lane;
  else
    s.collecting |= 1u << me->lane;
  block(w, me);
#ifdef MSL_TSAN
  if (flags) __tsan_acquire(sync);
#endif
}

void* msl_threadgroup_variable(const void* key, unsigned long size, unsigned long align) {
  Worker* w = worker;
  for (int i = 0; i < w->variable_count; i++)
    if (w->keys[i] == key) return w->variables[i];
  if (w->variable_count == max_variables) {
    fprintf(stderr, "mlx: the Metal emulator takes at most %d threadgroup variables in a kernel\n", max_variables);
    abort();
  }
  void* p = reserve(w, size, align < 16 ? 16 : align);
  w->keys[w->variable_count] = key;
  w->variables[w->variable_count++] = p;
  return p;
}

// msl_set_constants gives the function constants to objects that are loaded next.
void msl_set_constants(const char* list) { constants = list; }

bool msl_constant(int index, unsigned* bits) {
  const char* s = constants ? constants : getenv("MSL_CONSTANTS");
  while (s && *s) {
    char* p;
    long i = strtol(s, &p, 10);
    if (*p != '=') break;
    unsigned long v = strtoul(p + 1, &p, 10);
    if (i == index) {
      *bits = (unsigned)v;
      return true;
    }
    s = *p == ',' ? p + 1 : nullptr;
  }
  return false;
}

// msl_dispatch runs a grid; what the host checks is right.
void msl_dispatch(void (*run)(), const msl_launch* l, msl_report* report) {
  Job job = {run, l, {}, 0, 0};
  for (int i = 0; i < 3; i++) job.groups[i] = (u32)(((u64)l->grid[i] + l->group[i] - 1) / l->group[i]);
  job.group_count = (u64)job.groups.x * job.groups.y * job.groups.z;
  int count = (u64)l->workers < job.group_count ? l->workers : (int)job.group_count;
  Worker* workers[256];
  pthread_t threads[256];
  count = count < 1 ? 1 : count > 256 ? 256 : count;
  for (int i = 0; i < count; i++) {
    workers[i] = take_worker();
    workers[i]->job = &job;
  }
  int started = 1;
  while (started < count && !pthread_create(&threads[started], nullptr, work, workers[started])) started++;
  work(workers[0]);
  for (int i = 1; i < started; i++) pthread_join(threads[i], nullptr);
  *report = msl_report{};
  for (int i = 0; i < count; i++) {
    if (i < started) add(report, workers[i]->report);
    return_worker(workers[i]);
  }
}
}
