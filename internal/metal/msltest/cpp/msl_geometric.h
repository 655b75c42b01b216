// msl_geometric.h: <metal_geometric>.
#pragma once
namespace metal {

#define MSL_GEOMETRIC template <class V> MSL_FN enable_if_t < is_vec_<V> && is_math_<V>,
MSL_GEOMETRIC elem_t<V> > dot(V a, V b) {
  elem_t<V> s = 0;
  for (int i = 0; i < len_<V>; i++) s += a[i] * b[i];
  return s;
}
MSL_GEOMETRIC elem_t<V> > length_squared(V a) { return dot(a, a); }
MSL_GEOMETRIC elem_t<V> > length(V a) { return sqrt(dot(a, a)); }
MSL_GEOMETRIC elem_t<V> > distance(V a, V b) { return length(a - b); }
MSL_GEOMETRIC elem_t<V> > distance_squared(V a, V b) { return length_squared(a - b); }
MSL_GEOMETRIC V > normalize(V a) { return a * rsqrt(dot(a, a)); }
MSL_GEOMETRIC V > cross(V a, V b) {
  static_assert(len_<V> == 3, "cross takes vectors of three elements");
  V r;
  r[0] = a[1] * b[2] - a[2] * b[1];
  r[1] = a[2] * b[0] - a[0] * b[2];
  r[2] = a[0] * b[1] - a[1] * b[0];
  return r;
}

} // namespace metal
