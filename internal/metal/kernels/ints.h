// Arithmetic of integers. It wraps: sums and products are taken in the unsigned type U of
// at least 32 bits.
#include "common.h"

// int_power is 0 for a negative exponent.
template <typename T, typename U>
METAL_FUNC T int_power(T a, T e) {
  if (e < static_cast<T>(0)) {
    return static_cast<T>(0);
  }
  U base = static_cast<U>(a);
  U left = static_cast<U>(e);
  U r = static_cast<U>(1);
  while (left != static_cast<U>(0)) {
    if ((left & static_cast<U>(1)) != static_cast<U>(0)) {
      r *= base;
    }
    base *= base;
    left >>= 1;
  }
  return static_cast<T>(r);
}

// int_floor_divide rounds down, and is 0 for a divisor 0.
template <typename T, typename U>
METAL_FUNC T int_floor_divide(T a, T d) {
  if (d == static_cast<T>(0)) {
    return static_cast<T>(0);
  }
  if constexpr (metal::is_signed_v<T>) {
    if (d == static_cast<T>(-1)) {
      return static_cast<T>(static_cast<U>(0) - static_cast<U>(a)); // the lowest has no negative
    }
    T q = static_cast<T>(a / d);
    T r = static_cast<T>(a % d);
    if (r != static_cast<T>(0) && (r < static_cast<T>(0)) != (d < static_cast<T>(0))) {
      q = static_cast<T>(q - static_cast<T>(1));
    }
    return q;
  }
  return static_cast<T>(a / d);
}

// int_remainder has the sign of the divisor, and is 0 for a divisor 0.
template <typename T>
METAL_FUNC T int_remainder(T a, T d) {
  if (d == static_cast<T>(0)) {
    return static_cast<T>(0);
  }
  if constexpr (metal::is_signed_v<T>) {
    if (d == static_cast<T>(-1)) {
      return static_cast<T>(0);
    }
    T r = static_cast<T>(a % d);
    if (r != static_cast<T>(0) && (r < static_cast<T>(0)) != (d < static_cast<T>(0))) {
      r = static_cast<T>(r + d);
    }
    return r;
  }
  return static_cast<T>(a % d);
}

// int_left and int_right shift all bits out for a count that is negative or too large.
template <typename T, typename U>
METAL_FUNC T int_left(T a, T count) {
  ulong n = static_cast<ulong>(count);
  if (n >= sizeof(T) * 8ul) {
    return static_cast<T>(0);
  }
  return static_cast<T>(static_cast<U>(a) << static_cast<uint>(n));
}

template <typename T>
METAL_FUNC T int_right(T a, T count) {
  ulong n = metal::min(static_cast<ulong>(count), static_cast<ulong>(sizeof(T) * 8ul - 1ul));
  if (!metal::is_signed_v<T> && static_cast<ulong>(count) >= sizeof(T) * 8ul) {
    return static_cast<T>(0);
  }
  return static_cast<T>(a >> static_cast<uint>(n));
}

// int_of cuts x towards zero; low is the lowest T and high the first number above the
// highest. NaN gives 0.
template <typename T>
METAL_FUNC T int_of(float x, float low, float high) {
  if (x >= high) {
    return metal::numeric_limits<T>::max();
  }
  if (x <= low) {
    return metal::numeric_limits<T>::min();
  }
  return x == x ? static_cast<T>(x) : static_cast<T>(0);
}
