#include "math.h"

constant constexpr uint threefry_turns[8] = {13u, 15u, 26u, 6u, 17u, 29u, 16u, 24u};

// threefry is Threefry-2x32 with 20 rounds, as MLX has it.
METAL_FUNC uint2 threefry(uint2 key, uint2 counter) {
  uint k[3] = {key.x, key.y, key.x ^ key.y ^ 0x1BD11BDAu};
  uint x = counter.x + k[0];
  uint y = counter.y + k[1];
  for (uint r = 0; r < 5u; r++) {
    for (uint j = 0; j < 4u; j++) {
      x += y;
      y = metal::rotate(y, threefry_turns[(r % 2u) * 4u + j]) ^ x;
    }
    x += k[(r + 1u) % 3u];
    y += k[(r + 2u) % 3u] + r + 1u;
  }
  return uint2(x, y);
}

// put_word stores word i; the last one may be cut to the bytes that there are.
METAL_FUNC void put_word(device uchar* out, uint i, uint word, ulong bytes) {
  ulong at = static_cast<ulong>(i) * 4ul;
  uint n = static_cast<uint>(metal::min(4ul, bytes - at));
  for (uint k = 0; k < n; k++) {
    out[at + k] = static_cast<uchar>(word >> (8u * k));
  }
}

// bits makes a block of two words a thread: word i and word blocks + i of the result,
// which has so many words; the middle one of an odd number has a block of its own.
[[kernel]] void bits(
    const device uint* key [[buffer(0)]],
    device uchar* out [[buffer(1)]],
    constant ulong& bytes [[buffer(2)]],
    constant uint& words [[buffer(3)]],
    uint i [[thread_position_in_grid]]) {
  uint blocks = words / 2u + words % 2u;
  bool paired = i < words / 2u;
  uint2 v = threefry(uint2(key[0], key[1]), uint2(i, paired ? blocks + i : 0u));
  put_word(out, i, v.x, bytes);
  if (paired) {
    put_word(out, blocks + i, v.y, bytes);
  }
}

// bits_words is bits for whole words.
[[kernel]] void bits_words(
    const device uint* key [[buffer(0)]],
    device uint* out [[buffer(1)]],
    constant uint& words [[buffer(2)]],
    uint i [[thread_position_in_grid]]) {
  uint blocks = words / 2u + words % 2u;
  bool paired = i < words / 2u;
  uint2 v = threefry(uint2(key[0], key[1]), uint2(i, paired ? blocks + i : 0u));
  out[i] = v.x;
  if (paired) {
    out[blocks + i] = v.y;
  }
}

// Sums of weights are pairs of floats, the second what the first has lost: the CPU sums
// in double precision.

METAL_FUNC float2 pair_add(float2 a, float2 b) {
  float s = a.x + b.x;
  float t = s - a.x;
  float lost = (a.x - (s - t)) + (b.x - t) + a.y + b.y;
  float r = s + lost;
  return float2(r, lost - (r - s));
}

METAL_FUNC bool pair_above(float2 a, float2 b) { return a.x > b.x || (a.x == b.x && a.y > b.y); }

// cdf_weight is exp(x - top); an infinite top takes all.
METAL_FUNC float cdf_weight(float x, float top) {
  if (metal::fabs(top) == INFINITY) {
    return x == top ? 1.0f : 0.0f;
  }
  return metal::precise::exp(x - top);
}

// The parts that a row is cut into, one a thread.
constant constexpr uint cdf_parts = 256;

