#include "common.h"
#include "codes.h"

// Packing of matrices, a group a simdgroup, as MLX's quantizers do it, bit for bit: that of
// its Metal kernels if rounding is 0, that of its CPU if it is 1. sizes are the number of
// groups, their size, the bits of a code and the rounding.

constant constexpr int per_threadgroup = 8; // groups

// pack writes the codes of a group, of which this lane has every 32nd.
METAL_FUNC void pack(
    device uint* words, threadgroup uchar* shared, const thread uint* codes, int size, int bits, int lane) {
  UNROLL for (int j = 0; j < 4; j++) {
    if (lane + 32 * j < size) {
      shared[lane + 32 * j] = static_cast<uchar>(codes[j]);
    }
  }
  simdgroup_barrier(mem_flags::mem_threadgroup);
  if (lane < size * bits / 32) {
    int c = lane * 32 / bits;
    int have = bits - (lane * 32 - c * bits);
    uint word = static_cast<uint>(shared[c]) >> (bits - have);
    for (; have < 32; have += bits) {
      c++;
      word |= static_cast<uint>(shared[c]) << have;
    }
    words[lane] = word;
  }
}

// quantize_affine finds scale and bias such that the edge of larger magnitude is code 0
// and zero lies on a code.
template <typename T>
[[kernel, max_total_threads_per_threadgroup(256)]] void quantize_affine(
    const device T* x [[buffer(0)]],
    device uint* words [[buffer(1)]],
    device T* scales [[buffer(2)]],
    device T* biases [[buffer(3)]],
    constant int* sizes [[buffer(4)]],
    uint group [[threadgroup_position_in_grid]],
    uint simdgroup [[simdgroup_index_in_threadgroup]],
    uint lane_index [[thread_index_in_simdgroup]]) {
  threadgroup uchar shared[per_threadgroup * 128];
  long g = static_cast<long>(group) * per_threadgroup + static_cast<long>(simdgroup);
  if (g >= sizes[0]) {
    return;
  }
  int size = sizes[1];
  int bits = sizes[2];
  bool away = sizes[3] == 0; // halves go away from zero, as on the GPU
  int lane = static_cast<int>(lane_index);
  float v[4];
  float hi = -INFINITY;
  float lo = INFINITY;
  UNROLL for (int j = 0; j < 4; j++) {
    v[j] = 0.0f;
    if (lane + 32 * j < size) {
      v[j] = static_cast<float>(x[g * size + lane + 32 * j]);
      hi = max(hi, v[j]);
      lo = min(lo, v[j]);
    }
  }
  hi = simd_max(hi);
  lo = simd_min(lo);
  if (away) {
    hi = max(hi, 0.0f);
  }
  float n = static_cast<float>((1 << bits) - 1);
  float s = max((hi - lo) / n, 1e-7f);
  float edge = lo;
  if (!(fabs(lo) > fabs(hi))) {
    s = -s;
    edge = hi;
  }
  float bias = 0.0f;
  float q0 = away ? round(edge / s) : rint(edge / s);
  if (q0 != 0.0f) {
    s = edge / q0;
    bias = edge;
  }
  uint codes[4];
  UNROLL for (int j = 0; j < 4; j++) {
    float q = (v[j] - bias) / s;
    codes[j] = 0; // also for NaN
    if (q > n) {
      codes[j] = static_cast<uint>(n);
    } else if (q > 0.0f) {
      codes[j] = static_cast<uint>(away ? round(q) : rint(q));
    }
  }
  pack(words + g * (size * bits / 32), shared + simdgroup * 128, codes, size, bits, lane);
  if (lane == 0) {
    scales[g] = static_cast<T>(s);
    biases[g] = static_cast<T>(bias);
  }
}

// to_e4m3 rounds to e4m3, ties to even, at most 448; NaN is the largest, too.
METAL_FUNC uint to_e4m3(float f) {
  uint u = as_type<uint>(f);
  uint sign = u >> 24 & 0x80u;
  u &= 0x7fffffffu;
  if (u >= 543u << 21) {
    return sign | 0x7eu;
  }
  if (u < 121u << 23) { // subnormal: a sum with 2^14 rounds to units of 2^-9
    float d = as_type<float>(u) + as_type<float>(141u << 23);
    return sign | (as_type<uint>(d) - (141u << 23));
  }
  u += 0x7ffffu + (u >> 20 & 1u);
  return sign | (u - (120u << 23)) >> 20;
}

