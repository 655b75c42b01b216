// Products of parts of two matrices: a[:, start:end] @ b[start:end, :] for each segment.
#include "tile.h"
#include "places.h"

// segmented_mm takes row-major a [M, K] and b [K, N] in tiles of 32 x 32 by 4 simdgroups as
// 2 x 2. Segments [S, 2] are integers of a kind (see integer_at); what of them lies outside
// of K is cut off. Threadgroups are [tiles of N, tiles of M, segments]; sizes are M, N, K
// and the kind.
template <typename T>
[[kernel, max_total_threads_per_threadgroup(128)]] void segmented_mm(
    const device T* a [[buffer(0)]],
    const device T* b [[buffer(1)]],
    const device uchar* segments [[buffer(2)]],
    device T* y [[buffer(3)]],
    constant int* sizes [[buffer(4)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint simdgroup [[simdgroup_index_in_threadgroup]],
    uint lane [[thread_index_in_simdgroup]]) {
  constexpr int B = 32;
  constexpr int ld = B + 16 / sizeof(T);
  threadgroup T as[B * ld];
  threadgroup T bs[B * ld];
  int M = sizes[0];
  int N = sizes[1];
  int K = sizes[2];
  long at = 2 * static_cast<long>(group.z);
  int from = static_cast<int>(clamp(integer_at(segments, at, sizes[3]), static_cast<long>(0), static_cast<long>(K)));
  int to = static_cast<int>(clamp(integer_at(segments, at + 1, sizes[3]), static_cast<long>(0), static_cast<long>(K)));
  int m0 = static_cast<int>(group.y) * B;
  int n0 = static_cast<int>(group.x) * B;
  int ti = static_cast<int>(thread_index);
  int row = static_cast<int>(simdgroup / 2) * (B / 2) + fragment_row(lane);
  int col = static_cast<int>(simdgroup % 2) * (B / 2) + fragment_col(lane);
  float2 acc[4];
  UNROLL for (int i = 0; i < 4; i++) {
    acc[i] = float2(0.0f, 0.0f);
  }
  for (int k = from; k < to; k += B) {
    threadgroup_barrier(mem_flags::mem_threadgroup);
    tile_load<T, B, B, ld, 128>(as, a + static_cast<long>(m0) * K + k, static_cast<long>(K), M - m0, to - k, ti);
    tile_load<T, B, B, ld, 128>(bs, b + static_cast<long>(k) * N + n0, static_cast<long>(N), to - k, N - n0, ti);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    tile_mma<T, T, 2, 2, B>(acc, as + row * ld + fragment_col(lane), ld, 1, bs + fragment_row(lane) * ld + col, ld, 1);
  }
  y += (static_cast<long>(group.z) * M + m0 + row) * N + n0 + col;
  tile_store<T, 2, 2>(y, acc, static_cast<long>(N), M - m0 - row, N - n0 - col);
}
