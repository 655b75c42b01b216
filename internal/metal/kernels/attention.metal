// Attention: softmax(q k^T * scale + mask) v with an online softmax, whose scores exist a
// few at a time. Scores are kept as powers of two.
#include "tile.h"

// An attention says how q [B, heads, queries, d], k [B, heads/shared, keys, d] and
// v [B, heads/shared, keys, dv] lie, and what each query sees.
struct attention {
  int heads;
  int shared; // query heads of a key head
  int queries;
  int keys;
  int d;
  int dv;
  int causal;
  int window;     // > 0: so many keys are seen, up to the query's own
  int positioned; // the first query is at a given place, not the last one at the last key
  int parts;      // of the keys, each for a threadgroup
  float scale;
  float cap;         // > 0: bounds the scores
  long q_strides[3]; // of B, heads and rows
  long k_strides[3];
  long v_strides[3];
  long mask_strides[4]; // 0 where it repeats
};

constant bool masked [[function_constant(0)]];
constant bool with_sinks [[function_constant(1)]];
constant bool ring [[function_constant(2)]]; // key t lies in row t % keys
constant bool partial [[function_constant(3)]]; // results of parts are merged later

// Keys are cut at multiples of it, wherever they lie, so that results have the same bits
// for a ring and for all keys in order.
constant constexpr int keys_of_part = 1024;

constant constexpr float log2e = 1.44269504088896341f;

// A span is the keys that are seen, if no mask hides them.
struct span {
  int from;
  int to;
};

// place_of_queries is the key of query 0.
METAL_FUNC int place_of_queries(constant attention& p, const device int* positions, uint batch) {
  return p.positioned ? positions[batch] : p.keys - p.queries;
}

METAL_FUNC span seen_by(constant attention& p, int place, int query) {
  span s;
  s.from = 0;
  s.to = p.positioned ? max(place + p.queries, 0) : p.keys;
  if (!ring) {
    s.to = min(s.to, p.keys);
  }
  if (p.causal) {
    s.to = min(s.to, place + query + 1);
    if (p.window > 0) {
      s.from = max(place + query + 1 - p.window, 0);
    }
  }
  return s;
}

METAL_FUNC long row_of(constant attention& p, int key) { return ring ? key % p.keys : key; }

// bias_of is what an element of a mask adds to a score; -INFINITY hides the key. Bool
// masks are bytes.
template <typename M>
METAL_FUNC float bias_of(M m) {
  if constexpr (is_same_v<M, uchar>) {
    return m != 0 ? 0.0f : -INFINITY;
  } else {
    float f = static_cast<float>(m);
    float b = f * log2e;
    return b < -FLT_MAX && !(f < -FLT_MAX) ? -FLT_MAX : b;
  }
}

// score_of is the logarithm of a weight from q·k.
METAL_FUNC float score_of(constant attention& p, float dot) {
  float s = dot * p.scale;
  if (p.cap > 0.0f) {
    s = p.cap * precise::tanh(s / p.cap);
  }
  return s * log2e;
}

// weight_of is 2^(score - top), where a top of -INFINITY is that of no scores.
METAL_FUNC float weight_of(float score, float top) { return exp2(score - (top < -FLT_MAX ? 0.0f : top)); }

// lane_load reads N elements of a row of n from element i on; what is behind is 0.
template <typename T, int N>
METAL_FUNC void lane_load(thread float* x, const device T* row, int i, int n) {
  if (i + N <= n) {
    UNROLL for (int t = 0; t < N; t++) {
      x[t] = static_cast<float>(row[i + t]);
    }
    return;
  }
  UNROLL for (int t = 0; t < N; t++) {
    x[t] = i + t < n ? static_cast<float>(row[i + t]) : 0.0f;
  }
}

