// The derivative of attention. Scores are computed again, a tile of 32 queries by 32 keys
// at a time, and never stored: once for the denominators, once for the cotangents of keys
// and values, once for those of queries. Each result has one owner, so that all is added in
// a fixed order. Threadgroups have four simdgroups, which take a tile as 2 x 2.
#include "tile.h"

constant constexpr int side = 32;          // of a tile
constant constexpr int ld_float = side + 4; // of a tile of floats

// What is attended to. Strides are in elements, of batch rows, heads and rows.
struct attention_rules {
  int heads;     // of queries
  int key_heads;
  int queries;
  int keys;
  int d;         // of queries and keys
  int dv;        // of values
  int causal;
  int window;    // 0: none
  int mask;      // 0: none, 1 float, 2 half, 3 bfloat, 4 bool
  int sinks;     // as for mask
  int has_pos;
  int mask_grad;
  float scale;
  float soft_cap; // 0: none
};

// real_at is element i of an array of floats of that kind.
METAL_FUNC float real_at(const device uchar* p, long i, int kind) {
  switch (kind) {
    case 1:
      return reinterpret_cast<const device float*>(p)[i];
    case 2:
      return static_cast<float>(reinterpret_cast<const device half*>(p)[i]);
    case 3:
      return static_cast<float>(reinterpret_cast<const device bfloat*>(p)[i]);
  }
  return p[i] != 0 ? 0.0f : -INFINITY;
}

// A key_range is the keys that a query may see, but for the mask.
struct key_range {
  int lo;
  int hi;
};

METAL_FUNC key_range seen_by(int query, int offset, int keys, constant attention_rules& r) {
  key_range s = {0, keys};
  if (r.causal != 0 || r.window > 0) {
    s.hi = clamp(offset + query + 1, 0, keys);
    if (r.window > 0) {
      s.lo = clamp(offset + query + 1 - r.window, 0, s.hi);
    }
  }
  return s;
}

// A lane_place is the first element of a lane in a tile. It has 2 x 2 fragments of two
// neighbours.
struct lane_place {
  int row;
  int col;
};

METAL_FUNC lane_place place_of_lane(uint simdgroup, uint lane) {
  lane_place p = {
      static_cast<int>(simdgroup / 2) * 16 + fragment_row(lane),
      static_cast<int>(simdgroup % 2) * 16 + fragment_col(lane)};
  return p;
}

// dot_tile sets acc to the products of 32 rows of a with 32 rows of b, of width elements.
template <typename T>
METAL_FUNC void dot_tile(
    thread float2* acc, const device T* a, long lda, int a_rows, const device T* b, long ldb, int b_rows,
    int width, threadgroup T* as, threadgroup T* bs, lane_place at, uint lane, int thread_index) {
  constexpr int ld = side + 16 / sizeof(T);
  for (int i = 0; i < 4; i++) {
    acc[i] = float2(0.0f, 0.0f);
  }
  int k_row = fragment_row(lane);
  int k_col = fragment_col(lane);
  for (int k = 0; k < width; k += side) {
    threadgroup_barrier(mem_flags::mem_threadgroup);
    tile_load<T, side, side, ld, 128>(as, a + k, lda, a_rows, width - k, thread_index);
    tile_load<T, side, side, ld, 128>(bs, b + k, ldb, b_rows, width - k, thread_index);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    tile_mma<T, T, 2, 2, side>(acc, as + at.row * ld + k_col, ld, 1, bs + k_row + at.col * ld, 1, ld);
  }
}

// inputs_of are the arrays of one head of queries. Strides are of q, k, v, the result and
// its cotangent (batch, heads, rows), of the mask (four), of sinks and of pos.
template <typename T>
struct attention_inputs {
  const device T* q;
  const device T* k;
  const device T* v;
  const device T* y;
  const device T* c;
  const device uchar* mask;
  const device uchar* sinks;
  const device int* pos;
};

// at_head moves in to batch row b and head h.
template <typename T>
METAL_FUNC void at_head(thread attention_inputs<T>& in, constant long* st, int b, int h, constant attention_rules& r) {
  long row = static_cast<long>(b);
  long head = static_cast<long>(h);
  long key_head = static_cast<long>(h / (r.heads / r.key_heads));
  in.q += row * st[0] + head * st[1];
  in.k += row * st[3] + key_head * st[4];
  in.v += row * st[6] + key_head * st[7];
  in.y += row * st[9] + head * st[10];
  in.c += row * st[12] + head * st[13];
}

