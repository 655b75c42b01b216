// Reductions over any axes. Kernels differ in who folds the elements of a result: a
// thread, a simdgroup, a threadgroup, or for results that lie side by side a column of
// threads. Many elements of few results are split; parts are folded by a second pass.
#include "fold.h"

// A reduction says what is reduced.
struct reduction {
  int results;
  int count;     // elements of a result
  int kept_ndim; // axes of the results
  int red_ndim;  // axes of their elements
  int splits;    // parts of the elements
  int inner;     // reduce_col: results side by side
  float mean_of; // elements that a mean is of
};

// fold_elements folds elements from, from+by, ... below to, four at a time, each four
// being neighbours.
template <typename Op, typename T>
METAL_FUNC typename Op::type fold_elements(
    const device T* x, uint from, uint by, uint to,
    constant int* shape, constant long* strides, int ndim) {
  using A = typename Op::type;
  A acc = Op::first();
  if (ndim == 1 && strides[0] == 1) {
    for (uint i = from * 4; i < to; i += by * 4) {
      if (i + 4 <= to) {
        A a = Op::join(widened<A, T>::of(x[i]), widened<A, T>::of(x[i + 1]));
        A b = Op::join(widened<A, T>::of(x[i + 2]), widened<A, T>::of(x[i + 3]));
        acc = Op::join(acc, Op::join(a, b));
      } else {
        for (uint j = i; j < to; j++) {
          acc = Op::join(acc, widened<A, T>::of(x[j]));
        }
      }
    }
  } else if (ndim == 1) {
    for (uint i = from; i < to; i += by) {
      acc = Op::join(acc, widened<A, T>::of(x[static_cast<long>(i) * strides[0]]));
    }
  } else {
    for (uint i = from; i < to; i += by) {
      acc = Op::join(acc, widened<A, T>::of(x[strided_offset<4>(i, shape, strides, ndim)]));
    }
  }
  return acc;
}

// first_of is where part i of n of count elements begins.
METAL_FUNC uint first_of(uint count, uint i, uint n) {
  return static_cast<uint>(static_cast<ulong>(count) * i / n);
}

// reduce_thread: a thread folds a result.
template <typename Op, typename T, typename U>
[[kernel]] void reduce_thread(
    const device T* in [[buffer(0)]],
    device U* out [[buffer(1)]],
    constant reduction& r [[buffer(2)]],
    constant int* kept_shape [[buffer(3)]],
    constant long* kept_strides [[buffer(4)]],
    constant int* red_shape [[buffer(5)]],
    constant long* red_strides [[buffer(6)]],
    uint result [[thread_position_in_grid]]) {
  using A = typename Op::type;
  A acc = Op::first();
  const device T* x = in + strided_offset<4>(result, kept_shape, kept_strides, r.kept_ndim);
  uint count = static_cast<uint>(r.count);
  for (uint i = 0; i < count; i++) {
    acc = Op::join(acc, widened<A, T>::of(x[strided_offset<4>(i, red_shape, red_strides, r.red_ndim)]));
  }
  out[result] = narrowed<U, A>::of(Op::finish(acc, r.mean_of));
}

// reduce_simd: a simdgroup folds a result.
template <typename Op, typename T, typename U>
[[kernel]] void reduce_simd(
    const device T* in [[buffer(0)]],
    device U* out [[buffer(1)]],
    constant reduction& r [[buffer(2)]],
    constant int* kept_shape [[buffer(3)]],
    constant long* kept_strides [[buffer(4)]],
    constant int* red_shape [[buffer(5)]],
    constant long* red_strides [[buffer(6)]],
    uint group [[threadgroup_position_in_grid]],
    uint lane [[thread_index_in_simdgroup]],
    uint simd [[simdgroup_index_in_threadgroup]],
    uint simds [[simdgroups_per_threadgroup]]) {
  using A = typename Op::type;
  uint result = group * simds + simd;
  if (result >= static_cast<uint>(r.results)) {
    return; // all lanes
  }
  const device T* x = in + strided_offset<4>(result, kept_shape, kept_strides, r.kept_ndim);
  A acc = fold_elements<Op, T>(x, lane, 32, static_cast<uint>(r.count), red_shape, red_strides, r.red_ndim);
  acc = Op::across(acc);
  if (lane == 0) {
    out[result] = narrowed<U, A>::of(Op::finish(acc, r.mean_of));
  }
}

