package tune

import (
	"fmt"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/nn"
	"github.com/mlxgo/mlx/random"
)

// scratchDeviation is that of random matrices, initializer_range of most configurations.
const scratchDeviation = 0.02

// FromScratch forgets a model's weights: matrices and embeddings are normal with deviation
// 0.02 by the generator's seed, norms 1 and biases 0, all float32. All of it is trained.
func FromScratch(model any) (*Trained, error) {
	unpack(model)
	var fault error
	for path, m := range nn.Modules(model) {
		switch m := m.(type) {
		case *nn.Linear:
			m.Weight = scratch(m.Weight)
			if m.Bias != nil {
				m.Bias = mlx.Zeros(m.Bias.Shape())
			}
		case *nn.Embedding:
			m.Weight = scratch(m.Weight)
		case *nn.RMSNorm:
			m.Weight = mlx.Ones(m.Weight.Shape())
		case *nn.LayerNorm:
			if m.Weight != nil {
				m.Weight = mlx.Ones(m.Weight.Shape())
			}
			if m.Bias != nil {
				m.Bias = mlx.Zeros(m.Bias.Shape())
			}
		default:
			if _, ok := m.(nn.Layer); ok && nn.NumParameters(m) > 0 {
				fault = fmt.Errorf("%s: it is not known how a %T begins", path, m)
			}
		}
	}
	if fault != nil {
		return nil, fault
	}
	var all []*mlx.Array
	for _, a := range nn.Parameters(model) {
		all = append(all, a)
	}
	return &Trained{Filter: func(string) bool { return true }, Changed: blockPaths(model)}, mlx.Eval(all)
}

func scratch(w *mlx.Array) *mlx.Array {
	return random.Normal(w.Shape(), random.Scale(scratchDeviation))
}

// unpack makes packed layers plain ones.
func unpack(model any) {
	nn.Replace(model, func(_ string, l nn.Layer) nn.Layer {
		switch l := l.(type) {
		case *nn.QuantizedLinear:
			return &nn.Linear{Weight: weightOf(l), Bias: l.Bias}
		case *nn.QuantizedEmbedding:
			return &nn.Embedding{Weight: weightOf(l)}
		}
		return l
	})
}

// Blocks is how many layers a decoder has.
func Blocks(model any) int { return len(blockPaths(model)) }

// NumParameters is the number of a model's parameters, packed ones counted one by one.
func NumParameters(model any) int {
	n := nn.NumParameters(model)
	for _, m := range nn.Modules(model) {
		q, ok := packedOf(m)
		if !ok {
			continue
		}
		n += q.Weight.Size()*32/q.Scheme.Bits - q.Weight.Size() - q.Scales.Size()
		if q.Biases != nil {
			n -= q.Biases.Size()
		}
	}
	return n
}
