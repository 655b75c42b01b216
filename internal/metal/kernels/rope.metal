// Rotary position embeddings.
#include "common.h"

// A rotation says how x [B, ..., T, D] is turned.
struct rotation {
  int half_dims;   // pairs of features that are turned; the rest is copied
  int features;    // D
  int positions;   // T
  int heads;       // axes between B and T, as one
  int heads_ndim;  // their number
  int per_row;     // an offset for each of B
  int traditional; // pairs are neighbours, not halves
  int inverse;     // turn back
  int periods;     // the table has periods, not frequencies
  float scale;     // of positions
  long batch_stride;
  long position_stride;
  long feature_stride;
};

constant constexpr uint heads_of_thread = 4;

// Threads are (pairs and what is copied, T, B and fours of heads). The angle of a pair
// serves four heads.
template <typename T>
[[kernel]] void rope(
    const device T* in [[buffer(0)]],
    device T* out [[buffer(1)]],
    const device int* offsets [[buffer(2)]],
    constant float* table [[buffer(3)]],
    constant rotation& p [[buffer(4)]],
    constant int* head_shape [[buffer(5)]],
    constant long* head_strides [[buffer(6)]],
    uint3 at [[thread_position_in_grid]]) {
  uint half_dims = static_cast<uint>(p.half_dims);
  uint heads = static_cast<uint>(p.heads);
  uint fours = (heads + heads_of_thread - 1) / heads_of_thread;
  uint row = at.z / fours;
  uint head = at.z % fours * heads_of_thread;
  uint last = min(head + heads_of_thread, heads);

  bool turns = at.x < half_dims;
  uint a = at.x + half_dims; // a feature that is copied
  uint b = a;
  float sine = 0;
  float cosine = 1;
  if (turns) {
    a = p.traditional ? 2 * at.x : at.x;
    b = p.traditional ? a + 1 : a + half_dims;
    int position = offsets[p.per_row ? row : 0u] + static_cast<int>(at.y);
    float scaled = static_cast<float>(position) * p.scale;
    float angle = p.periods ? scaled / table[at.x] : scaled * table[at.x];
    sine = precise::sin(angle);
    cosine = precise::cos(angle);
    if (p.inverse) {
      sine = -sine;
    }
  }

  const device T* x = in + row * p.batch_stride + at.y * p.position_stride;
  for (; head < last; head++) {
    long from = strided_offset<4>(head, head_shape, head_strides, p.heads_ndim);
    ulong to = ((static_cast<ulong>(row) * heads + head) * static_cast<uint>(p.positions) + at.y) * static_cast<uint>(p.features);
    T u = x[from + a * p.feature_stride];
    if (!turns) {
      out[to + a] = u;
      continue;
    }
    float s = static_cast<float>(u);
    float t = static_cast<float>(x[from + b * p.feature_stride]);
    out[to + a] = static_cast<T>(s * cosine - t * sine);
    out[to + b] = static_cast<T>(s * sine + t * cosine);
  }
}
