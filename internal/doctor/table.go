package doctor

import (
	"github.com/mlxgo/mlx"
)

// table is all checks, in the order of the report.
func table() []check {
	var l []check
	for _, part := range [][]check{
		elementwiseChecks(), shapeChecks(), foldChecks(), rowChecks(), orderChecks(), indexChecks(), productChecks(), quantChecks(),
		attentionChecks(), randomChecks(), convChecks(), programChecks(), kernelChecks(),
	} {
		l = append(l, part...)
	}
	return l
}

// halves are the dtypes of language models.
var halves = []mlx.DType{mlx.Float32, mlx.Float16, mlx.BFloat16}

// A draw is a generator of inputs that every machine draws alike.
type draw uint64

func (s *draw) next() uint64 {
	*s = *s*6364136223846793005 + 1442695040888963407
	return uint64(*s) >> 33
}

// wave is multiples of 1/64 in [-2, 2).
func wave(seed uint64, shape ...int) *mlx.Array { return drawn(seed, -128, shape) }

// positive is multiples of 1/64 in (0, 4].
func positive(seed uint64, shape ...int) *mlx.Array { return drawn(seed, 1, shape) }

func drawn(seed uint64, low int, shape []int) *mlx.Array {
	s := draw(seed)
	l := make([]float32, mlx.Shape(shape).Size())
	for i := range l {
		l[i] = float32(low+int(s.next()%256)) / 64
	}
	return mlx.FromSlice(l, shape...)
}

// ints is whole numbers in [0, below).
func ints(seed uint64, below int, shape ...int) *mlx.Array {
	s := draw(seed)
	l := make([]int32, mlx.Shape(shape).Size())
	for i := range l {
		l[i] = int32(s.next() % uint64(below))
	}
	return mlx.FromSlice(l, shape...)
}

