package sample

import (
	"math"

	"github.com/mlxgo/mlx/internal/cpu/simd"
)

var negInf = float32(math.Inf(-1))

// filter sets to -Inf the log-probabilities [vocab] that may not be drawn.
type filter func(row []float32)

// scratch is what filters and draws need beside the row.
type scratch struct {
	ranking
	blocks
	weight []float64 // [vocab]
}

// filters builds mlx-lm's list: top-p, min-p, XTC, top-k. xtc is whether the
// coin of this step fell for XTC.
func (o *Options) filters(s *scratch, xtc *bool) []filter {
	var list []filter
	if o.TopP > 0 && o.TopP < 1 {
		list = append(list, func(row []float32) { s.topP(row, o.TopP) })
	}
	if o.MinP != 0 {
		list = append(list, func(row []float32) { s.minP(row, o.MinP, max(1, o.MinTokensToKeep)) })
	}
	if o.XTCProbability > 0 {
		list = append(list, func(row []float32) {
			if *xtc {
				s.xtc(row, o.XTCThreshold, o.XTCSpecial)
			}
		})
	}
	if o.TopK > 0 {
		list = append(list, func(row []float32) { s.keep(row, nil, float64(o.TopK), lowFirst) })
	}
	return list
}

// topP keeps a token if the probabilities from the least likely one up to it
// sum to more than 1-p (a float32 in the comparison, as mlx-lm's). In rising
// order equal tokens stand by index, so of equals the higher ones stay first.
// The most likely token always stays. Probabilities are float32, so that round
// ones such as 1/4 meet the border exactly; their sums are float64, where mlx's
// float32 cumsum can decide otherwise within its own error of about 1e-6.
func (s *scratch) topP(row []float32, p float64) {
	total := 0.0
	for i := 0; i < len(row); i += blockLen {
		r := row[i:min(i+blockLen, len(row))]
		w := s.x[:len(r)]
		simd.K.Unary[simd.Exp](w, r)
		for k, v := range w {
			s.weight[i+k] = float64(v)
			total += float64(v)
		}
	}
	s.keep(row, s.weight, total-float64(float32(1-p)), highFirst)
}

// minP drops what lies below max + ln(p), compared in float32, except the m
// most likely tokens (of equals, the higher ones).
func (s *scratch) minP(row []float32, p float64, m int) {
	top := simd.K.Max(row)
	cut := top + float32(math.Log(p))
	if m > 1 {
		stay := 0
		for _, l := range row {
			if l >= cut {
				stay++
			}
		}
		if stay < m {
			s.keep(row, nil, float64(m), highFirst)
			return
		}
	}
	for i, l := range row {
		if l < cut {
			row[i] = negInf
		}
	}
}

// xtc drops the tokens more likely than the least likely one above threshold,
// except the special ones. Probabilities are those among the tokens left,
// softmax(row), in float32.
func (s *scratch) xtc(row []float32, threshold float64, special []int) {
	top := float64(simd.K.Max(row))
	total := 0.0
	for i, l := range row {
		s.weight[i] = exp(float64(l) - top)
		total += s.weight[i]
	}
	least := float32(math.Inf(1))
	for _, w := range s.weight {
		if p := float32(w / total); p > float32(threshold) {
			least = min(least, p)
		}
	}
	isSpecial := func(t int) bool {
		for _, x := range special {
			if x == t {
				return true
			}
		}
		return false
	}
	for i, w := range s.weight {
		if float32(w/total) > least && !isSpecial(i) {
			row[i] = negInf
		}
	}
}
