// Fourier transforms of rows in threadgroup memory: Stockham's passes, which need no reordering.
#include "common.h"
#include "unroll.h"

METAL_FUNC float2 fft_times(float2 a, float2 b) {
  return float2(fma(a.x, b.x, -(a.y * b.y)), fma(a.x, b.y, a.y * b.x));
}

METAL_FUNC float2 fft_conjugate(float2 z) { return float2(z.x, -z.y); }

// fft_turned is -i z.
METAL_FUNC float2 fft_turned(float2 z) { return float2(z.y, -z.x); }

// fft_turn is exp(-2 pi i t/length), from a table of the first 64 of them and of every 64th.
METAL_FUNC float2 fft_turn(constant float2* turns, uint t) {
  float2 low = turns[t % 64];
  return t < 64 ? low : fft_times(low, turns[64 + t / 64]);
}

METAL_FUNC void fft_four(thread float2* a, thread float2* b, thread float2* c, thread float2* d) {
  float2 p = *a + *c;
  float2 q = *a - *c;
  float2 r = *b + *d;
  float2 s = fft_turned(*b - *d);
  *a = p + r;
  *b = q + s;
  *c = p - r;
  *d = q - s;
}

// fft_small transforms R numbers. root is how far in the table exp(-2 pi i/R) is.
template <int R>
METAL_FUNC void fft_small(thread float2* v, constant float2* turns, uint root) {
  if constexpr (R == 2) {
    float2 a = v[0];
    v[0] = a + v[1];
    v[1] = a - v[1];
  } else if constexpr (R == 4) {
    fft_four(&v[0], &v[1], &v[2], &v[3]);
  } else if constexpr (R == 8) {
    const float half_root = 0.70710678118654752f;
    fft_four(&v[0], &v[2], &v[4], &v[6]);
    fft_four(&v[1], &v[3], &v[5], &v[7]);
    float2 a = v[1];
    float2 b = half_root * (v[3] + fft_turned(v[3]));
    float2 c = fft_turned(v[5]);
    float2 d = half_root * (fft_turned(v[7]) - v[7]);
    float2 e0 = v[0];
    float2 e1 = v[2];
    float2 e2 = v[4];
    float2 e3 = v[6];
    v[0] = e0 + a;
    v[1] = e1 + b;
    v[2] = e2 + c;
    v[3] = e3 + d;
    v[4] = e0 - a;
    v[5] = e1 - b;
    v[6] = e2 - c;
    v[7] = e3 - d;
  } else { // odd: numbers k and R-k share sums and differences
    constexpr int pairs = R / 2;
    float2 sums[pairs + 1];
    float2 differences[pairs + 1];
    float2 turn[pairs + 1];
    float2 first = v[0];
    float2 total = first;
    UNROLL for (int j = 1; j <= pairs; j++) {
      sums[j] = v[j] + v[R - j];
      differences[j] = fft_turned(v[j] - v[R - j]);
      turn[j] = fft_turn(turns, root * static_cast<uint>(j));
      total += sums[j];
    }
    v[0] = total;
    UNROLL for (int k = 1; k <= pairs; k++) {
      float2 even = first;
      float2 uneven = float2(0.0f, 0.0f);
      UNROLL for (int j = 1; j <= pairs; j++) {
        constexpr int radix = R;
        int at = (j * k) % radix;
        float2 w = at <= pairs ? turn[at] : fft_conjugate(turn[radix - at]);
        even += w.x * sums[j];
        uneven -= w.y * differences[j];
      }
      v[k] = even + uneven;
      v[R - k] = even - uneven;
    }
  }
}

