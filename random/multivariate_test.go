package random_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/random"
)

// TestMultivariateNormal: shapes broadcast, the draws have the mean and the covariance, which may
// be singular, and the rest is refused.
func TestMultivariateNormal(t *testing.T) {
	k := random.NewKey(4)
	mean := mlx.NewArray([]float64{1, -2, 3})
	cov := mlx.NewArray([][]float64{{4, 2, 0}, {2, 1, 0}, {0, 0, 0.25}}) // of rank 2
	const n = 20000
	x := random.MultivariateNormal(mean, cov, mlx.Shape{n}, k)
	v := mlx.ToSlice[float32](x)
	m := mlx.ToSlice[float32](mean)
	want := mlx.ToSlice[float32](cov)
	for i := range 3 {
		for j := range 3 {
			var sum, product float64
			for r := range n {
				a, b := float64(v[3*r+i]), float64(v[3*r+j])
				sum += a
				product += (a - float64(m[i])) * (b - float64(m[j]))
			}
			if d := sum/n - float64(m[i]); math.Abs(d) > 0.05 {
				t.Errorf("the mean of element %d is off by %v", i, d)
			}
			if d := product/n - float64(want[3*i+j]); math.Abs(d) > 0.1 {
				t.Errorf("the covariance of %d and %d is off by %v", i, j, d)
			}
		}
	}
	for _, c := range []struct{ mean, cov, shape, want mlx.Shape }{
		{mlx.Shape{3}, mlx.Shape{3, 3}, nil, mlx.Shape{3}},
		{mlx.Shape{4, 3}, mlx.Shape{3, 3}, nil, mlx.Shape{4, 3}},
		{mlx.Shape{4, 1, 3}, mlx.Shape{5, 3, 3}, mlx.Shape{2, 1, 1}, mlx.Shape{2, 4, 5, 3}},
	} {
		got := random.MultivariateNormal(mlx.Zeros(c.mean), mlx.Zeros(c.cov), c.shape, k)
		if !slices.Equal(got.Shape(), c.want) || mlx.Eval(got) != nil {
			t.Errorf("means %v and covariances %v give %v, want %v", c.mean, c.cov, got.Shape(), c.want)
		}
	}
	if got := random.MultivariateNormal(mean.AsType(mlx.Float64), cov.AsType(mlx.Float64), nil, k); got.DType() != mlx.Float32 {
		t.Errorf("a mean and covariance of float64 give %v", got.DType())
	}
	for want, f := range map[string]func(){
		"is defined for real means and covariances":      func() { random.MultivariateNormal(mean.AsType(mlx.Complex64), cov, nil, k) },
		"needs means [.., n] and covariances [.., n, n]": func() { random.MultivariateNormal(mean, mlx.Eye(2, 2, 0), nil, k) },
		"dtype bfloat16 is not float32":                  func() { random.MultivariateNormal(mean, cov, nil, k, mlx.BFloat16) },
		"shapes (4,) and (2,) cannot be broadcast":       func() { random.MultivariateNormal(mlx.Zeros(mlx.Shape{4, 3}), cov, mlx.Shape{2}, k) },
		"takes no loc": func() { random.MultivariateNormal(mean, cov, nil, k, random.Loc(1)) },
	} {
		if err := mlx.Try(f); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "multivariate_normal") {
			t.Errorf("the error is %v, want %s", err, want)
		}
	}
}
