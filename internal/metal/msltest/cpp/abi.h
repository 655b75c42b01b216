// abi.h: what compiled kernels and the runtime share. Kernels are compiled without any
// system header, so only built-in types are used here.
#pragma once
#include "launch.h"

typedef unsigned msl_uint3 __attribute__((ext_vector_type(3)));

// What all threads of a threadgroup see.
struct msl_group {
  msl_uint3 position;    // of the threadgroup in the grid
  msl_uint3 threads;     // of this threadgroup, fewer at a ragged edge
  msl_uint3 dispatched;  // threads of a full threadgroup
  msl_uint3 groups;      // threadgroups of the grid
  msl_uint3 grid;        // threads of the grid
  unsigned simdgroups, dispatched_simdgroups;
  unsigned simd_width;
  void* const* buffers;
  void* const* threadgroup_buffers;
};

// What a thread sees of itself; the runtime's own fields follow (runtime.cpp).
struct msl_thread {
  msl_uint3 in_grid, in_group;
  unsigned index, lane, simdgroup;
  const msl_group* group;
};

// A collective runs once for the lanes of mask, with pointers to the operand and the
// result of each lane.
typedef void (*msl_collective)(unsigned mask, void* const* in, void* const* out, unsigned long aux);

extern "C" {
extern __thread msl_thread* msl_self __attribute__((tls_model("initial-exec")));

// msl_simd waits until the lanes of the simdgroup are here and runs fn for them. file and
// line are where the source calls it.
__attribute__((convergent)) void msl_simd(const void* in, void* out, msl_collective fn, unsigned long aux,
                                          const char* file, int line);

// msl_barrier waits for the threadgroup or, if not whole, for the simdgroup. flags are
// those of metal::mem_flags.
__attribute__((convergent)) void msl_barrier(bool whole, int flags, const char* file, int line);

// msl_threadgroup_variable gives the memory of one variable, the same for all threads of a
// threadgroup, filled with ones (NaN).
void* msl_threadgroup_variable(const void* key, unsigned long size, unsigned long align);

// msl_constant gives the bits of a function constant, and false if it has no value.
bool msl_constant(int index, unsigned* bits);
}

// aux of a collective that needs all 32 lanes.
#define MSL_ALL_LANES (~0ul)
