// Functions that Metal's library lacks, or has with less accuracy than an op may have.
// Each takes and gives float. Coefficients of polynomials are our own interpolations at
// Chebyshev nodes, or series.
#include "common.h"

// math_scale is x * 2^k for k from -126 to 127.
METAL_FUNC float math_scale(float x, int k) { return x * as_type<float>((k + 127) << 23); }

// math_expm1 is exp(x) - 1: 2^k * (exp(r) - 1) + (2^k - 1), with x = k*ln2 + r.
METAL_FUNC float math_expm1(float x) {
  if (!(x < 88.8f)) {
    return x > 0.0f ? INFINITY : x;
  }
  if (x < -17.5f) {
    return -1.0f;
  }
  float k = metal::rint(x * 1.44269504f);
  float r = metal::fma(k, -0.693145752f, x);
  r = metal::fma(k, -1.42860677e-6f, r);
  float p = 1.98412698e-4f; // 1/7!
  p = metal::fma(p, r, 1.38888889e-3f);
  p = metal::fma(p, r, 8.33333333e-3f);
  p = metal::fma(p, r, 4.16666667e-2f);
  p = metal::fma(p, r, 1.66666667e-1f);
  p = metal::fma(p, r, 0.5f);
  p = metal::fma(p * r, r, r);
  if (k == 0.0f) {
    return p;
  }
  int half_k = static_cast<int>(k) - 1; // 2^128 is no float
  float s = math_scale(1.0f, half_k);
  return 2.0f * metal::fma(p, s, s - 0.5f);
}

// math_log1p is log(1 + x). 1+x is 2^e * (1+m) with m from -1/4 to 1/2, found without a
// rounding of 1+x; log(1+m) is the series of 2*atanh(m / (2+m)).
METAL_FUNC float math_log1p(float x) {
  if (!(x > -1.0f) || x == INFINITY) {
    return x == -1.0f ? -INFINITY : x == INFINITY ? x : NAN;
  }
  uint e = (as_type<uint>(1.0f + x) - as_type<uint>(0.75f)) & 0xff800000u;
  float part = as_type<float>(as_type<uint>(4.0f) - e); // 4 * 2^-e
  float m = x;
  if (e != 0u) {
    float scaled = x * (0.25f * part);
    m = scaled + metal::fma(0.25f, part, -1.0f);
  }
  float k = static_cast<float>(as_type<int>(e) >> 23);
  float s = m / (2.0f + m);
  float z = s * s;
  float p = 0.181818182f; // 2/11
  p = metal::fma(p, z, 0.222222222f);
  p = metal::fma(p, z, 0.285714286f);
  p = metal::fma(p, z, 0.4f);
  p = metal::fma(p, z, 0.666666667f) * z;
  float h = 0.5f * m * m;
  float low = metal::fma(k, 1.42860677e-6f, s * (h + p));
  if (x == 0.0f) {
    return x;
  }
  return metal::fma(k, 0.693145752f, m - (h - low));
}

// math_erf is the error function: x + x*P(x^2), or 1 - exp(Q(|x|)).
METAL_FUNC float math_erf(float x) {
  float t = metal::fabs(x);
  if (t < 0.94f) {
    float s = x * x;
    float p = 8.21278081e-5f;
    p = metal::fma(p, s, -8.10505473e-4f);
    p = metal::fma(p, s, 5.19768475e-3f);
    p = metal::fma(p, s, -2.68580429e-2f);
    p = metal::fma(p, s, 1.12836711e-1f);
    p = metal::fma(p, s, -3.76126319e-1f);
    p = metal::fma(p, s, 1.28379166e-1f);
    return metal::fma(p, x, x);
  }
  if (!(t < 4.0f)) {
    return t >= 4.0f ? metal::copysign(1.0f, x) : x;
  }
  float q = 2.77485327e-7f;
  q = metal::fma(q, t, -4.49995514e-6f);
  q = metal::fma(q, t, 1.27936819e-5f);
  q = metal::fma(q, t, 2.76244828e-4f);
  q = metal::fma(q, t, -3.66869732e-3f);
  q = metal::fma(q, t, 2.40203030e-2f);
  q = metal::fma(q, t, -1.06669024e-1f);
  q = metal::fma(q, t, -6.34838641e-1f);
  q = metal::fma(q, t, -1.12873423f);
  return metal::copysign(1.0f - metal::precise::exp(q * t), x);
}