// fft_pass makes of each sequence of size numbers R of size/R, of all rows of length numbers in
// z; they are stride apart. All threads read before any writes.
template <int R>
METAL_FUNC void fft_pass(
    threadgroup float2* z, uint total, uint length, uint stride, constant float2* turns, uint turns_length,
    uint thread_id, uint threads) {
  constexpr int most = (8 + R - 1) / R; // of a thread, which has 8 numbers on average
  float2 v[most][R];
  uint part = length / R;
  uint count = total / R;
  UNROLL for (int c = 0; c < most; c++) {
    uint i = thread_id + static_cast<uint>(c) * threads;
    if (i < count) {
      uint from = i / part * length + i % part;
      UNROLL for (int j = 0; j < R; j++) {
        v[c][j] = z[from + static_cast<uint>(j) * part];
      }
    }
  }
  threadgroup_barrier(mem_flags::mem_threadgroup);
  UNROLL for (int c = 0; c < most; c++) {
    uint i = thread_id + static_cast<uint>(c) * threads;
    if (i < count) {
      uint k = i % part;
      uint p = k / stride;
      fft_small<R>(v[c], turns, turns_length / R);
      uint turn = p * (turns_length / length) * stride; // p/size of a whole one
      uint to = i / part * length + k % stride + R * p * stride;
      z[to] = v[c][0];
      UNROLL for (int j = 1; j < R; j++) {
        z[to + static_cast<uint>(j) * stride] = fft_times(v[c][j], fft_turn(turns, turn * static_cast<uint>(j)));
      }
    }
  }
  threadgroup_barrier(mem_flags::mem_threadgroup);
}

// What is transformed: complex numbers, real ones, or half of a spectrum.
constant constexpr int fft_complex = 0;
constant constexpr int fft_real = 1;

METAL_FUNC float2 fft_number(float2 z) { return z; }
METAL_FUNC float2 fft_number(float x) { return float2(x, 0.0f); }

// fft_half_number is number k of half a spectrum of n real numbers at x; if it is transposed,
// what stands for the real part of a term.
template <typename T>
METAL_FUNC float2 fft_half_number(const device T* x, long step, uint k, uint n, bool transposed) {
  float2 z = fft_number(x[static_cast<long>(k) * step]);
  bool single = k == 0 || 2 * k == n;
  if (transposed && !single) {
    z = 0.5f * fft_conjugate(z);
  }
  return single ? float2(z.x, 0.0f) : z;
}

// fft_load is number k of length that are transformed; those of an inverse transform are
// conjugated. n real numbers are pairs if n is even.
template <int kind, typename T>
METAL_FUNC float2 fft_load(
    const device T* x, long step, uint k, uint length, uint n, bool inverse, bool transposed, constant float2* turns) {
  if constexpr (kind == fft_complex) {
    float2 z = fft_number(x[static_cast<long>(k) * step]);
    return inverse ? fft_conjugate(z) : z;
  } else if constexpr (kind == fft_real) {
    if (length == n) {
      return fft_number(x[static_cast<long>(k) * step]);
    }
    return float2(fft_number(x[static_cast<long>(2 * k) * step]).x, fft_number(x[static_cast<long>(2 * k + 1) * step]).x);
  } else {
    if (length == n) {
      bool second = 2 * k > n;
      float2 z = fft_half_number(x, step, second ? n - k : k, n, transposed);
      return second ? z : fft_conjugate(z);
    }
    float2 a = fft_half_number(x, step, k, n, transposed);
    float2 b = fft_conjugate(fft_half_number(x, step, length - k, n, transposed));
    float2 d = fft_turned(fft_times(fft_conjugate(fft_turn(turns, k)), a - b));
    return fft_conjugate(a + b - d);
  }
}

// fft_split is number k of the spectrum of real numbers, of whose pairs z is the transform.
METAL_FUNC float2 fft_split(const threadgroup float2* z, uint k, uint length, constant float2* turns) {
  float2 a = z[k % length];
  float2 b = fft_conjugate(z[(length - k) % length]);
  float2 w = k == length ? float2(-1.0f, 0.0f) : fft_turn(turns, k); // the last one is real
  return 0.5f * (a + b + fft_turned(fft_times(w, a - b)));
}

