// msl_simd.h: <metal_simdgroup>, <metal_quadgroup>, barriers. A collective is a function
// that runs once for all lanes; see abi.h.
#pragma once
namespace metal {

enum class mem_flags {
  mem_none = 0,
  mem_device = 1,
  mem_threadgroup = 2,
  mem_texture = 4,
  mem_threadgroup_imageblock = 8,
};
MSL_FN constexpr mem_flags operator|(mem_flags a, mem_flags b) { return (mem_flags)((int)a | (int)b); }
MSL_FN constexpr mem_flags operator&(mem_flags a, mem_flags b) { return (mem_flags)((int)a & (int)b); }

// Where the source calls a function, as its last argument.
struct site_ {
  const char* file;
  int line;
  static constexpr site_ here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) { return site_{file, line}; }
};
#define MSL_SITE site_ at = site_::here()

MSL_FN void threadgroup_barrier(mem_flags f, MSL_SITE) { msl_barrier(true, (int)f, at.file, at.line); }
MSL_FN void simdgroup_barrier(mem_flags f, MSL_SITE) { msl_barrier(false, (int)f, at.file, at.line); }

// What simd_* takes: no 64-bit integers, no bool, no bfloat.
template <class T>
constexpr bool is_simd_ = is_arithmetic_v<elem_t<T>> && sizeof(elem_t<T>) <= 4 && !__is_same(elem_t<T>, bool) && !is_bfloat_<elem_t<T>>;

MSL_FN int lane_() { return (int)msl_self->lane; }

// The bookkeeping of a collective touches stacks of other fibers: that is no race.
#define MSL_COLLECTIVE static __attribute__((no_sanitize("thread", "address"))) void
#define MSL_LANES(l) for (uint left_ = mask, l; left_ && ((l = (uint)__builtin_ctz(left_)), true); left_ &= left_ - 1)

// ---- reductions and scans, over groups of 32 or 4 lanes ----

template <class T> struct reduce_ {
#define MSL_REDUCE(name, expr)                                                                    \
  MSL_COLLECTIVE name(uint mask, void* const* in, void* const* out, ulong width) {                \
    for (uint base = 0; base < 32; base += width) {                                               \
      bool first = true;                                                                          \
      T a = T(0);                                                                                 \
      for (uint l = base; l < base + width; l++) {                                                \
        if (!(mask >> l & 1)) continue;                                                           \
        T x = *(const T*)in[l];                                                                   \
        a = first ? x : expr;                                                                     \
        first = false;                                                                            \
      }                                                                                           \
      for (uint l = base; l < base + width; l++)                                                  \
        if (mask >> l & 1) *(T*)out[l] = a;                                                       \
    }                                                                                             \
  }
  MSL_REDUCE(sum, T(a + x))
  MSL_REDUCE(product, T(a * x))
  MSL_REDUCE(min, metal::min(a, x))
  MSL_REDUCE(max, metal::max(a, x))
  MSL_REDUCE(and_, T(a & x))
  MSL_REDUCE(or_, T(a | x))
  MSL_REDUCE(xor_, T(a ^ x))

#define MSL_SCAN(name, start, expr, inclusive)                                     \
  MSL_COLLECTIVE name(uint mask, void* const* in, void* const* out, ulong width) { \
    T a = T(start);                                                                \
    MSL_LANES(l) {                                                                 \
      if (l % width == 0) a = T(start);                                            \
      T x = *(const T*)in[l], before = a;                                          \
      a = expr;                                                                    \
      *(T*)out[l] = inclusive ? a : before;                                        \
    }                                                                              \
  }
  MSL_SCAN(inclusive_sum, 0, T(a + x), true)
  MSL_SCAN(exclusive_sum, 0, T(a + x), false)
  MSL_SCAN(inclusive_product, 1, T(a * x), true)
  MSL_SCAN(exclusive_product, 1, T(a * x), false)
};

#define MSL_SIMD(name, fn, which)                                      \
  template <class T> MSL_FN enable_if_t<which<T>, T> simd_##name(T v, MSL_SITE) { \
    T r;                                                               \
    msl_simd(&v, &r, &reduce_<T>::fn, 32, at.file, at.line);                             \
    return r;                                                          \
  }                                                                    \
  template <class T> MSL_FN enable_if_t<which<T>, T> quad_##name(T v, MSL_SITE) { \
    T r;                                                               \
    msl_simd(&v, &r, &reduce_<T>::fn, 4, at.file, at.line);                              \
    return r;                                                          \
  }
