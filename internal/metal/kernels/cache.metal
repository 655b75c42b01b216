// Rows of keys and values that are kept, from position to position.
#include "common.h"

// A cache is a state [B, heads, capacity, width] that so many rows at a time are written
// to or read from.
struct cache {
  int heads;
  int capacity;
  int width;
  int rows;
  int keep;    // positions before a ring of rows
  int ring;    // 0: there is none
  int counted; // there is a number of rows for each of B
  int unused;
  long batch_stride; // of rows
  long head_stride;
  long row_stride;
};

constant constexpr uint kept = 4; // elements of a thread

// slot_of is the row of the state for row i at batch row b, or -1 if it has none: it does
// not count, a later one takes its place, or it is outside.
METAL_FUNC int slot_of(constant cache& p, uint b, int i, const device int* positions, const device int* counts) {
  int rows = p.rows;
  if (p.counted) {
    rows = min(rows, max(counts[b], 0));
  }
  if (i >= rows) {
    return -1;
  }
  int t = positions[b] + i;
  if (p.ring != 0 && t >= p.keep) {
    if (rows - i > p.ring) {
      return -1;
    }
    t = p.keep + (t - p.keep) % p.ring;
  }
  return t < p.capacity ? max(t, -1) : -1;
}

// cache_write puts rows [B, heads, rows, width] into the state. Threads are (parts of a
// row, rows, B and heads).
template <typename T>
[[kernel]] void cache_write(
    device T* state [[buffer(0)]],
    const device T* rows [[buffer(1)]],
    constant cache& p [[buffer(2)]],
    const device int* positions [[buffer(3)]],
    const device int* counts [[buffer(4)]],
    uint3 at [[thread_position_in_grid]]) {
  uint heads = static_cast<uint>(p.heads);
  uint b = at.z / heads;
  int slot = slot_of(p, b, static_cast<int>(at.y), positions, counts);
  if (slot < 0) {
    return;
  }
  const device T* from = rows + b * p.batch_stride + at.z % heads * p.head_stride + at.y * p.row_stride;
  device T* to = state + (static_cast<long>(at.z) * p.capacity + slot) * p.width;
  uint last = min(at.x * kept + kept, static_cast<uint>(p.width));
  for (uint i = at.x * kept; i < last; i++) {
    to[i] = from[i];
  }
}

// cache_read gives the rows that cache_write put, and zeros for others.
template <typename T>
[[kernel]] void cache_read(
    const device T* state [[buffer(0)]],
    device T* out [[buffer(1)]],
    constant cache& p [[buffer(2)]],
    const device int* positions [[buffer(3)]],
    const device int* counts [[buffer(4)]],
    uint3 at [[thread_position_in_grid]]) {
  uint b = at.z / static_cast<uint>(p.heads);
  int slot = slot_of(p, b, static_cast<int>(at.y), positions, counts);
  const device T* from = state + (static_cast<long>(at.z) * p.capacity + max(slot, 0)) * p.width;
  device T* to = out + (static_cast<long>(at.z) * p.rows + at.y) * p.width;
  uint last = min(at.x * kept + kept, static_cast<uint>(p.width));
  for (uint i = at.x * kept; i < last; i++) {
    to[i] = slot < 0 ? static_cast<T>(0) : from[i];
  }
}

// ring_mask says which of the rows of a ring after keep others, and then of the queries'
// own if there are several, each query sees. Threads are (keys, queries, B).
[[kernel]] void ring_mask(
    const device int* positions [[buffer(0)]],
    device uchar* out [[buffer(1)]],
    constant int& keep [[buffer(2)]],
    constant int& ring [[buffer(3)]],
    constant int& keys [[buffer(4)]],
    constant int& rows [[buffer(5)]],
    uint3 at [[thread_position_in_grid]]) {
  int pos = positions[at.z];
  int i = static_cast<int>(at.y);
  int key = static_cast<int>(at.x);
  bool one = rows == 1;
  int first = one ? pos - ring + keep + 1 : pos + i - ring + 1; // position that is seen
  int filled = one ? pos + 1 : pos;                             // positions that the ring has
  bool seen = false;
  if (key < keep) {
    seen = key < filled && (one || key >= first);
  } else if (key < keep + ring) {
    int low = max(first, keep) - keep;
    int ahead = (key - keep - low) % ring; // to the next position that lies in this row
    if (ahead < 0) {
      ahead += ring;
    }
    seen = keep + low + ahead < filled;
  } else {
    int j = key - keep - ring;
    seen = j >= first - pos && j <= i;
  }
  out[(static_cast<ulong>(at.z) * static_cast<uint>(rows) + at.y) * static_cast<uint>(keys) + at.x] = seen ? 1 : 0;
}
