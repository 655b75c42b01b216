package mlx_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/fast"
	"github.com/mlxgo/mlx/nn"
	"github.com/mlxgo/mlx/optim"
	"github.com/mlxgo/mlx/random"
	"github.com/mlxgo/mlx/tree"
)

func TestFaceTransforms(t *testing.T) {
	f := func(w, x *mlx.Array) *mlx.Array { return mlx.Sum(w.Mul(mlx.Square(x))) }
	w, x := mlx.NewArray([]float64{1, 2}), mlx.NewArray([]float64{3, 4})
	xs := mlx.NewArray([][]float64{{1, 2}, {3, 4}, {5, 6}})
	pair := func(p [2]*mlx.Array) *mlx.Array { return f(p[0], p[1]) }
	list := func(in mlx.Arrays) mlx.Arrays { return mlx.Arrays{mlx.Square(in[0])} }
	value, grads := mlx.ValueAndGrad(pair)([2]*mlx.Array{w, x})
	outs, back := mlx.VJP(list, mlx.Arrays{x}, mlx.Arrays{w})
	_, ahead := mlx.JVP(list, mlx.Arrays{x}, mlx.Arrays{w})
	var compiled = mlx.Compile(func(x *mlx.Array) *mlx.Array { return mlx.Square(x).Add(1) })
	shapeless := mlx.Compile(func(x *mlx.Array) *mlx.Array { return x.Mul(2) }, mlx.Shapeless(true))
	checkpointed := mlx.Grad(mlx.Checkpoint(func(x *mlx.Array) *mlx.Array { return mlx.Sum(mlx.Exp(x)) }))
	straight := mlx.CustomFunction(func(x *mlx.Array) *mlx.Array { return mlx.Round(x, 0) },
		mlx.Rules{VJP: func(_, cotangents, _ mlx.Arrays) mlx.Arrays { return cotangents }})
	check(t, []row{
		{"mx.grad(f)(w, x)", mlx.Grad(f)(w, x), "float32(2,)[9 16]"},
		{"mx.grad(mx.grad(mx.sin))(x)", mlx.Grad(mlx.Grad(mlx.Sin))(mlx.NewArray(1.0)), "float32()[-0.8415]"},
		{"mx.grad(f, argnums=1)(w, x)", mlx.Grad(f, mlx.ArgNum(1))(w, x), "float32(2,)[6 16]"},
		{"mx.value_and_grad(f, argnums=(0, 1))(w, b)", []any{text(value), text(grads[0]), text(grads[1])}, "[float32()[41] float32(2,)[9 16] float32(2,)[6 16]]"},
		{"mx.vjp(f, [x], [ct])", []any{text(outs[0]), text(back[0])}, "[float32(2,)[9 16] float32(2,)[6 16]]"},
		{"mx.jvp(f, [x], [t])", ahead[0], "float32(2,)[6 16]"},
		{"mx.vmap(f, in_axes=(0, None))(xs, w)", mlx.VMap(f, mlx.InAxes{0, mlx.Unmapped})(xs, w), "float32(3,)[9 19 29]"},
		{"mx.vmap(f, out_axes=1)(xs)", mlx.VMap(func(x *mlx.Array) *mlx.Array { return x.Mul(2) }, mlx.OutAxes{1})(xs), "float32(2, 3)[2 6 10 4 8 12]"},
		{"@mx.compile", compiled(x), "float32(2,)[10 17]"},
		{"mx.compile(f, shapeless=True)", []any{text(shapeless(x)), text(shapeless(xs.Index(0, mlx.To(1))))}, "[float32(2,)[6 8] float32(1,)[2]]"},
		{"mx.checkpoint(f)", checkpointed(mlx.Zeros(mlx.Shape{2})), "float32(2,)[1 1]"},
		{"@mx.custom_function", mlx.Grad(func(x *mlx.Array) *mlx.Array { return mlx.Sum(straight(x).Mul(x)) })(mlx.NewArray([]float64{1.2, 2.6})), "float32(2,)[2.2 5.6]"},
	})
}

func TestFaceFast(t *testing.T) {
	x := mlx.Arange(4).AsType(mlx.Float32).Reshape(1, 1, 2, 2)
	m := mlx.NewArray([][]bool{{true, false}, {true, true}})
	sinks := mlx.Zeros(mlx.Shape{1})
	check(t, []row{
		{"mx.fast.layer_norm(x, None, None, 1e-5)", fast.LayerNorm(x, nil, nil, 1e-5), "float32(1, 1, 2, 2)[-1 1 -1 1]"},
		{"mx.fast.rope(x, 2, ..., offset=0)", fast.RoPE{Dims: 2, Base: 1e4}.Apply(x, 0).Index(mlx.Ellipsis, 0, mlx.Colon), "float32(1, 1, 2)[0 1]"},
		{`scaled_dot_product_attention(q, k, v, scale=s, mask="causal")`, fast.ScaledDotProductAttention(x, x, x, 1, fast.Causal), "float32(1, 1, 2, 2)[0 1 2 3]"},
		{"... mask=m, sinks=z", fast.ScaledDotProductAttention(x, x, x, 0.001, fast.Mask(m), fast.Sinks(sinks)).Shape(), "(1, 1, 2, 2)"},
	})
}

