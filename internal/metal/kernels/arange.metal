// start + i*step as the CPU has it: in double precision, then converted. Metal has no
// double, so that its product and sum are made of integers here.
#include "ints.h"

// A wide is a finite double: m * 2^e, negative if neg; m is 0 or has its top bit, of 64.
struct wide {
  ulong m;
  int e;
  bool neg;
};

// wide_round is m * 2^e with 53 bits; more says that bits below were lost already.
METAL_FUNC wide wide_round(ulong m, int e, bool neg, bool more) {
  wide r;
  r.neg = neg;
  r.m = m;
  r.e = e;
  if (m == 0ul) {
    return r;
  }
  int up = static_cast<int>(metal::clz(m));
  m <<= static_cast<uint>(up);
  e -= up;
  // 53 bits, halves to even
  ulong rest = m & 0x7fful;
  m &= ~0x7fful;
  bool odd = (m & 0x800ul) != 0ul;
  if (rest > 0x400ul || (rest == 0x400ul && (more || odd))) {
    m += 0x800ul;
    if (m == 0ul) {
      m = 1ul << 63;
      e += 1;
    }
  }
  r.m = m;
  r.e = e;
  return r;
}

METAL_FUNC wide wide_from(ulong bits) {
  ulong m = bits & 0xffffffffffffful;
  int e = static_cast<int>((bits >> 52) & 0x7fful);
  if (e != 0) {
    m |= 1ul << 52;
  } else {
    e = 1;
  }
  return wide_round(m, e - 1075, (bits >> 63) != 0ul, false);
}

// wide_times is a * i: 96 bits, cut to 64 and what is lost.
METAL_FUNC wide wide_times(wide a, uint i) {
  ulong low = (a.m & 0xfffffffful) * static_cast<ulong>(i);
  ulong high = (a.m >> 32) * static_cast<ulong>(i) + (low >> 32);
  low &= 0xfffffffful;
  if (high == 0ul) {
    return wide_round(low, a.e, a.neg, false);
  }
  int up = static_cast<int>(metal::clz(high)); // bits of low that fit below high
  if (up >= 32) {
    return wide_round((high << 32) | low, a.e, a.neg, false);
  }
  ulong m = (high << static_cast<uint>(up)) | (low >> static_cast<uint>(32 - up));
  bool more = (low & ((1ul << static_cast<uint>(32 - up)) - 1ul)) != 0ul;
  return wide_round(m, a.e + 32 - up, a.neg, more);
}

METAL_FUNC wide wide_plus(wide a, wide b) {
  if (a.m == 0ul) {
    return b;
  }
  if (b.m == 0ul) {
    return a;
  }
  if (a.e < b.e || (a.e == b.e && a.m < b.m)) {
    wide s = a;
    a = b;
    b = s;
  }
  // Both have 53 bits at the top of 64: one place is made for a carry.
  int down = a.e - b.e;
  ulong x = a.m >> 1;
  ulong y = b.m >> 1;
  bool more = false;
  if (down >= 63) {
    more = true;
    y = 0ul;
  } else if (down > 0) {
    more = (y & ((1ul << static_cast<uint>(down)) - 1ul)) != 0ul;
    y >>= static_cast<uint>(down);
  }
  if (a.neg == b.neg) {
    return wide_round(x + y, a.e + 1, a.neg, more);
  }
  ulong d = x - y;
  if (more) {
    d -= 1ul; // the bits that were lost leave a part of the last place
  }
  wide r = wide_round(d, a.e + 1, a.neg, more);
  r.neg = d == 0ul ? false : r.neg;
  return r;
}

// wide_float rounds to a float.
METAL_FUNC float wide_float(wide a) {
  if (a.m == 0ul) {
    return 0.0f;
  }
  int e = a.e + 63 + 127; // the exponent of a float
  uint cut = 40u; // bits below its last place
  if (e < 1) {
    cut += static_cast<uint>(metal::min(1 - e, 64));
  }
  float x = 0.0f;
  if (cut <= 64u) {
    ulong keep = cut == 64u ? 0ul : a.m >> cut;
    ulong rest = cut == 64u ? a.m : a.m & ((1ul << cut) - 1ul);
    ulong tie = 1ul << (cut - 1u);
    if (rest > tie || (rest == tie && (keep & 1ul) != 0ul)) {
      keep += 1ul;
    }
    uint bits = static_cast<uint>(keep);
    if (e >= 1) {
      bits += static_cast<uint>(metal::min(e, 300) - 1) << 23; // a carry goes into the exponent
    }
    x = e >= 255 || bits >= 0x7f800000u ? INFINITY : as_type<float>(bits);
  }
  return a.neg ? -x : x;
}

// wide_int cuts towards zero and keeps to the range of T.
template <typename T>
METAL_FUNC T wide_int(wide a) {
  ulong v = 0ul;
  if (a.m != 0ul && a.e > 0) {
    return a.neg ? metal::numeric_limits<T>::min() : metal::numeric_limits<T>::max();
  }
  if (a.m != 0ul && a.e > -64) {
    v = a.m >> static_cast<uint>(-a.e);
  }
  ulong top = static_cast<ulong>(metal::numeric_limits<T>::max());
  if (a.neg) {
    if (!metal::is_signed_v<T>) {
      return static_cast<T>(0);
    }
    return v > top ? metal::numeric_limits<T>::min() : static_cast<T>(0ul - v);
  }
  return v > top ? metal::numeric_limits<T>::max() : static_cast<T>(v);
}

// arange has elements of kind 0: floats, 1: integers, 2: bools, 3: complex numbers.
template <typename T, int kind>
[[kernel]] void arange(
    device T* out [[buffer(0)]],
    constant ulong& start [[buffer(1)]],
    constant ulong& step [[buffer(2)]],
    uint i [[thread_position_in_grid]]) {
  wide x = wide_plus(wide_from(start), wide_times(wide_from(step), i));
  if constexpr (kind == 0) {
    out[i] = static_cast<T>(wide_float(x));
  } else if constexpr (kind == 1) {
    out[i] = wide_int<T>(x);
  } else if constexpr (kind == 2) {
    out[i] = static_cast<T>(x.m != 0ul ? 1 : 0);
  } else {
    T z;
    z.x = wide_float(x);
    z.y = 0.0f;
    out[i] = z;
  }
}
