// msl_matrix.h: <metal_simdgroup_matrix> and <metal_matrix>.
#pragma once
namespace metal {

// Where the two elements of a lane are in an 8 x 8 matrix: Apple's layout.
MSL_FN int matrix_row_(int lane) { return (lane / 4 & 4) + (lane / 2) % 4; }
MSL_FN int matrix_column_(int lane) { return (lane / 4 & 2) * 2 + (lane % 2) * 2; }

template <class T, int Cols = 8, int Rows = 8> struct simdgroup_matrix {
  static_assert(Cols == 8 && Rows == 8, "Metal has matrices of 8 x 8 only");
  static_assert(__is_same(T, float) || __is_same(T, half) || __is_same(T, bfloat), "Metal has matrices of float, half and bfloat");
  vec<T, 2> e;

  simdgroup_matrix() {}
  explicit simdgroup_matrix(T x) { // x on the diagonal
    int row = matrix_row_(lane_()), column = matrix_column_(lane_());
    for (int i = 0; i < 2; i++) e[i] = convert_<raw_t<T>>(row == column + i ? x : T(0));
  }
  vec<T, 2>& thread_elements() { return e; }
  const vec<T, 2>& thread_elements() const { return e; }
};

template <class T, int Cols = 8, int Rows = 8> MSL_FN simdgroup_matrix<T, Cols, Rows> make_filled_simdgroup_matrix(T x) {
  simdgroup_matrix<T, Cols, Rows> m;
  m.e = make_vec<T, 2>(x);
  return m;
}

// Metal converts neither at loads nor at stores.
template <class T, class P>
constexpr bool points_to_ = __is_same(T, remove_cv_t<remove_addrspace_t<remove_cv_t<remove_reference_t<decltype(*declval<P>())>>>>);

template <class T, class P>
MSL_FN void simdgroup_load(MSL_THREAD simdgroup_matrix<T>& m, P p, ulong stride = 8, ulong2 origin = ulong2(0ul), bool transpose = false) {
  static_assert(points_to_<T, P>, "simdgroup_load: the pointer's type is not the matrix's");
  int row = matrix_row_(lane_()), column = matrix_column_(lane_());
  p += origin.y * stride + origin.x;
  for (int i = 0; i < 2; i++) {
    T x = transpose ? p[(ulong)(column + i) * stride + row] : p[(ulong)row * stride + column + i];
    m.e[i] = convert_<raw_t<T>>(x);
  }
}
template <class T, class P>
MSL_FN void simdgroup_store(const MSL_THREAD simdgroup_matrix<T>& m, P p, ulong stride = 8, ulong2 origin = ulong2(0ul), bool transpose = false) {
  static_assert(points_to_<T, P>, "simdgroup_store: the pointer's type is not the matrix's");
  int row = matrix_row_(lane_()), column = matrix_column_(lane_());
  p += origin.y * stride + origin.x;
  for (int i = 0; i < 2; i++) {
    if (transpose)
      p[(ulong)(column + i) * stride + row] = T(m.e[i]);
    else
      p[(ulong)row * stride + column + i] = T(m.e[i]);
  }
}

// d = a b + c, in float.
template <class D, class A, class B, class C> struct multiply_ {
  vec<A, 2> a;
  vec<B, 2> b;
  vec<C, 2> c;

  MSL_COLLECTIVE run(uint, void* const* in, void* const* out, ulong) {
    float a[8][8], b[8][8], c[8][8];
    for (int l = 0; l < 32; l++) {
      const multiply_& m = *(const multiply_*)in[l];
      int row = matrix_row_(l), column = matrix_column_(l);
      for (int i = 0; i < 2; i++) {
        a[row][column + i] = convert_<float>(m.a[i]);
        b[row][column + i] = convert_<float>(m.b[i]);
        c[row][column + i] = convert_<float>(m.c[i]);
      }
    }
    for (int i = 0; i < 8; i++)
      for (int k = 0; k < 8; k++)
        for (int j = 0; j < 8; j++) c[i][j] += a[i][k] * b[k][j];
    for (int l = 0; l < 32; l++)
      for (int i = 0; i < 2; i++) (*(vec<D, 2>*)out[l])[i] = convert_<raw_t<D>>(c[matrix_row_(l)][matrix_column_(l) + i]);
  }
};
template <class D, class A, class B, class C>
MSL_FN void simdgroup_multiply_accumulate(MSL_THREAD simdgroup_matrix<D>& d, const MSL_THREAD simdgroup_matrix<A>& a,
                                          const MSL_THREAD simdgroup_matrix<B>& b, const MSL_THREAD simdgroup_matrix<C>& c, MSL_SITE) {
  multiply_<D, A, B, C> m{a.e, b.e, c.e};
  msl_simd(&m, &d.e, &multiply_<D, A, B, C>::run, MSL_ALL_LANES, at.file, at.line);
}
template <class D, class A, class B>
MSL_FN void simdgroup_multiply(MSL_THREAD simdgroup_matrix<D>& d, const MSL_THREAD simdgroup_matrix<A>& a, const MSL_THREAD simdgroup_matrix<B>& b, MSL_SITE) {
  multiply_<D, A, B, D> m{a.e, b.e, make_vec<D, 2>(0)};
  msl_simd(&m, &d.e, &multiply_<D, A, B, D>::run, MSL_ALL_LANES, at.file, at.line);
}

template <class T, int Cols, int Rows> struct matrix { // by columns
  vec<T, Rows> columns[Cols];

  matrix() = default;
  explicit matrix(T x) { // x on the diagonal
    for (int i = 0; i < Cols; i++)
      for (int j = 0; j < Rows; j++) columns[i][j] = i == j ? x : T(0);
  }
  template <class... V, class = enable_if_t<sizeof...(V) == Cols && (Cols > 1)>> matrix(V... v) : columns{v...} {}
  vec<T, Rows>& operator[](int i) { return columns[i]; }
  const vec<T, Rows>& operator[](int i) const { return columns[i]; }
};
template <class T, int C, int R> MSL_FN vec<T, R> operator*(const matrix<T, C, R>& m, vec<T, C> v) {
  vec<T, R> r = m[0] * v[0];
  for (int i = 1; i < C; i++) r += m[i] * v[i];
  return r;
}

} // namespace metal
typedef metal::simdgroup_matrix<float, 8, 8> simdgroup_float8x8;
typedef metal::simdgroup_matrix<half, 8, 8> simdgroup_half8x8;
typedef metal::simdgroup_matrix<bfloat, 8, 8> simdgroup_bfloat8x8;
#define MSL_MATRICES(T)                      \
  typedef metal::matrix<T, 2, 2> T##2x2;     \
  typedef metal::matrix<T, 2, 3> T##2x3;     \
  typedef metal::matrix<T, 2, 4> T##2x4;     \
  typedef metal::matrix<T, 3, 2> T##3x2;     \
  typedef metal::matrix<T, 3, 3> T##3x3;     \
  typedef metal::matrix<T, 3, 4> T##3x4;     \
  typedef metal::matrix<T, 4, 2> T##4x2;     \
  typedef metal::matrix<T, 4, 3> T##4x3;     \
  typedef metal::matrix<T, 4, 4> T##4x4;
MSL_MATRICES(float)
MSL_MATRICES(half)
namespace metal {
using ::float2x2;
using ::float3x3;
using ::float4x4;
using ::half2x2;
using ::half3x3;
using ::half4x4;
using ::simdgroup_bfloat8x8;
using ::simdgroup_float8x8;
using ::simdgroup_half8x8;
} // namespace metal