// attend_row is attention of one query: the simdgroups of a threadgroup share the keys, and
// lanes have DL elements of a key and VL of a value each. Threadgroups are (parts of the
// keys, queries of heads, B). A part leaves its sum, and its largest score and the sum of
// its weights in stats.
template <typename Q, typename K, typename V, typename Y, typename M, typename S, int DL, int VL>
[[kernel, max_total_threads_per_threadgroup(1024)]] void attend_row(
    const device Q* q [[buffer(0)]],
    const device K* k [[buffer(1)]],
    const device V* v [[buffer(2)]],
    device Y* y [[buffer(3)]],
    device float* stats [[buffer(4)]],
    constant attention& p [[buffer(5)]],
    const device M* mask [[buffer(6)]],
    const device S* sinks [[buffer(7)]],
    const device int* positions [[buffer(8)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint simd [[simdgroup_index_in_threadgroup]],
    uint simds [[simdgroups_per_threadgroup]],
    uint lane [[thread_index_in_simdgroup]]) {
  threadgroup float tops[32];
  threadgroup float sums[32];
  threadgroup float outs[32 * 33];
  uint queries = static_cast<uint>(p.queries);
  uint head = group.y / queries;
  int query = static_cast<int>(group.y % queries);
  uint key_head = head / static_cast<uint>(p.shared);
  span see = seen_by(p, place_of_queries(p, positions, group.z), query);
  int part = see.from / keys_of_part + static_cast<int>(group.x);
  int from = max(see.from, part * keys_of_part);
  int to = min(see.to, (part + 1) * keys_of_part);
  q += group.z * p.q_strides[0] + head * p.q_strides[1] + query * p.q_strides[2];
  k += group.z * p.k_strides[0] + key_head * p.k_strides[1];
  v += group.z * p.v_strides[0] + key_head * p.v_strides[1];
  if (masked) {
    mask += group.z * p.mask_strides[0] + head * p.mask_strides[1] + query * p.mask_strides[2];
  }

  int di = static_cast<int>(lane) * DL;
  int vi = static_cast<int>(lane) * VL;
  float a[DL];
  lane_load<Q, DL>(a, q, di, p.d);
  float acc[VL];
  UNROLL for (int t = 0; t < VL; t++) {
    acc[t] = 0.0f;
  }
  float top = -INFINITY;
  float sum = 0.0f;
  if (with_sinks && group.x == 0 && simd == 0) {
    top = static_cast<float>(sinks[head]) * log2e;
    sum = 1.0f;
  }
  for (int j = from + static_cast<int>(simd); j < to; j += static_cast<int>(simds)) {
    float bias = 0.0f;
    if (masked) {
      bias = bias_of<M>(mask[j * p.mask_strides[3]]);
      if (bias == -INFINITY) {
        continue;
      }
    }
    long row = row_of(p, j);
    float b[DL];
    lane_load<K, DL>(b, k + row * p.k_strides[2], di, p.d);
    float dot = 0.0f;
    UNROLL for (int t = 0; t < DL; t++) {
      dot = fma(a[t], b[t], dot);
    }
    float score = score_of(p, simd_sum(dot)) + bias;
    float best = max(top, score);
    float old = weight_of(top, best);
    float w = weight_of(score, best);
    top = best;
    sum = fma(sum, old, w);
    float c[VL];
    lane_load<V, VL>(c, v + row * p.v_strides[2], vi, p.dv);
    UNROLL for (int t = 0; t < VL; t++) {
      acc[t] = fma(acc[t], old, w * c[t]);
    }
  }

  if (lane == 0) {
    tops[simd] = top;
    sums[simd] = sum;
  }
  threadgroup_barrier(mem_flags::mem_threadgroup);
  float other = lane < simds ? tops[lane] : -INFINITY;
  float best = simd_max(other);
  float total = simd_sum(lane < simds ? sums[lane] * weight_of(other, best) : 0.0f);
  float mine = weight_of(top, best);
  long at = (static_cast<long>(group.z) * p.heads + head) * p.queries + query;
  if (partial) {
    at = at * p.parts + group.x;
    if (simd == 0 && lane == 0) {
      stats[2 * at] = best;
      stats[2 * at + 1] = total;
    }
  }
  y += at * p.dv;
  float divisor = partial || total == 0.0f ? 1.0f : total;
  UNROLL for (int t = 0; t < VL; t++) {
    threadgroup_barrier(mem_flags::mem_threadgroup);
    outs[simd * 33 + lane] = acc[t] * mine;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    for (uint slot = simd; slot < 32; slot += simds) {
      float r = simd_sum(lane < simds ? outs[lane * 33 + slot] : 0.0f);
      int i = static_cast<int>(slot) * VL + t;
      if (lane == 0 && i < p.dv) {
        y[i] = static_cast<Y>(r / divisor);
      }
    }
  }
}

// attend_merge joins the parts of rows of dv elements.
template <typename Y>
[[kernel]] void attend_merge(
    const device float* in [[buffer(0)]],
    const device float* stats [[buffer(1)]],
    device Y* y [[buffer(2)]],
    constant int& dv [[buffer(3)]],
    constant int& parts [[buffer(4)]],
    uint2 at [[thread_position_in_grid]]) {
  long first = static_cast<long>(at.y) * parts;
  in += first * dv + at.x;
  stats += 2 * first;
  float top = -INFINITY;
  for (int i = 0; i < parts; i++) {
    top = max(top, stats[2 * i]);
  }
  float sum = 0.0f;
  float total = 0.0f;
  for (int i = 0; i < parts; i++) {
    float w = weight_of(stats[2 * i], top);
    total = fma(stats[2 * i + 1], w, total);
    sum = fma(in[static_cast<long>(i) * dv], w, sum);
  }
  y[static_cast<long>(at.y) * dv + at.x] = static_cast<Y>(total == 0.0f ? 0.0f : sum / total);
}

// keys_load fills ROWS rows of COLS elements with keys or values from key `first` on. Those
// that nobody sees, and what is past the cols that are there, are 0.
template <typename T, int ROWS, int COLS, int LD>
METAL_FUNC void keys_load(
    threadgroup T* dst, const device T* src, long stride, int first, span see, constant attention& p, int cols, int thread_index) {
  constexpr int per_row = COLS / 8;
  for (int c = thread_index; c < ROWS * per_row; c += 128) {
    int r = c / per_row;
    int col = c % per_row * 8;
    int key = first + r;
    threadgroup T* d = dst + r * LD + col;
    bool seen = key >= see.from && key < see.to;
    const device T* s = src + (seen ? row_of(p, key) * stride + col : 0);
    if (seen && col + 8 <= cols) {
      UNROLL for (int i = 0; i < 8; i++) {
        d[i] = s[i];
      }
    } else {
      UNROLL for (int i = 0; i < 8; i++) {
        d[i] = seen && col + i < cols ? s[i] : static_cast<T>(0);
      }
    }
  }
}

// two_of are elements i and i + 1 of a row of n.
template <typename T>
METAL_FUNC float2 two_of(const device T* row, int i, int n) {
  return float2(i < n ? static_cast<float>(row[i]) : 0.0f, i + 1 < n ? static_cast<float>(row[i + 1]) : 0.0f);
}

// row_max and row_sum combine the four lanes that hold elements of the same row of a fragment.
METAL_FUNC float row_max(float x) {
  x = max(x, simd_shuffle_xor(x, 1));
  return max(x, simd_shuffle_xor(x, 8));
}

METAL_FUNC float row_sum(float x) {
  x += simd_shuffle_xor(x, 1);
  return x + simd_shuffle_xor(x, 8);
}

// attend_tiles is attention of blocks of 32 queries, 8 for each of 4 simdgroups, which take
// BK keys at a time through threadgroup memory. D and DV are at least d and dv. Threadgroups
// are (blocks, heads, B).
template <typename Q, typename K, typename V, typename Y, typename M, typename S, int D, int DV, int BK>
[[kernel, max_total_threads_per_threadgroup(128)]] void attend_tiles(
    const device Q* q [[buffer(0)]],
    const device K* k [[buffer(1)]],
    const device V* v [[buffer(2)]],
    device Y* y [[buffer(3)]],
    constant attention& p [[buffer(5)]],
    const device M* mask [[buffer(6)]],
    const device S* sinks [[buffer(7)]],
    const device int* positions [[buffer(8)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint simd [[simdgroup_index_in_threadgroup]],
    uint lane [[thread_index_in_simdgroup]]) {
  constexpr int ldk = D + 16 / sizeof(K);
  constexpr int ldv = DV + 16 / sizeof(V);
  constexpr bool keep = D <= 128; // q stays in registers
  threadgroup K ks[BK * ldk];
  threadgroup V vs[BK * ldv];
  uint key_head = group.y / static_cast<uint>(p.shared);
  int frow = fragment_row(lane);
  int fcol = fragment_col(lane);
  int first = static_cast<int>(group.x) * 32;
  int query = first + static_cast<int>(simd) * 8 + frow;
  int last = min(query, p.queries - 1);
  int place = place_of_queries(p, positions, group.z);
  span mine = seen_by(p, place, last);
  span all;
  all.from = seen_by(p, place, first).from;
  all.to = seen_by(p, place, min(first + 31, p.queries - 1)).to;
  q += group.z * p.q_strides[0] + group.y * p.q_strides[1] + last * p.q_strides[2];
  k += group.z * p.k_strides[0] + key_head * p.k_strides[1];
  v += group.z * p.v_strides[0] + key_head * p.v_strides[1];
  if (masked) {
    mask += group.z * p.mask_strides[0] + group.y * p.mask_strides[1] + last * p.mask_strides[2];
  }

  float2 a[keep ? D / 8 : 1];
  if constexpr (keep) {
    UNROLL for (int i = 0; i < D / 8; i++) {
      a[i] = two_of<Q>(q, 8 * i + fcol, p.d);
    }
  }
  float2 acc[DV / 8];
  UNROLL for (int i = 0; i < DV / 8; i++) {
    acc[i] = float2(0.0f, 0.0f);
  }
  float top = -INFINITY;
  float sum = 0.0f; // of this lane's scores
  if (with_sinks) {
    top = static_cast<float>(sinks[group.y]) * log2e;
    sum = fcol == 0 ? 1.0f : 0.0f;
  }
  for (int key = all.from / BK * BK; key < all.to; key += BK) {
    threadgroup_barrier(mem_flags::mem_threadgroup);
    keys_load<K, BK, D, ldk>(ks, k, p.k_strides[2], key, all, p, p.d, static_cast<int>(thread_index));
    keys_load<V, BK, DV, ldv>(vs, v, p.v_strides[2], key, all, p, p.dv, static_cast<int>(thread_index));
    threadgroup_barrier(mem_flags::mem_threadgroup);
    float2 s[BK / 8];
    UNROLL for (int j = 0; j < BK / 8; j++) {
      s[j] = float2(0.0f, 0.0f);
    }
    UNROLL for (int i = 0; i < D / 8; i++) {
      float2 x;
      if constexpr (keep) {
        x = a[i];
      } else {
        x = two_of<Q>(q, 8 * i + fcol, p.d);
      }
      UNROLL for (int j = 0; j < BK / 8; j++) {
        const threadgroup K* c = ks + (8 * j + fcol) * ldk + 8 * i + frow;
        s[j] = fragment_mma(x, float2(static_cast<float>(c[0]), static_cast<float>(c[ldk])), s[j]);
      }
    }
    float best = top;
    UNROLL for (int j = 0; j < BK / 8; j++) {
      UNROLL for (int e = 0; e < 2; e++) {
        int at = key + 8 * j + fcol + e;
        float score = -INFINITY;
        if (at >= mine.from && at < mine.to) {
          score = score_of(p, s[j][e]);
          if (masked) {
            float bias = bias_of<M>(mask[at * p.mask_strides[3]]);
            score = bias == -INFINITY ? bias : score + bias;
          }
        }
        s[j][e] = score;
        best = max(best, score);
      }
    }
    best = row_max(best);
    float old = weight_of(top, best);
    top = best;
    sum *= old;
    UNROLL for (int i = 0; i < DV / 8; i++) {
      acc[i] *= old;
    }
    UNROLL for (int j = 0; j < BK / 8; j++) {
      float2 w = float2(weight_of(s[j].x, top), weight_of(s[j].y, top));
      sum += w.x + w.y;
      const threadgroup V* c = vs + (8 * j + frow) * ldv + fcol;
      UNROLL for (int i = 0; i < DV / 8; i++) {
        acc[i] = fragment_mma(w, float2(static_cast<float>(c[8 * i]), static_cast<float>(c[8 * i + 1])), acc[i]);
      }
    }
  }
  sum = row_sum(sum);
  float divisor = sum == 0.0f ? 1.0f : sum;
  if (query < p.queries) {
    y += ((static_cast<long>(group.z) * p.heads + group.y) * p.queries + query) * p.dv + fcol;
    UNROLL for (int i = 0; i < DV / 8; i++) {
      if (8 * i + fcol < p.dv) {
        y[8 * i] = static_cast<Y>(acc[i].x / divisor);
      }
      if (8 * i + fcol + 1 < p.dv) {
        y[8 * i + 1] = static_cast<Y>(acc[i].y / divisor);
      }
    }
  }
}
