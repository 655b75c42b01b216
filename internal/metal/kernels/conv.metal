// Convolutions of x [N, S..., C] by weights [O, K..., C / groups], with up to three spatial
// axes. A patch is the elements of x under the kernel at one place of the result; a place
// may see zeros around and between the elements of x.
#include "tile.h"

constant constexpr int most_axes = 3;

// A conv_axis is a spatial axis: of x, of the kernel, of the result; the steps of the
// kernel over x and of its own elements; zeros before x, and the step of x's elements.
struct conv_axis {
  int size;
  int kernel;
  int result;
  int stride;
  int dilation;
  int low;
  int input_dilation;
};

// All but the axes.
struct conv_rules {
  int axes;
  int places; // of the result, in all images
  int taps;   // places of the kernel
  int c;      // channels of a group
  int o;      // channels of the result in a group
  int groups;
  int flip;
};

// A patch_place is an image and where the patch begins, counted with zeros.
struct patch_place {
  int image;
  int at[most_axes];
};

METAL_FUNC patch_place place_of_patch(int place, constant conv_axis* axis, int axes) {
  patch_place p;
  p.image = place;
  UNROLL for (int i = most_axes - 1; i >= 0; i--) {
    p.at[i] = 0;
    if (i < axes) {
      p.at[i] = p.image % axis[i].result * axis[i].stride - axis[i].low;
      p.image /= axis[i].result;
    }
  }
  return p;
}

// tap_offset is which element of x [images, spatial] a tap of the kernel meets, -1 for a
// zero.
METAL_FUNC long tap_offset(thread const patch_place& p, int tap, constant conv_axis* axis, int axes) {
  int source[most_axes];
  bool there = true;
  UNROLL for (int i = most_axes - 1; i >= 0; i--) {
    if (i < axes) {
      int j = p.at[i] + tap % axis[i].kernel * axis[i].dilation;
      tap /= axis[i].kernel;
      int d = axis[i].input_dilation;
      if (d > 1) {
        there = there && j % d == 0;
        source[i] = j / d;
      } else {
        source[i] = j;
      }
      there = there && j >= 0 && source[i] < axis[i].size;
    }
  }
  long at = static_cast<long>(p.image);
  UNROLL for (int i = 0; i < most_axes; i++) {
    if (i < axes) {
      at = at * axis[i].size + source[i];
    }
  }
  return there ? at : static_cast<long>(-1);
}

// conv_direct has a thread for each element of the result: for groups of few channels.
// Threads are (channels of the result, places).
template <typename T>
[[kernel]] void conv_direct(
    const device T* x [[buffer(0)]],
    const device T* w [[buffer(1)]],
    device T* y [[buffer(2)]],
    constant conv_rules& r [[buffer(3)]],
    constant conv_axis* axis [[buffer(4)]],
    uint2 t [[thread_position_in_grid]]) {
  int channel = static_cast<int>(t.x);
  patch_place p = place_of_patch(static_cast<int>(t.y), axis, r.axes);
  long row = static_cast<long>(r.c) * r.groups;
  x += static_cast<long>(channel / r.o) * r.c;
  w += static_cast<long>(channel) * r.taps * r.c;
  float sum = 0.0f;
  for (int tap = 0; tap < r.taps; tap++) {
    long at = tap_offset(p, tap, axis, r.axes);
    if (at < 0) {
      continue;
    }
    const device T* from = x + at * row;
    const device T* by = w + static_cast<long>(r.flip != 0 ? r.taps - 1 - tap : tap) * r.c;
    for (int i = 0; i < r.c; i++) {
      sum += static_cast<float>(from[i]) * static_cast<float>(by[i]);
    }
  }
  y[static_cast<ulong>(t.y) * static_cast<uint>(r.o * r.groups) + t.x] = static_cast<T>(sum);
}

// conv_tiles is the product of patches [places, taps * c] and the weights of a group, in
// tiles of B x B by 4 simdgroups as 2 x 2; patches are laid out in threadgroup memory.
// Threadgroups are [tiles of channels, tiles of places, groups].
template <typename T, int B>
[[kernel, max_total_threads_per_threadgroup(128)]] void conv_tiles(
    const device T* x [[buffer(0)]],
    const device T* w [[buffer(1)]],
    device T* y [[buffer(2)]],
    constant conv_rules& r [[buffer(3)]],
    constant conv_axis* axis [[buffer(4)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint simdgroup [[simdgroup_index_in_threadgroup]],
    uint lane [[thread_index_in_simdgroup]]) {
  constexpr int BK = 32;
  constexpr int each = 8; // elements of a row that a thread lays out
  constexpr int rows = B * BK / each / 128;
  constexpr int TM = B / 16;
  constexpr int ld = BK + 16 / sizeof(T);
  threadgroup T as[B * ld];
  threadgroup T bs[B * ld];
  int ti = static_cast<int>(thread_index);
  int g = static_cast<int>(group.z);
  int m0 = static_cast<int>(group.y) * B;
  int n0 = static_cast<int>(group.x) * B;
  int K = r.taps * r.c;
  long channels = static_cast<long>(r.c) * r.groups;
  x += static_cast<long>(g) * r.c;
  w += static_cast<long>(g * r.o + n0) * K;

  patch_place p[rows];
  UNROLL for (int i = 0; i < rows; i++) {
    p[i] = place_of_patch(min(m0 + ti / 4 + 32 * i, r.places - 1), axis, r.axes);
  }
  float2 acc[TM * TM];
  UNROLL for (int i = 0; i < TM * TM; i++) {
    acc[i] = float2(0.0f, 0.0f);
  }
  int row = static_cast<int>(simdgroup / 2) * (B / 2) + fragment_row(lane);
  int col = static_cast<int>(simdgroup % 2) * (B / 2) + fragment_col(lane);
  for (int k = 0; k < K; k += BK) {
    threadgroup_barrier(mem_flags::mem_threadgroup);
    int first = k + ti % 4 * each;
    UNROLL for (int i = 0; i < rows; i++) {
      threadgroup T* to = as + (ti / 4 + 32 * i) * ld + ti % 4 * each;
      int tap = first / r.c;
      int channel = first % r.c;
      long at = -1;
      for (int e = 0; e < each; e++) {
        if (e == 0 || channel == r.c) {
          if (e > 0) {
            channel = 0;
            tap++;
          }
          at = -1;
          if (tap < r.taps) {
            at = tap_offset(p[i], r.flip != 0 ? r.taps - 1 - tap : tap, axis, r.axes);
          }
        }
        to[e] = at < 0 ? static_cast<T>(0) : x[at * channels + channel];
        channel++;
      }
    }
    tile_load<T, B, BK, ld, 128>(bs, w + k, static_cast<long>(K), r.o - n0, K - k, ti);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    tile_mma<T, T, TM, TM, BK>(acc, as + row * ld + fragment_col(lane), ld, 1, bs + fragment_row(lane) + col * ld, 1, ld);
  }
  long wide = static_cast<long>(r.o) * r.groups;
  y += static_cast<long>(m0 + row) * wide + g * r.o + n0 + col;
  tile_store<T, TM, TM>(y, acc, wide, r.places - m0 - row, r.o - n0 - col);
}
