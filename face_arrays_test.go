package mlx_test

import (
	"testing"

	"github.com/mlxgo/mlx"
)

func TestFaceTable(t *testing.T) {
	x := mlx.Arange(6).Reshape(2, 3)
	v := mlx.NewArray([]float64{3, 1, 2})
	a, b := mlx.NewArray([][]float64{{1, 2}, {3, 4}}), mlx.NewArray([][]float64{{0, 1}, {1, 0}})
	B, L, D := mlx.Zeros(mlx.Shape{2, 3, 4}).Dims3()
	check(t, []row{
		{"mx.zeros_like(a)", mlx.ZerosLike(x), "int32(2, 3)[0 0 0 0 0 0]"},
		{"mx.linspace(0, 1, 5)", mlx.Linspace(0, 1, 5), "float32(5,)[0 0.25 0.5 0.75 1]"},
		{"mx.eye(3)", mlx.Identity(3), "float32(3, 3)[1 0 0 0 1 0 0 0 1]"},
		{"mx.eye(2, 3, 1)", mlx.Eye(2, 3, 1), "float32(2, 3)[0 1 0 0 0 1]"},
		{"a.shape; a.shape[-1]; len(a)", []any{x.Shape(), x.Dim(-1), x.Dim(0)}, "[(2, 3) 3 2]"},
		{"B, L, D = a.shape", []int{B, L, D}, "[2 3 4]"},
		{"a.ndim; a.size; a.dtype; a.nbytes", []any{x.NDim(), x.Size(), x.DType(), x.NBytes()}, "[2 6 int32 24]"},
		{"print(a)", x, "int32(2, 3)[0 1 2 3 4 5]"},
		{"a.tolist()", []any{mlx.ToSlice[int32](x), mlx.ToRows[int32](x)}, "[[0 1 2 3 4 5] [[0 1 2] [3 4 5]]]"},
		{"if (a > 0).all():", mlx.Item[bool](mlx.All(x.Gt(0))), "false"},
		{"a += b", x.Add(x), "int32(2, 3)[0 2 4 6 8 10]"},
		{"mx.var(x, ddof=1)", mlx.Var(v, mlx.DDof(1)), "float32()[1]"},
		{"mx.cumsum(x, axis=0, reverse=True)", mlx.CumSum(x, mlx.Axis(0), mlx.Reverse(true)), "int32(2, 3)[3 5 7 3 4 5]"},
		{"mx.sort(x)", mlx.Sort(v), "float32(3,)[1 2 3]"},
		{"mx.topk(x, 2)", mlx.Sort(mlx.TopK(v, 2)), "float32(2,)[2 3]"},
		{"mx.argpartition(x, kth=-1)", mlx.ArgPartition(v, -1).Index(-1), "uint32()[0]"},
		{"mx.moveaxis(x, 0, -1)", x.MoveAxis(0, -1), "int32(3, 2)[0 3 1 4 2 5]"},
		{"x.view(mx.uint32)", mlx.NewArray(1.0).View(mlx.Uint32), "uint32()[1065353216]"},
		{"mx.stack([a, b])", mlx.Stack(mlx.Arrays{v, v}), "float32(2, 3)[3 1 2 3 1 2]"},
		{"mx.split(x, 3, axis=-1)", mlx.Split(x, 3, mlx.Axis(-1))[1], "int32(2, 1)[1 4]"},
		{"mx.repeat(x, 2, axis=0)", mlx.Repeat(x, 2, mlx.Axis(0)), "int32(4, 3)[0 1 2 0 1 2 3 4 5 3 4 5]"},
		{"mx.tile(x, [2, 1])", mlx.Tile(x, []int{2, 1}), "int32(4, 3)[0 1 2 3 4 5 0 1 2 3 4 5]"},
		{"mx.pad(x, [(0, 0), (1, 2)])", mlx.Pad(x, [][2]int{{0, 0}, {1, 2}}), "int32(2, 6)[0 0 1 2 0 0 0 3 4 5 0 0]"},
		{"mx.roll(x, 1, axis=0)", mlx.Roll(x, 1, mlx.Axis(0)), "int32(2, 3)[3 4 5 0 1 2]"},
		{"mx.roll(x, (1, 2))", mlx.Roll(x, []int{1, 2}, mlx.Axes{0, 1}), "int32(2, 3)[4 5 3 1 2 0]"},
		{"mx.flip(x, axis=0)", mlx.Flip(x, mlx.Axis(0)), "int32(2, 3)[3 4 5 0 1 2]"},
		{"mx.tril(x)", mlx.Tril(x, 0), "int32(2, 3)[0 0 0 3 4 0]"},
		{"mx.triu(x, k=1)", mlx.Triu(x, 1), "int32(2, 3)[0 1 2 0 0 5]"},
		{"mx.diag(v)", mlx.Diag(v, 0), "float32(3, 3)[3 0 0 0 1 0 0 0 2]"},
		{"mx.addmm(c, a, b, alpha=0.5)", mlx.AddMM(a, a, b, mlx.Alpha(0.5)), "float32(2, 2)[2 2.5 5 5.5]"},
		{`mx.einsum("ij,jk->ik", a, b)`, mlx.Einsum("ij,jk->ik", mlx.Arrays{a, b}), "float32(2, 2)[2 1 4 3]"},
		{"mx.tensordot(a, b, axes=2)", mlx.TensorDot(a, b, 2), "float32()[5]"},
		{"mx.outer(a, b)", mlx.Outer(v, v), "float32(3, 3)[9 3 6 3 1 2 6 2 4]"},
		{"mx.finfo(mx.float16).max", mlx.Float16.FInfo().Max, "65504"},
		{"mx.issubdtype(d, mx.floating)", []any{mlx.BFloat16.Is(mlx.Floating), mlx.Int8.Is(mlx.Floating)}, "[true false]"},
	})
	rows := 0
	for i, r := range x.All() {
		if rows++; mlx.ToSlice[int32](r)[0] != int32(3*i) {
			t.Errorf("row %d is %v", i, r)
		}
	}
	if rows != 2 {
		t.Errorf("%d rows", rows)
	}
}

