#include "common.h"

// copy_rows moves contiguous elements.
template <typename T>
[[kernel]] void copy_rows(
    const device T* in [[buffer(0)]],
    device T* out [[buffer(1)]],
    uint i [[thread_position_in_grid]]) {
  out[i] = in[i];
}

// copy_strided reads a strided array in row-major order.
template <typename T, int D>
[[kernel]] void copy_strided(
    const device T* in [[buffer(0)]],
    device T* out [[buffer(1)]],
    constant int* shape [[buffer(2)]],
    constant long* strides [[buffer(3)]],
    constant int& ndim [[buffer(4)]],
    uint i [[thread_position_in_grid]]) {
  out[i] = in[strided_offset<D>(i, shape, strides, ndim)];
}
