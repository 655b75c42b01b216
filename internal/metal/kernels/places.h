// Where integers point to.
#include "common.h"

// integer_at is element i of an array of integers: kind is 0 to 3 for char, short, int and
// long, 4 to 7 for the unsigned ones.
METAL_FUNC long integer_at(const device uchar* p, long i, int kind) {
  switch (kind) {
    case 0:
      return static_cast<long>(reinterpret_cast<const device char*>(p)[i]);
    case 1:
      return static_cast<long>(reinterpret_cast<const device short*>(p)[i]);
    case 2:
      return static_cast<long>(reinterpret_cast<const device int*>(p)[i]);
    case 3:
      return reinterpret_cast<const device long*>(p)[i];
    case 4:
      return static_cast<long>(p[i]);
    case 5:
      return static_cast<long>(reinterpret_cast<const device ushort*>(p)[i]);
    case 6:
      return static_cast<long>(reinterpret_cast<const device uint*>(p)[i]);
  }
  ulong v = reinterpret_cast<const device ulong*>(p)[i];
  return static_cast<long>(min(v, ~static_cast<ulong>(0) >> 1));
}

// An axis_rule says how integers point to an axis: their kind, the axis' size, and the
// greatest place, which is less than size - 1 for windows.
struct axis_rule {
  int kind;
  int size;
  int last;
};

// from_start counts an index below 0 from the end.
METAL_FUNC long from_start(const device uchar* ids, long i, axis_rule r) {
  long v = integer_at(ids, i, r.kind);
  return v < 0 ? v + static_cast<long>(r.size) : v;
}

// nearest_place takes indices out of range to the nearest place.
METAL_FUNC long nearest_place(const device uchar* ids, long i, axis_rule r) {
  return clamp(from_start(ids, i, r), static_cast<long>(0), static_cast<long>(r.last));
}

// no_place stands for an index out of range among places of elements.
constant constexpr uint no_place = 0xffffffffu;
