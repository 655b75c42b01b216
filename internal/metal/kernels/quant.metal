#include "tile.h"
#include "codes.h"

// Products with packed matrices. X, S and Y are the types of x, of scales and biases, and
// of the result. sizes are M, N, K and the logarithm of the group size. Modes without
// biases have scales in their place. Sums have an order of their own that neither the
// number of rows nor the kernel's variant changes: fma is always meant.
//
// If sizes[4] is not 0, there are as many matrices in x and sizes[5] packed ones, and the
// product of a threadgroup at z is that of the matrices numbered x_ids[z] and w_ids[z].

// Indices are int64, little end first; where there are none the buffer is one that holds
// something else.
METAL_FUNC long picked(const device uint* ids, uint z, int n) {
  long i = static_cast<long>(static_cast<ulong>(ids[2 * z + 1]) << 32 | ids[2 * z]);
  return clamp(i < 0 ? i + n : i, static_cast<long>(0), static_cast<long>(n - 1));
}

// qmv is x [M, K] @ w^T, w [N, K] packed along K. A simdgroup takes 4 rows of w and ROWS
// rows of x; its lanes take 16 neighbours of K each.
template <typename X, typename S, typename Y, int BITS, int MODE, int ROWS>
[[kernel, max_total_threads_per_threadgroup(64)]] void qmv(
    const device ushort* w [[buffer(0)]],
    const device S* scales [[buffer(1)]],
    const device S* biases [[buffer(2)]],
    const device X* x [[buffer(3)]],
    device Y* y [[buffer(4)]],
    constant int* sizes [[buffer(5)]],
    const device uint* x_ids [[buffer(6)]],
    const device uint* w_ids [[buffer(7)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint simdgroup [[simdgroup_index_in_threadgroup]],
    uint lane [[thread_index_in_simdgroup]]) {
  constexpr int W = 4;
  int M = sizes[0];
  int N = sizes[1];
  int K = sizes[2];
  int shift = sizes[3];
  if (sizes[4] != 0) {
    long i = picked(w_ids, group.z, sizes[5]) * N;
    w += i * (K / 16 * BITS);
    scales += i * (K >> shift);
    biases += i * (K >> shift);
    x += picked(x_ids, group.z, sizes[4]) * M * K;
    y += static_cast<long>(group.z) * M * N;
  }
  int n0 = static_cast<int>(group.x * 8 + simdgroup * W);
  int m0 = static_cast<int>(group.y) * ROWS;
  int k0 = static_cast<int>(lane) * 16;
  const device ushort* words[W];
  long groups[W];
  UNROLL for (int r = 0; r < W; r++) {
    long n = min(n0 + r, N - 1);
    words[r] = w + n * (K / 16 * BITS);
    groups[r] = n * (K >> shift);
  }
  const device X* rows[ROWS];
  UNROLL for (int m = 0; m < ROWS; m++) {
    rows[m] = x + static_cast<long>(min(m0 + m, M - 1)) * K;
  }
  float acc[ROWS * W];
  UNROLL for (int i = 0; i < ROWS * W; i++) {
    acc[i] = 0.0f;
  }
  for (int k = k0; k < K; k += 512) {
    float v[ROWS * 16];
    float sums[ROWS];
    UNROLL for (int m = 0; m < ROWS; m++) {
      sums[m] = 0.0f;
      UNROLL for (int i = 0; i < 16; i++) {
        float xi = static_cast<float>(rows[m][k + i]);
        sums[m] += xi;
        v[m * 16 + i] = xi * code_shrink<BITS, MODE>(i);
      }
    }
    UNROLL for (int r = 0; r < W; r++) {
      float q[16];
      codes16<BITS, MODE>(words[r] + k / 16 * BITS, q);
      long g = groups[r] + (k >> shift);
      float s = scale_value<S, MODE>(scales[g]);
      UNROLL for (int m = 0; m < ROWS; m++) {
        float dot = 0.0f;
        UNROLL for (int i = 0; i < 16; i++) {
          dot = fma(q[i], v[m * 16 + i], dot);
        }
        float sum = fma(s, dot, acc[m * W + r]);
        if constexpr (MODE == 0) {
          sum = fma(static_cast<float>(biases[g]), sums[m], sum);
        }
        acc[m * W + r] = sum;
      }
    }
  }
  UNROLL for (int m = 0; m < ROWS; m++) {
    UNROLL for (int r = 0; r < W; r++) {
      float sum = simd_sum(acc[m * W + r]);
      if (lane == 0 && m0 + m < M && n0 + r < N) {
        y[static_cast<long>(m0 + m) * N + n0 + r] = static_cast<Y>(sum);
      }
    }
  }
}

// qvm is x [M, K] @ w, w [K, N] packed along N, a row of x at a time. A threadgroup takes
// 64 columns: 4 lanes have 16 of them each, and 64 rows of w are taken at once.
template <typename X, typename S, typename Y, int BITS, int MODE>
[[kernel, max_total_threads_per_threadgroup(256)]] void qvm(
    const device ushort* w [[buffer(0)]],
    const device S* scales [[buffer(1)]],
    const device S* biases [[buffer(2)]],
    const device X* x [[buffer(3)]],
    device Y* y [[buffer(4)]],
    constant int* sizes [[buffer(5)]],
    const device uint* x_ids [[buffer(6)]],
    const device uint* w_ids [[buffer(7)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint simdgroup [[simdgroup_index_in_threadgroup]],
    uint lane [[thread_index_in_simdgroup]]) {
  threadgroup float sums[8 * 64];
  int M = sizes[0];
  int N = sizes[1];
  int K = sizes[2];
  int shift = sizes[3];
  if (sizes[4] != 0) {
    long i = picked(w_ids, group.z, sizes[5]) * K;
    w += i * (N / 16 * BITS);
    scales += i * (N >> shift);
    biases += i * (N >> shift);
    x += picked(x_ids, group.z, sizes[4]) * M * K;
    y += static_cast<long>(group.z) * M * N;
  }
  int col = static_cast<int>(lane % 4) * 16;
  int n = static_cast<int>(group.x) * 64 + col;
  x += static_cast<long>(group.y) * K;
  float acc[16];
  UNROLL for (int i = 0; i < 16; i++) {
    acc[i] = 0.0f;
  }
  float bias = 0.0f;
  if (n < N) {
    for (int k = static_cast<int>(simdgroup * 8 + lane / 4); k < K; k += 64) {
      float v = static_cast<float>(x[k]);
      float q[16];
      codes16<BITS, MODE>(w + (static_cast<long>(k) * (N / 16) + n / 16) * BITS, q);
      long g = static_cast<long>(k) * (N >> shift) + (n >> shift);
      float s = v * scale_value<S, MODE>(scales[g]);
      UNROLL for (int i = 0; i < 16; i++) {
        acc[i] = fma(s, q[i] * code_shrink<BITS, MODE>(i), acc[i]);
      }
      if constexpr (MODE == 0) {
        bias = fma(v, static_cast<float>(biases[g]), bias);
      }
    }
  }
  UNROLL for (int i = 0; i < 16; i++) {
    float sum = acc[i] + bias;
    sum += simd_shuffle_xor(sum, 4);
    sum += simd_shuffle_xor(sum, 8);
    sum += simd_shuffle_xor(sum, 16);
    if (lane < 4) {
      sums[static_cast<int>(simdgroup) * 64 + col + i] = sum;
    }
  }
  threadgroup_barrier(mem_flags::mem_threadgroup);
  int t = static_cast<int>(thread_index);
  n = static_cast<int>(group.x) * 64 + t;
  if (t < 64 && n < N) {
    float sum = 0.0f;
    for (int i = 0; i < 8; i++) {
      sum += sums[i * 64 + t];
    }
    y[static_cast<long>(group.y) * N + n] = static_cast<Y>(sum);
  }
}

// unpack8 unpacks eight neighbours of row r from column c on, of a packed matrix of rows x
// cols; past its end they are 0.
template <typename S, typename W, int BITS, int MODE>
METAL_FUNC void unpack8(
    threadgroup W* to, const device uchar* w, const device S* scales, const device S* biases,
    int r, int c, int rows, int cols, int shift) {
  if (r < rows && c < cols) {
    float q[8];
    codes8<BITS, MODE>(w + (static_cast<long>(r) * (cols / 8) + c / 8) * BITS, q);
    long g = static_cast<long>(r) * (cols >> shift) + (c >> shift);
    float s = scale_value<S, MODE>(scales[g]);
    float b = 0.0f;
    if constexpr (MODE == 0) {
      b = static_cast<float>(biases[g]);
    }
    UNROLL for (int i = 0; i < 8; i++) {
      to[i] = static_cast<W>(fma(q[i], s, b));
    }
  } else {
    UNROLL for (int i = 0; i < 8; i++) {
      to[i] = static_cast<W>(0.0f);
    }
  }
}

// qmm is x [M, K] @ w^T, w [N, K] packed along K, or, without TRANSPOSED, x @ w, w [K, N]
// packed along N, in tiles of 32 x 32, each by 4 simdgroups as 2 x 2. Weights become W.
template <typename X, typename S, typename Y, typename W, int BITS, int MODE, bool TRANSPOSED>
[[kernel, max_total_threads_per_threadgroup(128)]] void qmm(
    const device uchar* w [[buffer(0)]],
    const device S* scales [[buffer(1)]],
    const device S* biases [[buffer(2)]],
    const device X* x [[buffer(3)]],
    device Y* y [[buffer(4)]],
    constant int* sizes [[buffer(5)]],
    const device uint* x_ids [[buffer(6)]],
    const device uint* w_ids [[buffer(7)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint simdgroup [[simdgroup_index_in_threadgroup]],
    uint lane [[thread_index_in_simdgroup]]) {
  constexpr int B = 32;
  constexpr int ldx = B + 16 / sizeof(X);
  constexpr int ldw = B + 16 / sizeof(W);
  threadgroup X xs[B * (B + 16 / sizeof(X))];
  threadgroup W ws[B * (B + 16 / sizeof(W))];
  int M = sizes[0];
  int N = sizes[1];
  int K = sizes[2];
  int shift = sizes[3];
  int m0 = static_cast<int>(group.y) * B;
  int n0 = static_cast<int>(group.x) * B;
  int ti = static_cast<int>(thread_index);
  int trow = ti / 4; // what this thread unpacks of a tile of w: 8 neighbours
  int tcol = ti % 4 * 8;
  int rows = TRANSPOSED ? N : K; // of w
  int cols = TRANSPOSED ? K : N;
  if (sizes[4] != 0) {
    long i = picked(w_ids, group.z, sizes[5]) * rows;
    w += i * (cols / 8 * BITS);
    scales += i * (cols >> shift);
    biases += i * (cols >> shift);
    x += picked(x_ids, group.z, sizes[4]) * M * K;
    y += static_cast<long>(group.z) * M * N;
  }
  int row = static_cast<int>(simdgroup / 2) * 16 + fragment_row(lane);
  int col = static_cast<int>(simdgroup % 2) * 16 + fragment_col(lane);
  x += static_cast<long>(m0) * K;
  float2 acc[4];
  UNROLL for (int i = 0; i < 4; i++) {
    acc[i] = float2(0.0f, 0.0f);
  }
  for (int k = 0; k < K; k += B) {
    threadgroup_barrier(mem_flags::mem_threadgroup);
    tile_load<X, B, B, ldx, 128>(xs, x + k, static_cast<long>(K), M - m0, K - k, ti);
    unpack8<S, W, BITS, MODE>(
        ws + trow * ldw + tcol, w, scales, biases, (TRANSPOSED ? n0 : k) + trow, (TRANSPOSED ? k : n0) + tcol, rows, cols, shift);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    const threadgroup X* a = xs + row * ldx + fragment_col(lane);
    if constexpr (TRANSPOSED) {
      tile_mma<X, W, 2, 2, B>(acc, a, ldx, 1, ws + col * ldw + fragment_row(lane), 1, ldw);
    } else {
      tile_mma<X, W, 2, 2, B>(acc, a, ldx, 1, ws + fragment_row(lane) * ldw + col, ldw, 1);
    }
  }
  y += static_cast<long>(m0 + row) * N + n0 + col;
  tile_store<Y, 2, 2>(y, acc, static_cast<long>(N), M - m0 - row, N - n0 - col);
}

// qmm_runs is products of M rows of x with packed matrices [N, K], transposed, both picked
// by indices, where rows that lie together have the same matrix mostly. A threadgroup has 32
// rows and 32 columns, and makes a tile for each run of rows of one matrix.
template <typename X, typename S, typename Y, typename W, int BITS, int MODE>
[[kernel, max_total_threads_per_threadgroup(128)]] void qmm_runs(
    const device uchar* w [[buffer(0)]],
    const device S* scales [[buffer(1)]],
    const device S* biases [[buffer(2)]],
    const device X* x [[buffer(3)]],
    device Y* y [[buffer(4)]],
    constant int* sizes [[buffer(5)]],
    const device uint* x_ids [[buffer(6)]],
    const device uint* w_ids [[buffer(7)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint simdgroup [[simdgroup_index_in_threadgroup]],
    uint lane [[thread_index_in_simdgroup]]) {
  constexpr int B = 32;
  constexpr int ldx = B + 16 / sizeof(X);
  constexpr int ldw = B + 16 / sizeof(W);
  threadgroup X xs[B * (B + 16 / sizeof(X))];
  threadgroup W ws[B * (B + 16 / sizeof(W))];
  int N = sizes[1];
  int K = sizes[2];
  int shift = sizes[3];
  int m0 = static_cast<int>(group.y) * B;
  int n0 = static_cast<int>(group.x) * B;
  int rows = min(B, sizes[0] - m0);
  int ti = static_cast<int>(thread_index);
  int trow = ti / 4; // what this thread brings: 8 neighbours of each tile
  int tcol = ti % 4 * 8;
  int row = static_cast<int>(simdgroup / 2) * 16 + fragment_row(lane);
  int col = static_cast<int>(simdgroup % 2) * 16 + fragment_col(lane);
  x += trow < rows ? picked(x_ids, static_cast<uint>(m0 + trow), sizes[4]) * K : 0;
  y += static_cast<long>(m0) * N + n0 + col;
  int end = 0;
  for (int from = 0; from < rows; from = end) {
    long i = picked(w_ids, static_cast<uint>(m0 + from), sizes[5]);
    for (end = from + 1; end < rows && picked(w_ids, static_cast<uint>(m0 + end), sizes[5]) == i; end++) {
    }
    i *= N;
    float2 acc[4];
    UNROLL for (int j = 0; j < 4; j++) {
      acc[j] = float2(0.0f, 0.0f);
    }
    for (int k = 0; k < K; k += B) {
      threadgroup_barrier(mem_flags::mem_threadgroup);
      bool inside = from <= trow && trow < end && k + tcol < K;
      UNROLL for (int j = 0; j < 8; j++) {
        xs[trow * ldx + tcol + j] = inside ? x[k + tcol + j] : static_cast<X>(0.0f);
      }
      unpack8<S, W, BITS, MODE>(
          ws + trow * ldw + tcol, w + i * (K / 8 * BITS), scales + i * (K >> shift), biases + i * (K >> shift),
          n0 + trow, k + tcol, N, K, shift);
      threadgroup_barrier(mem_flags::mem_threadgroup);
      tile_mma<X, W, 2, 2, B>(
          acc, xs + row * ldx + fragment_col(lane), ldx, 1, ws + col * ldw + fragment_row(lane), 1, ldw);
    }
    UNROLL for (int j = 0; j < 4; j++) {
      int r = row + j / 2 * 8;
      int c = j % 2 * 8;
      if (from <= r && r < end && n0 + col + c < N) {
        y[static_cast<long>(r) * N + c] = static_cast<Y>(acc[j].x);
      }
      if (from <= r && r < end && n0 + col + c + 1 < N) {
        y[static_cast<long>(r) * N + c + 1] = static_cast<Y>(acc[j].y);
      }
    }
  }
}

// dequantize unpacks eight values a thread. Affine ones are rounded to Y after the product
// and after the sum. Rows have no gaps: all is one row.
template <typename S, typename Y, int BITS, int MODE>
[[kernel]] void dequantize(
    const device uchar* w [[buffer(0)]],
    const device S* scales [[buffer(1)]],
    const device S* biases [[buffer(2)]],
    device Y* y [[buffer(3)]],
    constant int& shift [[buffer(4)]],
    uint i [[thread_position_in_grid]]) {
  long at = static_cast<long>(i) * 8;
  float q[8];
  codes8<BITS, MODE>(w + static_cast<long>(i) * BITS, q);
  float s = scale_value<S, MODE>(scales[at >> shift]);
  y += at;
  if constexpr (MODE == 0) {
    float b = static_cast<float>(biases[at >> shift]);
    UNROLL for (int k = 0; k < 8; k++) {
      Y p = static_cast<Y>(q[k] * s);
      y[k] = static_cast<Y>(static_cast<float>(p) + b);
    }
  } else {
    UNROLL for (int k = 0; k < 8; k++) {
      y[k] = static_cast<Y>(q[k] * s);
    }
  }
}