// math_erfinv is Giles' approximation ("Approximating the erfinv function"): two
// polynomials in w = -log(1 - x^2).
METAL_FUNC float math_erfinv(float x) {
  float t = metal::fabs(x);
  if (t >= 1.0f) {
    return t == 1.0f ? metal::copysign(INFINITY, x) : NAN;
  }
  float w = t < 0.5f ? -math_log1p(-(t * t)) : -metal::precise::log((1.0f - t) * (1.0f + t));
  float p;
  if (w < 5.0f) {
    w -= 2.5f;
    p = 2.81022636e-08f;
    p = metal::fma(p, w, 3.43273939e-07f);
    p = metal::fma(p, w, -3.5233877e-06f);
    p = metal::fma(p, w, -4.39150654e-06f);
    p = metal::fma(p, w, 0.00021858087f);
    p = metal::fma(p, w, -0.00125372503f);
    p = metal::fma(p, w, -0.00417768164f);
    p = metal::fma(p, w, 0.246640727f);
    p = metal::fma(p, w, 1.50140941f);
  } else {
    w = metal::precise::sqrt(w) - 3.0f;
    p = -0.000200214257f;
    p = metal::fma(p, w, 0.000100950558f);
    p = metal::fma(p, w, 0.00134934322f);
    p = metal::fma(p, w, -0.00367342844f);
    p = metal::fma(p, w, 0.00573950773f);
    p = metal::fma(p, w, -0.0076224613f);
    p = metal::fma(p, w, 0.00943887047f);
    p = metal::fma(p, w, 1.00167406f);
    p = metal::fma(p, w, 2.83297682f);
  }
  return p * x;
}

METAL_FUNC float math_sigmoid(float x) { return 1.0f / (1.0f + metal::precise::exp(-x)); }

// math_max and math_min are NaN if either side is, and know that -0 is below 0.
METAL_FUNC float math_max(float a, float b) {
  if (a == b) {
    return as_type<float>(as_type<uint>(a) & as_type<uint>(b));
  }
  return a > b || a != a ? a : b;
}

METAL_FUNC float math_min(float a, float b) {
  if (a == b) {
    return as_type<float>(as_type<uint>(a) | as_type<uint>(b));
  }
  return a < b || a != a ? a : b;
}

// math_logaddexp is log(exp(a) + exp(b)).
METAL_FUNC float math_logaddexp(float a, float b) {
  float high = math_max(a, b);
  float low = math_min(a, b);
  if (low == -INFINITY || high == INFINITY) {
    return high;
  }
  return high + math_log1p(metal::precise::exp(low - high));
}

// math_mod is the exact remainder of |a| by |b|, both finite and b not 0: the quotient is
// taken in parts of 22 bits.
METAL_FUNC float math_mod(float a, float b) {
  a = metal::fabs(a);
  b = metal::fabs(b);
  while (a >= b) {
    int ea = static_cast<int>(as_type<uint>(a) >> 23);
    int eb = static_cast<int>(as_type<uint>(b) >> 23);
    int up = metal::max(0, ea - eb - 22);
    float d = up > 126 ? math_scale(math_scale(b, 126), up - 126) : math_scale(b, up);
    a = metal::fma(-metal::trunc(a / d), d, a);
    if (a < 0.0f) {
      a += d;
    }
  }
  return a;
}

// math_remainder has the sign of b.
METAL_FUNC float math_remainder(float a, float b) {
  if (!(metal::fabs(a) < INFINITY) || b == 0.0f || b != b) {
    return NAN;
  }
  float r = metal::fabs(b) == INFINITY ? metal::fabs(a) : math_mod(a, b);
  r = metal::copysign(r, a);
  if (r != 0.0f && (r < 0.0f) != (b < 0.0f)) {
    r += b;
  }
  return r;
}