// reduce_row: a threadgroup folds a part of a result; out is [results, splits].
template <typename Op, typename T, typename U>
[[kernel]] void reduce_row(
    const device T* in [[buffer(0)]],
    device U* out [[buffer(1)]],
    constant reduction& r [[buffer(2)]],
    constant int* kept_shape [[buffer(3)]],
    constant long* kept_strides [[buffer(4)]],
    constant int* red_shape [[buffer(5)]],
    constant long* red_strides [[buffer(6)]],
    uint group [[threadgroup_position_in_grid]],
    uint thread_id [[thread_position_in_threadgroup]],
    uint threads [[threads_per_threadgroup]],
    uint lane [[thread_index_in_simdgroup]],
    uint simd [[simdgroup_index_in_threadgroup]],
    uint simds [[simdgroups_per_threadgroup]]) {
  using A = typename Op::type;
  threadgroup A shared[32];
  uint splits = static_cast<uint>(r.splits);
  uint result = group / splits;
  uint count = static_cast<uint>(r.count);
  uint from = first_of(count, group % splits, splits);
  uint to = first_of(count, group % splits + 1, splits);
  const device T* x = in + strided_offset<4>(result, kept_shape, kept_strides, r.kept_ndim);
  A acc;
  if (r.red_ndim == 1) {
    x += static_cast<long>(from) * red_strides[0];
    acc = fold_elements<Op, T>(x, thread_id, threads, to - from, red_shape, red_strides, 1);
  } else {
    acc = fold_elements<Op, T>(x, from + thread_id, threads, to, red_shape, red_strides, r.red_ndim);
  }
  acc = group_fold<Op>(acc, shared, lane, simd, simds);
  if (thread_id == 0) {
    out[group] = narrowed<U, A>::of(Op::finish(acc, r.mean_of));
  }
}

// reduce_col: threadgroups of 32 columns and some rows of threads take 32 results side by
// side, and a part of their elements. Grids are (columns, parts, outer results); out is
// [results, splits].
template <typename Op, typename T, typename U>
[[kernel]] void reduce_col(
    const device T* in [[buffer(0)]],
    device U* out [[buffer(1)]],
    constant reduction& r [[buffer(2)]],
    constant int* kept_shape [[buffer(3)]],
    constant long* kept_strides [[buffer(4)]],
    constant int* red_shape [[buffer(5)]],
    constant long* red_strides [[buffer(6)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint3 thread_id [[thread_position_in_threadgroup]],
    uint3 threads [[threads_per_threadgroup]]) {
  using A = typename Op::type;
  threadgroup A shared[32 * 32];
  uint splits = static_cast<uint>(r.splits);
  uint inner = static_cast<uint>(r.inner);
  uint count = static_cast<uint>(r.count);
  uint col = group.x * 32 + thread_id.x;
  A acc = Op::first();
  if (col < inner) {
    uint from = first_of(count, group.y, splits);
    uint to = first_of(count, group.y + 1, splits);
    const device T* x = in + strided_offset<4>(group.z, kept_shape, kept_strides, r.kept_ndim) + col;
    if (r.red_ndim == 1) {
      long stride = red_strides[0];
      for (uint i = from + thread_id.y; i < to; i += threads.y) {
        acc = Op::join(acc, widened<A, T>::of(x[static_cast<long>(i) * stride]));
      }
    } else {
      for (uint i = from + thread_id.y; i < to; i += threads.y) {
        acc = Op::join(acc, widened<A, T>::of(x[strided_offset<4>(i, red_shape, red_strides, r.red_ndim)]));
      }
    }
  }
  shared[thread_id.y * 32 + thread_id.x] = acc;
  threadgroup_barrier(mem_flags::mem_threadgroup);
  if (thread_id.y == 0 && col < inner) {
    for (uint i = 1; i < threads.y; i++) {
      acc = Op::join(acc, shared[i * 32 + thread_id.x]);
    }
    ulong result = static_cast<ulong>(group.z) * inner + col;
    out[result * splits + group.y] = narrowed<U, A>::of(Op::finish(acc, r.mean_of));
  }
}
