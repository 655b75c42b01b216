// Complex numbers as float2. Order is by real part, then imaginary part.
#include "common.h"

// complex_cross is a*b - c*d with one rounding of the result, almost.
METAL_FUNC float complex_cross(float a, float b, float c, float d) {
  float w = c * d;
  float r = metal::fma(a, b, -w) + metal::fma(-c, d, w);
  return r == r ? r : a * b - w; // infinite products
}

METAL_FUNC float2 complex_mul(float2 a, float2 b) {
  return float2(complex_cross(a.x, b.x, a.y, b.y), complex_cross(a.x, b.y, -a.y, b.x));
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
