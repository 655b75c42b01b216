#include "common.h"

// How many elements a thread moves.
constant constexpr uint per_thread = 4;

// copy_rows moves contiguous elements.
template <typename T>
[[kernel]] void copy_rows(
    const device T* in [[buffer(0)]],
    device T* out [[buffer(1)]],
    constant ulong& size [[buffer(2)]],
    uint t [[thread_position_in_grid]]) {
  ulong i = static_cast<ulong>(t) * per_thread;
  if (i + per_thread <= size) {
    T v[per_thread];
    for (uint k = 0; k < per_thread; k++) {
      v[k] = in[i + k];
    }
    for (uint k = 0; k < per_thread; k++) {
      out[i + k] = v[k];
    }
    return;
  }
  for (; i < size; i++) {
    out[i] = in[i];
  }
}

// copy_strided moves elements between strided arrays of one shape, which has two axes or
// more. strides are those of in, then those of out. Threads are [outer axes, rows, parts
// of columns].
template <typename T>
[[kernel]] void copy_strided(
    const device T* in [[buffer(0)]],
    device T* out [[buffer(1)]],
    constant int* shape [[buffer(2)]],
    constant long* strides [[buffer(3)]],
    constant int& ndim [[buffer(4)]],
    uint3 t [[thread_position_in_grid]]) {
  uint cols = static_cast<uint>(shape[ndim - 1]);
  uint col = t.x * per_thread;
  constant long* to = strides + ndim;
  long a = static_cast<long>(col) * strides[ndim - 1] + static_cast<long>(t.y) * strides[ndim - 2];
  long b = static_cast<long>(col) * to[ndim - 1] + static_cast<long>(t.y) * to[ndim - 2];
  uint z = t.z;
  for (int k = ndim - 3; k >= 0; k--) {
    uint d = static_cast<uint>(shape[k]);
    long j = static_cast<long>(z % d);
    z /= d;
    a += j * strides[k];
    b += j * to[k];
  }
  uint n = metal::min(per_thread, cols - col);
  for (uint k = 0; k < n; k++) {
    out[b] = in[a];
    a += strides[ndim - 1];
    b += to[ndim - 1];
  }
}

// fill repeats one element.
template <typename T>
[[kernel]] void fill(
    const device T* value [[buffer(0)]],
    device T* out [[buffer(1)]],
    constant ulong& size [[buffer(2)]],
    uint t [[thread_position_in_grid]]) {
  ulong i = static_cast<ulong>(t) * per_thread;
  ulong end = metal::min(i + per_thread, size);
  T v = value[0];
  for (; i < end; i++) {
    out[i] = v;
  }
}

// store writes one element, given by its bits.
template <typename T>
[[kernel]] void store(
    device T* out [[buffer(0)]],
    constant ulong& bits [[buffer(1)]],
    uint t [[thread_position_in_grid]]) {
  out[t] = static_cast<T>(bits);
}