// A sight is where the last query of a batch row stands, and how many keys there are.
struct sight {
  int offset;
  int keys;
};

METAL_FUNC sight sight_of(const device int* pos, constant long* st, int b, constant attention_rules& r) {
  sight s = {r.keys - r.queries, r.keys};
  if (r.has_pos != 0) {
    s.offset = pos[static_cast<long>(b) * st[20]];
    s.keys = clamp(s.offset + r.queries, 0, r.keys);
  }
  return s;
}

// bend makes scores of the products in acc, -INFINITY where a key is hidden, and their
// slopes, the derivatives by the products.
METAL_FUNC void bend(
    const thread float2* acc, thread float* x, thread float* slope, int i0, int j0, lane_place at, sight s,
    const device uchar* mask, constant long* st, int b, int h, constant attention_rules& r) {
  long from = static_cast<long>(b) * st[15] + static_cast<long>(h) * st[16];
  UNROLL for (int e = 0; e < 8; e++) {
    int row = i0 + at.row + e / 4 * 8;
    int col = j0 + at.col + e / 2 % 2 * 8 + e % 2;
    float v = (e % 2 == 0 ? acc[e / 2].x : acc[e / 2].y) * r.scale;
    slope[e] = r.scale;
    if (r.soft_cap > 0.0f) {
      float t = precise::tanh(v / r.soft_cap);
      v = r.soft_cap * t;
      slope[e] = r.scale * (1.0f - t * t);
    }
    key_range seen = seen_by(row, s.offset, s.keys, r);
    bool see = row < r.queries && col >= seen.lo && col < seen.hi;
    if (see && r.mask != 0) {
      float more = real_at(mask, from + static_cast<long>(row) * st[17] + static_cast<long>(col) * st[18], r.mask);
      see = more != -INFINITY;
      v += more;
    }
    x[e] = see ? v : -INFINITY;
  }
}

// keep_tile writes what lanes have of a tile.
METAL_FUNC void keep_tile(threadgroup float* tile, const thread float* x, lane_place at) {
  UNROLL for (int e = 0; e < 8; e++) {
    tile[(at.row + e / 4 * 8) * ld_float + at.col + e / 2 % 2 * 8 + e % 2] = x[e];
  }
}

METAL_FUNC float log_add(float x, float y) {
  float top = max(x, y);
  return top == -INFINITY ? top : top + log(exp(x - top) + exp(y - top));
}

