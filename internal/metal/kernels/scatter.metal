// Updates of elements that integers pick. An element takes its updates in the order of the
// indices, so that results do not change from run to run: no atomics. First the place of
// each update is found, an offset in y; then either threads take all updates of an element
// of the window, or the updates are sorted by place and threads take runs of equal places.
// Indices out of range update nothing.
#include "fold.h"
#include "places.h"

// Last keeps the last update.
template <typename A>
struct Last {
  using type = A;
  static METAL_FUNC A join(A a, A b) { return b; }
};

// within is false for an index out of range.
METAL_FUNC bool within(long place, axis_rule r) { return place >= 0 && place <= static_cast<long>(r.last); }

// scatter_places finds where windows begin in row-major y; see gather for the arguments.
[[kernel]] void scatter_places(
    const device uchar* ids0 [[buffer(0)]],
    const device uchar* ids1 [[buffer(1)]],
    const device uchar* ids2 [[buffer(2)]],
    const device uchar* ids3 [[buffer(3)]],
    device uint* places [[buffer(4)]],
    constant int* sizes [[buffer(5)]],
    constant axis_rule* rules [[buffer(6)]],
    constant long* steps [[buffer(7)]],
    constant int* shape [[buffer(8)]],
    constant long* strides [[buffer(9)]],
    uint t [[thread_position_in_grid]]) {
  int arrays = sizes[0];
  int ndim = sizes[1];
  long v = from_start(ids0, strided_offset<4>(t, shape, strides, ndim), rules[0]);
  bool there = within(v, rules[0]);
  long at = v * steps[0];
  if (arrays > 1) {
    v = from_start(ids1, strided_offset<4>(t, shape, strides + ndim, ndim), rules[1]);
    there = there && within(v, rules[1]);
    at += v * steps[1];
  }
  if (arrays > 2) {
    v = from_start(ids2, strided_offset<4>(t, shape, strides + 2 * ndim, ndim), rules[2]);
    there = there && within(v, rules[2]);
    at += v * steps[2];
  }
  if (arrays > 3) {
    v = from_start(ids3, strided_offset<4>(t, shape, strides + 3 * ndim, ndim), rules[3]);
    there = there && within(v, rules[3]);
    at += v * steps[3];
  }
  places[t] = there ? static_cast<uint>(at) : no_place;
}

// axis_places finds the places of updates [outer, m, inner] along an axis of y [outer, n,
// inner]. Threads are (m and inner, outer). sizes are inner and the axes of ids.
[[kernel]] void axis_places(
    const device uchar* ids [[buffer(0)]],
    device uint* places [[buffer(1)]],
    constant int* sizes [[buffer(2)]],
    constant axis_rule& rule [[buffer(3)]],
    constant int* shape [[buffer(4)]],
    constant long* strides [[buffer(5)]],
    uint2 t [[thread_position_in_grid]],
    uint2 grid [[threads_per_grid]]) {
  uint inner = static_cast<uint>(sizes[0]);
  uint i = t.y * grid.x + t.x;
  long v = from_start(ids, strided_offset<4>(i, shape, strides, sizes[1]), rule);
  uint row = t.y * static_cast<uint>(rule.size) + static_cast<uint>(v);
  places[i] = within(v, rule) ? row * inner + t.x % inner : no_place;
}

// put joins the update at u with the element at y.
template <typename Op, typename T>
METAL_FUNC void put(device T* y, const device T* u) {
  using A = typename Op::type;
  *y = narrowed<T, A>::of(Op::join(widened<A, T>::of(*y), widened<A, T>::of(*u)));
}

