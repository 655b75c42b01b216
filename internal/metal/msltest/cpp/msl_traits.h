// msl_traits.h: <metal_type_traits>, and what the library itself asks of types.
#pragma once
namespace metal {

template <class T, T v>
struct integral_constant {
  static constexpr T value = v;
  using value_type = T;
  using type = integral_constant;
  constexpr operator T() const { return v; }
};
template <bool b> using bool_constant = integral_constant<bool, b>;
using true_type = bool_constant<true>;
using false_type = bool_constant<false>;

template <bool B, class T = void> struct enable_if {};
template <class T> struct enable_if<true, T> { using type = T; };
template <bool B, class T = void> using enable_if_t = typename enable_if<B, T>::type;

template <bool B, class T, class F> struct conditional { using type = T; };
template <class T, class F> struct conditional<false, T, F> { using type = F; };
template <bool B, class T, class F> using conditional_t = typename conditional<B, T, F>::type;

template <class...> using void_t = void;
template <class T> struct type_identity { using type = T; };
template <class T> using type_identity_t = typename type_identity<T>::type;
template <class T> struct remove_reference { using type = T; };
template <class T> struct remove_reference<T&> { using type = T; };
template <class T> struct remove_reference<T&&> { using type = T; };
template <class T> using remove_reference_t = typename remove_reference<T>::type;
template <class T> struct remove_cv { using type = __remove_cv(T); };
template <class T> using remove_cv_t = __remove_cv(T);
template <class T> struct remove_const { using type = __remove_const(T); };
template <class T> using remove_const_t = __remove_const(T);
template <class T> struct remove_volatile { using type = __remove_volatile(T); };
template <class T> using remove_volatile_t = __remove_volatile(T);
template <class T> struct remove_pointer { using type = T; };
template <class T> struct remove_pointer<T*> { using type = T; };
template <class T> using remove_pointer_t = typename remove_pointer<T>::type;
template <class T> struct remove_addrspace { using type = T; };
#ifdef MSL_SPACES
template <class T> struct remove_addrspace<MSL_DEVICE T> { using type = T; };
template <class T> struct remove_addrspace<__attribute__((address_space(2))) T> { using type = T; };
template <class T> struct remove_addrspace<MSL_THREADGROUP T> { using type = T; };
#endif
template <class T> using remove_addrspace_t = typename remove_addrspace<T>::type;
template <class T> struct decay { using type = __decay(T); };
template <class T> using decay_t = __decay(T);
template <class T> struct make_unsigned { using type = __make_unsigned(T); };
template <class T> using make_unsigned_t = __make_unsigned(T);
template <class T> struct make_signed { using type = __make_signed(T); };
template <class T> using make_signed_t = __make_signed(T);
template <class T> T&& declval();

template <class A, class B> constexpr bool is_same_v = __is_same(A, B);
template <class A, class B> struct is_same : bool_constant<__is_same(A, B)> {};
template <class T> constexpr bool is_void_v = __is_void(T);
template <class T> constexpr bool is_pointer_v = __is_pointer(T);
template <class T> struct is_pointer : bool_constant<__is_pointer(T)> {};
template <class T> constexpr bool is_const_v = __is_const(T);
template <class T> struct is_const : bool_constant<__is_const(T)> {};
template <class T> constexpr bool is_enum_v = __is_enum(T);
template <class T> struct is_enum : bool_constant<__is_enum(T)> {};
template <class T> constexpr bool is_class_v = __is_class(T);
template <class T> struct is_class : bool_constant<__is_class(T)> {};
template <class T> constexpr bool is_empty_v = __is_empty(T);
template <class A, class B> constexpr bool is_convertible_v = __is_convertible_to(A, B);
template <class A, class B> struct is_convertible : bool_constant<__is_convertible_to(A, B)> {};
template <class A, class B> constexpr bool is_base_of_v = __is_base_of(A, B);
template <class T, class... A> constexpr bool is_constructible_v = __is_constructible(T, A...);

template <class T> constexpr bool is_bfloat_ = __is_same(__remove_cv(T), __bf16) || __is_same(__remove_cv(T), ::bfloat);
template <class T> constexpr bool is_integral_v = __is_integral(T);
template <class T> struct is_integral : bool_constant<__is_integral(T)> {};
template <class T>
constexpr bool is_floating_point_v = __is_floating_point(T) || is_bfloat_<T> || __is_same(__remove_cv(T), _Float16);
template <class T> struct is_floating_point : bool_constant<is_floating_point_v<T>> {};
template <class T> constexpr bool is_signed_v = __is_signed(T) || is_floating_point_v<T>;
template <class T> struct is_signed : bool_constant<is_signed_v<T>> {};
template <class T> constexpr bool is_unsigned_v = __is_unsigned(T);
template <class T> struct is_unsigned : bool_constant<__is_unsigned(T)> {};
template <class T> constexpr bool is_arithmetic_v = is_integral_v<T> || is_floating_point_v<T>;
template <class T> struct is_arithmetic : bool_constant<is_arithmetic_v<T>> {};
template <class T> constexpr bool is_scalar_v = __is_scalar(T);

template <class... B> struct disjunction : bool_constant<(bool(B::value) || ...)> {};
template <class... B> struct conjunction : bool_constant<(bool(B::value) && ...)> {};
template <class... B> using _disjunction = disjunction<B...>;
template <class... B> constexpr bool disjunction_v = (bool(B::value) || ...);
template <class... B> constexpr bool conjunction_v = (bool(B::value) && ...);

} // namespace metal