func elementwiseChecks() []check {
	xy := arrays{wave(1, 3, 7, 5), positive(2, 3, 7, 5)}
	m := []string{"x", "y", "p"}
	return []check{
		{name: "arithmetic", results: "add subtract multiply divide negative", inputs: xy, floats: halves, tol: usual, build: func(in arrays) arrays {
			x, y := in[0], in[1]
			return arrays{mlx.Add(x, y), mlx.Subtract(x, y), mlx.Multiply(x, y), mlx.Divide(x, y), mlx.Negative(x)}
		}},
		{name: "roots and powers", results: "square sqrt rsqrt reciprocal power", inputs: xy, floats: halves, tol: usual, build: func(in arrays) arrays {
			x, y := in[0], in[1]
			return arrays{mlx.Square(x), mlx.Sqrt(y), mlx.Rsqrt(y), mlx.Reciprocal(y), mlx.Power(y, x)}
		}},
		{name: "exponentials", results: "exp expm1 log log1p log2 log10 logaddexp", inputs: xy, floats: halves, tol: usual, build: func(in arrays) arrays {
			x, y := in[0], in[1]
			return arrays{mlx.Exp(x), mlx.Expm1(x), mlx.Log(y), mlx.Log1p(y), mlx.Log2(y), mlx.Log10(y), mlx.LogAddExp(x, y)}
		}},
		{name: "trigonometry", results: "sin cos tan arctan arctan2", inputs: arrays{wave(3, 3, 7, 5).Mul(0.5), positive(2, 3, 7, 5)}, floats: halves, tol: usual, build: func(in arrays) arrays {
			x, y := in[0], in[1]
			return arrays{mlx.Sin(x), mlx.Cos(x), mlx.Tan(x), mlx.ArcTan(x), mlx.ArcTan2(x, y)}
		}},
		{name: "hyperbolic and error functions", results: "sinh cosh tanh arcsinh sigmoid erf erfinv", inputs: xy, floats: halves, tol: usual, build: func(in arrays) arrays {
			x := in[0]
			return arrays{mlx.Sinh(x), mlx.Cosh(x), mlx.Tanh(x), mlx.ArcSinh(x), mlx.Sigmoid(x), mlx.Erf(x), mlx.ErfInv(x.Mul(0.25))}
		}},
		{name: "rounding", results: "floor ceil round sign abs", inputs: xy, floats: halves, build: func(in arrays) arrays {
			x := in[0]
			return arrays{mlx.Floor(x), mlx.Ceil(x), mlx.Round(x, 0), mlx.Sign(x), mlx.Abs(x)}
		}},
		{name: "choices", results: "maximum minimum clip where", inputs: xy, floats: halves, build: func(in arrays) arrays {
			x, y := in[0], in[1]
			return arrays{mlx.Maximum(x, y), mlx.Minimum(x, y), mlx.Clip(x, -1, 1), mlx.Where(mlx.Less(x, y), x, y)}
		}},
		{name: "comparisons", results: "equal less greater_equal logical_and isnan isinf", inputs: xy, floats: halves, build: func(in arrays) arrays {
			x, y := in[0], in[1]
			zero := mlx.Subtract(x, x)
			return arrays{mlx.Equal(x, y), mlx.Less(x, y), mlx.GreaterEqual(x, y), mlx.LogicalAnd(mlx.Greater(x, 0), mlx.Less(y, 1)),
				mlx.IsNaN(mlx.Divide(zero, zero)), mlx.IsInf(mlx.Divide(y, zero))}
		}},
		{name: "integers", results: "add multiply floor_divide remainder and or xor shifts long", inputs: arrays{ints(5, 1000, 40), ints(6, 30, 40).Add(1)},
			same: true, build: func(in arrays) arrays {
				x, y := in[0], in[1]
				long := mlx.Multiply(x.AsType(mlx.Int64), 1<<40)
				return arrays{mlx.Add(x, y), mlx.Multiply(x, y), mlx.FloorDivide(x, y), mlx.Remainder(x, y), mlx.BitwiseAnd(x, y), mlx.BitwiseOr(x, y),
					mlx.BitwiseXor(x, y), mlx.RightShift(mlx.LeftShift(x, y.Sub(1).AsType(mlx.Int32)), 1), mlx.Add(long, y.AsType(mlx.Int64))}
			}},
		{name: "casts", results: "int8 uint8 int32 float16 bfloat16 bool back", inputs: arrays{wave(7, 50).Mul(16)}, same: true, build: func(in arrays) arrays {
			x := in[0]
			var l arrays
			for _, d := range []mlx.DType{mlx.Int8, mlx.Uint8, mlx.Int32, mlx.Float16, mlx.BFloat16, mlx.Bool} {
				y := x
				if d == mlx.Uint8 {
					y = mlx.Abs(x)
				}
				l = append(l, mlx.AsType(y, d))
			}
			return append(l, mlx.AsType(mlx.AsType(x, mlx.Int32), mlx.Float32))
		}},
		{name: "complex numbers", results: "multiply exp abs", inputs: arrays{wave(8, 40), wave(9, 40)}, same: true, tol: usual, build: func(in arrays) arrays {
			z := mlx.View(mlx.Stack(in, mlx.Axis(-1)), mlx.Complex64).Reshape(40)
			return arrays{mlx.Multiply(z, z), mlx.Exp(z), mlx.Abs(z)}
		}},
		{name: "MLX's elementwise", golden: "ops", from: m, tol: usual, results: "exp log tanh erf sigmoid sin rsqrt log1p add divide power logaddexp arctan2",
			keys: []string{"u.exp", "u.log", "u.tanh", "u.erf", "u.sigmoid", "u.sin", "u.rsqrt", "u.log1p", "b.add", "b.divide", "b.power", "b.logaddexp", "b.arctan2"},
			build: func(in arrays) arrays {
				x, y, p := in[0], in[1], in[2]
				return arrays{mlx.Exp(x), mlx.Log(p), mlx.Tanh(x), mlx.Erf(x), mlx.Sigmoid(x), mlx.Sin(x), mlx.Rsqrt(p), mlx.Log1p(p), mlx.Add(x, y),
					mlx.Divide(x, y), mlx.Power(p, y), mlx.LogAddExp(x, y), mlx.ArcTan2(x, y)}
			}},
	}
}

