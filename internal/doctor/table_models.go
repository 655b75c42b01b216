package doctor

import (
	"fmt"
	"math"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/fast"
	"github.com/mlxgo/mlx/random"
)

func rowChecks() []check {
	x, w, b := wave(40, 3, 2, 96), positive(41, 96), wave(42, 96)
	rope := func(r fast.RoPE, offset int) func(in arrays) arrays {
		return func(in arrays) arrays { return arrays{r.Apply(in[0], offset)} }
	}
	turned := arrays{wave(45, 1, 2, 5, 16)}
	return []check{
		{name: "softmax", results: "rows columns", inputs: arrays{x}, floats: halves, tol: loose, build: func(in arrays) arrays {
			return arrays{mlx.Softmax(in[0], mlx.Axis(-1)), mlx.Softmax(in[0], mlx.Axis(0))}
		}},
		{name: "long softmax", inputs: arrays{wave(46, 2, 6000)}, floats: halves, tol: loose, build: func(in arrays) arrays {
			return arrays{mlx.Softmax(in[0], mlx.Axis(-1)).Index(mlx.Colon, mlx.To(64))}
		}},
		{name: "rms_norm", results: "weighted plain", inputs: arrays{x, w}, floats: halves, tol: usual, build: func(in arrays) arrays {
			return arrays{fast.RMSNorm(in[0], in[1], 1e-5), fast.RMSNorm(in[0], nil, 1e-6)}
		}},
		{name: "layer_norm", inputs: arrays{x, w, b}, floats: halves, tol: loose, build: func(in arrays) arrays { return arrays{fast.LayerNorm(in[0], in[1], in[2], 1e-5)} }},
		{name: "gradients of norms", results: "x weight", inputs: arrays{x, w}, tol: loose, build: func(in arrays) arrays {
			_, g := mlx.VJP(func(in arrays) arrays { return arrays{fast.RMSNorm(in[0], in[1], 1e-5)} }, in, arrays{mlx.Multiply(in[0], 0.5)})
			return g
		}},
		{name: "rope", inputs: turned, floats: halves, tol: loose, build: rope(fast.RoPE{Dims: 16, Base: 1e4}, 3)},
		{name: "rope of neighbours, in part", inputs: turned, floats: halves, tol: loose, build: rope(fast.RoPE{Dims: 8, Base: 1e4, Traditional: true, Scale: 0.5}, 7)},
		{name: "MLX's norms and rope", golden: "fast", results: "rms_norm layer_norm rope", from: []string{"x", "w", "b"}, tol: loose,
			keys: []string{"rms_norm", "layer_norm", "rope.0.64.0"}, build: func(in arrays) arrays {
				return arrays{fast.RMSNorm(in[0], in[1], 1e-5), fast.LayerNorm(in[0], in[1], in[2], 1e-5), fast.RoPE{Dims: 64, Base: 1e4}.Apply(in[0], 0)}
			}},
	}
}