func TestFaceDevices(t *testing.T) {
	x := mlx.NewArray([]float64{1, 2})
	mlx.SetDefaultDevice(mlx.CPU)
	if info := mlx.CPU.Info(); info.Device != mlx.CPU || info.Architecture == "" {
		t.Errorf("mx.device_info(mx.cpu) is %+v", info)
	}
	if err := mlx.Try(func() { mlx.Device{Kind: mlx.GPU.Kind, Index: 99}.Info() }); err == nil {
		t.Error("a device that is not there has info")
	}
	s := mlx.NewStream(mlx.CPU)
	y := mlx.Exp(x.On(s))
	if y.Stream() != s {
		t.Errorf("it runs on %v, want %v", y.Stream(), s)
	}
	if err := mlx.Synchronize(s); err != nil {
		t.Error(err)
	}
	if err := mlx.Synchronize(); err != nil {
		t.Error(err)
	}
	mlx.ResetPeakMemory()
	big := mlx.Ones(mlx.Shape{1 << 16})
	if err := mlx.Eval(big); err != nil {
		t.Fatal(err)
	}
	if mlx.ActiveMemory() < int64(big.NBytes()) || mlx.PeakMemory() < mlx.ActiveMemory() {
		t.Errorf("active %d, peak %d with an array of %d bytes", mlx.ActiveMemory(), mlx.PeakMemory(), big.NBytes())
	}
	old := mlx.SetCacheLimit(1 << 20)
	if now := mlx.SetCacheLimit(old); now != 1<<20 {
		t.Errorf("the limit was %d", now)
	}
	mlx.ClearCache()
	if n := mlx.CacheMemory(); n != 0 {
		t.Errorf("%d bytes are kept", n)
	}
	was := mlx.SetPrintOptions(mlx.PrintOptions{Precision: 3})
	defer mlx.SetPrintOptions(was)
	if got := x.Div(3).String(); got != "array([0.333, 0.667], dtype=float32)" {
		t.Error(got)
	}
}
