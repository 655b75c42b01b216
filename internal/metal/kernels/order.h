// Keys: unsigned numbers in the order of the values, with NaN last. They are made of bits,
// so that no small number is taken for zero. Zeros of both signs have one key.
#include "fold.h"

// float_key is the key of a float whose bits are b; nan says that it is NaN.
METAL_FUNC uint float_key(uint b, uint sign, bool nan) {
  if (nan) {
    return 0xffffffffu;
  }
  if ((b & ~sign) == 0) {
    return sign;
  }
  return (b & sign) != 0 ? ~b & (sign | (sign - 1)) : b | sign;
}

template <typename T>
struct ordering { // of unsigned integers of at most 32 bits
  using key = uint;
  static METAL_FUNC bool nans() { return false; }
  static METAL_FUNC uint of(T v) { return static_cast<uint>(v); }
};

template <>
struct ordering<boolean> {
  using key = uint;
  static METAL_FUNC bool nans() { return false; }
  static METAL_FUNC uint of(boolean v) { return v != boolean::no ? 1u : 0u; }
};

METAL_FUNC uint signed_key(int v) { return as_type<uint>(v) ^ 0x80000000u; }

template <>
struct ordering<char> {
  using key = uint;
  static METAL_FUNC bool nans() { return false; }
  static METAL_FUNC uint of(char v) { return signed_key(static_cast<int>(v)); }
};

template <>
struct ordering<short> {
  using key = uint;
  static METAL_FUNC bool nans() { return false; }
  static METAL_FUNC uint of(short v) { return signed_key(static_cast<int>(v)); }
};

template <>
struct ordering<int> {
  using key = uint;
  static METAL_FUNC bool nans() { return false; }
  static METAL_FUNC uint of(int v) { return signed_key(v); }
};

template <>
struct ordering<ulong> {
  using key = ulong;
  static METAL_FUNC bool nans() { return false; }
  static METAL_FUNC ulong of(ulong v) { return v; }
};

template <>
struct ordering<long> {
  using key = ulong;
  static METAL_FUNC bool nans() { return false; }
  static METAL_FUNC ulong of(long v) { return as_type<ulong>(v) ^ 0x8000000000000000ul; }
};

template <>
struct ordering<half> {
  using key = uint;
  static METAL_FUNC bool nans() { return true; }
  static METAL_FUNC uint of(half v) {
    uint b = as_type<ushort>(v);
    return float_key(b, 0x8000u, (b & 0x7fffu) > 0x7c00u);
  }
};

template <>
struct ordering<bfloat> {
  using key = uint;
  static METAL_FUNC bool nans() { return true; }
  static METAL_FUNC uint of(bfloat v) {
    uint b = as_type<ushort>(v);
    return float_key(b, 0x8000u, (b & 0x7fffu) > 0x7f80u);
  }
};

METAL_FUNC uint key_of_float(float v) {
  uint b = as_type<uint>(v);
  return float_key(b, 0x80000000u, (b & 0x7fffffffu) > 0x7f800000u);
}

template <>
struct ordering<float> {
  using key = uint;
  static METAL_FUNC bool nans() { return true; }
  static METAL_FUNC uint of(float v) { return key_of_float(v); }
};

template <>
struct ordering<float2> { // complex: by the real part first; NaN if either part is
  using key = ulong;
  static METAL_FUNC bool nans() { return true; }
  static METAL_FUNC ulong of(float2 v) {
    ulong a = key_of_float(v.x);
    ulong b = key_of_float(v.y);
    return a == 0xffffffffu || b == 0xffffffffu ? ~0ul : a << 32 | b;
  }
};
