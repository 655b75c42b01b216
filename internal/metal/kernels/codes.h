// Codes of packed matrices. A row is a stream of bits, little end first. MODE is 0 for
// affine codes 0 … 2^BITS-1, 1 for mxfp4, 2 for mxfp8, 3 for nvfp4.
#include "unroll.h"

// code_value is what a code stands for, without scale and bias.
template <int MODE>
METAL_FUNC float code_value(uint c) {
  if constexpr (MODE == 0) {
    return static_cast<float>(c);
  } else if constexpr (MODE == 2) {
    // e4m3: the bits of a half that is 2^8 too small
    return static_cast<float>(as_type<half>(static_cast<ushort>((c & 0x80u) << 8 | (c & 0x7fu) << 7))) * 256.0f;
  } else {
    // e2m1: the bits of a half that is 2^14 too small
    return static_cast<float>(as_type<half>(static_cast<ushort>((c & 8u) << 12 | (c & 7u) << 9))) * 16384.0f;
  }
}

// scale_value is the scale of a group: of a floating type for affine, else a code.
template <typename S, int MODE>
METAL_FUNC float scale_value(S s) {
  if constexpr (MODE == 0) {
    return static_cast<float>(s);
  } else if constexpr (MODE == 3) {
    return code_value<2>(static_cast<uint>(s));
  } else {
    // e8m0: an exponent; 0 is the subnormal 2^-127
    uint e = static_cast<uint>(s);
    return as_type<float>(e == 0 ? 0x400000u : e << 23);
  }
}

// Sixteen codes fill BITS words of 16 bits. Affine ones that lie in one word are used where
// they are, 2^n too large, and what they are multiplied by is made smaller: code_shrink.
template <int BITS, int MODE>
METAL_FUNC float code_shrink(int i) {
  if constexpr (MODE == 0) {
    int at = i * BITS % 16;
    return at + BITS <= 16 ? 1.0f / static_cast<float>(1 << at) : 1.0f;
  } else {
    return 1.0f;
  }
}

template <int BITS, int MODE>
METAL_FUNC void codes16(const device ushort* w, thread float* q) {
  constexpr uint mask = (1u << BITS) - 1u;
  uint words[BITS];
  UNROLL for (int i = 0; i < BITS; i++) {
    words[i] = w[i];
  }
  UNROLL for (int i = 0; i < 16; i++) {
    int word = i * BITS / 16;
    int at = i * BITS % 16;
    if (at + BITS > 16) {
      q[i] = code_value<MODE>((words[word] >> at | words[word + 1] << (16 - at)) & mask);
    } else if constexpr (MODE == 0) {
      q[i] = static_cast<float>(words[word] & mask << at);
    } else {
      q[i] = code_value<MODE>(words[word] >> at & mask);
    }
  }
}

// codes8 are eight codes from the BITS bytes at p, which lies at a multiple of BITS bytes
// from the beginning of a row.
template <int BITS, int MODE>
METAL_FUNC void codes8(const device uchar* p, thread float* q) {
  constexpr uint mask = (1u << BITS) - 1u;
  uint lo = 0;
  uint hi = 0;
  if constexpr (BITS == 2) {
    lo = *reinterpret_cast<const device ushort*>(p);
  } else if constexpr (BITS == 4) {
    lo = *reinterpret_cast<const device uint*>(p);
  } else if constexpr (BITS == 8) {
    lo = reinterpret_cast<const device uint*>(p)[0];
    hi = reinterpret_cast<const device uint*>(p)[1];
  } else {
    UNROLL for (int i = 0; i < BITS; i++) {
      if (i < 4) {
        lo |= static_cast<uint>(p[i]) << 8 * i;
      } else {
        hi |= static_cast<uint>(p[i]) << 8 * (i - 4);
      }
    }
  }
  UNROLL for (int i = 0; i < 8; i++) {
    int at = i * BITS;
    uint c = 0;
    if (at >= 32) {
      c = hi >> (at - 32);
    } else if (at + BITS <= 32) {
      c = lo >> at;
    } else {
      c = lo >> at | hi << (32 - at);
    }
    q[i] = code_value<MODE>(c & mask);
  }
}