// math_floor_divide is the floor of the exact quotient, which that of the rounded one
// may miss by 1: the remainder's sign tells.
METAL_FUNC float math_floor_divide(float a, float b) {
  float q = a / b;
  if (!(metal::fabs(q) < INFINITY) || b == 0.0f) {
    return metal::fabs(a) == INFINITY && b != 0.0f ? NAN : q;
  }
  if (metal::fabs(b) == INFINITY) {
    return a != 0.0f && (a < 0.0f) != (b < 0.0f) ? -1.0f : q;
  }
  float n = metal::rint(q);
  float rest = metal::fma(-n, b, a);
  if (rest == 0.0f) {
    return n;
  }
  float m = metal::rint(rest / b); // not 0 where n is one of the floats that skip integers
  rest = metal::fma(-m, b, rest);
  if (rest != 0.0f && (rest < 0.0f) != (b < 0.0f)) {
    m -= 1.0f;
  }
  return n + m;
}

// math_from_fp8 is the value of e4m3: a sign, an exponent of bias 7, three bits. All codes
// are numbers, the largest 480.
METAL_FUNC float math_from_fp8(uchar v) {
  uint u = static_cast<uint>(v);
  uint e = (u >> 3) & 15u;
  uint m = u & 7u;
  float x = e == 0u ? static_cast<float>(m) * 0.001953125f : as_type<float>(((e + 120u) << 23) | (m << 20));
  return (u & 128u) != 0u ? -x : x;
}

// math_to_fp8 rounds to e4m3, half to even; what is too large becomes the largest, 448.
METAL_FUNC uchar math_to_fp8(float x) {
  uint u = as_type<uint>(x);
  uint sign = (u >> 24) & 128u;
  u &= 0x7fffffffu;
  if (u >= 543u << 21) {
    return static_cast<uchar>(sign | 0x7eu);
  }
  if (u < 121u << 23) { // in units of 2^-9
    uint n = static_cast<uint>(metal::rint(as_type<float>(u) * 512.0f));
    return static_cast<uchar>(sign | n);
  }
  u += 0x7ffffu + ((u >> 20) & 1u);
  return static_cast<uchar>(sign | ((u - (120u << 23)) >> 20));
}

// math_silu is x * sigmoid(x).
METAL_FUNC float math_silu(float x) { return x * math_sigmoid(x); }

// math_gelu is x * (1 + erf(x/sqrt(2))) / 2.
METAL_FUNC float math_gelu(float x) { return (x * 0.5f) * (1.0f + math_erf(x * 0.707106781f)); }

// math_gelu_tanh is x/2 * (1 + tanh(u)), u = sqrt(2/pi) * (x + 0.044715 x^3): that is
// x * sigmoid(2u).
METAL_FUNC float math_gelu_tanh(float x) {
  float u = 1.59576912f * x * metal::fma(0.044715f * x, x, 1.0f);
  return x * math_sigmoid(u);
}

// math_unlike is 1 - sigmoid(x), of which s is the sigmoid.
METAL_FUNC float math_unlike(float s, float x) { return s > 0.5f ? s * metal::precise::exp(-x) : 1.0f - s; }

// math_silu_slope, math_gelu_slope and math_gelu_tanh_slope are the derivatives.
METAL_FUNC float math_silu_slope(float x) {
  float s = math_sigmoid(x);
  return metal::fma(x * s, math_unlike(s, x), s);
}

METAL_FUNC float math_gelu_slope(float x) {
  float part = metal::fma(math_erf(x * 0.707106781f), 0.5f, 0.5f);
  float density = 0.398942280f * metal::precise::exp(-0.5f * x * x);
  return metal::fma(x, density, part);
}

METAL_FUNC float math_gelu_tanh_slope(float x) {
  float q = x * x;
  float u = 1.59576912f * x * metal::fma(0.044715f, q, 1.0f);
  float s = math_sigmoid(u);
  float slope = 1.59576912f * metal::fma(0.134145f, q, 1.0f);
  return metal::fma(x * s * math_unlike(s, u), slope, s);
}