template <class T> constexpr bool is_simd_int_ = is_simd_<T> && is_integral_v<elem_t<T>>;
MSL_SIMD(sum, sum, is_simd_)
MSL_SIMD(product, product, is_simd_)
MSL_SIMD(min, min, is_simd_)
MSL_SIMD(max, max, is_simd_)
MSL_SIMD(and, and_, is_simd_int_)
MSL_SIMD(or, or_, is_simd_int_)
MSL_SIMD(xor, xor_, is_simd_int_)
MSL_SIMD(prefix_inclusive_sum, inclusive_sum, is_simd_)
MSL_SIMD(prefix_exclusive_sum, exclusive_sum, is_simd_)
MSL_SIMD(prefix_inclusive_product, inclusive_product, is_simd_)
MSL_SIMD(prefix_exclusive_product, exclusive_product, is_simd_)

// ---- shuffles: all are a lane's wish for the value of another ----

template <class T> struct shuffle_ {
  T value;
  int source;
  bool same; // all must want the same lane of the group of width

  MSL_COLLECTIVE run(uint mask, void* const* in, void* const* out, ulong width) {
    T values[32];
    MSL_LANES(l) values[l] = ((const shuffle_*)in[l])->value;
    MSL_LANES(l) {
      const shuffle_& s = *(const shuffle_*)in[l];
      bool defined = s.source >= 0 && s.source < 32 && (mask >> s.source & 1);
      if (s.same) {
        uint first = l - l % width;
        while (!(mask >> first & 1)) first++;
        defined = defined && ((const shuffle_*)in[first])->source == s.source;
      }
      T r;
      if (defined)
        r = values[s.source];
      else
        __builtin_memset(&r, 0xff, sizeof r); // undefined in Metal: NaN
      *(T*)out[l] = r;
    }
  }
};

template <class T> MSL_FN enable_if_t<is_simd_<T>, T> from_lane_(T v, int source, site_ at, bool same = false, ulong width = 32) {
  shuffle_<T> s{v, source, same};
  T r;
  msl_simd(&s, &r, &shuffle_<T>::run, width, at.file, at.line);
  return r;
}

#define MSL_SHUFFLE template <class T> MSL_FN enable_if_t<is_simd_<T>, T>
MSL_SHUFFLE simd_shuffle(T v, ushort l, MSL_SITE) { return from_lane_(v, l, at); }
MSL_SHUFFLE simd_broadcast(T v, ushort l, MSL_SITE) { return from_lane_(v, l, at, true); }
MSL_SHUFFLE simd_shuffle_xor(T v, ushort m, MSL_SITE) { return from_lane_(v, lane_() ^ m, at); }
MSL_SHUFFLE simd_shuffle_up(T v, ushort d, MSL_SITE) { return from_lane_(v, lane_() < d ? lane_() : lane_() - d, at); }
MSL_SHUFFLE simd_shuffle_down(T v, ushort d, MSL_SITE) { return from_lane_(v, lane_() + d > 31 ? lane_() : lane_() + d, at); }
MSL_SHUFFLE simd_shuffle_rotate_up(T v, ushort d, MSL_SITE) { return from_lane_(v, (lane_() - d) & 31, at); }
MSL_SHUFFLE simd_shuffle_rotate_down(T v, ushort d, MSL_SITE) { return from_lane_(v, (lane_() + d) & 31, at); }

// The lanes that nothing is shuffled into take values of fill, from the other end.
MSL_SHUFFLE simd_shuffle_and_fill_up(T v, T fill, ushort d, ushort width = 32, MSL_SITE) {
  int l = lane_(), from = (l & (width - 1)) - d, base = l & ~(width - 1);
  T moved = from_lane_(v, from < 0 ? l : base + from, at);
  T filled = from_lane_(fill, from < 0 ? base + from + width : l, at);
  return from < 0 ? filled : moved;
}
MSL_SHUFFLE simd_shuffle_and_fill_down(T v, T fill, ushort d, ushort width = 32, MSL_SITE) {
  int l = lane_(), from = (l & (width - 1)) + d, base = l & ~(width - 1);
  T moved = from_lane_(v, from >= width ? l : base + from, at);
  T filled = from_lane_(fill, from >= width ? base + from - width : l, at);
  return from >= width ? filled : moved;
}

