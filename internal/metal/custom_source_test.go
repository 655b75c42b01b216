//go:build linux && metalemu

package metal

import (
	"testing"

	"github.com/mlxgo/mlx/internal/metal/msltest"
)

// TestCustomPreludeSpaces: the prelude, and what it is for, keep Metal's address spaces and
// the rules of its dialect.
func TestCustomPreludeSpaces(t *testing.T) {
	prelude, err := expand("custom_prelude.h", map[string]bool{})
	if err != nil {
		t.Fatal(err)
	}
	const user = `
template <typename T>
[[kernel]] void k(
    const device T* a [[buffer(0)]],
    const constant int* a_shape [[buffer(1)]],
    const constant int64_t* a_strides [[buffer(2)]],
    const constant int& a_ndim [[buffer(3)]],
    device T* o [[buffer(4)]],
    uint3 p [[thread_position_in_grid]]) {
  T v = a[elem_to_loc(p.x, a_shape, a_strides, a_ndim)] + a[elem_to_loc(p, a_shape, a_strides, a_ndim)];
  v = metal::max(v, a[elem_to_loc_2(uint2(p.x, p.y), a_strides)]);
  o[p.x] = metal::max(log1p(simd_sum(metal::exp(v))), Limits<T>::finite_min);
}
template [[host_name("k_float")]] [[kernel]] decltype(k<float>) k<float>;
template [[host_name("k_bfloat")]] [[kernel]] decltype(k<bfloat>) k<bfloat>;
`
	msltest.Check(t, "prelude", prelude+user)
}
