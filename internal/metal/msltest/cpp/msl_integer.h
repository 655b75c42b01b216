// msl_integer.h: <metal_integer>.
#pragma once
namespace metal {

template <class T> constexpr bool is_int_ = is_integral_v<elem_t<T>> && !__is_same(elem_t<T>, bool);

namespace scalar_ {
template <class T> constexpr int bits = sizeof(T) * 8;
template <class T> MSL_FN T popcount(T x) { return (T)__builtin_popcountll((unsigned long long)(__make_unsigned(T))x); }
template <class T> MSL_FN T clz(T x) {
  return x == 0 ? T(bits<T>) : (T)(__builtin_clzll((unsigned long long)(__make_unsigned(T))x) - (64 - bits<T>));
}
template <class T> MSL_FN T ctz(T x) { return x == 0 ? T(bits<T>) : (T)__builtin_ctzll((unsigned long long)x); }
template <class T> MSL_FN T reverse_bits(T x) {
  return (T)(__builtin_bitreverse64((unsigned long long)(__make_unsigned(T))x) >> (64 - bits<T>));
}
template <class T> MSL_FN T mulhi(T a, T b) {
  if constexpr (is_signed_v<T>) return (T)(((__int128)a * b) >> bits<T>);
  else return (T)(((unsigned __int128)a * b) >> bits<T>);
}
template <class T> MSL_FN T rotate(T a, T n) {
  using U = __make_unsigned(T);
  unsigned k = (unsigned)n & (bits<T> - 1);
  return k == 0 ? a : (T)(U)((U)a << k | (U)a >> (bits<T> - k));
}
template <class T> MSL_FN T absdiff(T a, T b) { return a > b ? (T)(a - b) : (T)(b - a); }
template <class T> MSL_FN T hadd(T a, T b) { return (T)((a & b) + ((a ^ b) >> 1)); }
template <class T> MSL_FN T rhadd(T a, T b) { return (T)((a | b) - ((a ^ b) >> 1)); }
template <class T> MSL_FN T addsat(T a, T b) {
  T r;
  if (!__builtin_add_overflow(a, b, &r)) return r;
  return is_signed_v<T> && a < 0 ? numeric_limits<T>::min() : numeric_limits<T>::max();
}
template <class T> MSL_FN T subsat(T a, T b) {
  T r;
  if (!__builtin_sub_overflow(a, b, &r)) return r;
  return !is_signed_v<T> || a < 0 ? numeric_limits<T>::min() : numeric_limits<T>::max();
}
} // namespace scalar_

#define MSL_INTEGER1(name)                                          \
  template <class T> MSL_FN enable_if_t<is_int_<T>, T> name(T x) {  \
    MSL_EACH(r, T, scalar_::name((elem_t<T>)x[i_]))                 \
    else r = scalar_::name(x);                                      \
    return r;                                                       \
  }
#define MSL_INTEGER2(name)                                                  \
  template <class T> MSL_FN enable_if_t<is_int_<T>, T> name(T x, T y) {     \
    MSL_EACH(r, T, scalar_::name((elem_t<T>)x[i_], (elem_t<T>)y[i_]))       \
    else r = scalar_::name(x, y);                                           \
    return r;                                                               \
  }
MSL_INTEGER1(popcount)
MSL_INTEGER1(clz)
MSL_INTEGER1(ctz)
MSL_INTEGER1(reverse_bits)
MSL_INTEGER2(mulhi)
MSL_INTEGER2(rotate)
MSL_INTEGER2(absdiff)
MSL_INTEGER2(hadd)
MSL_INTEGER2(rhadd)
MSL_INTEGER2(addsat)
MSL_INTEGER2(subsat)

template <class T> MSL_FN enable_if_t<is_int_<T>, T> madhi(T a, T b, T c) { return mulhi(a, b) + c; }
MSL_FN int mul24(int a, int b) { return (int)((uint)(a << 8 >> 8) * (uint)(b << 8 >> 8)); }
MSL_FN uint mul24(uint a, uint b) { return (a & 0xffffff) * (b & 0xffffff); }
MSL_FN int mad24(int a, int b, int c) { return mul24(a, b) + c; }
MSL_FN uint mad24(uint a, uint b, uint c) { return mul24(a, b) + c; }
template <class T> MSL_FN enable_if_t<is_int_<T> && !is_vec_<T>, T> extract_bits(T x, uint offset, uint n) {
  if (n == 0) return 0;
  int up = scalar_::bits<T> - (int)(offset + n);
  return (T)((T)(x << up) >> (scalar_::bits<T> - (int)n));
}
template <class T> MSL_FN enable_if_t<is_int_<T> && !is_vec_<T>, T> insert_bits(T base, T x, uint offset, uint n) {
  if (n == 0) return base;
  using U = __make_unsigned(T);
  U mask = (U)((U)(~(U)0) >> (scalar_::bits<T> - n)) << offset;
  return (T)(((U)base & ~mask) | ((U)x << offset & mask));
}

} // namespace metal