func productChecks() []check {
	product := func(in arrays) arrays { return arrays{mlx.MatMul(in[0], in[1])} }
	return []check{
		{name: "matmul", inputs: arrays{wave(50, 33, 40), wave(51, 40, 35)}, floats: halves, tol: summed, build: product},
		{name: "matmul of transposed", results: "left right both", inputs: arrays{wave(52, 40, 18), wave(53, 21, 40)}, floats: halves, tol: summed, build: func(in arrays) arrays {
			a, b := in[0], in[1]
			return arrays{mlx.MatMul(a.T(), mlx.Contiguous(b.T(), false)), mlx.MatMul(mlx.Contiguous(a.T(), false), b.T()), mlx.MatMul(a.T(), b.T())}
		}},
		{name: "matmul in large tiles", inputs: arrays{wave(54, 1024, 16), wave(55, 16, 512)}, floats: halves, tol: loose, build: func(in arrays) arrays {
			return arrays{mlx.MatMul(in[0], in[1]).Index(mlx.Step(41), mlx.Step(37))}
		}},
		{name: "matmul in parts of K", inputs: arrays{wave(56, 8, 2048), wave(57, 2048, 9)}, floats: halves, tol: loose, build: product},
		{name: "matmul, batched", inputs: arrays{wave(58, 3, 1, 5, 12), wave(59, 2, 12, 7)}, floats: halves, tol: summed, build: product},
		{name: "matrix and vector", results: "rows columns long", inputs: arrays{wave(60, 70, 64), wave(61, 64), wave(62, 70), wave(63, 6, 1024), wave(64, 1024, 1)}, floats: halves, tol: loose, build: func(in arrays) arrays {
			return arrays{mlx.MatMul(in[0], in[1]), mlx.MatMul(in[2], in[0]), mlx.MatMul(in[3], in[4])}
		}},
		{name: "addmm", inputs: arrays{wave(65, 5, 7), wave(66, 5, 12), wave(67, 12, 7)}, tol: summed, build: func(in arrays) arrays {
			return arrays{mlx.AddMM(in[0], in[1], in[2], mlx.Alpha(0.5), mlx.Beta(2))}
		}},
		{name: "MLX's products", golden: "ops", results: "matmul outer", keys: []string{"matmul", "outer"}, from: []string{"x", "y"}, tol: summed, build: func(in arrays) arrays {
			return arrays{mlx.MatMul(in[0], in[1].SwapAxes(-1, -2)), mlx.Outer(in[0].Index(0, 0), in[1].Index(0, 0))}
		}},
	}
}

// packedWords is a packed matrix of rows by k that was never another one; it is for scales
// that all floats hold.
func packedWords(seed uint64, s mlx.Scheme, shape ...int) mlx.Quantized {
	n := len(shape) - 1
	k := shape[n]
	at := draw(seed)
	front := append([]int{}, shape[:n]...)
	words := make([]uint32, mlx.Shape(front).Size()*k*s.Bits/32)
	for i := range words {
		words[i] = uint32(at.next()<<16 ^ at.next())
	}
	q := mlx.Quantized{Scheme: s, Weight: mlx.FromSlice(words, append(append([]int{}, front...), k*s.Bits/32)...)}
	groups := append(front, k/s.GroupSize)
	if s.Mode == "affine" {
		q.Scales = positive(seed+1, groups...).Mul(1.0 / 16)
		q.Biases = wave(seed+2, groups...)
		return q
	}
	scales := make([]uint8, mlx.Shape(groups).Size())
	for i := range scales {
		switch s.Mode {
		case "nvfp4": // e4m3
			scales[i] = uint8(0x28 + at.next()%24)
		default: // powers of two
			scales[i] = uint8(123 + at.next()%6)
		}
	}
	if s.Mode == "mxfp8" { // no NaN
		for i := range words {
			words[i] &= 0xbfbfbfbf
		}
		q.Weight = mlx.FromSlice(words, q.Weight.Shape()...)
	}
	q.Scales = mlx.FromSlice(scales, groups...)
	return q
}

// unpacked are the arrays of q as inputs, and packedOf puts them together again.
func unpacked(q mlx.Quantized) arrays {
	if q.Biases == nil {
		return arrays{q.Weight, q.Scales}
	}
	return arrays{q.Weight, q.Scales, q.Biases}
}

func packedOf(s mlx.Scheme, in arrays) mlx.Quantized {
	q := mlx.Quantized{Scheme: s, Weight: in[0], Scales: in[1]}
	if s.Mode == "affine" {
		q.Biases = in[2]
	}
	return q
}

// schemes are all ways to pack, those of a width and mode together.
func schemes() (l [][]mlx.Scheme) {
	for _, bits := range []int{2, 3, 4, 5, 6, 8} {
		var of []mlx.Scheme
		for _, group := range []int{32, 64, 128} {
			of = append(of, mlx.Scheme{Bits: bits, GroupSize: group, Mode: "affine"})
		}
		l = append(l, of)
	}
	return append(l, []mlx.Scheme{{Bits: 4, GroupSize: 32, Mode: "mxfp4"}}, []mlx.Scheme{{Bits: 8, GroupSize: 32, Mode: "mxfp8"}}, []mlx.Scheme{{Bits: 4, GroupSize: 16, Mode: "nvfp4"}})
}

