// msl_entry.h: what the rewriter's code for kernels uses: threadgroup variables, function
// constants, arguments.
#pragma once

// MSL_VARIABLE(typedef float msl_t1[32], msl_t1, part) is threadgroup float part[32].
// MSL_ONE keeps commas of template arguments in one argument.
#define MSL_ONE(...) __VA_ARGS__
#define MSL_VARIABLE(TYPEDEF, TYPE, NAME)   \
  TYPEDEF;                                  \
  static const char TYPE##_key = 0;         \
  MSL_THREADGROUP TYPE& NAME = *(MSL_THREADGROUP TYPE*)msl_threadgroup_variable(&TYPE##_key, sizeof(TYPE), alignof(TYPE))

// ---- function constants: their values are there before the object is loaded ----

template <class T> T msl_constant_value(int index) {
  unsigned bits = 0;
  if (!msl_constant(index, &bits)) return T();
  if constexpr (metal::is_floating_point_v<T>) return (T)__builtin_bit_cast(float, bits);
  else return (T)bits;
}
MSL_FN bool msl_constant_defined(int index) {
  unsigned bits;
  return msl_constant(index, &bits);
}
#define MSL_FUNCTION_CONSTANT(TYPE, NAME, INDEX)                   \
  static const TYPE NAME = msl_constant_value<TYPE>(INDEX);        \
  static const bool NAME##_is_defined = msl_constant_defined(INDEX)
#define is_function_constant_defined(name) (name##_is_defined)

// ---- arguments ----

struct msl_pointer {
  void* p;
  template <class T> operator T*() const { return (T*)p; }
};
struct msl_reference {
  void* p;
  template <class T> operator T&() const { return *(T*)p; }
};
// A number or vector of numbers that a thread has: [[thread_position_in_grid]] etc.
template <class S> struct msl_number {
  S s;
  template <class T> operator T() const {
    static_assert(__is_same(metal::elem_t<T>, uint) || __is_same(metal::elem_t<T>, ushort),
                  "the type of such a parameter is uint, ushort or a vector of them");
    static_assert(metal::len_<T> <= metal::len_<S>, "a parameter of this kind has fewer elements");
    if constexpr (metal::is_vec_<T>) {
      T r;
      for (int i = 0; i < metal::len_<T>; i++) r[i] = (metal::elem_t<T>)s[i];
      return r;
    } else if constexpr (metal::is_vec_<S>) {
      return (T)s[0];
    } else {
      return (T)s;
    }
  }
};
template <class S> MSL_FN msl_number<S> msl_number_of(S s) { return msl_number<S>{s}; }
#define MSL_BUFFER(i) (msl_self->group->buffers[i])
#define MSL_THREADGROUP_BUFFER(i) (msl_self->group->threadgroup_buffers[i])
#define MSL_OF_THREAD(field) msl_number_of(msl_self->field)
#define MSL_OF_GROUP(field) msl_number_of(msl_self->group->field)

// ---- the table of kernels ----

template <class P> struct msl_needs { static constexpr unsigned long size = 0, align = 1; };
template <class T> struct msl_needs<T&> { static constexpr unsigned long size = sizeof(T), align = alignof(T); };
template <class T> struct msl_needs<T*> { static constexpr unsigned long size = 0, align = alignof(T); };
template <int I, class P, class... Rest> struct msl_nth { using type = typename msl_nth<I - 1, Rest...>::type; };
template <class P, class... Rest> struct msl_nth<0, P, Rest...> { using type = P; };
// msl_bind says what the parameter at a position needs of its argument.
template <int Position, class... P> msl_param msl_bind(void (*)(P...), int kind, int index, bool bound) {
  using needs = msl_needs<typename msl_nth<Position, P...>::type>;
  return msl_param{kind, index, needs::size, needs::align, bound};
}
