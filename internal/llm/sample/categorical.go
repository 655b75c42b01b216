package sample

import (
	"math"
	"sort"

	"github.com/mlxgo/mlx/internal/cpu/simd"
	"github.com/mlxgo/mlx/internal/threefry"
)

// Categorical is mx.random.categorical(logits, num_samples=n, key=key) over the
// last axis of logits [rows][vocab]: n draws per row, [rows][n], from
// softmax(logits). n must be at least 1, all rows equally long and not empty.
//
// One row takes the inverse CDF with n uniforms, so that a row costs one
// uniform per draw; several take argmax(logits + gumbel noise) with noise of
// shape [rows, vocab, n]. mlx uses the second way for one 1-D row with a scalar
// result too: that is [CategoricalGumbel].
//
// A row with +Inf is drawn among the tokens that have it, a row of only -Inf
// among all, as in mlx. Errors: [*LengthError] for rows of unequal length,
// [*NaNError] for a NaN.
func Categorical(logits [][]float32, n int, key threefry.Key) ([][]int, error) {
	if err := checkRows(logits); err != nil {
		return nil, err
	}
	if len(logits) != 1 {
		return split(gumbel(logits, n, key), n), nil
	}
	row := logits[0]
	cdf := make([]float64, len(row))
	total := new(blocks).cumulate(row, 1, cdf)
	words := make([]uint32, n)
	threefry.Bits(key, words)
	out := make([]int, n)
	for i, w := range words {
		out[i] = search(cdf, float64(threefry.Uniform32(w))*total)
	}
	return [][]int{out}, nil
}

// CategoricalGumbel draws as [Categorical] does for several rows, whatever
// their number.
func CategoricalGumbel(logits [][]float32, n int, key threefry.Key) ([][]int, error) {
	if err := checkRows(logits); err != nil {
		return nil, err
	}
	return split(gumbel(logits, n, key), n), nil
}

func checkRows(logits [][]float32) error {
	for _, row := range logits {
		if len(row) != len(logits[0]) || len(row) == 0 {
			return &LengthError{Got: len(row), Want: max(1, len(logits[0]))}
		}
		for i, l := range row {
			if l != l {
				return &NaNError{Index: i, Value: l}
			}
		}
	}
	return nil
}

func split(flat []int, n int) [][]int {
	out := make([][]int, len(flat)/n)
	for i := range out {
		out[i] = flat[i*n : (i+1)*n]
	}
	return out
}

// cumulate fills cdf with the inclusive running sums of exp(x - max(x)) for
// x = row*factor, and returns the last one. x, x - max(x) and its exponential
// are float32 as in mlx, the sums float64. The largest values weigh 1 also if
// they are infinite.
func (b *blocks) cumulate(row []float32, factor float32, cdf []float64) float64 {
	top := simd.K.Max(row) * factor
	if factor < 0 || top-top != 0 {
		return cumulateEdge(row, factor, cdf)
	}
	sum := 0.0
	for i := 0; i < len(row); i += blockLen {
		r := row[i:min(i+blockLen, len(row))]
		w := b.x[:len(r)]
		b.multiply(w, r, factor)
		b.subtract(w, w, top)
		simd.K.Unary[simd.Exp](w, w)
		for k, v := range w {
			sum += float64(v)
			cdf[i+k] = sum
		}
	}
	return sum
}

// cumulateEdge is cumulate where the largest value may be infinite.
func cumulateEdge(row []float32, factor float32, cdf []float64) float64 {
	top := negInf
	for _, l := range row {
		if x := l * factor; x > top {
			top = x
		}
	}
	sum := 0.0
	for i, l := range row {
		if x := l * factor; x == top {
			sum++ // not exp(Inf - Inf)
		} else if x > negInf {
			sum += float64(float32(exp(float64(x - top))))
		}
		cdf[i] = sum
	}
	return sum
}

// search returns the first index whose running sum is above u: the last one
// whose exclusive sum is at most u, among those that have a weight. u is below
// the last sum.
func search(cdf []float64, u float64) int {
	i := sort.Search(len(cdf), func(i int) bool { return cdf[i] > u })
	return min(i, len(cdf)-1)
}

// gumbel is argmax over the vocabulary of logits[r][v] + g[r][v][i], flat
// [rows*n], with g = -log(-log(uniform)) in float32.
func gumbel(logits [][]float32, n int, key threefry.Key) []int {
	out := make([]int, len(logits)*n)
	if len(logits) == 0 {
		return out
	}
	vocab := len(logits[0])
	words := make([]uint32, len(logits)*vocab*n)
	threefry.Bits(key, words)
	for r, row := range logits {
		noise := words[r*vocab*n : (r+1)*vocab*n]
		for i := range n {
			best, bestScore := 0, float32(math.Inf(-1))
			for v, l := range row {
				if score := l + gumbelNoise(noise[v*n+i]); score > bestScore {
					best, bestScore = v, score
				}
			}
			out[r*n+i] = best
		}
	}
	return out
}

// gumbelNoise turns 32 random bits into a Gumbel variable, each step rounded to
// float32.
func gumbelNoise(bits uint32) float32 {
	u := threefry.Uniform32(bits)
	inner := -float32(math.Log(float64(u)))
	return -float32(math.Log(float64(inner)))
}