func shapeChecks() []check {
	return []check{
		{name: "copies and strides", results: "transpose slice flip broadcast as_strided view", inputs: arrays{wave(11, 4, 6, 5)}, floats: halves, build: func(in arrays) arrays {
			x := in[0]
			c := func(a *mlx.Array) *mlx.Array { return mlx.Contiguous(a, false) }
			return arrays{c(mlx.Transpose(x)), c(x.Index(mlx.Colon, mlx.Range(1, 6).By(2), mlx.From(2))), c(mlx.Flip(x, mlx.Axis(1))),
				c(mlx.BroadcastTo(x.Index(0), mlx.Shape{3, 6, 5})), c(mlx.AsStrided(x, mlx.Shape{5, 4}, []int{7, 3}, 2)), c(x.Reshape(8, 15).T())}
		}},
		{name: "joining and filling", results: "concatenate pad tile repeat roll", inputs: arrays{wave(12, 3, 5), wave(13, 2, 5)}, floats: halves, build: func(in arrays) arrays {
			x, y := in[0], in[1]
			return arrays{mlx.Concatenate(arrays{x, y}), mlx.Pad(x, 2), mlx.Tile(x, []int{2, 3}), mlx.Repeat(x, 2, mlx.Axis(1)), mlx.Roll(x, 2, mlx.Axis(1))}
		}},
		{name: "making arrays", results: "arange eye full tri", inputs: arrays{}, same: true, build: func(arrays) arrays {
			return arrays{mlx.Arange(0.5, 20, 0.25), mlx.Eye(4, 5, 1), mlx.Full(mlx.Shape{7}, 2.5), mlx.Tri(4, 4, 0)}
		}},
	}
}

func foldChecks() []check {
	return []check{
		{name: "reductions along rows", results: "sum mean max min prod", inputs: arrays{wave(15, 7, 33)}, floats: halves, tol: summed, build: folds(mlx.Axis(1))},
		{name: "reductions along columns", results: "sum mean max min prod", inputs: arrays{wave(16, 33, 7)}, floats: halves, tol: summed, build: folds(mlx.Axis(0))},
		{name: "reductions of several axes", results: "sum mean max min prod", inputs: arrays{wave(17, 4, 5, 6)}, floats: halves, tol: summed, build: folds(mlx.Axes{0, 2})},
		{name: "long sums", results: "all row column", inputs: arrays{wave(18, 3, 20000)}, tol: summed, build: func(in arrays) arrays {
			x := in[0]
			return arrays{mlx.Sum(x), mlx.Sum(x, mlx.Axis(1)), mlx.Sum(x.Reshape(20000, 3), mlx.Axis(0))}
		}},
		{name: "variance and logsumexp", results: "var std logsumexp", inputs: arrays{wave(19, 9, 70)}, floats: halves, tol: loose, build: func(in arrays) arrays {
			x := in[0]
			return arrays{mlx.Var(x, mlx.Axis(1)), mlx.Std(x, mlx.Axis(1)), mlx.LogSumExp(x, mlx.Axis(1))}
		}},
		{name: "any, all, sums of integers", results: "all any count sum max", inputs: arrays{ints(20, 5, 6, 40)}, same: true, build: func(in arrays) arrays {
			x := in[0]
			b := mlx.Greater(x, 0)
			return arrays{mlx.All(b, mlx.Axis(1)), mlx.Any(b, mlx.Axis(0)), mlx.Sum(b.AsType(mlx.Int32)), mlx.Sum(x, mlx.Axis(1)), mlx.Max(x, mlx.Axis(0))}
		}},
		{name: "argmax, argmin", results: "max min all", inputs: arrays{wave(21, 6, 70)}, floats: halves, same: true, build: func(in arrays) arrays {
			x := in[0]
			return arrays{mlx.ArgMax(x, mlx.Axis(1)), mlx.ArgMin(x, mlx.Axis(0)), mlx.ArgMax(x)}
		}},
		{name: "cumulative", results: "sum reverse prod max logsumexp", inputs: arrays{wave(22, 5, 40)}, floats: halves, tol: loose, build: func(in arrays) arrays {
			x := in[0]
			return arrays{mlx.CumSum(x, mlx.Axis(1)), mlx.CumSum(x, mlx.Axis(0), mlx.Reverse(true), mlx.Inclusive(false)), mlx.CumProd(x.Mul(0.5).Add(1), mlx.Axis(0)),
				mlx.CumMax(x, mlx.Axis(1)), mlx.LogCumSumExp(x, mlx.Axis(1))}
		}},
		{name: "MLX's reductions", golden: "ops", results: "sum mean max prod logsumexp cumsum", from: []string{"x"}, tol: summed,
			keys: []string{"r.sum.1", "r.mean.1", "r.max.1", "r.prod.1", "r.logsumexp.1", "cumsum"}, build: func(in arrays) arrays {
				x, a := in[0], mlx.Axis(1)
				return arrays{mlx.Sum(x, a), mlx.Mean(x, a), mlx.Max(x, a), mlx.Prod(x, a), mlx.LogSumExp(x, a), mlx.CumSum(x, a)}
			}},
	}
}

