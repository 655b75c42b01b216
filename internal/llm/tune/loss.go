package tune

import (
	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/autodiff"
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
	mask := b.counted(mlxLM)
	count = mlx.Sum(mask)
	return lossSum(m, b, mask).Div(mlx.Maximum(count, 1)), count
}

// lossSum is the sum of the cross-entropy over the targets of mask [B, W-1].
func lossSum(m llm.Model, b Batch, mask *mlx.Array) *mlx.Array {
	_, W := b.Tokens.Dims2()
	in := tensor.SliceAxis(b.Tokens, 1, 0, W-1, mlx.Stream{})
	targets := tensor.SliceAxis(b.Tokens, 1, 1, W, mlx.Stream{})
	return crossEntropy(m, in, targets, mask)
}

// chunkBytes is about how large the logits of a piece of a batch may be. Tests change it.
var chunkBytes = 64 << 20

// crossEntropy is the sum of the cross-entropy over the targets that count. Logits are
// made and forgotten a piece at a time when they are large: those of a batch of long rows
// take more memory than the model. The gradient of a piece is made with its value, unless
// what makes logits is trained, too: then the logits are made again for it.
func crossEntropy(m llm.Model, in, targets, mask *mlx.Array) *mlx.Array {
	B, L := in.Dims2()
	kv := cache.Fresh(m.Layout(), B, L)
	sum := func(logits, targets, mask *mlx.Array) *mlx.Array {
		return mlx.Sum(nn.CrossEntropy(logits.AsType(mlx.Float32), targets).Mul(mask))
	}
	t, ok := m.(llm.Trainable)
	piece := max(1, chunkBytes/(4*m.Info().VocabSize))
	if !ok || piece >= B*L {
		return sum(m.Forward(in, nil, kv), targets, mask)
	}
	pieces := (B*L + piece - 1) / piece
	piece = (B*L + pieces - 1) / pieces // of about one size
	x := t.Hidden(in, kv).Reshape(B*L, -1)
	targets, mask = targets.Reshape(B*L), mask.Reshape(B*L)
	var total *mlx.Array
	for from := 0; from < B*L; from += piece {
		rows := func(a *mlx.Array) *mlx.Array { return tensor.SliceAxis(a, 0, from, min(from+piece, B*L), mlx.Stream{}) }
		part := autodiff.Ahead(func(x []*mlx.Array) []*mlx.Array {
			return []*mlx.Array{sum(t.Outputs(x[0]), rows(targets), rows(mask))}
		})([]*mlx.Array{rows(x)})[0]
		if total == nil {
			total = part
		} else {
			total = total.Add(part)
		}
	}
	return total
}

// counted is 1 for each target [B, W-1] that counts, float32.
func (b Batch) counted(mlxLM bool) *mlx.Array {
	_, W := b.Tokens.Dims2()
	steps := mlx.Arange(W - 1).AsType(mlx.Int32).Add(1)
	offset, length := tensor.SliceAxis(b.Lengths, 1, 0, 1, mlx.Stream{}), tensor.SliceAxis(b.Lengths, 1, 1, 2, mlx.Stream{})
	end := steps.Lt(length)
	if mlxLM {
		end = steps.Le(length)
	}
	return mlx.Where(end, steps.Ge(offset), false).AsType(mlx.Float32)
}
