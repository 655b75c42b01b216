// msl_relational.h: <metal_relational>.
#pragma once
namespace metal {

template <class T> using bools_t = conditional_t<is_vec_<T>, vec<bool, is_vec_<T> ? len_<T> : 2>, bool>;

namespace scalar_ {
MSL_FN uint bits_of(float x) { return __builtin_bit_cast(uint, x); }
// By bits: comparisons may be compiled away where NaN is taken not to occur.
MSL_FN bool isnan(float x) { return (bits_of(x) & 0x7fffffff) > 0x7f800000; }
MSL_FN bool isinf(float x) { return (bits_of(x) & 0x7fffffff) == 0x7f800000; }
MSL_FN bool isfinite(float x) { return (bits_of(x) & 0x7f800000) != 0x7f800000; }
MSL_FN bool isnormal(float x) { return isfinite(x) && (bits_of(x) & 0x7f800000) != 0; }
MSL_FN bool signbit(float x) { return bits_of(x) >> 31; }
} // namespace scalar_

#define MSL_TEST(name)                                                                              \
  template <class T> MSL_FN enable_if_t<is_floating_point_v<elem_t<T>> && !is_bfloat_<elem_t<T>>, bools_t<T>> name(T x) { \
    if constexpr (is_vec_<T>) {                                                                     \
      bools_t<T> r;                                                                                 \
      for (int i = 0; i < len_<T>; i++) r[i] = scalar_::name((float)x[i]);                          \
      return r;                                                                                     \
    } else                                                                                          \
      return scalar_::name((float)x);                                                               \
  }
MSL_TEST(isnan)
MSL_TEST(isinf)
MSL_TEST(isfinite)
MSL_TEST(isnormal)
MSL_TEST(signbit)
template <class T> MSL_FN enable_if_t<is_math_<T> && !is_vec_<T>, bool> isordered(T a, T b) { return !isnan(a) && !isnan(b); }
template <class T> MSL_FN enable_if_t<is_math_<T> && !is_vec_<T>, bool> isunordered(T a, T b) { return isnan(a) || isnan(b); }

// select takes b where c is true.
template <class T> MSL_FN T select(T a, T b, bool c) { return c ? b : a; }
template <class T, class C> MSL_FN enable_if_t<is_vec_<T> && is_vec_<C> && is_integral_v<elem_t<C>>, T> select(T a, T b, C c) {
  static_assert(len_<T> == len_<C>, "select takes vectors of one length");
  T r;
  for (int i = 0; i < len_<T>; i++) r[i] = c[i] ? b[i] : a[i];
  return r;
}
template <class V> MSL_FN enable_if_t<is_vec_<V>, bool> all(V v) {
  bool r = true;
  for (int i = 0; i < len_<V>; i++) r = r && v[i];
  return r;
}
template <class V> MSL_FN enable_if_t<is_vec_<V>, bool> any(V v) {
  bool r = false;
  for (int i = 0; i < len_<V>; i++) r = r || v[i];
  return r;
}
MSL_FN bool all(bool v) { return v; }
MSL_FN bool any(bool v) { return v; }

} // namespace metal
