// Sorting along rows: blocks of a row are sorted in threadgroup memory, and those of a
// long row merged pair by pair. All is stable: of equal keys the left one comes first.
#include "order.h"

constant constexpr uint sort_each = 8; // elements of a thread

// merge_split is how many of the first diagonal elements of two sorted runs merged come
// from a.
template <typename P>
METAL_FUNC uint merge_split(P a, uint a_size, P b, uint b_size, uint diagonal) {
  uint low = diagonal > b_size ? diagonal - b_size : 0;
  uint high = min(diagonal, a_size);
  while (low < high) {
    uint mid = (low + high) / 2;
    if (a[mid] <= b[diagonal - 1 - mid]) {
      low = mid + 1;
    } else {
      high = mid;
    }
  }
  return low;
}

// merge_each takes elements [diagonal, diagonal+8) of two runs merged, which begin at a
// and b of threadgroup memory, into key and id.
template <typename K>
METAL_FUNC void merge_each(
    thread K* key, thread uint* id, const threadgroup K* keys, const threadgroup uint* ids,
    uint a, uint a_size, uint b, uint b_size, uint diagonal) {
  uint i = merge_split(keys + a, a_size, keys + b, b_size, diagonal);
  uint j = diagonal - i;
  for (uint n = 0; n < sort_each && i + j < a_size + b_size; n++) {
    bool left = j >= b_size || (i < a_size && keys[a + i] <= keys[b + j]);
    uint from = left ? a + i : b + j;
    key[n] = keys[from];
    id[n] = ids[from];
    i += left ? 1 : 0;
    j += left ? 0 : 1;
  }
}

// sort_each_of sorts a thread's own elements by exchanges of neighbours.
template <typename K>
METAL_FUNC void sort_each_of(thread K* key, thread uint* id) {
  for (uint round = 0; round < sort_each; round++) {
    for (uint i = round % 2; i + 1 < sort_each; i += 2) {
      if (key[i] > key[i + 1]) {
        K k = key[i];
        key[i] = key[i + 1];
        key[i + 1] = k;
        uint n = id[i];
        id[i] = id[i + 1];
        id[i + 1] = n;
      }
    }
  }
}

// What sort_block leaves of a row.
constant constexpr int sorted_runs = 0;   // keys and indices, to be merged
constant constexpr int sorted_ids = 1;    // indices
constant constexpr int sorted_values = 2; // the elements

