package mlx_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
)

// The rows of the README's table about reductions, sorting and arranging.
func TestFaceArranging(t *testing.T) {
	x := mlx.NewArray([][]float64{{3, 1, 2}, {6, 5, 4}})
	a := mlx.NewArray([]int{3, 1, 2})
	parts := mlx.Split(a, []int{1})
	check(t, []row{
		{"mx.var(x, ddof=1)", mlx.Var(x, mlx.DDof(1)), "float32()[3.5]"},
		{"mx.std(x, axis=1)", mlx.Std(x, mlx.Axis(1)), "float32(2,)[0.8165 0.8165]"},
		{"mx.median(x, axis=1)", mlx.Median(x, mlx.Axis(1)), "float32(2,)[2 5]"},
		{"mx.count_nonzero(a)", mlx.CountNonZero(a), "int32()[3]"},
		{"mx.cumsum(x, axis=0, reverse=True)", mlx.CumSum(x, mlx.Axis(0), mlx.Reverse(true)), "float32(2, 3)[9 6 6 6 5 4]"},
		{"mx.cumsum(a, dtype=mx.float32)", mlx.CumSum(a, mlx.Float32), "float32(3,)[3 4 6]"},
		{"mx.cumprod(a, inclusive=False)", mlx.CumProd(a, mlx.Inclusive(false)), "int32(3,)[1 3 3]"},
		{"mx.cummin(a)", mlx.CumMin(a), "int32(3,)[3 1 1]"},
		{"mx.sort(x)", mlx.Sort(x), "float32(2, 3)[1 2 3 4 5 6]"},
		{"mx.topk(x, 2)", mlx.Sort(mlx.TopK(x, 2)), "float32(2, 2)[2 3 5 6]"},
		{"mx.argpartition(x, kth=-2)", mlx.ArgPartition(x, -2).Dim(-1), "3"},
		{"mx.searchsorted(mx.array([1, 2, 4]), 2, side=\"right\")", mlx.SearchSorted(mlx.NewArray([]int{1, 2, 4}), 2, true), "uint32()[2]"},
		{"mx.moveaxis(x, 0, -1)", x.MoveAxis(0, -1), "float32(3, 2)[3 6 1 5 2 4]"},
		{"x.view(mx.uint32)", mlx.NewArray([]float64{1}).View(mlx.Uint32), "uint32(1,)[1065353216]"},
		{"mx.stack([a, a])", mlx.Stack(mlx.Arrays{a, a}), "int32(2, 3)[3 1 2 3 1 2]"},
		{"mx.split(a, [1])", []any{text(parts[0]), text(parts[1])}, "[int32(1,)[3] int32(2,)[1 2]]"},
		{"mx.repeat(a, 2, axis=0)", mlx.Repeat(a, 2, mlx.Axis(0)), "int32(6,)[3 3 1 1 2 2]"},
		{"mx.tile(a, [2, 1])", mlx.Tile(a, []int{2, 1}), "int32(2, 3)[3 1 2 3 1 2]"},
		{"mx.pad(a, (1, 2))", mlx.Pad(a, [2]int{1, 2}), "int32(6,)[0 3 1 2 0 0]"},
		{"mx.roll(a, 1, axis=0)", mlx.Roll(a, 1, mlx.Axis(0)), "int32(3,)[2 3 1]"},
		{"mx.flip(a, axis=0)", mlx.Flip(a, mlx.Axis(0)), "int32(3,)[2 1 3]"},
		{"mx.tril(x)", mlx.Tril(x, 0), "float32(2, 3)[3 0 0 6 5 0]"},
		{"mx.triu(x, k=1)", mlx.Triu(x, 1), "float32(2, 3)[0 1 2 0 0 4]"},
		{"mx.diag(a)", mlx.Diag(a, 0), "int32(3, 3)[3 0 0 0 1 0 0 0 2]"},
		{"mx.zeros_like(a)", mlx.ZerosLike(a), "int32(3,)[0 0 0]"},
		{"mx.full_like(a, 7)", mlx.FullLike(a, 7), "int32(3,)[7 7 7]"},
		{"mx.linspace(0, 1, 5)", mlx.Linspace(0, 1, 5), "float32(5,)[0 0.25 0.5 0.75 1]"},
		{"mx.eye(3)", mlx.Identity(3), "float32(3, 3)[1 0 0 0 1 0 0 0 1]"},
		{"mx.hamming(3)", mlx.Hamming(3), "float32(3,)[0.08 1 0.08]"},
		{"mx.blackman(3)", mlx.Blackman(3), "float32(3,)[-1.388e-17 1 -1.388e-17]"},
		{"mx.bartlett(1)", mlx.Bartlett(1), "float32(1,)[1]"},
		{"mx.addmm(c, a, b, alpha=0.5)", mlx.AddMM(x, mlx.Identity(2), x, mlx.Alpha(0.5)), "float32(2, 3)[4.5 1.5 3 9 7.5 6]"},
		{"mx.einsum(\"ij,jk->ik\", a, b)", mlx.Einsum("ij,jk->ik", mlx.Arrays{x, x.T()}), "float32(2, 2)[14 31 31 77]"},
		{"mx.tensordot(a, b, axes=1)", mlx.TensorDot(x, x.T(), 1), "float32(2, 2)[14 31 31 77]"},
		{"mx.outer(a, b)", mlx.Outer(a, a), "int32(3, 3)[9 3 6 3 1 2 6 2 4]"},
	})
}