// attention_rows finds for each query the logarithm of its denominator (INFINITY if it sees
// nothing), the product of its result and cotangent, and what it has for its head's sink.
// Threadgroups are [blocks of queries, heads, batch rows]. Four threads sum a row.
template <typename T>
[[kernel, max_total_threads_per_threadgroup(128)]] void attention_rows(
    const device T* q [[buffer(0)]],
    const device T* k [[buffer(1)]],
    const device T* v [[buffer(2)]],
    const device T* y [[buffer(3)]],
    const device T* c [[buffer(4)]],
    const device uchar* mask [[buffer(5)]],
    const device uchar* sinks [[buffer(6)]],
    const device int* pos [[buffer(7)]],
    constant attention_rules& r [[buffer(8)]],
    constant long* st [[buffer(9)]],
    device float* lse [[buffer(10)]],
    device float* delta [[buffer(11)]],
    device float* sink [[buffer(12)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint simdgroup [[simdgroup_index_in_threadgroup]],
    uint lane [[thread_index_in_simdgroup]]) {
  constexpr int ld = side + 16 / sizeof(T);
  threadgroup T as[side * ld];
  threadgroup T bs[side * ld];
  threadgroup float xs[side * ld_float];
  int b = static_cast<int>(group.z);
  int h = static_cast<int>(group.y);
  int i0 = static_cast<int>(group.x) * side;
  int ti = static_cast<int>(thread_index);
  lane_place at = place_of_lane(simdgroup, lane);
  attention_inputs<T> in = {q, k, v, y, c, mask, sinks, pos};
  at_head(in, st, b, h, r);
  sight s = sight_of(pos, st, b, r);
  int lo = seen_by(i0, s.offset, s.keys, r).lo;
  int hi = seen_by(min(i0 + side, r.queries) - 1, s.offset, s.keys, r).hi;

  int row = ti / 4;
  int part = ti % 4;
  float top = -INFINITY;
  float sum = 0.0f;
  for (int j0 = lo / side * side; j0 < hi; j0 += side) {
    float2 acc[4];
    float x[8];
    float slope[8];
    dot_tile<T>(acc, in.q + static_cast<long>(i0) * st[2], st[2], r.queries - i0,
        in.k + static_cast<long>(j0) * st[5], st[5], r.keys - j0, r.d, as, bs, at, lane, ti);
    bend(acc, x, slope, i0, j0, at, s, mask, st, b, h, r);
    keep_tile(xs, x, at);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    const threadgroup float* p = xs + row * ld_float + part * 8;
    float high = top;
    for (int e = 0; e < 8; e++) {
      high = max(high, p[e]);
    }
    float base = high == -INFINITY ? 0.0f : high;
    sum *= exp(top - base);
    for (int e = 0; e < 8; e++) {
      sum += exp(p[e] - base);
    }
    top = high;
  }
  float product = 0.0f;
  if (i0 + row < r.queries) {
    const device T* yr = in.y + static_cast<long>(i0 + row) * st[11];
    const device T* cr = in.c + static_cast<long>(i0 + row) * st[14];
    for (int t = part; t < r.dv; t += 4) {
      product += static_cast<float>(yr[t]) * static_cast<float>(cr[t]);
    }
  }
  for (ushort m = 1; m < 4; m *= 2) {
    float other = simd_shuffle_xor(top, m);
    float more = simd_shuffle_xor(sum, m);
    float high = max(top, other);
    float base = high == -INFINITY ? 0.0f : high;
    sum = sum * exp(top - base) + more * exp(other - base);
    top = high;
    product += simd_shuffle_xor(product, m);
  }
  if (part != 0 || i0 + row >= r.queries) {
    return;
  }
  float whole = top == -INFINITY ? top : top + log(sum);
  long at_row = static_cast<long>(b * r.heads + h) * r.queries + i0 + row;
  if (r.sinks != 0) {
    float logit = real_at(sinks, static_cast<long>(h) * st[19], r.sinks);
    whole = log_add(whole, logit);
    sink[at_row] = whole == -INFINITY ? 0.0f : -exp(logit - whole) * product;
  }
  lse[at_row] = whole == -INFINITY ? INFINITY : whole;
  delta[at_row] = product;
}

// slopes makes of scores x the probabilities, and ds, the cotangents of scores before the
// mask; full is ds by what was added last. What lies at hidden keys does not matter.
METAL_FUNC void slopes(
    thread float* x, const thread float2* dp, thread float* full, const device float* lse, const device float* delta,
    int i0, lane_place at, constant attention_rules& r) {
  UNROLL for (int i = 0; i < 2; i++) {
    int row = i0 + at.row + 8 * i;
    bool there = row < r.queries;
    float l = there ? lse[row] : INFINITY;
    float d = there ? delta[row] : 0.0f;
    UNROLL for (int e = 4 * i; e < 4 * i + 4; e++) {
      x[e] = exp(x[e] - l);
      float g = (e % 2 == 0 ? dp[e / 2].x : dp[e / 2].y) - d;
      full[e] = x[e] == 0.0f ? 0.0f : x[e] * g;
    }
  }
}

// by_slope is ds through the cap and the scale.
METAL_FUNC void by_slope(thread float* ds, const thread float* slope) {
  UNROLL for (int e = 0; e < 8; e++) {
    ds[e] = ds[e] == 0.0f ? 0.0f : ds[e] * slope[e];
  }
}

// attention_keys gives blocks of keys and their values what all queries have for them.
// Threadgroups are [blocks of keys, key heads, batch rows]; d and dv are up to 32 * NC.
template <typename T, int NC>
[[kernel, max_total_threads_per_threadgroup(128)]] void attention_keys(
    const device T* q [[buffer(0)]],
    const device T* k [[buffer(1)]],
    const device T* v [[buffer(2)]],
    const device T* y [[buffer(3)]],
    const device T* c [[buffer(4)]],
    const device uchar* mask [[buffer(5)]],
    const device uchar* sinks [[buffer(6)]],
    const device int* pos [[buffer(7)]],
    constant attention_rules& r [[buffer(8)]],
    constant long* st [[buffer(9)]],
    const device float* lse [[buffer(10)]],
    const device float* delta [[buffer(11)]],
    device T* gk [[buffer(12)]],
    device T* gv [[buffer(13)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint simdgroup [[simdgroup_index_in_threadgroup]],
    uint lane [[thread_index_in_simdgroup]]) {
  constexpr int ld = side + 16 / sizeof(T);
  threadgroup T as[side * ld];
  threadgroup T bs[side * ld];
  threadgroup float ps[side * ld_float];
  threadgroup float dss[side * ld_float];
  int b = static_cast<int>(group.z);
  int g = static_cast<int>(group.y);
  int j0 = static_cast<int>(group.x) * side;
  int ti = static_cast<int>(thread_index);
  int k_row = fragment_row(lane);
  int k_col = fragment_col(lane);
  lane_place at = place_of_lane(simdgroup, lane);
  sight s = sight_of(pos, st, b, r);
  float2 dk[4 * NC];
  float2 dv[4 * NC];
  UNROLL for (int i = 0; i < 4 * NC; i++) {
    dk[i] = float2(0.0f, 0.0f);
    dv[i] = float2(0.0f, 0.0f);
  }
  int together = r.heads / r.key_heads;
  for (int h = g * together; h < (g + 1) * together; h++) {
    attention_inputs<T> in = {q, k, v, y, c, mask, sinks, pos};
    at_head(in, st, b, h, r);
    const device T* kj = in.k + static_cast<long>(j0) * st[5];
    const device T* vj = in.v + static_cast<long>(j0) * st[8];
    long first = static_cast<long>(b * r.heads + h) * r.queries;
    for (int i0 = 0; i0 < r.queries; i0 += side) {
      int lo = seen_by(i0, s.offset, s.keys, r).lo;
      int hi = seen_by(min(i0 + side, r.queries) - 1, s.offset, s.keys, r).hi;
      if (j0 >= hi || j0 + side <= lo) {
        continue;
      }
      const device T* qi = in.q + static_cast<long>(i0) * st[2];
      const device T* ci = in.c + static_cast<long>(i0) * st[14];
      float2 acc[4];
      float x[8];
      float slope[8];
      float ds[8];
      dot_tile<T>(acc, qi, st[2], r.queries - i0, kj, st[5], r.keys - j0, r.d, as, bs, at, lane, ti);
      bend(acc, x, slope, i0, j0, at, s, mask, st, b, h, r);
      dot_tile<T>(acc, ci, st[14], r.queries - i0, vj, st[8], r.keys - j0, r.dv, as, bs, at, lane, ti);
      slopes(x, acc, ds, lse + first, delta + first, i0, at, r);
      by_slope(ds, slope);
      keep_tile(ps, x, at);
      keep_tile(dss, ds, at);
      UNROLL for (int n = 0; n < NC; n++) {
        if (n * side < r.dv) {
          threadgroup_barrier(mem_flags::mem_threadgroup);
          tile_load<T, side, side, ld, 128>(bs, ci + n * side, st[14], r.queries - i0, r.dv - n * side, ti);
          threadgroup_barrier(mem_flags::mem_threadgroup);
          tile_mma<float, T, 2, 2, side>(dv + 4 * n, ps + at.row + k_col * ld_float, 1, ld_float, bs + k_row * ld + at.col, ld, 1);
        }
      }
      UNROLL for (int n = 0; n < NC; n++) {
        if (n * side < r.d) {
          threadgroup_barrier(mem_flags::mem_threadgroup);
          tile_load<T, side, side, ld, 128>(bs, qi + n * side, st[2], r.queries - i0, r.d - n * side, ti);
          threadgroup_barrier(mem_flags::mem_threadgroup);
          tile_mma<float, T, 2, 2, side>(dk + 4 * n, dss + at.row + k_col * ld_float, 1, ld_float, bs + k_row * ld + at.col, ld, 1);
        }
      }
    }
  }
  long row = static_cast<long>(b * r.key_heads + g) * r.keys + j0 + at.row;
  int rows = r.keys - j0 - at.row;
  UNROLL for (int n = 0; n < NC; n++) {
    int col = n * side + at.col;
    if (n * side < r.d) {
      tile_store<T, 2, 2>(gk + row * r.d + col, dk + 4 * n, static_cast<long>(r.d), rows, r.d - col);
    }
    if (n * side < r.dv) {
      tile_store<T, 2, 2>(gv + row * r.dv + col, dv + 4 * n, static_cast<long>(r.dv), rows, r.dv - col);
    }
  }
}

// attention_queries gives blocks of queries what all keys have for them, and the mask its
// cotangent. Threadgroups are [blocks of queries, heads, batch rows]. What is not finite
// among the keys counts as 0: where a query sees it, ds is not finite either.
template <typename T, int NC>
[[kernel, max_total_threads_per_threadgroup(128)]] void attention_queries(
    const device T* q [[buffer(0)]],
    const device T* k [[buffer(1)]],
    const device T* v [[buffer(2)]],
    const device T* y [[buffer(3)]],
    const device T* c [[buffer(4)]],
    const device uchar* mask [[buffer(5)]],
    const device uchar* sinks [[buffer(6)]],
    const device int* pos [[buffer(7)]],
    constant attention_rules& r [[buffer(8)]],
    constant long* st [[buffer(9)]],
    const device float* lse [[buffer(10)]],
    const device float* delta [[buffer(11)]],
    device T* gq [[buffer(12)]],
    device float* gmask [[buffer(13)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint simdgroup [[simdgroup_index_in_threadgroup]],
    uint lane [[thread_index_in_simdgroup]]) {
  constexpr int ld = side + 16 / sizeof(T);
  threadgroup T as[side * ld];
  threadgroup T bs[side * ld];
  threadgroup float dss[side * ld_float];
  threadgroup float ks[side * ld_float];
  int b = static_cast<int>(group.z);
  int h = static_cast<int>(group.y);
  int i0 = static_cast<int>(group.x) * side;
  int ti = static_cast<int>(thread_index);
  int k_row = fragment_row(lane);
  int k_col = fragment_col(lane);
  lane_place at = place_of_lane(simdgroup, lane);
  attention_inputs<T> in = {q, k, v, y, c, mask, sinks, pos};
  at_head(in, st, b, h, r);
  sight s = sight_of(pos, st, b, r);
  int lo = seen_by(i0, s.offset, s.keys, r).lo;
  int hi = seen_by(min(i0 + side, r.queries) - 1, s.offset, s.keys, r).hi;
  if (r.mask_grad != 0) { // all of it is written
    lo = 0;
    hi = r.keys;
  }
  const device T* qi = in.q + static_cast<long>(i0) * st[2];
  const device T* ci = in.c + static_cast<long>(i0) * st[14];
  long first = static_cast<long>(b * r.heads + h) * r.queries;
  float2 dq[4 * NC];
  UNROLL for (int i = 0; i < 4 * NC; i++) {
    dq[i] = float2(0.0f, 0.0f);
  }
  for (int j0 = lo / side * side; j0 < hi; j0 += side) {
    const device T* kj = in.k + static_cast<long>(j0) * st[5];
    const device T* vj = in.v + static_cast<long>(j0) * st[8];
    float2 acc[4];
    float x[8];
    float slope[8];
    float ds[8];
    dot_tile<T>(acc, qi, st[2], r.queries - i0, kj, st[5], r.keys - j0, r.d, as, bs, at, lane, ti);
    bend(acc, x, slope, i0, j0, at, s, mask, st, b, h, r);
    dot_tile<T>(acc, ci, st[14], r.queries - i0, vj, st[8], r.keys - j0, r.dv, as, bs, at, lane, ti);
    slopes(x, acc, ds, lse + first, delta + first, i0, at, r);
    if (r.mask_grad != 0) {
      for (int e = 0; e < 8; e++) {
        int row = i0 + at.row + e / 4 * 8;
        int col = j0 + at.col + e / 2 % 2 * 8 + e % 2;
        if (row < r.queries && col < r.keys) {
          gmask[(first + row) * r.keys + col] = ds[e];
        }
      }
    }
    by_slope(ds, slope);
    keep_tile(dss, ds, at);
    UNROLL for (int n = 0; n < NC; n++) {
      if (n * side < r.d) {
        threadgroup_barrier(mem_flags::mem_threadgroup);
        for (int i = ti; i < side * side; i += 128) {
          int row = i / side;
          int col = n * side + i % side;
          float e = 0.0f;
          if (j0 + row < r.keys && col < r.d) {
            e = static_cast<float>(kj[static_cast<long>(row) * st[5] + col]);
          }
          ks[row * ld_float + i % side] = e - e == 0.0f ? e : 0.0f;
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
        tile_mma<float, float, 2, 2, side>(dq + 4 * n, dss + at.row * ld_float + k_col, ld_float, 1, ks + k_row * ld_float + at.col, ld_float, 1);
      }
    }
  }
  long row = first + i0 + at.row;
  UNROLL for (int n = 0; n < NC; n++) {
    int col = n * side + at.col;
    if (n * side < r.d) {
      tile_store<T, 2, 2>(gq + row * r.d + col, dq + 4 * n, static_cast<long>(r.d), r.queries - i0 - at.row, r.d - col);
    }
  }
}
