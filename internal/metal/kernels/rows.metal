// Softmax and its kin: a threadgroup takes a row. Each thread keeps its first four
// elements in registers; of rows longer than four times the threadgroup it reads the
// others again.
#include "fold.h"

// A partial is the maximum of some elements and the sum of exp(v - maximum).
struct partial {
  float top;
  float sum;
};

// gather_four adds elements [at, at+4) of a row of size to p and keeps them in v.
template <typename T>
METAL_FUNC void gather_four(thread partial& p, thread float* v, const device T* x, uint at, uint size) {
  float top = p.top;
  for (uint i = 0; i < 4; i++) {
    v[i] = at + i < size ? static_cast<float>(x[at + i]) : -INFINITY;
    top = fmax(top, v[i]); // of a NaN and a number, the number
  }
  float base = top == -INFINITY ? 0.0f : top; // of no element, or of such that count nothing
  float sum = 0;
  for (uint i = 0; i < 4; i++) {
    sum += exp(v[i] - base);
  }
  p.sum = p.sum * exp(p.top - base) + sum;
  p.top = top;
}

template <typename T>
[[kernel]] void softmax(
    const device T* in [[buffer(0)]],
    device T* out [[buffer(1)]],
    constant int& row_size [[buffer(2)]],
    constant int* shape [[buffer(3)]],
    constant long* strides [[buffer(4)]],
    constant int& ndim [[buffer(5)]],
    uint row [[threadgroup_position_in_grid]],
    uint thread_id [[thread_position_in_threadgroup]],
    uint threads [[threads_per_threadgroup]],
    uint lane [[thread_index_in_simdgroup]],
    uint simd [[simdgroup_index_in_threadgroup]],
    uint simds [[simdgroups_per_threadgroup]]) {
  threadgroup float shared[32];
  const device T* x = in + strided_offset<4>(row, shape, strides, ndim);
  uint size = static_cast<uint>(row_size);
  device T* y = out + static_cast<ulong>(row) * size;

  float v[4];
  float w[4];
  partial p = {-INFINITY, 0.0f};
  gather_four(p, v, x, thread_id * 4, size);
  for (uint at = (thread_id + threads) * 4; at < size; at += threads * 4) {
    gather_four(p, w, x, at, size);
  }
  float top = group_fold<Max<float>>(p.top, shared, lane, simd, simds);
  float part = p.sum == 0 ? 0.0f : p.sum * exp(p.top - top);
  float scale = 1 / group_sum(part, shared, lane, simd, simds);

  for (uint at = thread_id * 4; at < size; at += threads * 4) {
    for (uint i = 0; i < 4 && at + i < size; i++) {
      float e = at == thread_id * 4 ? v[i] : static_cast<float>(x[at + i]);
      y[at + i] = static_cast<T>(exp(e - top) * scale);
    }
  }
}

template <typename T>
[[kernel]] void logsumexp(
    const device T* in [[buffer(0)]],
    device T* out [[buffer(1)]],
    constant int& row_size [[buffer(2)]],
    constant int* shape [[buffer(3)]],
    constant long* strides [[buffer(4)]],
    constant int& ndim [[buffer(5)]],
    uint row [[threadgroup_position_in_grid]],
    uint thread_id [[thread_position_in_threadgroup]],
    uint threads [[threads_per_threadgroup]],
    uint lane [[thread_index_in_simdgroup]],
    uint simd [[simdgroup_index_in_threadgroup]],
    uint simds [[simdgroups_per_threadgroup]]) {
  threadgroup float shared[32];
  const device T* x = in + strided_offset<4>(row, shape, strides, ndim);
  uint size = static_cast<uint>(row_size);

  float v[4];
  partial p = {-INFINITY, 0.0f};
  bool nan = false;
  for (uint at = thread_id * 4; at < size; at += threads * 4) {
    gather_four(p, v, x, at, size);
    nan = nan || v[0] != v[0] || v[1] != v[1] || v[2] != v[2] || v[3] != v[3];
  }
  float top = group_fold<Max<float>>(nan ? NAN : p.top, shared, lane, simd, simds);
  float part = p.sum == 0 ? 0.0f : p.sum * exp(p.top - top);
  float sum = group_sum(part, shared, lane, simd, simds);
  if (thread_id == 0) {
    bool finite = top - top == 0;
    out[row] = static_cast<T>(finite ? top + log(sum) : top);
  }
}