func quantChecks() (l []check) {
	for i, of := range schemes() {
		l = append(l, packedCheck(uint64(70+10*i), of))
	}
	l = append(l, otherWayCheck(mlx.Scheme{Bits: 4, GroupSize: 64, Mode: "affine"}), otherWayCheck(mlx.Scheme{Bits: 4, GroupSize: 32, Mode: "mxfp4"}),
		gatherCheck(mlx.Scheme{Bits: 4, GroupSize: 32, Mode: "affine"}), gatherCheck(mlx.Scheme{Bits: 4, GroupSize: 32, Mode: "mxfp4"}))
	for _, of := range schemes() {
		s := of[0]
		results := "words scales"
		if s.Mode == "affine" {
			results += " biases"
		}
		l = append(l, check{name: fmt.Sprintf("quantize to %s of %d bits", s.Mode, s.Bits), results: results, inputs: arrays{wave(200, 6, 128)}, same: true, tol: usual,
			build: func(in arrays) arrays { return unpacked(mlx.Quantize(in[0], s)) }})
	}
	for _, s := range []mlx.Scheme{{Bits: 4, GroupSize: 32, Mode: "mxfp4"}, {Bits: 4, GroupSize: 16, Mode: "nvfp4"}} {
		mode := string(s.Mode)
		l = append(l, check{name: "MLX's product with " + mode, golden: "quantize_fp", keys: []string{"float32." + mode + ".xwT"}, tol: loose,
			from:  []string{"x.float32", "float32." + mode + ".q", "float32." + mode + ".scales"},
			build: func(in arrays) arrays { return arrays{mlx.QuantizedMatMul(in[0], packedOf(s, in[1:]))} }})
	}
	s := mlx.Scheme{Bits: 4, GroupSize: 64, Mode: "affine"}
	return append(l, check{name: "MLX's product with 4 bits", golden: "quantize_affine", keys: []string{"float32.b4.g64.xwT"}, tol: loose,
		from:  []string{"x.float32", "float32.b4.g64.q", "float32.b4.g64.scales", "float32.b4.g64.biases"},
		build: func(in arrays) arrays { return arrays{mlx.QuantizedMatMul(in[0], packedOf(s, in[1:]))} }})
}

// packedCheck multiplies one row, a few and many with packed matrices of each group size.
func packedCheck(seed uint64, of []mlx.Scheme) check {
	const n, k = 10, 256
	in := arrays{wave(seed, 25, k)}
	results := ""
	for i, s := range of {
		in = append(in, unpacked(packedWords(seed+uint64(3*i)+1, s, n, k))...)
		results += fmt.Sprintf(" vector%d few%d many%d matrix%d", s.GroupSize, s.GroupSize, s.GroupSize, s.GroupSize)
	}
	products := func(in arrays, multiply func(x *mlx.Array, q mlx.Quantized) *mlx.Array) (l arrays) {
		at := 1
		for _, s := range of {
			q := packedOf(s, in[at:])
			at += len(unpacked(q))
			x := in[0]
			l = append(l, multiply(x.Index(mlx.To(1)), q), multiply(x.Index(mlx.To(3)), q), multiply(x, q), mlx.Dequantize(q, x.DType()).Index(mlx.Step(3), mlx.Step(7)))
		}
		return l
	}
	return check{name: fmt.Sprintf("products with %s of %d bits", of[0].Mode, of[0].Bits), results: results, inputs: in, floats: halves, tol: loose,
		build: func(in arrays) arrays {
			return products(in, func(x *mlx.Array, q mlx.Quantized) *mlx.Array {
				return mlx.QuantizedMatMul(x, q, mlx.RoundActivations(false))
			})
		},
		want: func(in arrays) arrays {
			return products(in, func(x *mlx.Array, q mlx.Quantized) *mlx.Array {
				return wideProduct(x, mlx.Dequantize(q, mlx.Float32).T())
			})
		}}
}

