// msl_vector.h: vectors. metal::vec is clang's ext_vector_type, as in Apple's headers, so
// that swizzles are the compiler's own. What C++ cannot say about them (float4(a, b, c))
// the rewriter writes as calls of make_vec.
#pragma once
namespace metal {

template <class T> struct raw_ { using type = T; };
#ifdef MSL_STRICT
template <> struct raw_<::bfloat> { using type = __bf16; };
#endif
template <class T> using raw_t = typename raw_<T>::type; // what a vector of T holds
#ifdef MSL_STRICT
template <class T, int N> using vec = typename raw_<T>::type __attribute__((ext_vector_type(N)));
#else
template <class T, int N> using vec = T __attribute__((ext_vector_type(N)));
#endif

// Elements and length of a type; a scalar has length 1.
template <class T> struct shape_ {
  using elem = T;
  static constexpr int len = 1;
  static constexpr bool is_vector = false;
};
template <class T, int N> struct shape_<T __attribute__((ext_vector_type(N)))> {
  using elem = T;
  static constexpr int len = N;
  static constexpr bool is_vector = true;
};
template <class V> using elem_t = typename shape_<__remove_cv(V)>::elem;
template <class V> constexpr bool is_vec_ = shape_<__remove_cv(V)>::is_vector;
template <class V> constexpr int len_ = shape_<__remove_cv(V)>::len;
template <class V> struct is_vector : bool_constant<is_vec_<V>> {};
template <class V> constexpr bool is_vector_v = is_vec_<V>;
template <class V> struct vec_elements { static constexpr int value = len_<V>; };

// convert_ converts a scalar to what a vector may hold.
template <class E, class A> MSL_FN constexpr E convert_(A a) {
#ifdef MSL_STRICT
  if constexpr (__is_same(E, __bf16))
    return bfloat(a).bits;
  else if constexpr (__is_same(A, __bf16))
    return (E)(float)bfloat(a);
  else
#endif
    return (E)a;
}

template <class R, class V> MSL_FN void append_(R& r, int& k, V v) {
  if constexpr (is_vec_<V>) {
    for (int i = 0; i < len_<V>; i++) r[k++] = convert_<elem_t<R>>(v[i]);
  } else {
    r[k++] = convert_<elem_t<R>>(v);
  }
}

// make_vec builds a vector from nothing, from one value for all elements, from a vector of
// another type, or from parts that fill it.
template <class T, int N, class... A> MSL_FN vec<T, N> make_vec(A... a) {
  vec<T, N> r;
  if constexpr (sizeof...(A) == 0) {
    r = vec<T, N>(convert_<raw_t<T>>(0));
  } else if constexpr (sizeof...(A) == 1 && (!is_vec_<A> && ...)) {
    for (int i = 0; i < N; i++) ((r[i] = convert_<raw_t<T>>(a)), ...);
  } else {
    static_assert((len_<A> + ...) == N, "the parts do not fill the vector");
    int k = 0;
    (append_(r, k, a), ...);
  }
  return r;
}

// cast_ is static_cast to what is no pointer or reference. Some versions of the compiler do
// not convert between half and bfloat, and none between vectors.
template <class T, class A> MSL_FN constexpr T cast_(A a) {
  if constexpr (is_vec_<T>)
    return make_vec<elem_t<T>, len_<T>>(a);
  else if constexpr (is_bfloat_<A> && __is_same(T, half) || is_bfloat_<T> && __is_same(A, half))
    return static_cast<T>(static_cast<float>(a));
  else
    return static_cast<T>(a);
}

// construct_ is V(a...), where V is a name that may be a vector.
template <class V, class... A> MSL_FN constexpr V construct_(A... a) {
  if constexpr (is_vec_<V>)
    return make_vec<elem_t<V>, len_<V>>(a...);
  else if constexpr (sizeof...(A) == 1)
    return cast_<V>(a...);
  else
    return V(a...);
}

// vcast<T, N>() ->* x is (T##N)x, which converts element by element.
template <class T, int N> struct vcast {};
template <class T, int N, class A> MSL_FN vec<T, N> operator->*(vcast<T, N>, A a) { return make_vec<T, N>(a); }

template <class To, class From> MSL_FN constexpr To as_type(From f) {
  static_assert(sizeof(To) == sizeof(From), "as_type between types of different size");
  return __builtin_bit_cast(To, f);
}

// map_ applies f to a scalar or to each element.
#define MSL_EACH(r, T, expr)                                 \
  T r;                                                       \
  if constexpr (is_vec_<T>) {                                \
    for (int i_ = 0; i_ < len_<T>; i_++) r[i_] = expr;       \
  }

// packed vectors have the alignment of their elements.
template <class T, int N> struct packed_vec {
  T d[N];
  packed_vec() = default;
  packed_vec(vec<T, N> v) {
    for (int i = 0; i < N; i++) d[i] = v[i];
  }
  operator vec<T, N>() const {
    vec<T, N> v;
    for (int i = 0; i < N; i++) v[i] = d[i];
    return v;
  }
  T& operator[](int i) { return d[i]; }
  const T& operator[](int i) const { return d[i]; }
};

template <class T, size_t N> struct array {
  T d[N];
  T& operator[](size_t i) { return d[i]; }
  const T& operator[](size_t i) const { return d[i]; }
  static constexpr size_t size() { return N; }
};

template <class T> using uniform = T;
template <class T> MSL_FN constexpr T make_uniform(T x) { return x; }

} // namespace metal

#define MSL_VECTOR(T)                                                          \
  typedef metal::raw_t<T> T##2 __attribute__((ext_vector_type(2)));            \
  typedef metal::raw_t<T> T##3 __attribute__((ext_vector_type(3)));            \
  typedef metal::raw_t<T> T##4 __attribute__((ext_vector_type(4)));            \
  namespace metal {                                                            \
  using ::T##2;                                                                \
  using ::T##3;                                                                \
  using ::T##4;                                                                \
  }
#define MSL_PACKED(T)                           \
  typedef metal::packed_vec<T, 2> packed_##T##2; \
  typedef metal::packed_vec<T, 3> packed_##T##3; \
  typedef metal::packed_vec<T, 4> packed_##T##4; \
  namespace metal {                             \
  using ::packed_##T##2;                        \
  using ::packed_##T##3;                        \
  using ::packed_##T##4;                        \
  }
#define MSL_ALL_TYPES(do) \
  do(float) do(half) do(char) do(uchar) do(short) do(ushort) do(int) do(uint) do(long) do(ulong) do(bool)
MSL_ALL_TYPES(MSL_VECTOR)
MSL_VECTOR(bfloat)
MSL_ALL_TYPES(MSL_PACKED)
