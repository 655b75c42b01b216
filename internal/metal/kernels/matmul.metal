#include "tile.h"

// Products of matrices. Inputs have one axis without gaps, a stride ld for the other, and
// batch axes of any strides; results are row-major. Inputs may differ in type.

constant bool a_transposed [[function_constant(0)]]; // columns of a lie without gaps
constant bool b_transposed [[function_constant(1)]];
constant bool x_packed [[function_constant(2)]]; // the elements of a vector are neighbours

// batch_offset is where matrix i lies.
METAL_FUNC long batch_offset(uint i, constant int* shape, constant long* strides, int ndim) {
  return strided_offset<4>(i, shape, strides, ndim);
}

// gemm is a [M, K] @ b [K, N] in tiles of BM x BN, each by 4 simdgroups as 2 x 2. A product
// may be cut along K into parts, whose results then lie one after the other.
// sizes are M, N, K, parts, K of a part, and the numbers of batch axes.
template <typename A, typename B, typename Y, int BM, int BN>
[[kernel, max_total_threads_per_threadgroup(128)]] void gemm(
    const device A* a [[buffer(0)]],
    const device B* b [[buffer(1)]],
    device Y* y [[buffer(2)]],
    constant int* sizes [[buffer(3)]],
    constant long* ld [[buffer(4)]],
    constant int* a_shape [[buffer(5)]],
    constant long* a_strides [[buffer(6)]],
    constant int* b_shape [[buffer(7)]],
    constant long* b_strides [[buffer(8)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint simdgroup [[simdgroup_index_in_threadgroup]],
    uint lane [[thread_index_in_simdgroup]]) {
  constexpr int BK = 16;
  constexpr int TM = BM / 16;
  constexpr int TN = BN / 16;
  constexpr int pad_a = 16 / sizeof(A);
  constexpr int pad_b = 16 / sizeof(B);
  constexpr int a_rows = BM * (BK + pad_a);
  constexpr int a_cols = BK * (BM + pad_a);
  constexpr int b_rows = BN * (BK + pad_b);
  constexpr int b_cols = BK * (BN + pad_b);
  threadgroup A as[a_rows > a_cols ? a_rows : a_cols];
  threadgroup B bs[b_rows > b_cols ? b_rows : b_cols];

  int M = sizes[0];
  int N = sizes[1];
  int K = sizes[2];
  uint batch = group.z / static_cast<uint>(sizes[3]);
  int from = static_cast<int>(group.z % static_cast<uint>(sizes[3])) * sizes[4];
  int to = min(K, from + sizes[4]);
  int m0 = static_cast<int>(group.y) * BM;
  int n0 = static_cast<int>(group.x) * BN;
  long lda = ld[0];
  long ldb = ld[1];
  a += batch_offset(batch, a_shape, a_strides, sizes[5]);
  b += batch_offset(batch, b_shape, b_strides, sizes[6]);
  a += a_transposed ? static_cast<long>(m0) : static_cast<long>(m0) * lda;
  b += b_transposed ? static_cast<long>(n0) * ldb : static_cast<long>(n0);

  int row = static_cast<int>(simdgroup / 2) * (BM / 2) + fragment_row(lane);
  int col = static_cast<int>(simdgroup % 2) * (BN / 2) + fragment_col(lane);
  int k_row = fragment_row(lane);
  int k_col = fragment_col(lane);
  int ti = static_cast<int>(thread_index);
  float2 acc[TM * TN];
  UNROLL for (int i = 0; i < TM * TN; i++) {
    acc[i] = float2(0.0f, 0.0f);
  }
  for (int k = from; k < to; k += BK) {
    threadgroup_barrier(mem_flags::mem_threadgroup);
    if (a_transposed) {
      tile_load<A, BK, BM, BM + pad_a, 128>(as, a + static_cast<long>(k) * lda, lda, to - k, M - m0, ti);
    } else {
      tile_load<A, BM, BK, BK + pad_a, 128>(as, a + k, lda, M - m0, to - k, ti);
    }
    if (b_transposed) {
      tile_load<B, BN, BK, BK + pad_b, 128>(bs, b + k, ldb, N - n0, to - k, ti);
    } else {
      tile_load<B, BK, BN, BN + pad_b, 128>(bs, b + static_cast<long>(k) * ldb, ldb, to - k, N - n0, ti);
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    int ars = a_transposed ? 1 : BK + pad_a;
    int acs = a_transposed ? BM + pad_a : 1;
    int brs = b_transposed ? 1 : BN + pad_b;
    int bcs = b_transposed ? BK + pad_b : 1;
    tile_mma<A, B, TM, TN, BK>(acc, as + row * ars + k_col * acs, ars, acs, bs + k_row * brs + col * bcs, brs, bcs);
  }
  y += static_cast<long>(group.z) * M * N + static_cast<long>(m0 + row) * N + n0 + col;
  tile_store<Y, TM, TN>(y, acc, static_cast<long>(N), M - m0 - row, N - n0 - col);
}

// gemm_parts sums the parts of products of n elements.
template <typename Y>
[[kernel]] void gemm_parts(
    const device float* in [[buffer(0)]],
    device Y* y [[buffer(1)]],
    constant int& n [[buffer(2)]],
    constant int& parts [[buffer(3)]],
    uint2 at [[thread_position_in_grid]]) {
  in += static_cast<long>(at.y) * parts * n + at.x;
  float sum = 0.0f;
  for (int i = 0; i < parts; i++) {
    sum += in[static_cast<long>(i) * n];
  }
  y[static_cast<long>(at.y) * n + at.x] = static_cast<Y>(sum);
}

// gemv is w [R, K] @ x [K]. A simdgroup takes 4 rows, and its lanes 4 neighbours of K each.
// The 8 simdgroups of a threadgroup take rows of their own, or share 4 of them along K.
// sizes are R, K, whether they share, and the numbers of batch axes; ld is w's and x's.
template <typename W, typename X, typename Y>
[[kernel, max_total_threads_per_threadgroup(256)]] void gemv(
    const device W* w [[buffer(0)]],
    const device X* x [[buffer(1)]],
    device Y* y [[buffer(2)]],
    constant int* sizes [[buffer(3)]],
    constant long* ld [[buffer(4)]],
    constant int* w_shape [[buffer(5)]],
    constant long* w_strides [[buffer(6)]],
    constant int* x_shape [[buffer(7)]],
    constant long* x_strides [[buffer(8)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint simdgroup [[simdgroup_index_in_threadgroup]],
    uint lane [[thread_index_in_simdgroup]]) {
  threadgroup float sums[8 * 4];
  int R = sizes[0];
  int K = sizes[1];
  bool share = sizes[2] != 0;
  w += batch_offset(group.z, w_shape, w_strides, sizes[3]);
  x += batch_offset(group.z, x_shape, x_strides, sizes[4]);
  y += static_cast<long>(group.z) * R;
  int sg = static_cast<int>(simdgroup);
  int row = static_cast<int>(group.x) * 4;
  int k = static_cast<int>(lane) * 4;
  int step = 128;
  if (share) {
    k += sg * 128;
    step *= 8;
  } else {
    row = row * 8 + sg * 4;
  }
  const device W* rows[4];
  UNROLL for (int r = 0; r < 4; r++) {
    rows[r] = w + static_cast<long>(min(row + r, R - 1)) * ld[0];
  }
  long xs = x_packed ? 1 : ld[1];
  float acc[4] = {0.0f, 0.0f, 0.0f, 0.0f};
  for (; k + 4 <= K; k += step) {
    float v[4];
    UNROLL for (int i = 0; i < 4; i++) {
      v[i] = static_cast<float>(x_packed ? x[k + i] : x[(k + i) * xs]);
    }
    UNROLL for (int r = 0; r < 4; r++) {
      const device W* p = rows[r] + k;
      UNROLL for (int i = 0; i < 4; i++) {
        acc[r] = fma(static_cast<float>(p[i]), v[i], acc[r]);
      }
    }
  }
  for (int end = min(K, k + 4); k < end; k++) {
    float v = static_cast<float>(x[k * xs]);
    UNROLL for (int r = 0; r < 4; r++) {
      acc[r] = fma(static_cast<float>(rows[r][k]), v, acc[r]);
    }
  }
  UNROLL for (int r = 0; r < 4; r++) {
    acc[r] = simd_sum(acc[r]);
  }
  if (!share) {
    if (lane == 0) {
      UNROLL for (int r = 0; r < 4; r++) {
        if (row + r < R) {
          y[row + r] = static_cast<Y>(acc[r]);
        }
      }
    }
    return;
  }
  if (lane == 0) {
    UNROLL for (int r = 0; r < 4; r++) {
      sums[sg * 4 + r] = acc[r];
    }
  }
  threadgroup_barrier(mem_flags::mem_threadgroup);
  int r = static_cast<int>(thread_index);
  if (r < 4 && row + r < R) {
    float sum = 0.0f;
    for (int i = 0; i < 8; i++) {
      sum += sums[i * 4 + r];
    }
    y[row + r] = static_cast<Y>(sum);
  }
}

// gemv_columns is gemv for w whose columns lie without gaps, ld apart. A threadgroup takes
// 32 rows: 8 lanes of a simdgroup have 4 of them each, for 4 of K at a time.
template <typename W, typename X, typename Y>
[[kernel, max_total_threads_per_threadgroup(256)]] void gemv_columns(
    const device W* w [[buffer(0)]],
    const device X* x [[buffer(1)]],
    device Y* y [[buffer(2)]],
    constant int* sizes [[buffer(3)]],
    constant long* ld [[buffer(4)]],
    constant int* w_shape [[buffer(5)]],
    constant long* w_strides [[buffer(6)]],
    constant int* x_shape [[buffer(7)]],
    constant long* x_strides [[buffer(8)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint simdgroup [[simdgroup_index_in_threadgroup]],
    uint lane [[thread_index_in_simdgroup]]) {
  threadgroup float sums[8 * 32];
  int R = sizes[0];
  int K = sizes[1];
  w += batch_offset(group.z, w_shape, w_strides, sizes[3]);
  x += batch_offset(group.z, x_shape, x_strides, sizes[4]);
  y += static_cast<long>(group.z) * R;
  int col = static_cast<int>(lane % 8) * 4;
  int row = static_cast<int>(group.x) * 32 + col;
  float acc[4] = {0.0f, 0.0f, 0.0f, 0.0f};
  for (int k = static_cast<int>(simdgroup * 4 + lane / 8); k < K; k += 32) {
    float v = static_cast<float>(x[k * ld[1]]);
    const device W* p = w + k * ld[0] + row;
    if (row + 4 <= R) {
      UNROLL for (int i = 0; i < 4; i++) {
        acc[i] = fma(static_cast<float>(p[i]), v, acc[i]);
      }
    } else {
      UNROLL for (int i = 0; i < 4; i++) {
        if (row + i < R) {
          acc[i] = fma(static_cast<float>(p[i]), v, acc[i]);
        }
      }
    }
  }
  UNROLL for (int i = 0; i < 4; i++) {
    acc[i] += simd_shuffle_xor(acc[i], 8);
    acc[i] += simd_shuffle_xor(acc[i], 16);
  }
  if (lane < 8) {
    UNROLL for (int i = 0; i < 4; i++) {
      sums[static_cast<int>(simdgroup) * 32 + col + i] = acc[i];
    }
  }
  threadgroup_barrier(mem_flags::mem_threadgroup);
  int r = static_cast<int>(thread_index);
  row = static_cast<int>(group.x) * 32 + r;
  if (r < 32 && row < R) {
    float sum = 0.0f;
    for (int i = 0; i < 8; i++) {
      sum += sums[i * 32 + r];
    }
    y[row] = static_cast<Y>(sum);
  }
}

// product_zero is a product over no elements.
template <typename Y>
[[kernel]] void product_zero(device Y* y [[buffer(0)]], uint i [[thread_position_in_grid]]) {
  y[i] = static_cast<Y>(0);
}

template <typename T>
METAL_FUNC float2 complex_of(T x) { return float2(static_cast<float>(x), 0.0f); }
template <>
METAL_FUNC float2 complex_of<float2>(float2 x) { return x; }

// gemm_complex is the product of complex64 matrices, an element a thread. Steps of rows
// and columns are ld[0], ld[1] for a and ld[2], ld[3] for b.
template <typename A, typename B>
[[kernel]] void gemm_complex(
    const device A* a [[buffer(0)]],
    const device B* b [[buffer(1)]],
    device float2* y [[buffer(2)]],
    constant int* sizes [[buffer(3)]],
    constant long* ld [[buffer(4)]],
    constant int* a_shape [[buffer(5)]],
    constant long* a_strides [[buffer(6)]],
    constant int* b_shape [[buffer(7)]],
    constant long* b_strides [[buffer(8)]],
    uint3 at [[thread_position_in_grid]]) {
  int M = sizes[0];
  int N = sizes[1];
  a += batch_offset(at.z, a_shape, a_strides, sizes[5]) + static_cast<long>(at.y) * ld[0];
  b += batch_offset(at.z, b_shape, b_strides, sizes[6]) + static_cast<long>(at.x) * ld[3];
  float2 sum = float2(0.0f, 0.0f);
  for (int k = 0; k < sizes[2]; k++) {
    float2 p = complex_of<A>(a[k * ld[1]]);
    float2 q = complex_of<B>(b[k * ld[2]]);
    sum.x = fma(p.x, q.x, fma(-p.y, q.y, sum.x));
    sum.y = fma(p.x, q.y, fma(p.y, q.x, sum.y));
  }
  y[(static_cast<long>(at.z) * M + at.y) * N + at.x] = sum;
}
