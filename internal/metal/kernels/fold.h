// Ways to combine values, over a simdgroup and over a threadgroup.
#include "common.h"

// A boolean is an element of a bool array: any byte but 0 is true. It is no bool, which a
// compiler may take to be 0 or 1, and no uchar, which is an element of another kind.
enum class boolean : uchar { no = 0, yes = 1 };

// widened makes an element of T what is computed with, an A.
template <typename A, typename T>
struct widened {
  static METAL_FUNC A of(T v) { return static_cast<A>(v); }
};

template <typename A>
struct widened<A, boolean> {
  static METAL_FUNC A of(boolean v) { return static_cast<A>(v != boolean::no); }
};

// narrowed makes a result of A an element of U.
template <typename U, typename A>
struct narrowed {
  static METAL_FUNC U of(A v) { return static_cast<U>(v); }
};

template <typename A>
struct narrowed<boolean, A> {
  static METAL_FUNC boolean of(A v) {
    return v != static_cast<A>(0) ? boolean::yes : boolean::no;
  }
};

// The simdgroup's shuffles know no 64-bit integers: those go as two halves.
template <typename A>
METAL_FUNC A swap_lanes(A v, ushort mask) {
  if constexpr (is_same_v<A, long> || is_same_v<A, ulong>) {
    return as_type<A>(simd_shuffle_xor(as_type<uint2>(v), mask));
  } else {
    return simd_shuffle_xor(v, mask);
  }
}

template <typename A>
METAL_FUNC A lanes_up(A v, ushort by) {
  if constexpr (is_same_v<A, long> || is_same_v<A, ulong>) {
    return as_type<A>(simd_shuffle_up(as_type<uint2>(v), by));
  } else {
    return simd_shuffle_up(v, by);
  }
}

// butterfly combines the values of all 32 lanes; every lane gets the result.
template <typename Op, typename A>
METAL_FUNC A butterfly(A v) {
  for (ushort mask = 16; mask > 0; mask /= 2) {
    v = Op::join(v, swap_lanes(v, mask));
  }
  return v;
}

// Operations have the type they work in, the value of no elements, a way to join two
// values, one for those of a simdgroup, and what is done with the result for n elements.

template <typename A>
struct Sum {
  using type = A;
  static METAL_FUNC A first() { return A(0); }
  static METAL_FUNC A join(A a, A b) { return a + b; }
  static METAL_FUNC A across(A v) {
    if constexpr (is_same_v<A, float> || is_same_v<A, uint>) {
      return simd_sum(v);
    } else {
      return butterfly<Sum<A>>(v);
    }
  }
  static METAL_FUNC A finish(A v, float n) { return v; }
};

template <typename A>
struct Mean {
  using type = A;
  static METAL_FUNC A first() { return A(0); }
  static METAL_FUNC A join(A a, A b) { return a + b; }
  static METAL_FUNC A across(A v) { return Sum<A>::across(v); }
  static METAL_FUNC A finish(A v, float n) { return v / n; }
};

// times multiplies; float2 is complex.
template <typename A>
METAL_FUNC A times(A a, A b) {
  if constexpr (is_same_v<A, float2>) {
    return float2(a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x);
  } else {
    return a * b;
  }
}

template <typename A>
struct Prod {
  using type = A;
  static METAL_FUNC A first() {
    if constexpr (is_same_v<A, float2>) {
      return float2(1.0f, 0.0f);
    } else {
      return A(1);
    }
  }
  static METAL_FUNC A join(A a, A b) { return times(a, b); }
  static METAL_FUNC A across(A v) { return butterfly<Prod<A>>(v); }
  static METAL_FUNC A finish(A v, float n) { return v; }
};

// not_a_number is false for integers.
template <typename A>
METAL_FUNC bool not_a_number(A v) {
  if constexpr (is_same_v<A, float>) {
    return v != v;
  } else if constexpr (is_same_v<A, float2>) {
    return v.x != v.x || v.y != v.y;
  } else {
    return false;
  }
}

// before orders values, complex ones by their real part first.
template <typename A>
METAL_FUNC bool before(A a, A b) {
  if constexpr (is_same_v<A, float2>) {
    return a.x < b.x || (a.x == b.x && a.y < b.y);
  } else {
    return a < b;
  }
}

// least is what no value lies below, most what none lies above.
template <typename A>
METAL_FUNC A least() {
  if constexpr (is_same_v<A, float> || is_same_v<A, float2>) {
    return A(-INFINITY);
  } else {
    return numeric_limits<A>::min();
  }
}

template <typename A>
METAL_FUNC A most() {
  if constexpr (is_same_v<A, float> || is_same_v<A, float2>) {
    return A(INFINITY);
  } else {
    return numeric_limits<A>::max();
  }
}

// Extremes are NaN if any value is.
template <typename A>
struct Max {
  using type = A;
  static METAL_FUNC A first() { return least<A>(); }
  static METAL_FUNC A join(A a, A b) {
    return not_a_number(a) || (!not_a_number(b) && !before(a, b)) ? a : b;
  }
  static METAL_FUNC A across(A v) {
    if constexpr (is_same_v<A, float>) {
      return simd_any(v != v) ? NAN : simd_max(v);
    } else if constexpr (is_same_v<A, int> || is_same_v<A, uint>) {
      return simd_max(v);
    } else {
      return butterfly<Max<A>>(v);
    }
  }
  static METAL_FUNC A finish(A v, float n) { return v; }
};

template <typename A>
struct Min {
  using type = A;
  static METAL_FUNC A first() { return most<A>(); }
  static METAL_FUNC A join(A a, A b) {
    return not_a_number(a) || (!not_a_number(b) && !before(b, a)) ? a : b;
  }
  static METAL_FUNC A across(A v) {
    if constexpr (is_same_v<A, float>) {
      return simd_any(v != v) ? NAN : simd_min(v);
    } else if constexpr (is_same_v<A, int> || is_same_v<A, uint>) {
      return simd_min(v);
    } else {
      return butterfly<Min<A>>(v);
    }
  }
  static METAL_FUNC A finish(A v, float n) { return v; }
};

template <typename A>
struct All {
  using type = A;
  static METAL_FUNC A first() { return A(1); }
  static METAL_FUNC A join(A a, A b) { return a & b; }
  static METAL_FUNC A across(A v) { return simd_and(v); }
  static METAL_FUNC A finish(A v, float n) { return v; }
};

template <typename A>
struct Any {
  using type = A;
  static METAL_FUNC A first() { return A(0); }
  static METAL_FUNC A join(A a, A b) { return a | b; }
  static METAL_FUNC A across(A v) { return simd_or(v); }
  static METAL_FUNC A finish(A v, float n) { return v; }
};

// group_fold combines the values of a threadgroup of full simdgroups; every thread gets
// the result. shared holds a value for each simdgroup and may be used again at once.
template <typename Op, typename A>
METAL_FUNC A group_fold(A v, threadgroup A* shared, uint lane, uint simd, uint simds) {
  v = Op::across(v);
  if (simds > 1) {
    threadgroup_barrier(mem_flags::mem_threadgroup);
    if (lane == 0) {
      shared[simd] = v;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    A other = Op::first();
    if (lane < simds) {
      other = shared[lane];
    }
    v = Op::across(other);
  }
  return v;
}

METAL_FUNC float group_sum(float v, threadgroup float* shared, uint lane, uint simd, uint simds) {
  return group_fold<Sum<float>>(v, shared, lane, simd, simds);
}
