package models

import (
	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/nn"
)

// embed looks tokens up in dtype d. Quantized rows are unpacked in d at once: their
// scales may be narrower.
func embed(e nn.Embedder, tokens *mlx.Array, d mlx.DType) *mlx.Array {
	if q, ok := e.(*nn.QuantizedEmbedding); ok {
		return q.ForwardAs(tokens, d)
	}
	return e.Forward(tokens).AsType(d)
}

// pickRows is x[b, rows[b]] for each b: [B, L, D] and int32 [B] give [B, D].
func pickRows(x, rows *mlx.Array, B, L int) *mlx.Array {
	if B > 1 {
		rows = rows.Add(mlx.Arange(B).Mul(L))
	}
	return mlx.Take(x.Reshape(B*L, -1), rows, mlx.Axis(0))
}
