// Products on tiles: fragments of 8x8 elements in the registers of a simdgroup, two a lane,
// and tiles in threadgroup memory. Sums are float.
#include <metal_simdgroup_matrix>
#include "common.h"
#include "unroll.h"

// A lane holds the elements (row, col) and (row, col + 1) of a fragment.
METAL_FUNC int fragment_row(uint lane) { return static_cast<int>((lane >> 2 & 4) + (lane >> 1 & 3)); }
METAL_FUNC int fragment_col(uint lane) { return static_cast<int>((lane >> 2 & 2) * 2 + (lane & 1) * 2); }

// fragment_mma is a · b + c.
METAL_FUNC float2 fragment_mma(float2 a, float2 b, float2 c) {
  simdgroup_matrix<float, 8, 8> x;
  simdgroup_matrix<float, 8, 8> y;
  simdgroup_matrix<float, 8, 8> z;
  x.thread_elements()[0] = a.x;
  x.thread_elements()[1] = a.y;
  y.thread_elements()[0] = b.x;
  y.thread_elements()[1] = b.y;
  z.thread_elements()[0] = c.x;
  z.thread_elements()[1] = c.y;
  simdgroup_multiply_accumulate(z, x, y, z);
  return float2(z.thread_elements()[0], z.thread_elements()[1]);
}

// tile_mma adds the product of TM x K/8 fragments of as and K/8 x TN of bs. The pointers
// are those of this lane's first element; rs and cs are the steps of a row and a column.
template <typename A, typename B, int TM, int TN, int K>
METAL_FUNC void tile_mma(
    thread float2* acc,
    const threadgroup A* as, int ars, int acs,
    const threadgroup B* bs, int brs, int bcs) {
  UNROLL for (int k = 0; k < K; k += 8) {
    float2 a[TM];
    float2 b[TN];
    UNROLL for (int i = 0; i < TM; i++) {
      const threadgroup A* p = as + 8 * i * ars + k * acs;
      a[i] = float2(static_cast<float>(p[0]), static_cast<float>(p[acs]));
    }
    UNROLL for (int j = 0; j < TN; j++) {
      const threadgroup B* p = bs + k * brs + 8 * j * bcs;
      b[j] = float2(static_cast<float>(p[0]), static_cast<float>(p[bcs]));
    }
    simdgroup_barrier(mem_flags::mem_none);
    UNROLL for (int i = 0; i < TM; i++) {
      UNROLL for (int j = 0; j < TN; j++) {
        acc[i * TN + j] = fragment_mma(a[i], b[j], acc[i * TN + j]);
      }
    }
  }
}

// tile_load fills ROWS x COLS elements from src, whose rows are ld apart; what is past the
// rows and cols that are there is 0.
template <typename T, int ROWS, int COLS, int LD, int THREADS>
METAL_FUNC void tile_load(
    threadgroup T* dst, const device T* src, long ld, int rows, int cols, int thread_index) {
  constexpr int all = ROWS * COLS / THREADS;
  constexpr int run = all < 8 ? all : 8; // neighbours for one thread
  constexpr int per_row = COLS / run;
  int col = thread_index % per_row * run;
  bool whole = rows >= ROWS && cols >= COLS;
  for (int row = thread_index / per_row; row < ROWS; row += THREADS / per_row) {
    threadgroup T* d = dst + row * LD + col;
    const device T* s = src + static_cast<long>(row) * ld + col;
    if (whole) {
      UNROLL for (int i = 0; i < run; i++) {
        d[i] = s[i];
      }
    } else {
      UNROLL for (int i = 0; i < run; i++) {
        d[i] = row < rows && col + i < cols ? s[i] : static_cast<T>(0);
      }
    }
  }
}

// tile_store writes the fragments of one simdgroup at row-major y, whose first rows x cols
// elements exist; y is that of this lane's first element.
template <typename Y, int TM, int TN>
METAL_FUNC void tile_store(device Y* y, const thread float2* acc, long ld, int rows, int cols) {
  UNROLL for (int i = 0; i < TM; i++) {
    device Y* p = y + static_cast<long>(8 * i) * ld;
    UNROLL for (int j = 0; j < TN; j++) {
      if (8 * i < rows && 8 * j < cols) {
        p[8 * j] = static_cast<Y>(acc[i * TN + j].x);
      }
      if (8 * i < rows && 8 * j + 1 < cols) {
        p[8 * j + 1] = static_cast<Y>(acc[i * TN + j].y);
      }
    }
  }
}
