// Package ruler measures language models on text: the perplexity of one, and how far the
// predictions of two are apart.
//
// text.go turns files into rows of tokens, ruler.go runs models over them in bounded
// memory, compare.go sets one beside another. Losses are computed in float32, each
// position by itself, and summed in float64.
package ruler

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/cache"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/nn"
)

// Options say how to run.
type Options struct {
	Batch    int // rows that run together; 0 is 8
	Progress func(done, total int)
}

func (o Options) batch() int {
	if o.Batch > 0 {
		return o.Batch
	}
	return 8
}

// Perplexity is how well a model predicts rows of text.
type Perplexity struct {
	Value         float64 `json:"perplexity"`     // exp(Loss)
	StandardError float64 `json:"standard_error"` // of Value: Value x the standard error of Loss
	Loss          float64 `json:"loss"`           // nats a token
	Rows          int     `json:"samples"`
	Tokens        int     `json:"tokens"`  // of all rows
	Targets       int     `json:"targets"` // that were predicted: all but the first of each row
	Seconds       float64 `json:"seconds"`
}

// logitBytes is about how large the float32 logits of one piece may be. Tests change it.
var logitBytes = 64 << 20

// Measure is the perplexity of m on rows of the same length: the mean over all tokens but
// the first of each row, given those before it in the row. The standard error takes the
// tokens as independent, with ddof 1, as mlx-lm does.
func Measure(ctx context.Context, m *llm.Loaded, rows [][]int, o Options) (*Perplexity, error) {
	start := time.Now()
	r, err := newRunner(m, rows)
	if err != nil {
		return nil, err
	}
	losses := make([]float32, 0, len(rows)*(len(rows[0])-1))
	err = each(ctx, rows, r.rowsOf(o.batch()), o.Progress, func(part [][]int) error {
		in, targets := split(part)
		x, err := r.hidden(in)
		if err != nil {
			return err
		}
		return r.pieces(x.Dim(0), func(from, to int) error {
			loss := nn.CrossEntropy(r.logits(piece(x, from, to)), piece(targets, from, to))
			if err := mlx.Eval(loss); err != nil {
				return err
			}
			losses = append(losses, mlx.ToSlice[float32](loss)...)
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	p, err := summarize(losses, rows)
	if err != nil {
		return nil, err
	}
	p.Seconds = time.Since(start).Seconds()
	return p, nil
}

// summarize makes the mean of losses, those of the rows one after the other.
func summarize(losses []float32, rows [][]int) (*Perplexity, error) {
	mean, deviation, err := moments(losses)
	if err != nil {
		return nil, err
	}
	p := &Perplexity{Loss: mean, Value: math.Exp(mean), Rows: len(rows), Tokens: len(rows) * len(rows[0]), Targets: len(losses)}
	p.StandardError = p.Value * deviation / math.Sqrt(float64(len(losses)))
	return p, nil
}

// moments are the mean and the standard deviation (ddof 1) of values of positions; NaN is
// an error.
func moments(values []float32) (mean, deviation float64, err error) {
	for i, v := range values {
		if math.IsNaN(float64(v)) {
			return 0, 0, fmt.Errorf("the loss of predicted token %d is NaN: the model's weights or the computing type are at fault", i)
		}
		mean += float64(v)
	}
	mean /= float64(len(values))
	var squares float64
	for _, v := range values {
		squares += (float64(v) - mean) * (float64(v) - mean)
	}
	if len(values) > 1 {
		deviation = math.Sqrt(squares / float64(len(values)-1))
	}
	return mean, deviation, nil
}

// runner runs one model over batches.
type runner struct {
	m     *llm.Loaded
	model llm.Trainable // nil: the model makes logits in one step only
	vocab int
}

// newRunner checks that rows are for the model.
func newRunner(m *llm.Loaded, rows [][]int) (*runner, error) {
	if len(rows) == 0 || len(rows[0]) < 2 {
		return nil, errors.New("there are no rows of at least 2 tokens")
	}
	info := m.Model.Info()
	if n := len(rows[0]); info.MaxContext > 0 && n > info.MaxContext {
		return nil, fmt.Errorf("rows of %d tokens are longer than the model's context of %d", n, info.MaxContext)
	}
	for _, row := range rows {
		if len(row) != len(rows[0]) {
			return nil, fmt.Errorf("rows of %d and of %d tokens: all must have the same length", len(rows[0]), len(row))
		}
		if worst := slices.Max(row); slices.Min(row) < 0 || worst >= info.VocabSize {
			return nil, fmt.Errorf("token %d of the text is not in the model's vocabulary of %d", worst, info.VocabSize)
		}
	}
	r := &runner{m: m, vocab: info.VocabSize}
	r.model, _ = m.Model.(llm.Trainable)
	return r, nil
}

// rowsOf is how many rows run together: one where all logits come at once.
func (r *runner) rowsOf(batch int) int {
	if r.model == nil {
		return 1
	}
	return batch
}

// hidden is what logits takes, [B*L, ...], of tokens int32 [B, L], computed.
func (r *runner) hidden(tokens *mlx.Array) (x *mlx.Array, err error) {
	err = mlx.Try(func() {
		B, L := tokens.Dims2()
		kv := cache.Fresh(r.m.Model.Layout(), B, L)
		if r.model != nil {
			x = r.model.Hidden(tokens, kv)
		} else {
			x = r.m.Model.Forward(tokens, nil, kv)
		}
		x = x.Reshape(B*L, -1)
	})
	if err == nil {
		err = mlx.Eval(x)
	}
	return x, err
}

// logits are float32 [n, V] of what hidden gave for n positions.
func (r *runner) logits(x *mlx.Array) *mlx.Array {
	if r.model != nil {
		x = r.model.Outputs(x)
	}
	return x.AsType(mlx.Float32)
}

// pieces calls f for parts of n positions whose logits are of bounded size.
func (r *runner) pieces(n int, f func(from, to int) error) error {
	step := max(1, logitBytes/(4*r.vocab))
	for from := 0; from < n; from += step {
		var err error
		if caught := mlx.Try(func() { err = f(from, min(from+step, n)) }); caught != nil || err != nil {
			return errors.Join(caught, err)
		}
	}
	return nil
}

// each calls f for batches of rows, and progress after each with the number of rows.
func each(ctx context.Context, rows [][]int, batch int, progress func(done, total int), f func(part [][]int) error) error {
	for at := 0; at < len(rows); at += batch {
		if err := ctx.Err(); err != nil {
			return err
		}
		end := min(at+batch, len(rows))
		if err := f(rows[at:end]); err != nil {
			return err
		}
		if progress != nil {
			progress(end, len(rows))
		}
	}
	return nil
}

// split is the tokens that rows [B, L] give the model, int32 [B, L-1], and those that it
// shall predict, [B*(L-1)].
func split(rows [][]int) (in, targets *mlx.Array) {
	B, L := len(rows), len(rows[0])
	a, b := make([]int32, 0, B*(L-1)), make([]int32, 0, B*(L-1))
	for _, row := range rows {
		for i := range L - 1 {
			a, b = append(a, int32(row[i])), append(b, int32(row[i+1]))
		}
	}
	return mlx.FromSlice(a, B, L-1), mlx.FromSlice(b, B*(L-1))
}

// piece is positions [from, to).
func piece(x *mlx.Array, from, to int) *mlx.Array {
	return tensor.SliceAxis(x, 0, from, to, mlx.Stream{})
}