// scatter_columns is for few windows, or such that overlap: a thread has an element of the
// axes that no index points to, where windows do not meet, and goes through all of them.
// Strides of the free and of the fixed axes are those of y, then those of updates.
// sizes are the numbers of windows, of fixed elements, and of the axes of windows, free
// and fixed.
template <typename Op, typename T>
[[kernel]] void scatter_columns(
    const device uint* places [[buffer(0)]],
    const device T* updates [[buffer(1)]],
    device T* y [[buffer(2)]],
    constant int* sizes [[buffer(3)]],
    constant int* shape [[buffer(4)]],
    constant long* strides [[buffer(5)]],
    constant int* free_shape [[buffer(6)]],
    constant long* free_strides [[buffer(7)]],
    constant int* fixed_shape [[buffer(8)]],
    constant long* fixed_strides [[buffer(9)]],
    uint t [[thread_position_in_grid]]) {
  device T* to = y + strided_offset<4>(t, free_shape, free_strides, sizes[3]);
  const device T* from = updates + strided_offset<4>(t, free_shape, free_strides + sizes[3], sizes[3]);
  uint n = static_cast<uint>(sizes[0]);
  uint fixed = static_cast<uint>(sizes[1]);
  for (uint i = 0; i < n; i++) {
    uint place = places[i];
    if (place == no_place) {
      continue;
    }
    long u = strided_offset<4>(i, shape, strides, sizes[2]);
    for (uint f = 0; f < fixed; f++) {
      long a = strided_offset<4>(f, fixed_shape, fixed_strides, sizes[4]);
      long b = strided_offset<4>(f, fixed_shape, fixed_strides + sizes[4], sizes[4]);
      put<Op, T>(to + place + a, from + u + b);
    }
  }
}

// scatter_axis is for few updates along the axis: threads are (inner, outer), and go along
// it. sizes are m and the axes of updates; step is their stride along the axis.
template <typename Op, typename T>
[[kernel]] void scatter_axis(
    const device uint* places [[buffer(0)]],
    const device T* updates [[buffer(1)]],
    device T* y [[buffer(2)]],
    constant int* sizes [[buffer(3)]],
    constant long& step [[buffer(4)]],
    constant int* shape [[buffer(5)]],
    constant long* strides [[buffer(6)]],
    uint2 t [[thread_position_in_grid]],
    uint2 grid [[threads_per_grid]]) {
  uint m = static_cast<uint>(sizes[0]);
  uint i = t.y * m * grid.x + t.x;
  const device T* from = updates + strided_offset<4>(i, shape, strides, sizes[1]);
  for (uint j = 0; j < m; j++) {
    uint place = places[i + j * grid.x];
    if (place != no_place) {
      put<Op, T>(y + place, from + static_cast<long>(j) * step);
    }
  }
}

// scatter_runs is for many windows of one place each: order sorts them by place, equal ones
// in order. The thread of the first of a run takes them all; threads are (elements of a
// window, windows). sizes and strides are as for scatter_columns.
template <typename Op, typename T>
[[kernel]] void scatter_runs(
    const device uint* places [[buffer(0)]],
    const device uint* order [[buffer(1)]],
    const device T* updates [[buffer(2)]],
    device T* y [[buffer(3)]],
    constant int* sizes [[buffer(4)]],
    constant int* shape [[buffer(5)]],
    constant long* strides [[buffer(6)]],
    constant int* free_shape [[buffer(7)]],
    constant long* free_strides [[buffer(8)]],
    uint2 t [[thread_position_in_grid]]) {
  using A = typename Op::type;
  uint n = static_cast<uint>(sizes[0]);
  uint k = t.y;
  uint i = order[k];
  uint place = places[i];
  if (place == no_place || (k > 0 && places[order[k - 1]] == place)) {
    return;
  }
  device T* to = y + place + strided_offset<4>(t.x, free_shape, free_strides, sizes[3]);
  const device T* from = updates + strided_offset<4>(t.x, free_shape, free_strides + sizes[3], sizes[3]);
  A v = widened<A, T>::of(*to);
  while (true) {
    v = Op::join(v, widened<A, T>::of(from[strided_offset<4>(i, shape, strides, sizes[2])]));
    k++;
    if (k == n) {
      break;
    }
    i = order[k];
    if (places[i] != place) {
      break;
    }
  }
  *to = narrowed<T, A>::of(v);
}