// wideProduct is in float64.
func wideProduct(a, b *mlx.Array) *mlx.Array {
	return mlx.MatMul(a.AsType(mlx.Float64), b.AsType(mlx.Float64)).AsType(mlx.Float32)
}

// otherWayCheck multiplies with a packed matrix that is not transposed.
func otherWayCheck(s mlx.Scheme) check {
	in := append(arrays{wave(160, 9, 12)}, unpacked(packedWords(161, s, 12, 128))...)
	return check{name: fmt.Sprintf("products the other way, %s", s.Mode), results: "vector many", inputs: in, floats: halves, tol: loose,
		build: func(in arrays) arrays {
			q := packedOf(s, in[1:])
			options := []mlx.GatherOption{mlx.TransposeRHS(false), mlx.RoundActivations(false)}
			return arrays{mlx.QuantizedMatMul(in[0].Index(mlx.To(1)), q, options...), mlx.QuantizedMatMul(in[0], q, options...)}
		},
		want: func(in arrays) arrays {
			w := mlx.Dequantize(packedOf(s, in[1:]), mlx.Float32)
			return arrays{wideProduct(in[0].Index(mlx.To(1)), w), wideProduct(in[0], w)}
		}}
}

// gatherCheck is what mixtures of experts do.
func gatherCheck(s mlx.Scheme) check {
	in := append(arrays{wave(170, 3, 2, 64), mlx.FromSlice([]int64{1, 0, 2, 2}), mlx.FromSlice([]int64{4, 0, 1, 3})}, unpacked(packedWords(171, s, 5, 7, 64))...)
	return check{name: "products with picked matrices, " + string(s.Mode), inputs: in, floats: halves, tol: loose,
		build: func(in arrays) arrays {
			return arrays{mlx.GatherQMM(in[0], packedOf(s, in[3:]), in[1], in[2], mlx.RoundActivations(false))}
		},
		want: func(in arrays) arrays {
			w := mlx.Dequantize(packedOf(s, in[3:]), mlx.Float32).SwapAxes(-1, -2)
			return arrays{wideProduct(mlx.Take(in[0], in[1], mlx.Axis(0)), mlx.Take(w, in[2], mlx.Axis(0)))}
		}}
}

func attentionChecks() []check {
	heads := func(seed uint64, queries, keys, size int) arrays {
		return arrays{wave(seed, 1, 4, queries, size), wave(seed+1, 1, 2, keys, size), wave(seed+2, 1, 2, keys, size)}
	}
	attend := func(options ...fast.AttentionOption) func(in arrays) arrays {
		return func(in arrays) arrays {
			scale := 0.5 / math.Sqrt(float64(in[0].Dim(-1)))
			return arrays{fast.ScaledDotProductAttention(in[0], in[1], in[2], scale, options...)}
		}
	}
	var l []check
	for _, size := range []int{64, 80, 96, 128, 256} {
		l = append(l, check{name: fmt.Sprintf("attention of a token, heads of %d", size), inputs: heads(uint64(210+size), 1, 40, size), floats: halves, tol: loose, build: attend()})
	}
	for _, size := range []int{64, 80, 128} {
		l = append(l, check{name: fmt.Sprintf("attention of a prompt, heads of %d", size), inputs: heads(uint64(220+size), 12, 37, size), floats: halves, tol: loose, build: func(in arrays) arrays {
			y := attend(fast.Causal)(in)[0]
			return arrays{y.Index(mlx.Colon, mlx.Colon, mlx.Step(3), mlx.Step(4))}
		}})
	}
	mask := mlx.Less(ints(230, 4, 12, 37), 3)
	return append(l,
		check{name: "attention over a long context", inputs: heads(231, 1, 1500, 64), floats: halves, tol: loose, build: attend()},
		check{name: "attention with masks", results: "bool added", inputs: append(heads(232, 12, 37, 64), mask), floats: halves, tol: loose, build: func(in arrays) arrays {
			added := mlx.Where(in[3], 0.0, -2.0).AsType(in[0].DType())
			every := func(a *mlx.Array) *mlx.Array { return a.Index(mlx.Colon, mlx.Colon, mlx.Step(3), mlx.Step(4)) }
			return arrays{every(attend(fast.Mask(in[3]))(in)[0]), every(attend(fast.Mask(added))(in)[0])}
		}},
		check{name: "MLX's attention", golden: "fast", results: "plain causal added sinks", keys: []string{"sdpa", "sdpa.causal", "sdpa.additive", "sdpa.sinks"}, tol: loose,
			from: []string{"q", "k", "v", "am", "sinks"}, build: func(in arrays) arrays {
				a := func(o ...fast.AttentionOption) *mlx.Array {
					return fast.ScaledDotProductAttention(in[0], in[1], in[2], 0.2, o...)
				}
				return arrays{a(), a(fast.Causal), a(fast.Mask(in[3])), a(fast.Causal, fast.Sinks(in[4]))}
			}})
}