// fft transforms rows of n numbers, as many in a threadgroup as it has memory for, by as
// many complex numbers, or half as many for real ones of even n. T and U are float2, or
// float for real numbers; odd says that there are odd radices.
template <int kind, typename T, typename U, int odd>
[[kernel, max_total_threads_per_threadgroup(512)]] void fft(
    const device T* in [[buffer(0)]],
    device U* out [[buffer(1)]],
    constant int& row_count [[buffer(2)]],
    constant int& rows_each [[buffer(3)]],
    constant int& n [[buffer(4)]],
    constant int& length [[buffer(5)]],
    constant int* radices [[buffer(6)]],
    constant int& passes [[buffer(7)]],
    constant float2* turns [[buffer(8)]],
    constant int& inverse [[buffer(9)]],
    constant int& transposed [[buffer(10)]],
    constant float& factor [[buffer(11)]],
    constant long& step [[buffer(12)]],
    constant int* shape [[buffer(13)]],
    constant long* strides [[buffer(14)]],
    constant int& ndim [[buffer(15)]],
    threadgroup float2* z [[threadgroup(0)]],
    uint group [[threadgroup_position_in_grid]],
    uint thread_id [[thread_position_in_threadgroup]],
    uint threads [[threads_per_threadgroup]]) {
  uint size = static_cast<uint>(length);
  uint real_size = static_cast<uint>(n);
  uint first_row = group * static_cast<uint>(rows_each);
  uint rows = min(static_cast<uint>(rows_each), static_cast<uint>(row_count) - first_row);
  uint total = rows * size;
  // Neighbours in memory are neighbours of a row, or of a column.
  bool columns = step != 1 && rows > 1;
  for (uint i = thread_id; i < total; i += threads) {
    uint row = columns ? i % rows : i / size;
    uint k = columns ? i / rows : i % size;
    const device T* x = in + strided_offset<4>(first_row + row, shape, strides, ndim);
    z[row * size + k] = fft_load<kind, T>(x, step, k, size, real_size, inverse != 0, transposed != 0, turns);
  }
  threadgroup_barrier(mem_flags::mem_threadgroup);

  uint turns_length = kind == fft_complex ? size : real_size;
  uint stride = 1;
  for (int p = 0; p < passes; p++) {
    int radix = radices[p];
    if (radix == 8) {
      fft_pass<8>(z, total, size, stride, turns, turns_length, thread_id, threads);
    } else if (radix == 4) {
      fft_pass<4>(z, total, size, stride, turns, turns_length, thread_id, threads);
    } else if (radix == 2) {
      fft_pass<2>(z, total, size, stride, turns, turns_length, thread_id, threads);
    }
    if constexpr (odd != 0) {
      if (radix == 3) {
        fft_pass<3>(z, total, size, stride, turns, turns_length, thread_id, threads);
      } else if (radix == 5) {
        fft_pass<5>(z, total, size, stride, turns, turns_length, thread_id, threads);
      } else if (radix == 7) {
        fft_pass<7>(z, total, size, stride, turns, turns_length, thread_id, threads);
      } else if (radix == 11) {
        fft_pass<11>(z, total, size, stride, turns, turns_length, thread_id, threads);
      } else if (radix == 13) {
        fft_pass<13>(z, total, size, stride, turns, turns_length, thread_id, threads);
      }
    }
    stride *= static_cast<uint>(radix);
  }

  uint results = kind == fft_real ? real_size / 2 + 1 : size;
  for (uint i = thread_id; i < rows * results; i += threads) {
    uint row = i / results;
    uint k = i % results;
    const threadgroup float2* own = z + row * size;
    ulong to = static_cast<ulong>(first_row + row);
    if constexpr (kind == fft_complex) {
      float2 y = own[k];
      out[to * size + k] = factor * (inverse != 0 ? fft_conjugate(y) : y);
    } else if constexpr (kind == fft_real) {
      float2 y = factor * (size == real_size ? own[k] : fft_split(own, k, size, turns));
      if (transposed != 0) {
        y = (k == 0 || 2 * k == real_size ? 1.0f : 2.0f) * fft_conjugate(y);
      }
      out[to * results + k] = y;
    } else if (size == real_size) {
      out[to * size + k] = factor * own[k].x;
    } else {
      out[to * real_size + 2 * k] = factor * own[k].x;
      out[to * real_size + 2 * k + 1] = -factor * own[k].y;
    }
  }
}
