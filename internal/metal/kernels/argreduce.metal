// Places of extremes.
#include "order.h"

// A place is a rank, the greater the better, and the index that has it.
template <typename K>
struct place {
  K rank;
  uint at;
};

constant constexpr uint nowhere = 0xffffffffu;

// best_place is the best of a simdgroup, the first one of equals.
template <typename K>
METAL_FUNC place<K> best_place(place<K> p) {
  place<K> best;
  if constexpr (sizeof(K) == 4) {
    best.rank = simd_max(p.rank);
  } else {
    uint high = static_cast<uint>(p.rank >> 32);
    uint top = simd_max(high);
    uint low = simd_max(high == top ? static_cast<uint>(p.rank) : 0u);
    best.rank = static_cast<K>(top) << 32 | low;
  }
  best.at = simd_min(p.rank == best.rank ? p.at : nowhere);
  return best;
}

// arg_reduce finds the first maximum or minimum of each row; NaN is either.
template <typename T>
[[kernel]] void arg_reduce(
    const device T* in [[buffer(0)]],
    device uint* out [[buffer(1)]],
    constant int& row_size [[buffer(2)]],
    constant long& step [[buffer(3)]],
    constant int& least [[buffer(4)]],
    constant int* shape [[buffer(5)]],
    constant long* strides [[buffer(6)]],
    constant int& ndim [[buffer(7)]],
    uint row [[threadgroup_position_in_grid]],
    uint thread_id [[thread_position_in_threadgroup]],
    uint threads [[threads_per_threadgroup]],
    uint lane [[thread_index_in_simdgroup]],
    uint simd [[simdgroup_index_in_threadgroup]],
    uint simds [[simdgroups_per_threadgroup]]) {
  using K = typename ordering<T>::key;
  threadgroup K ranks[32];
  threadgroup uint places[32];
  const device T* x = in + strided_offset<4>(row, shape, strides, ndim);
  uint size = static_cast<uint>(row_size);

  place<K> best;
  best.rank = static_cast<K>(0);
  best.at = nowhere;
  for (uint i = thread_id; i < size; i += threads) {
    K key = ordering<T>::of(x[static_cast<long>(i) * step]);
    bool nan = ordering<T>::nans() && key == ~static_cast<K>(0);
    K rank = least && !nan ? ~key : key;
    if (best.at == nowhere || rank > best.rank) {
      best.rank = rank;
      best.at = i;
    }
  }
  best = best_place(best);
  if (simds > 1) {
    if (lane == 0) {
      ranks[simd] = best.rank;
      places[simd] = best.at;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    best.rank = static_cast<K>(0);
    best.at = nowhere;
    if (lane < simds) {
      best.rank = ranks[lane];
      best.at = places[lane];
    }
    best = best_place(best);
  }
  if (thread_id == 0) {
    out[row] = best.at;
  }
}