MSL_FN int quad_base_() { return lane_() & ~3; }
MSL_FN int quad_lane_() { return lane_() & 3; }
MSL_SHUFFLE quad_shuffle(T v, ushort q, MSL_SITE) { return from_lane_(v, quad_base_() + q, at); }
MSL_SHUFFLE quad_broadcast(T v, ushort q, MSL_SITE) { return from_lane_(v, quad_base_() + q, at, true, 4); }
MSL_SHUFFLE quad_shuffle_xor(T v, ushort m, MSL_SITE) { return from_lane_(v, quad_base_() + (quad_lane_() ^ m), at); }
MSL_SHUFFLE quad_shuffle_up(T v, ushort d, MSL_SITE) { return from_lane_(v, quad_lane_() < d ? lane_() : lane_() - d, at); }
MSL_SHUFFLE quad_shuffle_down(T v, ushort d, MSL_SITE) { return from_lane_(v, quad_lane_() + d > 3 ? lane_() : lane_() + d, at); }
MSL_SHUFFLE quad_shuffle_rotate_up(T v, ushort d, MSL_SITE) { return from_lane_(v, quad_base_() + ((quad_lane_() - d) & 3), at); }
MSL_SHUFFLE quad_shuffle_rotate_down(T v, ushort d, MSL_SITE) { return from_lane_(v, quad_base_() + ((quad_lane_() + d) & 3), at); }

// ---- votes ----

struct vote_ {
  ulong yes, active;

  MSL_COLLECTIVE run(uint mask, void* const* in, void* const* out, ulong width) {
    ulong yes = 0;
    MSL_LANES(l) if (*(const bool*)in[l]) yes |= 1ul << l;
    MSL_LANES(l) {
      uint base = l - l % width;
      ulong all = (1ul << width) - 1;
      *(vote_*)out[l] = vote_{yes >> base & all, mask >> base & all};
    }
  }
};
MSL_FN vote_ cast_vote_(bool p, ulong width, site_ at) {
  vote_ r;
  msl_simd(&p, &r, &vote_::run, width, at.file, at.line);
  return r;
}

template <int width> struct votes_ {
  using vote_t = conditional_t<width == 32, ulong, uint>;
  votes_() = default;
  explicit votes_(vote_t v) : bits(v) {}
  explicit operator vote_t() const { return bits; }
  bool all() const { return bits == (vote_t)((1ul << width) - 1); }
  bool any() const { return bits != 0; }

private:
  vote_t bits;
};
using simd_vote = votes_<32>;
using quad_vote = votes_<4>;

MSL_FN bool simd_all(bool p, MSL_SITE) {
  vote_ v = cast_vote_(p, 32, at);
  return v.yes == v.active;
}
MSL_FN bool simd_any(bool p, MSL_SITE) { return cast_vote_(p, 32, at).yes != 0; }
MSL_FN simd_vote simd_ballot(bool p, MSL_SITE) { return simd_vote(cast_vote_(p, 32, at).yes); }
MSL_FN simd_vote simd_active_threads_mask(MSL_SITE) { return simd_vote(cast_vote_(true, 32, at).active); }
MSL_FN bool simd_is_first(MSL_SITE) { return __builtin_ctzl(cast_vote_(true, 32, at).active) == lane_(); }
MSL_FN bool quad_all(bool p, MSL_SITE) {
  vote_ v = cast_vote_(p, 4, at);
  return v.yes == v.active;
}
MSL_FN bool quad_any(bool p, MSL_SITE) { return cast_vote_(p, 4, at).yes != 0; }
MSL_FN quad_vote quad_ballot(bool p, MSL_SITE) { return quad_vote((uint)cast_vote_(p, 4, at).yes); }
MSL_FN quad_vote quad_active_threads_mask(MSL_SITE) { return quad_vote((uint)cast_vote_(true, 4, at).active); }
MSL_FN bool quad_is_first(MSL_SITE) { return __builtin_ctzl(cast_vote_(true, 4, at).active) == quad_lane_(); }

// The value of the first active lane.
template <class T> MSL_FN enable_if_t<is_simd_<T>, T> simd_broadcast_first(T v, MSL_SITE) {
  return from_lane_(v, __builtin_ctzl(cast_vote_(true, 32, at).active), at);
}
template <class T> MSL_FN enable_if_t<is_simd_<T>, T> quad_broadcast_first(T v, MSL_SITE) {
  return from_lane_(v, quad_base_() + __builtin_ctzl(cast_vote_(true, 4, at).active), at);
}

} // namespace metal
