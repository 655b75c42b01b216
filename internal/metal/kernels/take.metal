// Rows that integers pick.
#include "common.h"

// place_of is where index id of an axis of n lies. Indices below 0 count from the end;
// what is out of range is taken to the nearest place.
template <typename I>
METAL_FUNC long place_of(I id, long n) {
  long i = static_cast<long>(id);
  if (id < static_cast<I>(0)) {
    i += n;
  }
  return clamp(i, static_cast<long>(0), n - 1);
}

constant constexpr uint taken = 4; // elements of a thread

// take copies rows of a table [n, width], whose rows are stride apart. Threads are (parts
// of rows, indices).
template <typename T, typename I>
[[kernel]] void take(
    const device T* table [[buffer(0)]],
    const device I* ids [[buffer(1)]],
    device T* out [[buffer(2)]],
    constant int& n [[buffer(3)]],
    constant int& width [[buffer(4)]],
    constant long& stride [[buffer(5)]],
    uint2 at [[thread_position_in_grid]]) {
  uint size = static_cast<uint>(width);
  const device T* from = table + place_of(ids[at.y], static_cast<long>(n)) * stride;
  device T* to = out + static_cast<ulong>(at.y) * size;
  uint last = min(at.x * taken + taken, size);
  for (uint i = at.x * taken; i < last; i++) {
    to[i] = from[i];
  }
}