// cdf_sums finds, for each row, its largest logit (top[row]) and the sums of the weights
// before each part and of all (sums[row][part]). A threadgroup has a row; steps are the
// strides of the rows' axes and, last, of the row's elements.
template <typename T>
[[kernel]] void cdf_sums(
    const device T* logits [[buffer(0)]],
    device float2* sums [[buffer(1)]],
    device float* tops [[buffer(2)]],
    constant int* shape [[buffer(3)]],
    constant long* steps [[buffer(4)]],
    constant int& ndim [[buffer(5)]],
    uint row [[threadgroup_position_in_grid]],
    uint part [[thread_position_in_threadgroup]],
    uint lane [[thread_index_in_simdgroup]],
    uint group [[simdgroup_index_in_threadgroup]]) {
  threadgroup float group_top[32];
  threadgroup float2 part_sum[cdf_parts];
  uint size = static_cast<uint>(shape[ndim - 1]);
  uint each = (size + cdf_parts - 1u) / cdf_parts;
  uint lo = metal::min(size, part * each);
  uint hi = metal::min(size, lo + each);
  const device T* x = logits + row_offset(row, shape, steps, ndim);
  long step = steps[ndim - 1];

  float top = -INFINITY;
  for (uint i = lo; i < hi; i++) {
    top = math_max(top, static_cast<float>(x[static_cast<long>(i) * step]));
  }
  bool odd = top != top;
  float high = metal::simd_max(odd ? INFINITY : top);
  odd = metal::simd_any(odd);
  if (lane == 0u) {
    group_top[group] = odd ? NAN : high;
  }
  metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
  top = group_top[0];
  for (uint g = 1; g < cdf_parts / 32u; g++) {
    top = math_max(top, group_top[g]);
  }

  float2 sum = float2(0.0f, 0.0f);
  for (uint i = lo; i < hi; i++) {
    sum = pair_add(sum, float2(cdf_weight(static_cast<float>(x[static_cast<long>(i) * step]), top), 0.0f));
  }
  part_sum[part] = sum;
  metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);
  float2 before = float2(0.0f, 0.0f);
  for (uint p = 0; p < part; p++) {
    before = pair_add(before, part_sum[p]);
  }
  device float2* to = sums + static_cast<ulong>(row) * (cdf_parts + 1u);
  to[part] = before;
  if (part == cdf_parts - 1u) {
    to[cdf_parts] = pair_add(before, sum);
    tops[row] = top;
  }
}

// cdf_sample finds the last index whose sum of weights before it does not pass u times the
// sum of all: its part by bisection, then one by one. NaN gives the last index.
template <typename T>
[[kernel]] void cdf_sample(
    const device T* logits [[buffer(0)]],
    const device float* uniforms [[buffer(1)]],
    device uint* out [[buffer(2)]],
    const device float2* sums [[buffer(3)]],
    const device float* tops [[buffer(4)]],
    constant int* shape [[buffer(5)]],
    constant long* steps [[buffer(6)]],
    constant int& ndim [[buffer(7)]],
    constant uint& draws [[buffer(8)]],
    uint i [[thread_position_in_grid]]) {
  uint row = i / draws;
  uint size = static_cast<uint>(shape[ndim - 1]);
  const device float2* before = sums + static_cast<ulong>(row) * (cdf_parts + 1u);
  float top = tops[row];
  float u = uniforms[i];
  float2 total = before[cdf_parts];
  float product = u * total.x;
  float2 target = pair_add(float2(product, metal::fma(u, total.x, -product)), float2(u * total.y, 0.0f));
  if (target.x != target.x) {
    out[i] = size - 1u;
    return;
  }
  uint low = 0;
  uint high = cdf_parts;
  while (high - low > 1u) {
    uint middle = (low + high) / 2u;
    if (pair_above(before[middle], target)) {
      high = middle;
    } else {
      low = middle;
    }
  }
  uint each = (size + cdf_parts - 1u) / cdf_parts;
  uint at = metal::min(low * each, size - 1u);
  uint end = metal::min(size, low * each + each);
  const device T* x = logits + row_offset(row, shape, steps, ndim);
  float2 sum = before[low];
  uint best = at;
  for (uint k = low * each; k < end; k++) {
    if (pair_above(sum, target)) {
      break;
    }
    best = k;
    sum = pair_add(sum, float2(cdf_weight(static_cast<float>(x[static_cast<long>(k) * steps[ndim - 1]]), top), 0.0f));
  }
  out[i] = best;
}