// What has no elements gives none.
func TestEmptyRows(t *testing.T) {
	none := mlx.Zeros(mlx.Shape{2, 0})
	check(t, []row{
		{"sort", mlx.Sort(none), "float32(2, 0)[]"},
		{"argsort", mlx.ArgSort(none), "uint32(2, 0)[]"},
		{"cumsum", mlx.CumSum(none, mlx.Axis(1)), "float32(2, 0)[]"},
		{"searchsorted", mlx.SearchSorted(mlx.Zeros(mlx.Shape{0}), 2, false), "uint32()[0]"},
		{"pad", mlx.Pad(none, [][2]int{{0, 0}, {1, 0}}), "float32(2, 1)[0 0]"},
		{"tile", mlx.Tile(none, []int{3, 2}), "float32(6, 0)[]"},
		{"repeat", mlx.Repeat(mlx.Ones(mlx.Shape{2}), 0, mlx.Axis(0)), "float32(0,)[]"},
		{"diagonal", mlx.Diagonal(mlx.Ones(mlx.Shape{2, 3}), 5, 0, 1), "float32(0,)[]"},
		{"diag", mlx.Diag(mlx.Zeros(mlx.Shape{0}), -1), "float32(1, 1)[0]"},
		{"hamming", mlx.Hamming(0), "float32(0,)[]"},
		{"einsum", mlx.Einsum("ij,kj->ik", mlx.Arrays{none, none}), "float32(2, 2)[0 0 0 0]"},
		{"segmented_mm", mlx.SegmentedMM(none, mlx.Zeros(mlx.Shape{0, 1}), mlx.NewArray([][]int{{0, 0}})), "float32(1, 2, 1)[0 0]"},
	})
}

func TestEinsumPath(t *testing.T) {
	a, b, c := mlx.Ones(mlx.Shape{50, 2}), mlx.Ones(mlx.Shape{2, 40}), mlx.Ones(mlx.Shape{40, 3})
	path, report := mlx.EinsumPath("ij,jk,kl->il", mlx.Arrays{a, b, c})
	want := [][]int{{1, 2}, {0, 1}} // the small product first
	if !slices.EqualFunc(path, want, slices.Equal) {
		t.Errorf("path %v, want %v", path, want)
	}
	if !strings.Contains(report, "jk,kl->jl: 240 multiplications") {
		t.Errorf("report %q", report)
	}
	for _, s := range []string{"...ij,jk", "bii->b", "ab,b...->a...", "i,i,i->", "ij->", "ij,j"} {
		t.Run(s, func(t *testing.T) { einsumAgainstLoops(t, s) })
	}
}

// einsumAgainstLoops compares with sums over all labels; an ellipsis stands for Z.
func einsumAgainstLoops(t *testing.T, subscripts string) {
	size := map[rune]int{'a': 2, 'b': 3, 'i': 2, 'j': 4, 'k': 3, 'Z': 2}
	full := strings.ReplaceAll(subscripts, "...", "Z")
	left, right, explicit := strings.Cut(full, "->")
	terms := strings.Split(left, ",")
	if !explicit {
		letters := []rune{}
		for _, r := range left {
			if r != ',' && strings.Count(left, string(r)) == 1 {
				letters = append(letters, r)
			}
		}
		slices.Sort(letters) // Z, a capital, comes first
		right = string(letters)
	}
	var operands mlx.Arrays
	for i, term := range terms {
		var shape mlx.Shape
		for _, r := range term {
			shape = append(shape, size[r])
		}
		operands = append(operands, mlx.Arange(shape.Size()).Reshape(shape...).Mul(0.5).Sub(float64(i)))
	}
	var labels []rune
	for r := range size {
		if strings.ContainsRune(left, r) {
			labels = append(labels, r)
		}
	}
	var shape mlx.Shape
	for _, r := range right {
		shape = append(shape, size[r])
	}
	want := make([]float32, shape.Size())
	at := map[rune]int{}
	index := func(term string) (n int) {
		for _, r := range term {
			n = n*size[r] + at[r]
		}
		return n
	}
	values := make([][]float32, len(operands))
	for i, a := range operands {
		values[i] = mlx.ToSlice[float32](a)
	}
	var walk func(k int)
	walk = func(k int) {
		if k == len(labels) {
			v := float32(1)
			for i, term := range terms {
				v *= values[i][index(term)]
			}
			want[index(right)] += v
			return
		}
		for at[labels[k]] = 0; at[labels[k]] < size[labels[k]]; at[labels[k]]++ {
			walk(k + 1)
		}
	}
	walk(0)
	got := mlx.Einsum(subscripts, operands)
	if !slices.Equal(got.Shape(), shape) || !slices.Equal(mlx.ToSlice[float32](got), want) {
		t.Errorf("%v%v, want %v%v", got.Shape(), mlx.ToSlice[float32](got), shape, want)
	}
}
