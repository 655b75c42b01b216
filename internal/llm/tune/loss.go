package tune

import (
	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/cache"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/nn"
)

// A Batch is rows that are trained together. Tokens is int32 [B, W], padded with 0 on
// the right; Lengths int32 [B, 2] is, for each row, the first target that counts and
// the number of tokens.
type Batch struct{ Tokens, Lengths *mlx.Array }

// Loss is mlx_lm's default_loss: the mean of the cross-entropy over the targets that
// count, and their number, both scalars. A target is the next token; that at index s counts
// if offset <= s < length, or s <= length with mlxLM, as mlx-lm counts one of the padding.
func Loss(m llm.Model, b Batch, mlxLM bool) (loss, count *mlx.Array) {
	B, W := b.Tokens.Dims2()
	in := tensor.SliceAxis(b.Tokens, 1, 0, W-1, mlx.Stream{})
	targets := tensor.SliceAxis(b.Tokens, 1, 1, W, mlx.Stream{})
	logits := m.Forward(in, nil, cache.Fresh(m.Layout(), B, W-1))
	ce := nn.CrossEntropy(logits.AsType(mlx.Float32), targets)
	mask := counted(b.Lengths, W, mlxLM)
	count = mlx.Sum(mask)
	return mlx.Sum(ce.Mul(mask)).Div(mlx.Maximum(count, 1)), count
}

// counted is 1 for each target [B, W-1] that counts, float32.
func counted(lengths *mlx.Array, width int, mlxLM bool) *mlx.Array {
	steps := mlx.Arange(width - 1).AsType(mlx.Int32).Add(1)
	offset, length := tensor.SliceAxis(lengths, 1, 0, 1, mlx.Stream{}), tensor.SliceAxis(lengths, 1, 1, 2, mlx.Stream{})
	end := steps.Lt(length)
	if mlxLM {
		end = steps.Le(length)
	}
	return mlx.Where(end, steps.Ge(offset), false).AsType(mlx.Float32)
}
