package ruler

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/nn"
)

// Comparison is how far the predictions of a model B are from those of A.
type Comparison struct {
	A Perplexity `json:"a"`
	B Perplexity `json:"b"`
	// KL is the Kullback-Leibler divergence of B's distribution from A's, sum of
	// p_A log(p_A/p_B), in nats a token.
	KL struct {
		Mean          float64    `json:"mean"`
		StandardError float64    `json:"standard_error"`
		Max           float64    `json:"max"`
		Quantiles     []Quantile `json:"quantiles"`
	} `json:"kl"`
	// Agreement is the share of positions at which both give the same token the greatest
	// probability.
	Agreement float64    `json:"top1_agreement"`
	Worst     []Position `json:"worst"` // greatest divergence first
	Seconds   float64    `json:"seconds"`
}

// Quantile says that a share Q of the positions has a value of at most Value.
type Quantile struct {
	Q     float64 `json:"q"`
	Value float64 `json:"value"`
}

// Position is one predicted token.
type Position struct {
	Row     int     `json:"row"`      // from 0
	At      int     `json:"position"` // in the row, of the token that is predicted
	KL      float64 `json:"kl"`
	Context string  `json:"context"` // the text before it
	Next    Choice  `json:"next"`    // what the text has
	A       Choice  `json:"a"`       // each model's most probable token
	B       Choice  `json:"b"`
}

// Choice is a token with its probability in A and in B.
type Choice struct {
	ID   int     `json:"id"`
	Text string  `json:"text"`
	A    float64 `json:"probability_a"`
	B    float64 `json:"probability_b"`
}

// CompareOptions say how to compare.
type CompareOptions struct {
	Options
	Worst   int // how many positions to list
	Context int // tokens of context that they show
}

// quantiles are the shares that a comparison tells.
var quantiles = []float64{0.5, 0.9, 0.95, 0.99, 0.999}

// SameTokens is an error unless two models read docs as the same tokens.
func SameTokens(a, b *llm.Loaded, docs []string) error {
	if x, y := a.Model.Info().VocabSize, b.Model.Info().VocabSize; x != y {
		return fmt.Errorf("the models have vocabularies of %d and %d tokens: their predictions cannot be compared", x, y)
	}
	if a.Tokenizer == nil || b.Tokenizer == nil {
		return errors.New("a model has no tokenizer.json: text cannot be turned into tokens")
	}
	for i, d := range docs {
		x, y := a.Tokenizer.Encode(d, true), b.Tokenizer.Encode(d, true)
		if slices.Equal(x, y) {
			continue
		}
		at := 0
		for at < min(len(x), len(y)) && x[at] == y[at] {
			at++
		}
		token := func(t *llm.Tokenizer, ids []int) string {
			if at >= len(ids) {
				return "the end"
			}
			return fmt.Sprintf("%d %q", ids[at], t.Decode(ids[at:at+1], false))
		}
		return fmt.Errorf("the models have different tokenizers: token %d of document %d is %s in one and %s in the other", at, i, token(a.Tokenizer, x), token(b.Tokenizer, y))
	}
	return nil
}

// positions has what is known of each predicted token, one slice per quantity.
type positions struct {
	kl, lossA, lossB   []float32
	topA, topB         []int32
	pA, pB, aInB, bInA []float32 // probabilities of the top tokens, each in both models
}

// Compare runs two models with the same tokens over rows.
func Compare(ctx context.Context, a, b *llm.Loaded, rows [][]int, o CompareOptions) (*Comparison, error) {
	start := time.Now()
	ra, err := newRunner(a, rows)
	if err != nil {
		return nil, err
	}
	rb, err := newRunner(b, rows)
	if err != nil {
		return nil, err
	}
	p := &positions{}
	batch := min(ra.rowsOf(o.batch()), rb.rowsOf(o.batch()))
	err = each(ctx, rows, batch, o.Progress, func(part [][]int) error {
		in, targets := split(part)
		xa, err := ra.hidden(in)
		if err != nil {
			return err
		}
		xb, err := rb.hidden(in)
		if err != nil {
			return err
		}
		return ra.pieces(xa.Dim(0), func(from, to int) error {
			return p.add(ra.logits(piece(xa, from, to)), rb.logits(piece(xb, from, to)), piece(targets, from, to))
		})
	})
	if err != nil {
		return nil, err
	}
	c, err := p.comparison(rows)
	if err != nil {
		return nil, err
	}
	c.Worst = p.worst(a.Tokenizer, rows, o)
	c.Seconds = time.Since(start).Seconds()
	return c, nil
}