func TestFaceModules(t *testing.T) {
	random.Seed(0)
	x, y := mlx.Ones(mlx.Shape{5, 2}), mlx.NewArray([]int{0, 1, 2, 0, 1})
	model := nn.NewSequential(nn.NewLinear(2, 8), nn.Func(nn.ReLU), &nn.Dropout{P: 0.1}, nn.NewLinear(8, 3))
	lossFn := func(m *nn.Sequential, x, y *mlx.Array) *mlx.Array {
		return nn.CrossEntropy(m.Forward(x), y, nn.Reduction("mean"))
	}
	opt := optim.Adam(1e-3, optim.Betas{0.9, 0.95})
	nn.SetTraining(model, true)
	loss, grads := nn.ValueAndGrad(model, func(m *nn.Sequential) *mlx.Array { return lossFn(m, x, y) })
	_, head := nn.ValueAndGrad(model, func(m *nn.Sequential) *mlx.Array { return lossFn(m, x, y) }, nn.Under("layers.3"))
	grads, norm := optim.ClipGradNorm(grads, 1)
	sum := tree.Map(func(g ...*mlx.Array) *mlx.Array { return g[0].Add(g[1]) }, grads, grads)
	opt.Update(model, grads)
	if err := mlx.Eval(model, opt, loss); err != nil {
		t.Fatal(err)
	}
	nn.SetTraining(model, false)
	var paths []string
	for path := range nn.Parameters(model) {
		paths = append(paths, path)
	}
	nn.SetDType(model, mlx.BFloat16)
	if err := nn.Update(model, nn.Parameters(model)); err != nil {
		t.Error(err)
	}
	step := mlx.Compile(func(x *mlx.Array) *mlx.Array { return model.Forward(x) }, mlx.State(model, opt, random.State()))
	sgd := optim.SGD(optim.CosineDecay(0.1, 1000, 0), optim.Momentum(0.9))
	wide := nn.NewSequential(nn.NewLinear(32, 4))
	nn.Quantize(wide, mlx.Bits(4), mlx.GroupSize(32))
	nn.Quantize(model, nn.Predicate(func(path string, l nn.Quantizable) (mlx.Scheme, bool) { return mlx.Scheme{}, false }))
	check(t, []row{
		{"layer(x); nn.relu(x); nn.gelu(x)", []any{nn.NewLinear(2, 3).Forward(x).Shape(), text(nn.ReLU(mlx.NewArray([]float64{-1, 1}))), text(nn.GELU(mlx.NewArray([]float64{-1, 1})))},
			"[(5, 3) float32(2,)[0 1] float32(2,)[-0.1587 0.8413]]"},
		{"nn.losses.cross_entropy(z, y, reduction=\"mean\")", loss.Shape(), "()"},
		{"print(model)", strings.Count(nn.Sprint(model), "\n"), "5"},
		{"tree_flatten(model.parameters())", paths, "[layers.0.weight layers.0.bias layers.3.weight layers.3.bias]"},
		{"model.freeze(); model.head.unfreeze()", []any{tree.Get(head, "layers.0.weight") == nil, tree.Get(head, "layers.3.weight").Shape()}, "[true (3, 8)]"},
		{"model.set_dtype(mx.bfloat16)", tree.Get(model, "layers.3.bias").DType(), "bfloat16"},
		{`grads["linear1"]["weight"]`, tree.Get(grads, "layers.0.weight").Shape(), "(8, 2)"},
		{"optim.clip_grad_norm(grads, 1.0)", norm.Shape(), "()"},
		{"tree_map(lambda g, h: g + h, a, b)", mlx.AllClose(tree.Get(sum, "layers.3.bias"), tree.Get(grads, "layers.3.bias").Mul(2)), "bool()[true]"},
		{"@partial(mx.compile, inputs=state, outputs=state)", step(x.AsType(mlx.BFloat16)).Shape(), "(5, 3)"},
		{"nn.quantize(model, bits=4, group_size=32)", fmt.Sprintf("%T", wide.Layers[0]), "*nn.QuantizedLinear"},
		{"optim.SGD(optim.cosine_decay(0.1, 1000), momentum=0.9)", sgd.LearningRate(), "float32()[0.1]"},
		{"mx.random.permutation(x)", random.Shuffle(mlx.Arange(5)).Shape(), "(5,)"},
		{"mx.random.normal((4,))", random.Normal(mlx.Shape{4}).Shape(), "(4,)"},
	})
}
