// msl_math.h: <metal_math>. Functions are computed in float and rounded to half; vectors
// element by element. Metal has none of them for bfloat.
#pragma once
namespace metal {
namespace scalar_ {

#define MSL_BUILTIN1(name) MSL_FN float name(float x) { return __builtin_##name##f(x); }
MSL_BUILTIN1(acos)
MSL_BUILTIN1(acosh)
MSL_BUILTIN1(asin)
MSL_BUILTIN1(asinh)
MSL_BUILTIN1(atan)
MSL_BUILTIN1(atanh)
MSL_BUILTIN1(ceil)
MSL_BUILTIN1(cos)
MSL_BUILTIN1(cosh)
MSL_BUILTIN1(exp)
MSL_BUILTIN1(exp2)
MSL_BUILTIN1(fabs)
MSL_BUILTIN1(floor)
MSL_BUILTIN1(log)
MSL_BUILTIN1(log10)
MSL_BUILTIN1(log2)
MSL_BUILTIN1(rint)
MSL_BUILTIN1(round)
MSL_BUILTIN1(sin)
MSL_BUILTIN1(sinh)
MSL_BUILTIN1(sqrt)
MSL_BUILTIN1(tan)
MSL_BUILTIN1(tanh)
MSL_BUILTIN1(trunc)
#define MSL_BUILTIN2(name) MSL_FN float name(float x, float y) { return __builtin_##name##f(x, y); }
MSL_BUILTIN2(atan2)
MSL_BUILTIN2(copysign)
MSL_BUILTIN2(fdim)
MSL_BUILTIN2(fmax)
MSL_BUILTIN2(fmin)
MSL_BUILTIN2(fmod)
MSL_BUILTIN2(nextafter)
MSL_BUILTIN2(pow)

// In double: the arguments are multiples of pi, and float's pi is not.
constexpr double pi = 3.14159265358979323846;
MSL_FN float cospi(float x) { return (float)__builtin_cos(pi * x); }
MSL_FN float sinpi(float x) { return (float)__builtin_sin(pi * x); }
MSL_FN float tanpi(float x) { return (float)__builtin_tan(pi * x); }
MSL_FN float exp10(float x) { return __builtin_powf(10.0f, x); }
MSL_FN float rsqrt(float x) { return 1.0f / __builtin_sqrtf(x); }
MSL_FN float fract(float x) { return __builtin_fminf(x - __builtin_floorf(x), 0x1.fffffep-1f); }
MSL_FN float sign(float x) { return x > 0 ? 1.0f : x < 0 ? -1.0f : x == 0 ? x : 0.0f; }
MSL_FN float saturate(float x) { return x > 0 ? (x < 1 ? x : 1.0f) : 0.0f; } // NaN gives 0
MSL_FN float step(float edge, float x) { return x < edge ? 0.0f : 1.0f; }
MSL_FN float powr(float x, float y) { return x < 0 ? __builtin_nanf("") : __builtin_powf(x, y); }
MSL_FN float divide(float x, float y) { return x / y; }
MSL_FN float fma(float x, float y, float z) { return __builtin_fmaf(x, y, z); }

} // namespace scalar_

// is_math_: what the functions take. has_order_: what min, max and clamp take.
template <class T> constexpr bool is_math_ = is_floating_point_v<elem_t<T>> && !is_bfloat_<elem_t<T>>;
template <class T> constexpr bool has_order_ = is_arithmetic_v<elem_t<T>> && !is_bfloat_<elem_t<T>>;

#define MSL_MATH1(name)                                                  \
  template <class T> MSL_FN enable_if_t<is_math_<T>, T> name(T x) {      \
    MSL_EACH(r, T, (elem_t<T>)scalar_::name((float)x[i_]))               \
    else r = (T)scalar_::name((float)x);                                 \
    return r;                                                            \
  }
#define MSL_MATH2(name)                                                      \
  template <class T> MSL_FN enable_if_t<is_math_<T>, T> name(T x, T y) {     \
    MSL_EACH(r, T, (elem_t<T>)scalar_::name((float)x[i_], (float)y[i_]))     \
    else r = (T)scalar_::name((float)x, (float)y);                           \
    return r;                                                                \
  }
#define MSL_MATH3(name)                                                                     \
  template <class T> MSL_FN enable_if_t<is_math_<T>, T> name(T x, T y, T z) {               \
    MSL_EACH(r, T, (elem_t<T>)scalar_::name((float)x[i_], (float)y[i_], (float)z[i_]))      \
    else r = (T)scalar_::name((float)x, (float)y, (float)z);                                \
    return r;                                                                               \
  }
#define MSL_MATH                                                                                             \
  MSL_MATH1(acos) MSL_MATH1(acosh) MSL_MATH1(asin) MSL_MATH1(asinh) MSL_MATH1(atan) MSL_MATH1(atanh)         \
  MSL_MATH1(ceil) MSL_MATH1(cos) MSL_MATH1(cosh) MSL_MATH1(cospi) MSL_MATH1(exp) MSL_MATH1(exp10)            \
  MSL_MATH1(exp2) MSL_MATH1(fabs) MSL_MATH1(floor) MSL_MATH1(fract) MSL_MATH1(log) MSL_MATH1(log10)          \
  MSL_MATH1(log2) MSL_MATH1(rint) MSL_MATH1(round) MSL_MATH1(rsqrt) MSL_MATH1(saturate) MSL_MATH1(sign)      \
  MSL_MATH1(sin) MSL_MATH1(sinh) MSL_MATH1(sinpi) MSL_MATH1(sqrt) MSL_MATH1(tan) MSL_MATH1(tanh)             \
  MSL_MATH1(tanpi) MSL_MATH1(trunc) MSL_MATH2(atan2) MSL_MATH2(copysign) MSL_MATH2(divide) MSL_MATH2(fdim)   \
  MSL_MATH2(fmax) MSL_MATH2(fmin) MSL_MATH2(fmod) MSL_MATH2(nextafter) MSL_MATH2(pow) MSL_MATH2(powr)        \
  MSL_MATH2(step) MSL_MATH3(fma)
MSL_MATH

// Two scalars of different types convert as if to (float, float) or (half, half).
template <class A, class B>
using mixed_t = enable_if_t<!__is_same(A, B) && (is_math_<A> || is_math_<B>) && !is_bfloat_<A> && !is_bfloat_<B> &&
                                !is_vec_<A> && !is_vec_<B>,
                            conditional_t<__is_same(A, float) || __is_same(B, float), float, half>>;
#define MSL_MIXED2(name) \
  template <class A, class B> MSL_FN mixed_t<A, B> name(A a, B b) { return name((mixed_t<A, B>)a, (mixed_t<A, B>)b); }
MSL_MIXED2(copysign)
MSL_MIXED2(fmax)
MSL_MIXED2(fmin)
MSL_MIXED2(fmod)
MSL_MIXED2(pow)
MSL_MIXED2(powr)

// ---- min, max and relatives: also of integers ----

#define MSL_ORDER(name, op, of_floats)                                            \
  template <class T> MSL_FN enable_if_t<has_order_<T>, T> name(T a, T b) {        \
    MSL_EACH(r, T, name((elem_t<T>)a[i_], (elem_t<T>)b[i_]))                      \
    else if constexpr (is_math_<T>) r = (T)scalar_::of_floats((float)a, (float)b); \
    else r = a op b ? a : b;                                                      \
    return r;                                                                     \
  }
MSL_ORDER(min, <, fmin)
MSL_ORDER(max, >, fmax)
MSL_MIXED2(min)
MSL_MIXED2(max)
template <class T> MSL_FN enable_if_t<has_order_<T>, T> min3(T a, T b, T c) { return min(a, min(b, c)); }
template <class T> MSL_FN enable_if_t<has_order_<T>, T> max3(T a, T b, T c) { return max(a, max(b, c)); }
template <class T> MSL_FN enable_if_t<has_order_<T>, T> median3(T a, T b, T c) { return max(min(a, b), min(max(a, b), c)); }
template <class T> MSL_FN enable_if_t<is_math_<T>, T> fmin3(T a, T b, T c) { return fmin(a, fmin(b, c)); }
template <class T> MSL_FN enable_if_t<is_math_<T>, T> fmax3(T a, T b, T c) { return fmax(a, fmax(b, c)); }
template <class T> MSL_FN enable_if_t<is_math_<T>, T> fmedian3(T a, T b, T c) { return median3(a, b, c); }
template <class T> MSL_FN enable_if_t<has_order_<T>, T> clamp(T x, T lo, T hi) { return min(max(x, lo), hi); }

template <class T> MSL_FN enable_if_t<has_order_<T>, T> abs(T x) {
  MSL_EACH(r, T, abs((elem_t<T>)x[i_]))
  else if constexpr (is_math_<T>) r = fabs(x);
  else if constexpr (is_signed_v<T>) r = x < 0 ? T(-x) : x;
  else r = x;
  return r;
}

template <class T> MSL_FN enable_if_t<is_math_<T>, T> mix(T a, T b, T t) { return a + (b - a) * t; }
template <class V> MSL_FN enable_if_t<is_vec_<V> && is_math_<V>, V> mix(V a, V b, elem_t<V> t) { return a + (b - a) * t; }
template <class T> MSL_FN enable_if_t<is_math_<T>, T> smoothstep(T a, T b, T x) {
  T t = saturate((x - a) / (b - a));
  return t * t * (T(3) - T(2) * t);
}

// ---- results through a pointer or reference ----

template <class T> MSL_FN enable_if_t<is_math_<T>, T> sincos(T x, MSL_THREAD T& c) {
  c = cos(x);
  return sin(x);
}
template <class T> MSL_FN enable_if_t<is_math_<T>, T> modf(T x, MSL_THREAD T& whole) {
  whole = trunc(x);
  return copysign(x - whole, x);
}
template <class T> MSL_FN enable_if_t<is_math_<T> && !is_vec_<T>, T> frexp(T x, MSL_THREAD int& e) { return (T)__builtin_frexpf((float)x, &e); }
template <class T> MSL_FN enable_if_t<is_math_<T> && !is_vec_<T>, T> ldexp(T x, int e) { return (T)__builtin_ldexpf((float)x, e); }
template <class T> MSL_FN enable_if_t<is_math_<T> && !is_vec_<T>, int> ilogb(T x) { return __builtin_ilogbf((float)x); }

namespace fast {
MSL_MATH
using metal::abs;
using metal::clamp;
using metal::ldexp;
using metal::max;
using metal::min;
using metal::sincos;
} // namespace fast
namespace precise {
MSL_MATH
using metal::abs;
using metal::clamp;
using metal::ldexp;
using metal::max;
using metal::min;
using metal::sincos;
} // namespace precise

} // namespace metal