// add takes float32 logits [n, V] of both and int32 targets [n].
func (p *positions) add(a, b, targets *mlx.Array) error {
	la := a.Sub(mlx.LogSumExp(a, mlx.Axis(-1), mlx.KeepDims(true)))
	lb := b.Sub(mlx.LogSumExp(b, mlx.Axis(-1), mlx.KeepDims(true)))
	pa, pb := mlx.Exp(la), mlx.Exp(lb)
	// Both sum to 1, so pb-pa changes nothing; but no term is negative then, and the
	// roundings of the two normalizations cancel.
	term := mlx.Where(pa.Eq(0), pb, pa.Mul(la.Sub(lb)).Add(pb.Sub(pa)))
	kl := mlx.Maximum(mlx.Sum(term, mlx.Axis(-1)), 0)
	topA, topB := mlx.ArgMax(a, mlx.Axis(-1)).AsType(mlx.Int32), mlx.ArgMax(b, mlx.Axis(-1)).AsType(mlx.Int32)
	pick := func(from, at *mlx.Array) *mlx.Array {
		return mlx.TakeAlongAxis(from, at.ExpandDims(-1), -1).Squeeze(-1)
	}
	floats := []*mlx.Array{kl, nn.CrossEntropy(a, targets), nn.CrossEntropy(b, targets),
		pick(pa, topA), pick(pb, topB), pick(pb, topA), pick(pa, topB)}
	if err := mlx.Eval(floats, topA, topB); err != nil {
		return err
	}
	for i, to := range []*[]float32{&p.kl, &p.lossA, &p.lossB, &p.pA, &p.pB, &p.aInB, &p.bInA} {
		*to = append(*to, mlx.ToSlice[float32](floats[i])...)
	}
	p.topA = append(p.topA, mlx.ToSlice[int32](topA)...)
	p.topB = append(p.topB, mlx.ToSlice[int32](topB)...)
	return nil
}

// comparison sums up.
func (p *positions) comparison(rows [][]int) (*Comparison, error) {
	c := &Comparison{}
	a, err := summarize(p.lossA, rows)
	if err != nil {
		return nil, fmt.Errorf("the first model: %w", err)
	}
	b, err := summarize(p.lossB, rows)
	if err != nil {
		return nil, fmt.Errorf("the second model: %w", err)
	}
	c.A, c.B = *a, *b
	mean, deviation, err := moments(p.kl)
	if err != nil {
		return nil, err
	}
	c.KL.Mean, c.KL.StandardError = mean, deviation/math.Sqrt(float64(len(p.kl)))
	sorted := slices.Sorted(slices.Values(p.kl))
	c.KL.Max = float64(sorted[len(sorted)-1])
	for _, q := range quantiles {
		at := int(math.Ceil(q*float64(len(sorted)))) - 1 // the least value that reaches the share
		c.KL.Quantiles = append(c.KL.Quantiles, Quantile{q, float64(sorted[max(at, 0)])})
	}
	same := 0
	for i, t := range p.topA {
		if t == p.topB[i] {
			same++
		}
	}
	c.Agreement = float64(same) / float64(len(p.topA))
	return c, nil
}

// worst are the positions where the models are farthest apart; of equal ones the first.
func (p *positions) worst(t *llm.Tokenizer, rows [][]int, o CompareOptions) []Position {
	order := make([]int, len(p.kl))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(p.kl[j], p.kl[i]) })
	text := func(ids ...int) string {
		if t == nil {
			return ""
		}
		return t.Decode(ids, false)
	}
	perRow := len(rows[0]) - 1
	out := []Position{}
	for _, i := range order[:min(max(o.Worst, 0), len(order))] {
		row, at := i/perRow, i%perRow+1
		a, b, next := int(p.topA[i]), int(p.topB[i]), rows[row][at]
		out = append(out, Position{
			Row: row, At: at, KL: float64(p.kl[i]), Context: text(rows[row][max(0, at-o.Context):at]...),
			Next: Choice{next, text(next), math.Exp(-float64(p.lossA[i])), math.Exp(-float64(p.lossB[i]))},
			A:    Choice{a, text(a), float64(p.pA[i]), float64(p.aInB[i])},
			B:    Choice{b, text(b), float64(p.bInA[i]), float64(p.pB[i])},
		})
	}
	return out
}