func folds(axis mlx.ReduceOption) func(in arrays) arrays {
	return func(in arrays) arrays {
		x := in[0]
		return arrays{mlx.Sum(x, axis), mlx.Mean(x, axis), mlx.Max(x, axis), mlx.Min(x, axis), mlx.Prod(x.Mul(0.5).Add(1), axis)}
	}
}

func orderChecks() []check {
	return []check{
		{name: "sort", results: "rows columns order", inputs: arrays{wave(30, 6, 50)}, floats: halves, build: func(in arrays) arrays {
			x := in[0]
			return arrays{mlx.Sort(x), mlx.Sort(x, mlx.Axis(0)), mlx.ArgSort(x)}
		}},
		{name: "long sort", results: "least greatest order", inputs: arrays{ints(31, 1<<30, 5000)}, same: true, build: func(in arrays) arrays {
			s := mlx.Sort(in[0])
			return arrays{s.Index(mlx.To(64)), s.Index(mlx.From(4936)), mlx.ArgSort(in[0]).Index(mlx.Range(0, 5000).By(50))}
		}},
		{name: "top-k, partition, search", results: "topk partition search", inputs: arrays{wave(32, 4, 60)}, same: true, build: func(in arrays) arrays {
			x := in[0]
			return arrays{mlx.Sort(mlx.TopK(x, 5)), mlx.Sort(mlx.Partition(x, 7).Index(mlx.Colon, mlx.To(8))), mlx.SearchSorted(mlx.SortFlat(x), x.Index(0), false)}
		}},
	}
}

func indexChecks() []check {
	return []check{
		{name: "taking", results: "rows axis along index", inputs: arrays{wave(33, 9, 16), ints(34, 9, 5), ints(35, 16, 9, 3)}, floats: halves, build: func(in arrays) arrays {
			x, i, along := in[0], in[1], in[2]
			return arrays{mlx.Take(x, i, mlx.Axis(0)), mlx.Take(x, i, mlx.Axis(1)), mlx.TakeAlongAxis(x, along, 1), x.Index(i, mlx.Range(2, 14).By(3))}
		}},
		{name: "putting", results: "set add max along slice", inputs: arrays{wave(36, 9, 8), mlx.FromSlice([]int32{4, 0, 7, 2, 4}), wave(37, 5, 8), mlx.FromSlice([]int32{8, 1, 3, 5, 6})}, floats: halves, tol: usual,
			build: func(in arrays) arrays {
				x, i, v, apart := in[0], in[1], in[2], in[3]
				return arrays{x.At(apart).Set(v), x.At(i).Add(v), x.At(i).Maximum(v), mlx.PutAlongAxis(x, mlx.BroadcastTo(apart.Reshape(5, 1), mlx.Shape{5, 8}), v, 0),
					mlx.SliceUpdate(x, v, mlx.FromSlice([]int32{2}), []int{0})}
			}},
	}
}
