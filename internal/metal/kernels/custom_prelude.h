// What stands before the source of a kernel of one's own: math and simdgroup functions of
// bfloat, which Metal lacks, and the utilities that kernels written for MLX use.
#include <metal_stdlib>
using namespace metal;

typedef half float16_t;
typedef bfloat bfloat16_t;

// ---- math of bfloat: in float, then rounded ----

#define BFLOAT_1(F, NAME) \
  inline bfloat NAME(bfloat x) { return static_cast<bfloat>(F(static_cast<float>(x))); }
#define BFLOAT_2(F, NAME) \
  inline bfloat NAME(bfloat x, bfloat y) { return static_cast<bfloat>(F(static_cast<float>(x), static_cast<float>(y))); }

// What has a fast and a precise variant; S is the namespace.
#define BFLOAT_VARIANTS(S) \
  BFLOAT_1(S::acos, acos) BFLOAT_1(S::acosh, acosh) BFLOAT_1(S::asin, asin) BFLOAT_1(S::asinh, asinh) \
  BFLOAT_1(S::atan, atan) BFLOAT_1(S::atanh, atanh) BFLOAT_1(S::cos, cos) BFLOAT_1(S::cosh, cosh) \
  BFLOAT_1(S::exp, exp) BFLOAT_1(S::exp2, exp2) BFLOAT_1(S::exp10, exp10) BFLOAT_1(S::log, log) \
  BFLOAT_1(S::log2, log2) BFLOAT_1(S::log10, log10) BFLOAT_1(S::rsqrt, rsqrt) BFLOAT_1(S::sin, sin) \
  BFLOAT_1(S::sinh, sinh) BFLOAT_1(S::sqrt, sqrt) BFLOAT_1(S::tan, tan) BFLOAT_1(S::tanh, tanh) \
  BFLOAT_2(S::atan2, atan2) BFLOAT_2(S::pow, pow)

namespace metal {

BFLOAT_VARIANTS(metal)
BFLOAT_1(metal::fabs, abs)
BFLOAT_1(metal::fabs, fabs)
BFLOAT_1(metal::ceil, ceil)
BFLOAT_1(metal::cospi, cospi)
BFLOAT_1(metal::floor, floor)
BFLOAT_1(metal::fract, fract)
BFLOAT_1(metal::rint, rint)
BFLOAT_1(metal::round, round)
BFLOAT_1(metal::sinpi, sinpi)
BFLOAT_1(metal::tanpi, tanpi)
BFLOAT_1(metal::trunc, trunc)
BFLOAT_2(metal::divide, divide)
BFLOAT_2(metal::fdim, fdim)
BFLOAT_2(metal::fmax, fmax)
BFLOAT_2(metal::fmax, max)
BFLOAT_2(metal::fmin, fmin)
BFLOAT_2(metal::fmin, min)
BFLOAT_2(metal::fmod, fmod)
BFLOAT_2(metal::powr, powr)

inline bfloat fma(bfloat x, bfloat y, bfloat z) {
  return static_cast<bfloat>(metal::fma(static_cast<float>(x), static_cast<float>(y), static_cast<float>(z)));
}

inline bfloat fmax3(bfloat x, bfloat y, bfloat z) { return fmax(x, fmax(y, z)); }
inline bfloat max3(bfloat x, bfloat y, bfloat z) { return fmax(x, fmax(y, z)); }
inline bfloat fmin3(bfloat x, bfloat y, bfloat z) { return fmin(x, fmin(y, z)); }
inline bfloat min3(bfloat x, bfloat y, bfloat z) { return fmin(x, fmin(y, z)); }
inline bfloat fmedian3(bfloat x, bfloat y, bfloat z) { return fmax(fmin(x, y), fmin(fmax(x, y), z)); }
inline bfloat median3(bfloat x, bfloat y, bfloat z) { return fmedian3(x, y, z); }

inline bfloat ldexp(bfloat x, int k) {
  return static_cast<bfloat>(metal::ldexp(static_cast<float>(x), k));
}

inline bfloat frexp(bfloat x, thread int& exponent) {
  return static_cast<bfloat>(metal::frexp(static_cast<float>(x), exponent));
}

// The neighbour among bfloats: one of floats would round back to x.
inline bfloat nextafter(bfloat x, bfloat y) {
  float a = static_cast<float>(x);
  float b = static_cast<float>(y);
  ushort bits = as_type<ushort>(x);
  if (a != a || b != b) {
    return static_cast<bfloat>(a + b);
  }
  if (a == b) {
    return y;
  }
  if (a == 0.0f) {
    return as_type<bfloat>(static_cast<ushort>(b > 0.0f ? 0x0001 : 0x8001));
  }
  return as_type<bfloat>(static_cast<ushort>((a < b) == (a > 0.0f) ? bits + 1 : bits - 1));
}

namespace fast {
BFLOAT_VARIANTS(metal::fast)
}

namespace precise {
BFLOAT_VARIANTS(metal::precise)
}

// ---- simdgroup functions of bfloat ----

BFLOAT_1(metal::simd_max, simd_max)
BFLOAT_1(metal::simd_min, simd_min)
BFLOAT_1(metal::simd_sum, simd_sum)
BFLOAT_1(metal::simd_product, simd_product)
BFLOAT_1(metal::simd_prefix_exclusive_product, simd_prefix_exclusive_product)
BFLOAT_1(metal::simd_prefix_exclusive_sum, simd_prefix_exclusive_sum)
BFLOAT_1(metal::simd_prefix_inclusive_product, simd_prefix_inclusive_product)
BFLOAT_1(metal::simd_prefix_inclusive_sum, simd_prefix_inclusive_sum)

// Shuffles move bits.
#define BFLOAT_SHUFFLE(NAME) \
  inline bfloat NAME(bfloat x, ushort n) { return as_type<bfloat>(metal::NAME(as_type<ushort>(x), n)); }
#define BFLOAT_FILL(NAME) \
  inline bfloat NAME(bfloat x, bfloat fill, ushort n) { \
    return as_type<bfloat>(metal::NAME(as_type<ushort>(x), as_type<ushort>(fill), n)); \
  } \
  inline bfloat NAME(bfloat x, bfloat fill, ushort n, ushort modulo) { \
    return as_type<bfloat>(metal::NAME(as_type<ushort>(x), as_type<ushort>(fill), n, modulo)); \
  }

BFLOAT_SHUFFLE(simd_broadcast)
BFLOAT_SHUFFLE(simd_shuffle)
BFLOAT_SHUFFLE(simd_shuffle_down)
BFLOAT_SHUFFLE(simd_shuffle_rotate_down)
BFLOAT_SHUFFLE(simd_shuffle_rotate_up)
BFLOAT_SHUFFLE(simd_shuffle_up)
BFLOAT_SHUFFLE(simd_shuffle_xor)
BFLOAT_FILL(simd_shuffle_and_fill_down)
BFLOAT_FILL(simd_shuffle_and_fill_up)

} // namespace metal

