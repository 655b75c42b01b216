//go:build linux && metalemu

package metal

import (
	"testing"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/metal/msltest"
	"github.com/mlxgo/mlx/internal/tensor"
)

// Sources are in the language that Metal has, address spaces included.
func TestDialectOfMappings(t *testing.T) {
	types := []dtype.DType{dtype.Float32, dtype.BFloat16, dtype.Int8, dtype.Uint64, dtype.Bool, dtype.Complex64}
	for _, d := range types {
		if !full && d != dtype.BFloat16 {
			continue
		}
		var all []mapped
		for g := range len(unaryGroups) - 1 {
			all = append(all, unaryGroup(g, d)...)
		}
		for g := range len(binaryGroups) - 1 {
			all = append(all, binaryGroup(g, d)...)
		}
		all = append(append(all, castGroup(d, true)...), castGroup(d, false)...)
		if classOf(d) == floats {
			all = append(all, gateGroup(d)...)
		}
		_, name, ops := mapLibrary(tensor.Select{}, []dtype.DType{dtype.Bool, d, d}, []dtype.DType{d})
		for _, m := range append(all, ops()...) {
			if m.name == "" || name == "" {
				t.Errorf("%v has no name", m.prim)
			}
		}
		checkSource(t, "mappings of "+d.String(), func() (string, error) {
			return librarySource(func() []mapped { return append(all, ops()...) })
		})
	}
}

func TestDialectOfCopies(t *testing.T) {
	for _, i := range []instance{
		{"copy", "copy_rows", []string{"uchar"}}, {"copy", "copy_strided", []string{"ulong"}},
		{"copy", "fill", []string{"ushort"}}, {"copy", "store", []string{"uint"}},
		{"arange", "arange", []string{"bfloat", "0"}}, {"arange", "arange", []string{"char", "1"}},
		{"arange", "arange", []string{"uchar", "2"}}, {"arange", "arange", []string{"float2", "3"}},
		{"random", "bits", nil}, {"random", "cdf_sums", []string{"bfloat"}}, {"random", "cdf_sample", []string{"half"}},
	} {
		checkSource(t, i.hostName(), i.source)
	}
}

func checkSource(t *testing.T, name string, source func() (string, error)) {
	t.Helper()
	text, err := source()
	if err != nil {
		t.Fatal(err)
	}
	msltest.Check(t, name, text)
}
