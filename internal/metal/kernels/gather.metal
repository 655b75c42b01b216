// Windows and elements that integers pick. Indices out of range are taken to the nearest
// place.
#include "places.h"

constant constexpr uint gathered = 4; // elements of a thread

// gather copies windows. Up to four arrays of integers, of one shape, point to axes of x,
// whose strides are steps. Threads are (parts of windows, windows).
// sizes are the number of arrays, of their axes, of a window's elements and of its axes.
template <typename T>
[[kernel]] void gather(
    const device T* x [[buffer(0)]],
    const device uchar* ids0 [[buffer(1)]],
    const device uchar* ids1 [[buffer(2)]],
    const device uchar* ids2 [[buffer(3)]],
    const device uchar* ids3 [[buffer(4)]],
    device T* out [[buffer(5)]],
    constant int* sizes [[buffer(6)]],
    constant axis_rule* rules [[buffer(7)]],
    constant long* steps [[buffer(8)]],
    constant int* shape [[buffer(9)]],
    constant long* strides [[buffer(10)]],
    constant int* window_shape [[buffer(11)]],
    constant long* window_strides [[buffer(12)]],
    uint2 t [[thread_position_in_grid]]) {
  int arrays = sizes[0];
  int ndim = sizes[1];
  long at = nearest_place(ids0, strided_offset<4>(t.y, shape, strides, ndim), rules[0]) * steps[0];
  if (arrays > 1) {
    at += nearest_place(ids1, strided_offset<4>(t.y, shape, strides + ndim, ndim), rules[1]) * steps[1];
  }
  if (arrays > 2) {
    at += nearest_place(ids2, strided_offset<4>(t.y, shape, strides + 2 * ndim, ndim), rules[2]) * steps[2];
  }
  if (arrays > 3) {
    at += nearest_place(ids3, strided_offset<4>(t.y, shape, strides + 3 * ndim, ndim), rules[3]) * steps[3];
  }
  uint size = static_cast<uint>(sizes[2]);
  device T* y = out + static_cast<ulong>(t.y) * size;
  uint last = min(t.x * gathered + gathered, size);
  for (uint i = t.x * gathered; i < last; i++) {
    y[i] = x[at + strided_offset<4>(i, window_shape, window_strides, sizes[3])];
  }
}

// gather_axis picks element by element along one axis of x [outer, n, inner]; ids and out
// are [outer, m, inner]. Threads are (m and inner, outer). Strides are those of x, then
// those of ids; steps are the strides of the axis itself.
// sizes are inner and the numbers of outer and inner axes.
template <typename T>
[[kernel]] void gather_axis(
    const device T* x [[buffer(0)]],
    const device uchar* ids [[buffer(1)]],
    device T* out [[buffer(2)]],
    constant int* sizes [[buffer(3)]],
    constant axis_rule& rule [[buffer(4)]],
    constant long* steps [[buffer(5)]],
    constant int* outer_shape [[buffer(6)]],
    constant long* outer_strides [[buffer(7)]],
    constant int* inner_shape [[buffer(8)]],
    constant long* inner_strides [[buffer(9)]],
    uint2 t [[thread_position_in_grid]],
    uint2 grid [[threads_per_grid]]) {
  uint inner = static_cast<uint>(sizes[0]);
  uint j = t.x / inner;
  uint col = t.x % inner;
  long from = strided_offset<4>(t.y, outer_shape, outer_strides, sizes[1]) +
      strided_offset<4>(col, inner_shape, inner_strides, sizes[2]);
  long id = strided_offset<4>(t.y, outer_shape, outer_strides + sizes[1], sizes[1]) +
      strided_offset<4>(col, inner_shape, inner_strides + sizes[2], sizes[2]) + static_cast<long>(j) * steps[1];
  out[static_cast<ulong>(t.y) * grid.x + t.x] = x[from + nearest_place(ids, id, rule) * steps[0]];
}