#undef BFLOAT_1
#undef BFLOAT_2
#undef BFLOAT_VARIANTS
#undef BFLOAT_SHUFFLE
#undef BFLOAT_FILL

// ---- shuffles of what is wider or narrower than Metal's ----

#define WIDE_SHUFFLE(NAME) \
  inline uint64_t NAME(uint64_t x, ushort n) { return as_type<uint64_t>(metal::NAME(as_type<uint2>(x), n)); } \
  inline int64_t NAME(int64_t x, ushort n) { return as_type<int64_t>(metal::NAME(as_type<uint2>(x), n)); } \
  inline bool NAME(bool x, ushort n) { return metal::NAME(static_cast<uint>(x), n) != 0; }

WIDE_SHUFFLE(simd_shuffle_down)
WIDE_SHUFFLE(simd_shuffle_up)
WIDE_SHUFFLE(simd_shuffle_xor)

#undef WIDE_SHUFFLE

// ---- limits: the neutral elements of max and min ----

template <typename T>
struct Limits {
  static constexpr constant T max = metal::numeric_limits<T>::max();
  static constexpr constant T min = metal::numeric_limits<T>::min();
  static constexpr constant T finite_max = metal::numeric_limits<T>::max();
  static constexpr constant T finite_min = metal::numeric_limits<T>::min();
};

#define FLOAT_LIMITS(T) \
  template <> \
  struct Limits<T> { \
    static constexpr constant T max = metal::numeric_limits<T>::infinity(); \
    static constexpr constant T min = -metal::numeric_limits<T>::infinity(); \
    static constexpr constant T finite_max = metal::numeric_limits<T>::max(); \
    static constexpr constant T finite_min = -metal::numeric_limits<T>::max(); \
  };

FLOAT_LIMITS(float)
FLOAT_LIMITS(half)
FLOAT_LIMITS(bfloat)

#undef FLOAT_LIMITS

template <>
struct Limits<bool> {
  static constexpr constant bool max = true;
  static constexpr constant bool min = false;
};

// ---- where an element of a strided array lies, in elements ----

template <typename Index = int64_t>
inline Index elem_to_loc(Index elem, constant const int* shape, constant const int64_t* strides, int ndim) {
  Index loc = 0;
  for (int i = ndim - 1; i >= 0 && elem > 0; i--) {
    loc += static_cast<Index>(elem % shape[i]) * static_cast<Index>(strides[i]);
    elem /= shape[i];
  }
  return loc;
}

// The same by position: x along the last axis, y along the one before, z along the others.
template <typename Index = int64_t>
inline Index elem_to_loc(uint3 elem, constant const int* shape, constant const int64_t* strides, int ndim) {
  Index loc = static_cast<Index>(elem.x) * static_cast<Index>(strides[ndim - 1]) +
      static_cast<Index>(elem.y) * static_cast<Index>(strides[ndim - 2]);
  for (int i = ndim - 3; i >= 0; i--) {
    loc += static_cast<Index>(elem.z % shape[i]) * static_cast<Index>(strides[i]);
    elem.z /= shape[i];
  }
  return loc;
}

template <typename Index = int64_t>
inline Index elem_to_loc_1(uint elem, constant const int64_t& stride) {
  return static_cast<Index>(elem) * static_cast<Index>(stride);
}

template <typename Index = int64_t>
inline Index elem_to_loc_2(uint2 elem, constant const int64_t* strides) {
  return static_cast<Index>(elem.x) * static_cast<Index>(strides[1]) + static_cast<Index>(elem.y) * static_cast<Index>(strides[0]);
}

template <typename Index = int64_t>
inline Index elem_to_loc_3(uint3 elem, constant const int64_t* strides) {
  return static_cast<Index>(elem.x) * static_cast<Index>(strides[2]) + static_cast<Index>(elem.y) * static_cast<Index>(strides[1]) +
      static_cast<Index>(elem.z) * static_cast<Index>(strides[0]);
}

// ---- calculation ----

inline size_t ceildiv(size_t n, size_t m) {
  return (n + m - 1) / m;
}

// log(1 + x), exact near 0: the error of 1 + x cancels in the quotient.
inline float log1p(float x) {
  float y = 1.0f + x;
  if (y == 1.0f) {
    return x;
  }
  if (y == 0.0f || y == INFINITY) {
    return metal::log(y);
  }
  return x * (metal::log(y) / (y - 1.0f));
}

inline bfloat log1p(bfloat x) {
  return static_cast<bfloat>(log1p(static_cast<float>(x)));
}
