// launch.h: what the host and the runtime share. Plain C.
#pragma once

// A parameter of a kernel.
struct msl_param {
  int kind;                  // 0 buffer, 1 threadgroup memory
  int index;                 // of [[buffer(i)]] or [[threadgroup(i)]]
  unsigned long size, align; // least bytes that it needs, and what its address is a multiple of
  char bound;                // false when its [[function_constant(c)]] is false
};

struct msl_kernel {
  const char* name;
  void (*run)(void);
  const struct msl_param* params;
  int param_count;
};

// One dispatch: a grid of threads.
struct msl_launch {
  void* const* buffers;
  const unsigned long* threadgroup_lengths;
  int threadgroup_count;
  unsigned grid[3], group[3];
  int workers;
  unsigned order; // of lanes and simdgroups: 0 ascending, 1 descending, 2 shuffled by seed
  unsigned seed;
};

// What a dispatch did. Those marked (!) are undefined in Metal.
struct msl_report {
  unsigned long threads, groups, switches;
  unsigned long barriers, collectives;
  unsigned long divergent_barriers;     // (!) not reached by all threads
  unsigned long divergent_collectives;  // (!) not reached by all lanes
  unsigned long incomplete_matrices;    // (!) matrix operations without all 32 lanes
  unsigned long threadgroup_bytes;      // the most that a threadgroup used
  const char* file;                     // where the first undefined thing is, and
  int line;                             // null if there is none
};