// to_e2m1 rounds to e2m1, ties to even; NaN is the largest magnitude.
METAL_FUNC uint to_e2m1(float f) {
  uint u = as_type<uint>(f);
  uint sign = u >> 28 & 8u;
  float a = fabs(f);
  if (!(a <= 5.0f)) {
    return sign | 7u;
  }
  uint c = a >= 3.5f ? 6u : a > 2.5f ? 5u : a >= 1.75f ? 4u : a > 1.25f ? 3u : a >= 0.75f ? 2u : a > 0.25f ? 1u : 0u;
  return sign | c;
}

// nearest_e2m1 is the first code of the smallest difference, which is rounded to T.
template <typename T>
METAL_FUNC uint nearest_e2m1(float f) {
  float best = INFINITY;
  uint code = 0;
  for (uint c = 0; c < 16; c++) {
    float d = fabs(static_cast<float>(static_cast<T>(f - code_value<1>(c))));
    if (d < best) {
      best = d;
      code = c;
    }
  }
  return code;
}

// e8m0 is the code of 2^n, the scale that s became.
METAL_FUNC uint e8m0(float n, float s) {
  if (isnan(s) || isinf(s)) {
    return 255;
  }
  return static_cast<uint>(static_cast<int>(clamp(n, -127.0f, 127.0f)) + 127);
}

// nearest_e8m0 takes the nearest exponent, ties away from zero. Between exponents the root
// of 2 decides; the logarithm is only for what is close to it, or no normal number.
METAL_FUNC uint nearest_e8m0(float s) {
  constexpr uint root2 = 0x3504f3u;
  constexpr uint close = 1u << 10;
  uint u = as_type<uint>(s);
  uint e = u >> 23;
  uint m = u & 0x7fffffu;
  if (0 < e && e < 255 && (m < root2 - close || m > root2 + close)) {
    return min(m > root2 ? e + 1 : e, 254u);
  }
  return e8m0(round(log2(s)), s);
}

// quantize_fp packs in mode MODE.
template <typename T, int MODE>
[[kernel, max_total_threads_per_threadgroup(256)]] void quantize_fp(
    const device T* x [[buffer(0)]],
    device uint* words [[buffer(1)]],
    device uchar* scales [[buffer(2)]],
    constant int* sizes [[buffer(3)]],
    uint group [[threadgroup_position_in_grid]],
    uint simdgroup [[simdgroup_index_in_threadgroup]],
    uint lane_index [[thread_index_in_simdgroup]]) {
  threadgroup uchar shared[per_threadgroup * 128];
  long g = static_cast<long>(group) * per_threadgroup + static_cast<long>(simdgroup);
  if (g >= sizes[0]) {
    return;
  }
  constexpr float largest = MODE == 2 ? 448.0f : 6.0f;
  int size = sizes[1];
  bool kernels = sizes[3] == 0;
  int lane = static_cast<int>(lane_index);
  float v = lane < size ? static_cast<float>(x[g * size + lane]) : 0.0f;
  bool none = isnan(v);
  float m = simd_max(none ? 0.0f : fabs(v));
  float s = (simd_any(none) ? NAN : m) / largest;
  uint code = 0;
  uint scale = 0;
  if (kernels) { // in float, with a reciprocal of the scale
    if constexpr (MODE == 3) {
      scale = to_e4m3(s);
    } else {
      scale = s == 0.0f ? 0u : nearest_e8m0(s);
    }
    float d = MODE != 3 && s == 0.0f ? 0.0f : scale_value<uchar, MODE>(static_cast<uchar>(scale));
    v *= d == 0.0f ? 0.0f : 1.0f / d;
    code = MODE == 2 ? to_e4m3(v) : to_e2m1(v);
  } else { // each step is rounded to T
    s = static_cast<float>(static_cast<T>(s));
    if constexpr (MODE == 3) {
      scale = to_e4m3(s);
    } else {
      scale = e8m0(s == 0.0f ? 0.0f : rint(static_cast<float>(static_cast<T>(log2(s)))), s);
    }
    float d = scale_value<uchar, MODE>(static_cast<uchar>(scale));
    v = static_cast<float>(static_cast<T>(v / static_cast<float>(static_cast<T>(d))));
    code = MODE == 2 ? to_e4m3(v) : nearest_e2m1<T>(v);
  }
  uint codes[4] = {code, 0, 0, 0};
  constexpr int bits = MODE == 2 ? 8 : 4;
  pack(words + g * (size * bits / 32), shared + simdgroup * 128, codes, size, bits, lane);
  if (lane == 0) {
    scales[g] = static_cast<uchar>(scale);
  }
}
