// Complex numbers as float2. Order is by real part, then imaginary part.
#include "common.h"

// complex_cross is a*b - c*d with one rounding of the result, almost.
METAL_FUNC float complex_cross(float a, float b, float c, float d) {
  float w = c * d;
  float r = metal::fma(a, b, -w) + metal::fma(-c, d, w);
  return r == r ? r : a * b - w; // infinite products
}

METAL_FUNC bool complex_nan(float2 z) { return z.x != z.x || z.y != z.y; }

METAL_FUNC bool complex_inf(float2 z) { return metal::fabs(z.x) == INFINITY || metal::fabs(z.y) == INFINITY; }

METAL_FUNC bool complex_equal(float2 a, float2 b) { return a.x == b.x && a.y == b.y; }

METAL_FUNC bool complex_true(float2 z) { return z.x != 0.0f || z.y != 0.0f; }

METAL_FUNC bool complex_less(float2 a, float2 b) { return a.x < b.x || (a.x == b.x && a.y < b.y); }

METAL_FUNC float2 complex_max(float2 a, float2 b) {
  return complex_nan(a) || (!complex_nan(b) && !complex_less(a, b)) ? a : b;
}

METAL_FUNC float2 complex_min(float2 a, float2 b) {
  return complex_nan(a) || (!complex_nan(b) && !complex_less(b, a)) ? a : b;
}

// complex_abs scales by the larger part, so that no square overflows.
METAL_FUNC float complex_abs(float2 z) {
  float a = metal::fabs(z.x);
  float b = metal::fabs(z.y);
  if (a == INFINITY || b == INFINITY) {
    return INFINITY;
  }
  float high = a > b ? a : b;
  float low = a > b ? b : a;
  if (high == 0.0f || complex_nan(z)) {
    return a + b;
  }
  float r = low / high;
  return high * metal::precise::sqrt(metal::fma(r, r, 1.0f));
}

// complex_exp takes the factor in two halves: exp(x) may overflow where the parts do not.
METAL_FUNC float2 complex_exp(float2 z) {
  if (z.y == 0.0f) {
    return float2(metal::precise::exp(z.x), z.y);
  }
  if (z.x == -INFINITY) {
    return float2(0.0f, 0.0f);
  }
  if (z.x > 80.0f) {
    float half_way = metal::precise::exp(0.5f * z.x);
    return float2(half_way * metal::precise::cos(z.y) * half_way, half_way * metal::precise::sin(z.y) * half_way);
  }
  float e = metal::precise::exp(z.x);
  return float2(e * metal::precise::cos(z.y), e * metal::precise::sin(z.y));
}

// complex_scale is the power of 2 that brings the larger part to 1..2, as its exponent; 0
// for what is 0, infinite or NaN.
METAL_FUNC int complex_scale(float2 z) {
  float top = metal::max(metal::fabs(z.x), metal::fabs(z.y));
  int e = static_cast<int>(as_type<uint>(top) >> 23);
  return top == 0.0f || e == 255 ? 0 : 127 - metal::max(e, 1);
}

// complex_shift is z * 2^k.
METAL_FUNC float2 complex_shift(float2 z, int k) {
  int first = metal::clamp(k, -126, 127);
  int rest = metal::clamp(k - first, -126, 127);
  return z * as_type<float>((first + 127) << 23) * as_type<float>((rest + 127) << 23);
}

METAL_FUNC float complex_sign_of_inf(float x) { return metal::copysign(metal::fabs(x) == INFINITY ? 1.0f : 0.0f, x); }

METAL_FUNC float2 complex_product(float2 a, float2 b) {
  return float2(complex_cross(a.x, b.x, a.y, b.y), complex_cross(a.x, b.y, -a.y, b.x));
}

// complex_mul takes finite numbers smaller where a product on the way overflows.
METAL_FUNC float2 complex_mul(float2 a, float2 b) {
  float2 r = complex_product(a, b);
  if (metal::fabs(r.x) < INFINITY && metal::fabs(r.y) < INFINITY) {
    return r;
  }
  if (complex_inf(a) || complex_inf(b) || complex_nan(a) || complex_nan(b)) {
    return r;
  }
  int ka = complex_scale(a);
  int kb = complex_scale(b);
  float2 s = complex_shift(complex_product(complex_shift(a, ka), complex_shift(b, kb)), -ka - kb);
  return float2(metal::fabs(r.x) < INFINITY ? r.x : s.x, metal::fabs(r.y) < INFINITY ? r.y : s.y);
}

// complex_div scales both numbers, so that nothing overflows on the way. Where both parts
// become NaN, infinities and zeros are as C has them.
METAL_FUNC float2 complex_div(float2 a, float2 b) {
  int ka = complex_scale(a);
  int kb = complex_scale(b);
  float2 n = complex_shift(a, ka);
  float2 d = complex_shift(b, kb);
  float size = metal::fma(d.x, d.x, d.y * d.y);
  float2 q = float2(complex_cross(n.x, d.x, -n.y, d.y) / size, complex_cross(n.y, d.x, n.x, d.y) / size);
  if (q.x == q.x || q.y == q.y) {
    return complex_shift(q, kb - ka);
  }
  if (!complex_true(b)) {
    return float2(metal::copysign(INFINITY, b.x) * a.x, metal::copysign(INFINITY, b.x) * a.y);
  }
  if (complex_inf(a) && !complex_inf(b) && !complex_nan(b)) {
    n = float2(complex_sign_of_inf(a.x), complex_sign_of_inf(a.y));
    return float2(INFINITY * (n.x * b.x + n.y * b.y), INFINITY * (n.y * b.x - n.x * b.y));
  }
  if (complex_inf(b) && !complex_inf(a) && !complex_nan(a)) {
    d = float2(complex_sign_of_inf(b.x), complex_sign_of_inf(b.y));
    return float2(0.0f * (a.x * d.x + a.y * d.y), 0.0f * (a.y * d.x - a.x * d.y));
  }
  return q;
}

// complex_sign is z / |z|.
METAL_FUNC float2 complex_sign(float2 z) {
  if (!complex_true(z)) {
    return float2(0.0f, 0.0f);
  }
  z = complex_shift(z, complex_scale(z));
  float r = complex_abs(z);
  return float2(z.x / r, z.y / r);
}
