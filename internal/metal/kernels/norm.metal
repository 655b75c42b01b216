// RMSNorm and LayerNorm over the last axis, and their derivative. A threadgroup takes a
// row; each thread keeps its first four elements in registers and reads the others of a
// long row again.
#include "fold.h"

// load_four reads elements [at, at+4) of a row of size; what lies behind is 0.
template <typename T>
METAL_FUNC void load_four(thread float* v, const device T* x, uint at, uint size) {
  if (at + 4 <= size) {
    for (uint i = 0; i < 4; i++) {
      v[i] = static_cast<float>(x[at + i]);
    }
    return;
  }
  for (uint i = 0; i < 4; i++) {
    v[i] = at + i < size ? static_cast<float>(x[at + i]) : 0.0f;
  }
}

// x has type T, the weight W, the bias B and the result U. The normalized value is
// rounded to T.
template <typename T, typename W, typename U>
[[kernel]] void rms_norm(
    const device T* in [[buffer(0)]],
    const device W* weight [[buffer(1)]],
    device U* out [[buffer(2)]],
    constant int& row_size [[buffer(3)]],
    constant int& weighted [[buffer(4)]],
    constant float& eps [[buffer(5)]],
    constant float& offset [[buffer(6)]],
    constant int* shape [[buffer(7)]],
    constant long* strides [[buffer(8)]],
    constant int& ndim [[buffer(9)]],
    uint row [[threadgroup_position_in_grid]],
    uint thread_id [[thread_position_in_threadgroup]],
    uint threads [[threads_per_threadgroup]],
    uint lane [[thread_index_in_simdgroup]],
    uint simd [[simdgroup_index_in_threadgroup]],
    uint simds [[simdgroups_per_threadgroup]]) {
  threadgroup float shared[32];
  const device T* x = in + strided_offset<4>(row, shape, strides, ndim);
  uint size = static_cast<uint>(row_size);
  device U* y = out + static_cast<ulong>(row) * size;

  float first[4];
  load_four(first, x, thread_id * 4, size);
  float sum = 0;
  for (uint i = 0; i < 4; i++) {
    sum += first[i] * first[i];
  }
  float v[4];
  for (uint at = (thread_id + threads) * 4; at < size; at += threads * 4) {
    load_four(v, x, at, size);
    for (uint i = 0; i < 4; i++) {
      sum += v[i] * v[i];
    }
  }
  sum = group_sum(sum, shared, lane, simd, simds);
  float scale = rsqrt(sum / size + eps);

  for (uint at = thread_id * 4; at < size; at += threads * 4) {
    for (uint i = 0; i < 4 && at + i < size; i++) {
      float e = at == thread_id * 4 ? first[i] : static_cast<float>(x[at + i]);
      float n = static_cast<float>(static_cast<T>(e * scale));
      if (weighted) {
        n *= static_cast<float>(weight[at + i]) + offset;
      }
      y[at + i] = static_cast<U>(n);
    }
  }
}

// As rms_norm; the product with the weight is rounded to T, too.
template <typename T, typename W, typename B, typename U>
[[kernel]] void layer_norm(
    const device T* in [[buffer(0)]],
    const device W* weight [[buffer(1)]],
    const device B* bias [[buffer(2)]],
    device U* out [[buffer(3)]],
    constant int& row_size [[buffer(4)]],
    constant int& weighted [[buffer(5)]],
    constant int& biased [[buffer(6)]],
    constant float& eps [[buffer(7)]],
    constant float& offset [[buffer(8)]],
    constant int* shape [[buffer(9)]],
    constant long* strides [[buffer(10)]],
    constant int& ndim [[buffer(11)]],
    uint row [[threadgroup_position_in_grid]],
    uint thread_id [[thread_position_in_threadgroup]],
    uint threads [[threads_per_threadgroup]],
    uint lane [[thread_index_in_simdgroup]],
    uint simd [[simdgroup_index_in_threadgroup]],
    uint simds [[simdgroups_per_threadgroup]]) {
  threadgroup float shared[32];
  const device T* x = in + strided_offset<4>(row, shape, strides, ndim);
  uint size = static_cast<uint>(row_size);
  device U* y = out + static_cast<ulong>(row) * size;

  float first[4];
  float v[4];
  load_four(first, x, thread_id * 4, size);
  float sum = first[0] + first[1] + first[2] + first[3];
  for (uint at = (thread_id + threads) * 4; at < size; at += threads * 4) {
    load_four(v, x, at, size);
    sum += v[0] + v[1] + v[2] + v[3];
  }
  float mean = group_sum(sum, shared, lane, simd, simds) / size;

  float square = 0;
  for (uint at = thread_id * 4; at < size; at += threads * 4) {
    for (uint i = 0; i < 4 && at + i < size; i++) {
      float e = at == thread_id * 4 ? first[i] : static_cast<float>(x[at + i]);
      square += (e - mean) * (e - mean);
    }
  }
  square = group_sum(square, shared, lane, simd, simds);
  float scale = rsqrt(square / size + eps);

  for (uint at = thread_id * 4; at < size; at += threads * 4) {
    for (uint i = 0; i < 4 && at + i < size; i++) {
      float e = at == thread_id * 4 ? first[i] : static_cast<float>(x[at + i]);
      float n = static_cast<float>(static_cast<T>((e - mean) * scale));
      if (weighted) {
        n = static_cast<float>(static_cast<T>(n * (static_cast<float>(weight[at + i]) + offset)));
      }
      if (biased) {
        n += static_cast<float>(bias[at + i]);
      }
      y[at + i] = static_cast<U>(n);
    }
  }
}

