package random_test

import (
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/optest"
	"github.com/mlxgo/mlx/random"
)

func golden(t *testing.T, name string) optest.Golden {
	t.Helper()
	g, err := optest.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// same compares with a recorded array.
func same(t *testing.T, g optest.Golden, key string, got *mlx.Array, tol optest.Tol) {
	t.Helper()
	want, ok := g[key]
	if !ok {
		t.Fatalf("no recorded %q", key)
	}
	if err := optest.Diff(got.Reshape(want.Shape()...), want, tol); err != nil {
		t.Errorf("%s: %v", key, err)
	}
}

// TestGenerator: draws without a key follow the seed.
func TestGenerator(t *testing.T) {
	g := golden(t, "random")
	for _, seed := range []uint64{0, 1, 42} {
		random.Seed(seed)
		a, b, c := random.Uniform(0, 1, mlx.Shape{3}), random.Normal(mlx.Shape{3}), random.Uniform(0, 1, mlx.Shape{2})
		same(t, g, fmt.Sprintf("%d.global", seed), mlx.Concatenate(mlx.Arrays{a, b, c}), optest.Random)
		same(t, g, fmt.Sprintf("%d.key", seed), random.NewKey(seed).A, optest.Exact)
	}
}

const (
	rows  = 8
	seeds = 16
	calls = 4
)

// draw collects one token for each row, seed and call, after init(seed).
func draw(logits *mlx.Array, init func(seed uint64), f func(row *mlx.Array, seed uint64, call int) *mlx.Array) *mlx.Array {
	var tokens mlx.Arrays
	for _, row := range logits.All() { // [1, V]
		for s := range uint64(seeds) {
			init(s)
			for c := range calls {
				tokens = append(tokens, f(row, s, c).Reshape(1))
			}
		}
	}
	return mlx.Concatenate(tokens)
}

// TestSampling is what MLX samples from one row: the tokens are equal.
func TestSampling(t *testing.T) {
	g := golden(t, "sampling1")
	one := func(row *mlx.Array, _ uint64, _ int) *mlx.Array { return random.Categorical(row) }
	for _, v := range []string{"V32", "V200"} {
		logits := g["logits."+v]
		same(t, g, "global."+v, draw(logits, random.Seed, one), optest.Exact)
		same(t, g, "global1d."+v, draw(logits, random.Seed, func(row *mlx.Array, _ uint64, _ int) *mlx.Array {
			return random.Categorical(row.Flatten())
		}), optest.Exact)
		for _, d := range []string{"", ".bf16", ".f16"} {
			same(t, g, "temp0.7"+d+"."+v, draw(g["logprobs"+d+"."+v].Mul(1/0.7), random.Seed, one), optest.Exact)
		}
		var keys [][]random.Key
		for s := range uint64(seeds) {
			keys = append(keys, random.NewKey(s).SplitN(calls))
		}
		nothing := func(uint64) {}
		same(t, g, "split4."+v, draw(logits, nothing, func(row *mlx.Array, s uint64, c int) *mlx.Array {
			return random.Categorical(row, keys[s][c])
		}), optest.Exact)

		var several, keyed, batch mlx.Arrays
		for _, row := range logits.All() {
			for s := range uint64(seeds) {
				several = append(several, random.Categorical(row, random.NumSamples(calls), random.NewKey(s)))
				keyed = append(keyed, random.Categorical(row, random.NewKey(s)))
			}
		}
		for s := range uint64(seeds) {
			random.Seed(s)
			for range calls {
				batch = append(batch, random.Categorical(logits.Reshape(rows, -1)))
			}
		}
		same(t, g, "num_samples4."+v, mlx.Concatenate(several), optest.Exact)
		same(t, g, "key."+v, mlx.Concatenate(keyed), optest.Exact)
		same(t, g, "batch8."+v, mlx.Concatenate(batch), optest.Exact)
	}
	var first, uniforms mlx.Arrays
	for s := range uint64(seeds) {
		first = append(first, random.Uniform(0, 1, mlx.Shape{1}, random.NewKey(s)))
		random.Seed(s)
		for range calls {
			uniforms = append(uniforms, random.Uniform(0, 1, mlx.Shape{1}))
		}
	}
	same(t, g, "uniform1.key", mlx.Concatenate(first), optest.Exact)
	same(t, g, "uniform1", mlx.Concatenate(uniforms), optest.Exact)
}

// TestOptions: loc, scale, dtype and key.
func TestOptions(t *testing.T) {
	k := random.NewKey(3)
	plain := random.Normal(mlx.Shape{1000}, k)
	moved := random.Normal(mlx.Shape{1000}, k, random.Loc(5), random.Scale(2))
	if err := optest.Diff(moved, plain.Mul(2).Add(5), optest.F32); err != nil {
		t.Error(err)
	}
	if d := random.Uniform(0, 1, mlx.Shape{2}, mlx.Float16).DType(); d != mlx.Float16 {
		t.Errorf("dtype %v", d)
	}
	mean, spread := mlx.Item[float32](mlx.Mean(plain)), mlx.Item[float32](mlx.Mean(plain.Mul(plain)))
	if math.Abs(float64(mean)) > 0.1 || math.Abs(float64(spread)-1) > 0.1 {
		t.Errorf("mean %v, variance %v of 1000 normal numbers", mean, spread)
	}
	a, b := k.Split()
	if string(a.A.Bytes()) == string(b.A.Bytes()) || string(a.A.Bytes()) == string(k.A.Bytes()) {
		t.Error("split keys are equal")
	}
	u := mlx.ToSlice[float32](random.Uniform(-2, 3, mlx.Shape{4096}, k))
	for _, v := range u {
		if v < -2 || v >= 3 {
			t.Fatalf("uniform(-2, 3) gives %v", v)
		}
	}
}

// TestShuffle: a permutation keeps every element.
func TestShuffle(t *testing.T) {
	x := mlx.Arange(30).Reshape(3, 10)
	y := mlx.ToRows[int32](random.Shuffle(x, mlx.Axis(1), random.NewKey(4)))
	moved := false
	for r, row := range y {
		seen := map[int32]bool{}
		for i, v := range row {
			seen[v] = true
			moved = moved || v != int32(10*r+i)
			if v%10 != y[0][i] {
				t.Errorf("row %d has another order", r)
			}
		}
		if len(seen) != 10 {
			t.Errorf("row %d: %v", r, row)
		}
	}
	if !moved {
		t.Error("nothing moved")
	}
}

// TestErrors is misuse.
func TestErrors(t *testing.T) {
	for name, f := range map[string]func(){
		"a key of int32":     func() { random.Normal(mlx.Shape{2}, random.Key{A: mlx.NewArray([]int{1, 2})}) },
		"uniform of int32":   func() { random.Uniform(0, 1, mlx.Shape{2}, mlx.Int32) },
		"bits of 3 bytes":    func() { random.Bits(mlx.Shape{2}, 3) },
		"a negative shape":   func() { random.Normal(mlx.Shape{-1}) },
		"no categories":      func() { random.Categorical(mlx.Zeros(mlx.Shape{1, 0})) },
		"an axis too far":    func() { random.Categorical(mlx.Zeros(mlx.Shape{1, 4}), mlx.Axis(2)) },
		"two streams":        func() { random.Gumbel(mlx.Shape{2}, mlx.CPU, mlx.CPU) },
		"loc does not fit":   func() { random.Normal(mlx.Shape{2}, random.LocOf(mlx.Zeros(mlx.Shape{3}))) },
		"wide scale":         func() { random.Laplace(mlx.Shape{1}, random.ScaleOf(mlx.Zeros(mlx.Shape{3}))) },
		"wide bounds":        func() { random.Uniform(mlx.Zeros(mlx.Shape{3}), 1, mlx.Shape{1}) },
		"two locs":           func() { random.Normal(mlx.Shape{2}, random.Loc(1), random.LocOf(mlx.Zeros(nil))) },
		"shape too small":    func() { random.Categorical(mlx.Zeros(mlx.Shape{2, 4}), random.SampleShape{3}) },
		"bounds do not fit":  func() { random.Uniform(mlx.Zeros(mlx.Shape{3}), 1, mlx.Shape{2}) },
		"bernoulli, a dtype": func() { random.Bernoulli(0.5, mlx.Shape{2}, mlx.Float32) },
		"uniform, a scale":   func() { random.Uniform(0, 1, mlx.Shape{2}, random.Scale(2)) },
		"two keys":           func() { random.Gumbel(mlx.Shape{2}, random.NewKey(1), random.NewKey(2)) },
		"an empty key":       func() { random.Gumbel(mlx.Shape{2}, random.Key{}) },
		"two axes":           func() { random.Shuffle(mlx.Zeros(mlx.Shape{2, 2}), mlx.Axis(0), mlx.Axis(1)) },
		"shuffle of scalars": func() { random.Shuffle(mlx.NewArray(1)) },
	} {
		if err := mlx.Try(f); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestGoroutines: the generator may be used by several at once.
func TestGoroutines(t *testing.T) {
	var wg sync.WaitGroup
	all := make([]*mlx.Array, 8)
	for i := range all {
		wg.Go(func() { all[i] = random.Uniform(0, 1, mlx.Shape{16}) })
	}
	wg.Wait()
	seen := map[string]bool{}
	for _, a := range all {
		seen[string(a.Bytes())] = true
	}
	if len(seen) != len(all) {
		t.Errorf("%d different draws of %d", len(seen), len(all))
	}
}

// TestState: a compiled function that lists the state draws what an eager one does,
// and moves the generator on.
func TestState(t *testing.T) {
	draws := func() (out []float32) {
		random.Seed(7)
		for range 3 {
			out = append(out, mlx.ToSlice[float32](random.Normal(mlx.Shape{2}))...)
		}
		return out
	}
	want := draws()
	f := mlx.Compile(func(x *mlx.Array) *mlx.Array { return random.Normal(mlx.Shape{2}).Add(x) }, mlx.State(random.State()))
	random.Seed(7)
	var got []float32
	got = append(got, mlx.ToSlice[float32](f(mlx.NewArray(0.0)))...)
	got = append(got, mlx.ToSlice[float32](random.Normal(mlx.Shape{2}))...)
	got = append(got, mlx.ToSlice[float32](f(mlx.NewArray(0.0)))...)
	if !slices.Equal(got, want) {
		t.Errorf("drew %v, want %v", got, want)
	}
	if again := draws(); !slices.Equal(again, want) {
		t.Errorf("eager with a shared state drew %v, want %v", again, want)
	}
}
