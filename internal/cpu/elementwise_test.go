package cpu

import (
	"fmt"
	"math"
	"testing"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

var shapes = [][]int{{}, {1}, {5}, {3, 4}, {2, 3, 5}, {0, 3}, {1, 2051}, {37, 41}}

func TestUnary(t *testing.T) {
	for op := range tensor.NumUnary {
		for _, d := range allTypes {
			p := tensor.Unary{Op: op}
			out, err := p.Infer([]tensor.Spec{{DType: d}})
			if err != nil {
				continue
			}
			rng := newRand(uint64(op)<<8 | uint64(d))
			for _, l := range layouts {
				for _, s := range shapes {
					a, vals := place(rng, l, d, s, random64(rng, d, d != dtype.Complex64))
					want := make([]value, len(vals))
					for i, v := range vals {
						want[i] = unaryRef(op, d, v)
					}
					what := fmt.Sprintf("%v of %v%v %s", op, d, s, l.name)
					compareValues(t, what, out[0].DType, values(t, tensor.Apply1(p, none, a)), want, 1e-3)
				}
			}
		}
	}
}

func TestBinary(t *testing.T) {
	for op := range tensor.NumBinary {
		for _, d := range allTypes {
			p := tensor.Binary{Op: op}
			out, err := p.Infer([]tensor.Spec{{DType: d}, {DType: d}})
			if err != nil {
				continue
			}
			rng := newRand(uint64(op)<<8 | uint64(d) | 1<<20)
			special := d != dtype.Complex64 || op.Boolean() || op == tensor.OpMaximum || op == tensor.OpMinimum
			for i, l := range layouts {
				for j, s := range shapes {
					a, va := place(rng, l, d, s, random64(rng, d, special))
					b, vb := place(rng, layouts[(i+j)%len(layouts)], d, s, random64(rng, d, special))
					want := make([]value, len(va))
					for k := range va {
						want[k] = binaryRef(op, d, va[k], vb[k])
					}
					what := fmt.Sprintf("%v of %v%v %s", op, d, s, l.name)
					compareValues(t, what, out[0].DType, values(t, tensor.Apply1(p, none, a, b)), want, 1e-3)
				}
			}
		}
	}
}

func castRef(from, to dtype.DType, v value) value {
	switch {
	case isInt(from) && to == dtype.Bool:
		return boolValue(v.u != 0)
	case isInt(from) && isInt(to):
		return value{u: wrap(to, v.u)}
	case isInt(from) && isSigned(from):
		return value{z: complex(float64(int64(v.u)), 0)}
	case isInt(from):
		return value{z: complex(float64(v.u), 0)}
	case to == dtype.Bool:
		return boolValue(v.z != 0)
	case !isInt(to):
		if to != dtype.Complex64 {
			return value{z: complex(real(v.z), 0)}
		}
		return v
	}
	f := math.Trunc(real(v.z))
	info := to.IInfo()
	switch {
	case f != f:
		return value{}
	case f <= float64(info.Min):
		return value{u: uint64(info.Min)}
	case f >= float64(info.Max):
		return value{u: info.Max}
	case f < 0:
		return value{u: uint64(int64(f))}
	}
	return value{u: uint64(f)}
}

func TestCast(t *testing.T) {
	for _, from := range allTypes {
		for _, to := range allTypes {
			rng := newRand(uint64(from)<<8 | uint64(to) | 2<<20)
			gen := func() value {
				v := random64(rng, from, true)()
				if !isInt(from) && rng.IntN(3) == 0 {
					v.z *= complex(math.Pow(10, float64(rng.IntN(22))), 0)
				}
				return v
			}
			for _, l := range layouts {
				for _, s := range shapes {
					a, vals := place(rng, l, from, s, gen)
					want := make([]value, len(vals))
					for i, v := range vals {
						want[i] = castRef(from, to, v)
					}
					what := fmt.Sprintf("%v%v %s to %v", from, s, l.name, to)
					compareValues(t, what, to, values(t, tensor.Apply1(tensor.Cast{To: to}, none, a)), want, 0)
				}
			}
		}
	}
}

func TestSelectAndSwiGLU(t *testing.T) {
	for _, d := range allTypes {
		rng := newRand(uint64(d) | 3<<20)
		for i, l := range layouts {
			for j, s := range shapes {
				c, vc := place(rng, layouts[(i+j)%len(layouts)], dtype.Bool, s, random64(rng, dtype.Bool, false))
				a, va := place(rng, l, d, s, random64(rng, d, true))
				b, vb := place(rng, layouts[(i+2*j)%len(layouts)], d, s, random64(rng, d, true))
				want := make([]value, len(va))
				glu := make([]value, len(va))
				for k := range va {
					want[k] = vb[k]
					if vc[k].u != 0 {
						want[k] = va[k]
					}
					g := real(va[k].z)
					glu[k] = value{z: complex(g/(1+math.Exp(-g))*real(vb[k].z), 0)}
					if math.IsInf(g, -1) {
						glu[k].z = complex(math.NaN(), 0) // -Inf·0
					}
				}
				what := fmt.Sprintf("%v%v %s", d, s, l.name)
				compareValues(t, "where "+what, d, values(t, tensor.Apply1(tensor.Select{}, none, c, a, b)), want, 0)
				if d.Is(dtype.Floating) {
					got := values(t, tensor.Apply1(tensor.SwiGLU{}, none, a, b))
					for k := range got { // infinite gates are the loops' own affair
						if math.IsInf(real(va[k].z), 0) {
							got[k], glu[k] = value{}, value{}
						}
					}
					compareValues(t, "swiglu "+what, d, got, glu, 1e-3)
				}
			}
		}
	}
}

func TestArangeAndConst(t *testing.T) {
	for _, d := range allTypes {
		p := tensor.Arange{Start: tensor.MakeF64(-3), Step: tensor.MakeF64(0.5), N: 2100, DType: d}
		want := make([]value, p.N)
		for i := range want {
			want[i] = castRef(dtype.Float64, d, value{z: complex(-3+float64(i)*.5, 0)})
		}
		compareValues(t, "arange "+d.String(), d, values(t, tensor.Apply1(p, none)), want, 0)
		c := values(t, tensor.FullOf(tensor.FloatScalar(2, d, none), tensor.Shape{3, 700}, none))
		want = make([]value, 2100)
		for i := range want {
			want[i] = castRef(dtype.Float64, d, value{z: 2})
		}
		compareValues(t, "full "+d.String(), d, c, want, 0)
	}
}