// A norm_block is what norm_vjp needs to know: which rows, and which norm.
struct norm_block {
  int size;     // of a row
  int rows;     // of all
  int blocks;   // a threadgroup takes the rows of one
  int layer;    // a LayerNorm: the mean is taken out
  int weighted;
  int biased;
  float eps;
  float offset; // of the weight
};

// norm_vjp writes the cotangent of x, and for each block of rows the sums of those of
// the weight and the bias: [blocks, size]. A thread meets the same columns in every row.
template <typename T, typename W, typename C>
[[kernel]] void norm_vjp(
    const device T* in [[buffer(0)]],
    const device W* weight [[buffer(1)]],
    const device C* cotangent [[buffer(2)]],
    device T* out [[buffer(3)]],
    device float* weight_sums [[buffer(4)]],
    device float* bias_sums [[buffer(5)]],
    constant norm_block& p [[buffer(6)]],
    constant int* x_shape [[buffer(7)]],
    constant long* x_strides [[buffer(8)]],
    constant int& x_ndim [[buffer(9)]],
    constant int* c_shape [[buffer(10)]],
    constant long* c_strides [[buffer(11)]],
    constant int& c_ndim [[buffer(12)]],
    uint block [[threadgroup_position_in_grid]],
    uint thread_id [[thread_position_in_threadgroup]],
    uint threads [[threads_per_threadgroup]],
    uint lane [[thread_index_in_simdgroup]],
    uint simd [[simdgroup_index_in_threadgroup]],
    uint simds [[simdgroups_per_threadgroup]]) {
  threadgroup float shared[32];
  uint size = static_cast<uint>(p.size);
  uint from = static_cast<uint>(static_cast<ulong>(p.rows) * block / static_cast<uint>(p.blocks));
  uint to = static_cast<uint>(static_cast<ulong>(p.rows) * (block + 1) / static_cast<uint>(p.blocks));
  device float* dw = weight_sums + static_cast<ulong>(block) * size;
  device float* db = bias_sums + static_cast<ulong>(block) * size;
  float n = static_cast<float>(size);

  for (uint row = from; row < to; row++) {
    const device T* x = in + strided_offset<4>(row, x_shape, x_strides, x_ndim);
    const device C* c = cotangent + strided_offset<4>(row, c_shape, c_strides, c_ndim);
    device T* y = out + static_cast<ulong>(row) * size;

    float mean = 0;
    if (p.layer) {
      for (uint i = thread_id; i < size; i += threads) {
        mean += static_cast<float>(x[i]);
      }
      mean = group_sum(mean, shared, lane, simd, simds) / n;
    }
    float square = 0;
    float total = 0; // of g, the cotangent times the weight
    float along = 0; // of g times x without its mean
    for (uint i = thread_id; i < size; i += threads) {
      float d = static_cast<float>(x[i]) - mean;
      float g = static_cast<float>(c[i]);
      if (p.weighted) {
        g *= static_cast<float>(weight[i]) + p.offset;
      }
      square += d * d;
      total += g;
      along += g * d;
    }
    square = group_sum(square, shared, lane, simd, simds);
    along = group_sum(along, shared, lane, simd, simds);
    if (p.layer) {
      total = group_sum(total, shared, lane, simd, simds) / n;
    } else {
      total = 0;
    }
    float scale = rsqrt(square / n + p.eps);
    along = along / n * scale * scale;
    for (uint i = thread_id; i < size; i += threads) {
      float d = static_cast<float>(x[i]) - mean;
      float g = static_cast<float>(c[i]);
      float u = g * d * scale;
      if (p.weighted) {
        dw[i] = row == from ? u : dw[i] + u;
      }
      if (p.biased) {
        db[i] = row == from ? g : db[i] + g;
      }
      if (p.weighted) {
        g *= static_cast<float>(weight[i]) + p.offset;
      }
      y[i] = static_cast<T>(scale * (g - total - d * along));
    }
  }
}