// sort_block sorts a block of a row: grids are (threads of the blocks, rows). Elements are
// a step apart; what fills up the last block is greater than all.
template <typename T, typename U, int LEAVES>
[[kernel]] void sort_block(
    const device T* in [[buffer(0)]],
    device U* out [[buffer(1)]],
    device typename ordering<T>::key* run_keys [[buffer(2)]],
    constant int& row_size [[buffer(3)]],
    constant long& step [[buffer(4)]],
    constant int* shape [[buffer(5)]],
    constant long* strides [[buffer(6)]],
    constant int& ndim [[buffer(7)]],
    threadgroup typename ordering<T>::key* keys [[threadgroup(0)]],
    threadgroup uint* ids [[threadgroup(1)]],
    uint2 group [[threadgroup_position_in_grid]],
    uint2 thread_id [[thread_position_in_threadgroup]],
    uint2 threads [[threads_per_threadgroup]]) {
  using K = typename ordering<T>::key;
  uint size = static_cast<uint>(row_size);
  uint block = threads.x * sort_each;
  uint begin = group.x * block;
  uint mine = thread_id.x * sort_each;
  const device T* x = in + strided_offset<4>(group.y, shape, strides, ndim);

  K key[sort_each];
  uint id[sort_each];
  for (uint i = 0; i < sort_each; i++) {
    id[i] = begin + mine + i;
    key[i] = ~static_cast<K>(0);
    if (id[i] < size) {
      key[i] = ordering<T>::of(x[static_cast<long>(id[i]) * step]);
    }
  }
  sort_each_of(key, id);
  for (uint width = sort_each; width < block; width *= 2) {
    threadgroup_barrier(mem_flags::mem_threadgroup);
    for (uint i = 0; i < sort_each; i++) {
      keys[mine + i] = key[i];
      ids[mine + i] = id[i];
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    uint a = mine / (2 * width) * (2 * width);
    uint a_size = min(width, block - a);
    uint b_size = min(width, block - a - a_size);
    merge_each(key, id, keys, ids, a, a_size, a + a_size, b_size, mine - a);
  }
  ulong row = static_cast<ulong>(group.y) * size;
  for (uint i = 0; i < sort_each && begin + mine + i < size; i++) {
    ulong at = row + begin + mine + i;
    if constexpr (LEAVES == sorted_values) {
      out[at] = x[static_cast<long>(id[i]) * step];
    } else {
      out[at] = id[i];
    }
    if constexpr (LEAVES == sorted_runs) {
      run_keys[at] = key[i];
    }
  }
}

// sort_merge merges runs of width elements of row-major rows: a threadgroup fills a block
// of the result.
template <typename K>
[[kernel]] void sort_merge(
    const device K* in_keys [[buffer(0)]],
    const device uint* in_ids [[buffer(1)]],
    device K* out_keys [[buffer(2)]],
    device uint* out_ids [[buffer(3)]],
    constant int& row_size [[buffer(4)]],
    constant int& run_width [[buffer(5)]],
    threadgroup K* keys [[threadgroup(0)]],
    threadgroup uint* ids [[threadgroup(1)]],
    uint2 group [[threadgroup_position_in_grid]],
    uint2 thread_id [[thread_position_in_threadgroup]],
    uint2 threads [[threads_per_threadgroup]]) {
  uint size = static_cast<uint>(row_size);
  uint width = static_cast<uint>(run_width);
  uint block = threads.x * sort_each;
  uint begin = group.x * block;
  uint pair = begin / width / 2 * 2 * width;
  uint a_size = min(width, size - pair);
  uint b_size = min(width, size - pair - a_size);
  ulong row = static_cast<ulong>(group.y) * size;
  const device K* a = in_keys + row + pair;

  uint from = begin - pair;
  uint to = min(from + block, a_size + b_size);
  uint a_from = merge_split(a, a_size, a + a_size, b_size, from);
  uint a_to = merge_split(a, a_size, a + a_size, b_size, to);
  uint b_from = from - a_from;
  uint taken = a_to - a_from;
  const device uint* a_ids = in_ids + row + pair;
  for (uint i = thread_id.x; i < to - from; i += threads.x) {
    uint at = i < taken ? a_from + i : a_size + b_from + i - taken;
    keys[i] = a[at];
    ids[i] = a_ids[at];
  }
  threadgroup_barrier(mem_flags::mem_threadgroup);

  uint mine = thread_id.x * sort_each;
  if (mine < to - from) {
    K key[sort_each];
    uint id[sort_each];
    merge_each(key, id, keys, ids, 0, taken, taken, to - from - taken, mine);
    for (uint i = 0; i < sort_each && mine + i < to - from; i++) {
      ulong at = row + begin + mine + i;
      out_keys[at] = key[i];
      out_ids[at] = id[i];
    }
  }
}

// permute_row is y[k] = x[order[k]] of rows; elements of x are a step apart. Grids are
// (elements, rows).
template <typename T>
[[kernel]] void permute_row(
    const device T* in [[buffer(0)]],
    const device uint* order [[buffer(1)]],
    device T* out [[buffer(2)]],
    constant int& row_size [[buffer(3)]],
    constant long& step [[buffer(4)]],
    constant int* shape [[buffer(5)]],
    constant long* strides [[buffer(6)]],
    constant int& ndim [[buffer(7)]],
    uint2 at [[thread_position_in_grid]]) {
  const device T* x = in + strided_offset<4>(at.y, shape, strides, ndim);
  ulong i = static_cast<ulong>(at.y) * static_cast<uint>(row_size) + at.x;
  out[i] = x[static_cast<long>(order[i]) * step];
}

// search_sorted counts the elements of a row that come before each value, by bisection;
// right counts equal ones, too. Grids are (values, rows).
template <typename T>
[[kernel]] void search_sorted(
    const device T* in [[buffer(0)]],
    const device T* values [[buffer(1)]],
    device uint* out [[buffer(2)]],
    constant int& row_size [[buffer(3)]],
    constant int& value_count [[buffer(4)]],
    constant int& right [[buffer(5)]],
    uint2 at [[thread_position_in_grid]]) {
  uint size = static_cast<uint>(row_size);
  const device T* x = in + static_cast<ulong>(at.y) * size;
  ulong i = static_cast<ulong>(at.y) * static_cast<uint>(value_count) + at.x;
  typename ordering<T>::key key = ordering<T>::of(values[i]);
  uint low = 0;
  uint high = size;
  while (low < high) {
    uint mid = (low + high) / 2;
    typename ordering<T>::key k = ordering<T>::of(x[mid]);
    if (k < key || (right && k == key)) {
      low = mid + 1;
    } else {
      high = mid;
    }
  }
  out[i] = low;
}
