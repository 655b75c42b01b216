// Scans along rows.
#include "fold.h"

// log_plus_one is log(1 + x) for x from 0 to 1, exact for small x, too.
METAL_FUNC float log_plus_one(float x) {
  float y = 1 + x;
  return y == 1 ? x : log(y) * (x / (y - 1));
}

// LogAddExp is log(exp(a) + exp(b)).
template <typename A>
struct LogAddExp {
  using type = A;
  static METAL_FUNC A first() { return -INFINITY; }
  static METAL_FUNC A join(A a, A b) {
    if (a != a || b != b) {
      return NAN;
    }
    A top = fmax(a, b);
    if (top == INFINITY || top == -INFINITY) {
      return top;
    }
    return top + log_plus_one(exp(fmin(a, b) - top));
  }
};

// simd_prefix combines a lane's value with those of the lanes before it.
template <typename Op, typename A>
METAL_FUNC A simd_prefix(A v, uint lane) {
  for (ushort by = 1; by < 32; by *= 2) {
    A other = lanes_up(v, by);
    if (lane >= by) {
      v = Op::join(other, v);
    }
  }
  return v;
}

constant constexpr uint scan_each = 4; // elements of a thread

// scan: a threadgroup goes through a row, as many elements at a time as its threads take.
// Elements are a step apart. Reverse scans count from the end.
template <typename Op, typename T, typename U>
[[kernel]] void scan(
    const device T* in [[buffer(0)]],
    device U* out [[buffer(1)]],
    constant int& row_size [[buffer(2)]],
    constant long& step [[buffer(3)]],
    constant int& reverse [[buffer(4)]],
    constant int& exclusive [[buffer(5)]],
    constant int* shape [[buffer(6)]],
    constant long* strides [[buffer(7)]],
    constant int& ndim [[buffer(8)]],
    uint row [[threadgroup_position_in_grid]],
    uint thread_id [[thread_position_in_threadgroup]],
    uint threads [[threads_per_threadgroup]],
    uint lane [[thread_index_in_simdgroup]],
    uint simd [[simdgroup_index_in_threadgroup]],
    uint simds [[simdgroups_per_threadgroup]]) {
  using A = typename Op::type;
  threadgroup A totals[32]; // of the simdgroups up to each
  const device T* x = in + strided_offset<4>(row, shape, strides, ndim);
  uint size = static_cast<uint>(row_size);
  device U* y = out + static_cast<ulong>(row) * size;

  A carry = Op::first(); // of all elements before this round's
  for (uint round = 0; round < size; round += threads * scan_each) {
    uint begin = round + thread_id * scan_each;
    A v[scan_each]; // with those before it in the thread
    A own = Op::first();
    for (uint i = 0; i < scan_each; i++) {
      if (begin + i < size) {
        uint at = reverse ? size - 1 - (begin + i) : begin + i;
        own = Op::join(own, widened<A, T>::of(x[static_cast<long>(at) * step]));
      }
      v[i] = own;
    }
    A reached = simd_prefix<Op>(own, lane);
    A ahead = lanes_up(reached, 1); // of the lanes before this one
    if (lane == 0) {
      ahead = Op::first();
    }
    if (lane == 31) {
      totals[simd] = reached;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    if (simd == 0) {
      A t = Op::first();
      if (lane < simds) {
        t = totals[lane];
      }
      t = simd_prefix<Op>(t, lane);
      if (lane < simds) {
        totals[lane] = t;
      }
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    A before_simd = carry;
    if (simd > 0) {
      before_simd = Op::join(carry, totals[simd - 1]);
    }
    carry = Op::join(carry, totals[simds - 1]);
    threadgroup_barrier(mem_flags::mem_threadgroup);

    ahead = Op::join(before_simd, ahead);
    for (uint i = 0; i < scan_each && begin + i < size; i++) {
      uint at = reverse ? size - 1 - (begin + i) : begin + i;
      A result = Op::join(ahead, v[i]);
      if (exclusive) {
        result = i == 0 ? ahead : Op::join(ahead, v[i - 1]);
      }
      y[at] = narrowed<U, A>::of(result);
    }
  }
}

constant constexpr uint scan_tile = 32;

// linear_scan is y[k] = b[k] + a[k] * y[k-1] of row-major rows, a lane going through each:
// products of the a alone could overflow where the sums do not. Tiles of 32 rows by 32
// elements pass through threadgroup memory, so that memory is read along rows.
template <typename A, typename T>
[[kernel]] void linear_scan(
    const device T* a [[buffer(0)]],
    const device T* b [[buffer(1)]],
    device T* out [[buffer(2)]],
    constant int& row_count [[buffer(3)]],
    constant int& row_size [[buffer(4)]],
    constant int& reverse [[buffer(5)]],
    uint group [[threadgroup_position_in_grid]],
    uint lane [[thread_index_in_simdgroup]]) {
  threadgroup A factors[scan_tile * (scan_tile + 1)];
  threadgroup A terms[scan_tile * (scan_tile + 1)];
  uint size = static_cast<uint>(row_size);
  uint first_row = group * scan_tile;
  uint rows = min(scan_tile, static_cast<uint>(row_count) - first_row);
  A acc = A(0);
  for (uint begin = 0; begin < size; begin += scan_tile) {
    uint at = begin + lane;
    uint from = reverse ? size - 1 - at : at;
    for (uint r = 0; r < rows; r++) {
      if (at < size) {
        ulong i = static_cast<ulong>(first_row + r) * size + from;
        factors[r * (scan_tile + 1) + lane] = widened<A, T>::of(a[i]);
        terms[r * (scan_tile + 1) + lane] = widened<A, T>::of(b[i]);
      }
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    if (lane < rows) {
      uint count = min(scan_tile, size - begin);
      for (uint i = 0; i < count; i++) {
        A term = terms[lane * (scan_tile + 1) + i];
        if (begin + i > 0) { // the first factor meets nothing: it may be infinite
          term += times(factors[lane * (scan_tile + 1) + i], acc);
        }
        acc = term;
        terms[lane * (scan_tile + 1) + i] = acc;
      }
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    for (uint r = 0; r < rows; r++) {
      if (at < size) {
        out[static_cast<ulong>(first_row + r) * size + from] = narrowed<T, A>::of(terms[r * (scan_tile + 1) + lane]);
      }
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
  }
}
