// msl_atomic.h: <metal_atomic> of MSL 3.1: relaxed order, and the types that each
// operation takes.
#pragma once
namespace metal {

enum memory_order { memory_order_relaxed = 0 };

template <class T> struct atomic_ {
  static_assert(__is_same(T, int) || __is_same(T, uint) || __is_same(T, bool) || __is_same(T, float) || __is_same(T, ulong),
                "Metal has atomics of int, uint, bool, float and ulong");
  T value;
};
template <class T> using atomic = atomic_<T>;

} // namespace metal
typedef metal::atomic_<int> atomic_int;
typedef metal::atomic_<uint> atomic_uint;
typedef metal::atomic_<bool> atomic_bool;
typedef metal::atomic_<float> atomic_float;
typedef metal::atomic_<ulong> atomic_ulong;
namespace metal {
using ::atomic_bool;
using ::atomic_float;
using ::atomic_int;
using ::atomic_uint;
using ::atomic_ulong;

template <class A> struct atomic_value_ {};
template <class T> struct atomic_value_<atomic_<T>> { using type = T; };
// The value's type of a pointer to an atomic in whatever address space.
template <class P>
using value_t = typename atomic_value_<remove_cv_t<remove_addrspace_t<remove_cv_t<remove_reference_t<decltype(*declval<P>())>>>>>::type;

template <class T> constexpr bool is_word_ = __is_same(T, int) || __is_same(T, uint);
template <class T> constexpr bool is_sum_ = is_word_<T> || __is_same(T, float);
template <class T> constexpr bool is_plain_ = is_sum_<T> || __is_same(T, bool);

#define MSL_ATOMIC template <class P, class T = value_t<P>> MSL_FN
template <class T, class P> MSL_FN T* cell_(P p) { return (T*)(p); }

MSL_ATOMIC enable_if_t<is_plain_<T>, T> atomic_load_explicit(P p, memory_order) {
  T r;
  __atomic_load(cell_<T>(p), &r, __ATOMIC_RELAXED);
  return r;
}
MSL_ATOMIC enable_if_t<is_plain_<T>, void> atomic_store_explicit(P p, type_identity_t<T> x, memory_order) {
  __atomic_store(cell_<T>(p), &x, __ATOMIC_RELAXED);
}
MSL_ATOMIC enable_if_t<is_plain_<T>, T> atomic_exchange_explicit(P p, type_identity_t<T> x, memory_order) {
  T r;
  __atomic_exchange(cell_<T>(p), &x, &r, __ATOMIC_RELAXED);
  return r;
}
MSL_ATOMIC enable_if_t<is_plain_<T>, bool> atomic_compare_exchange_weak_explicit(P p, MSL_THREAD type_identity_t<T>* expected, type_identity_t<T> x, memory_order, memory_order) {
  return __atomic_compare_exchange(cell_<T>(p), expected, &x, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

template <class T, class F> MSL_FN T update_(T* p, T x, F f) {
  T old, next;
  __atomic_load(p, &old, __ATOMIC_RELAXED);
  do next = f(old, x);
  while (!__atomic_compare_exchange(p, &old, &next, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
  return old;
}
#define MSL_UPDATE(name, which, expr)                                                                              \
  MSL_ATOMIC enable_if_t<which<T>, T> atomic_##name##_explicit(P p, type_identity_t<T> x, memory_order) {          \
    return update_(cell_<T>(p), x, [](T old, T x) -> T { return expr; });                                          \
  }
MSL_UPDATE(fetch_add, is_sum_, old + x)
MSL_UPDATE(fetch_sub, is_sum_, old - x)
MSL_UPDATE(fetch_and, is_word_, old & x)
MSL_UPDATE(fetch_or, is_word_, old | x)
MSL_UPDATE(fetch_xor, is_word_, old ^ x)
MSL_UPDATE(fetch_min, is_word_, x < old ? x : old)
MSL_UPDATE(fetch_max, is_word_, x > old ? x : old)
template <class T> constexpr bool is_ulong_ = __is_same(T, ulong);
MSL_ATOMIC enable_if_t<is_ulong_<T>, void> atomic_min_explicit(P p, type_identity_t<T> x, memory_order) {
  update_(cell_<T>(p), x, [](T old, T x) -> T { return x < old ? x : old; });
}
MSL_ATOMIC enable_if_t<is_ulong_<T>, void> atomic_max_explicit(P p, type_identity_t<T> x, memory_order) {
  update_(cell_<T>(p), x, [](T old, T x) -> T { return x > old ? x : old; });
}

} // namespace metal