func randomChecks() []check {
	key := []string{"42.key"}
	return []check{
		{name: "MLX's random numbers", golden: "random", results: "uniform randint bernoulli permutation", from: key, keys: []string{"42.uniform", "42.randint", "42.bernoulli", "42.permutation"}, build: func(in arrays) arrays {
			k := random.Key{A: in[0]}
			return arrays{random.Uniform(0, 1, mlx.Shape{8, 3}, k), random.RandInt(0, 100, mlx.Shape{20}, k), random.Bernoulli(0.3, mlx.Shape{20}, k), random.Permutation(17, k)}
		}},
		{name: "MLX's normal and Gumbel numbers", golden: "random", results: "normal gumbel", from: key, keys: []string{"42.normal", "42.gumbel"}, tol: usual, build: func(in arrays) arrays {
			k := random.Key{A: in[0]}
			return arrays{random.Normal(mlx.Shape{8, 3}, k), random.Gumbel(mlx.Shape{20}, k)}
		}},
		{name: "MLX's tokens", golden: "random", results: "one six", from: key, keys: []string{"42.categorical", "42.categorical_n"}, build: func(in arrays) arrays {
			k, logits := random.Key{A: in[0]}, mlx.Arange(40).Mul(0.1).Reshape(4, 10)
			return arrays{random.Categorical(logits, k), random.Categorical(logits, k, random.NumSamples(6))}
		}},
		{name: "random bits", inputs: arrays{}, same: true, build: func(arrays) arrays { return arrays{random.Bits(mlx.Shape{50}, 4, random.NewKey(7))} }},
	}
}

func convChecks() []check {
	return []check{
		{name: "convolution", results: "one two", inputs: arrays{wave(240, 2, 11, 6), wave(241, 4, 3, 6), wave(242, 1, 7, 8, 4), wave(243, 5, 3, 3, 4)}, floats: halves, tol: loose, build: func(in arrays) arrays {
			return arrays{mlx.Conv1D(in[0], in[1], mlx.Padding{1}), mlx.Conv2D(in[2], in[3], mlx.Stride{2}, mlx.Padding{1})}
		}},
		{name: "MLX's convolutions", golden: "ops", results: "depthwise plane", keys: []string{"conv1d.depthwise", "conv2d"}, from: []string{"s1", "k1", "im", "kr"}, tol: summed, build: func(in arrays) arrays {
			return arrays{mlx.Conv1D(in[0], in[1], mlx.Padding{3}, mlx.Groups(6)), mlx.Conv2D(in[2], in[3], mlx.Stride{2}, mlx.Padding{1})}
		}},
	}
}
