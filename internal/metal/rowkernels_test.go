//go:build linux && metalemu

package metal

import (
	"strings"
	"testing"

	"github.com/mlxgo/mlx/internal/metal/msltest"
)

// The kernels keep to what Metal's compiler takes: bfloat has no arithmetic, address spaces
// are apart, and so on. Each is instantiated for all kinds of types that it is used with.
func TestRowKernelsAreMetal(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles many kernels")
	}
	elementwise := []string{"boolean", "char", "ushort", "int", "ulong", "long", "half", "bfloat", "float", "float2"}
	floats := []string{"half", "bfloat", "float"}
	for file, all := range map[string][]instance{
		"rows":      instancesOf("rows", []string{"softmax", "logsumexp"}, floats),
		"norm":      normInstances(),
		"rope":      instancesOf("rope", []string{"rope"}, floats),
		"argreduce": instancesOf("argreduce", []string{"arg_reduce"}, elementwise),
		"reduce":    reduceInstances(),
		"scan":      scanInstances(),
		"sort":      sortInstances(elementwise),
	} {
		t.Run(file, func(t *testing.T) {
			source, err := kernelSource(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, i := range all {
				one, err := i.source()
				if err != nil {
					t.Fatal(err)
				}
				source += one[strings.LastIndex(one, "\ntemplate"):]
			}
			msltest.Check(t, file+".metal", source)
		})
	}
}

// instancesOf are the instances of functions for each type, or for all args.
func instancesOf(file string, functions, types []string, args ...string) (l []instance) {
	for _, fn := range functions {
		for _, t := range types {
			l = append(l, instance{file, fn, []string{t}})
		}
		if args != nil {
			l = append(l, instance{file, fn, args})
		}
	}
	return l
}

func reduceInstances() (l []instance) {
	kernels := []string{"reduce_thread", "reduce_simd", "reduce_row", "reduce_col"}
	for _, a := range [][]string{
		{"Sum<float>", "bfloat", "bfloat"}, {"Sum<uint>", "boolean", "int"}, {"Sum<ulong>", "long", "long"}, {"Sum<float2>", "float2", "float2"},
		{"Mean<float>", "half", "half"}, {"Mean<float2>", "float2", "float2"}, {"Prod<float2>", "float2", "float2"}, {"Prod<float>", "bfloat", "bfloat"},
		{"Max<float>", "bfloat", "bfloat"}, {"Max<int>", "char", "char"}, {"Max<uint>", "boolean", "boolean"}, {"Max<long>", "long", "long"}, {"Max<float2>", "float2", "float2"},
		{"Min<float>", "half", "half"}, {"Min<ulong>", "ulong", "ulong"}, {"Min<float2>", "float2", "float2"}, {"All<uint>", "boolean", "boolean"}, {"Any<uint>", "boolean", "boolean"},
	} {
		l = append(l, instancesOf("reduce", kernels, nil, a...)...)
	}
	return l
}

func scanInstances() (l []instance) {
	for _, a := range [][]string{
		{"Sum<float>", "bfloat", "bfloat"}, {"Sum<uint>", "boolean", "int"}, {"Prod<ulong>", "long", "long"}, {"Prod<float2>", "float2", "float2"},
		{"Max<char>", "char", "char"}, {"Min<ushort>", "ushort", "ushort"}, {"Max<uint>", "boolean", "boolean"}, {"Min<float>", "half", "half"}, {"LogAddExp<float>", "bfloat", "bfloat"},
	} {
		l = append(l, instancesOf("scan", []string{"scan"}, nil, a...)...)
	}
	for _, a := range [][]string{{"float", "bfloat"}, {"float2", "float2"}} {
		l = append(l, instancesOf("scan", []string{"linear_scan"}, nil, a...)...)
	}
	return l
}

func normInstances() []instance {
	l := instancesOf("norm", []string{"rms_norm", "norm_vjp"}, nil, "bfloat", "bfloat", "bfloat")
	l = append(l, instancesOf("norm", []string{"rms_norm", "norm_vjp"}, nil, "half", "float", "float")...)
	return append(l, instancesOf("norm", []string{"layer_norm"}, nil, "half", "bfloat", "half", "float")...)
}

func sortInstances(types []string) []instance {
	l := instancesOf("sort", []string{"search_sorted"}, types)
	l = append(l, instancesOf("sort", []string{"sort_merge"}, []string{"uint", "ulong"})...)
	l = append(l, instancesOf("sort", []string{"permute_row"}, []string{"uchar", "ulong"})...)
	for _, a := range [][]string{{"bfloat", "bfloat", "2"}, {"float2", "uint", "0"}, {"boolean", "uint", "1"}} {
		l = append(l, instancesOf("sort", []string{"sort_block"}, nil, a...)...)
	}
	return l
}
