// msl_limits.h: <metal_limits>.
#pragma once
namespace metal {

template <class T> struct numeric_limits { // of integers
  static constexpr bool is_specialized = true, is_integer = true, is_exact = true;
  static constexpr bool is_signed = is_signed_v<T>;
  static constexpr int digits = sizeof(T) * 8 - is_signed;
  static constexpr T max() {
    if constexpr (__is_same(T, bool)) return true;
    else if constexpr (is_signed) return T(~(T(1) << (sizeof(T) * 8 - 1)));
    else return T(~T(0));
  }
  static constexpr T min() {
    if constexpr (is_signed) return T(T(1) << (sizeof(T) * 8 - 1));
    else return T(0);
  }
  static constexpr T lowest() { return min(); }
};

#define MSL_FLOAT_LIMITS(T, MAX, MIN, EPSILON, DIGITS, MAX_EXPONENT, MIN_EXPONENT)                   \
  template <> struct numeric_limits<T> {                                                             \
    static constexpr bool is_specialized = true, is_integer = false, is_exact = false;               \
    static constexpr bool is_signed = true, has_infinity = true, has_quiet_NaN = true;               \
    static constexpr int digits = DIGITS, max_exponent = MAX_EXPONENT, min_exponent = MIN_EXPONENT;  \
    static constexpr T max() { return (T)MAX; }                                                      \
    static constexpr T min() { return (T)MIN; }                                                      \
    static constexpr T lowest() { return (T)-MAX; }                                                  \
    static constexpr T epsilon() { return (T)EPSILON; }                                              \
    static constexpr T infinity() { return (T)__builtin_inff(); }                                    \
    static constexpr T quiet_NaN() { return (T)__builtin_nanf(""); }                                 \
  };
MSL_FLOAT_LIMITS(float, 0x1.fffffep127f, 0x1p-126f, 0x1p-23f, 24, 128, -125)
MSL_FLOAT_LIMITS(half, 65504.0f, 0x1p-14f, 0x1p-10f, 11, 16, -13)
MSL_FLOAT_LIMITS(bfloat, 0x1.fep127f, 0x1p-126f, 0x1p-7f, 8, 128, -125)

} // namespace metal
