package models

import (
	"fmt"
	"math"
	"strings"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/nn"
)

// What Gemma 3n and 4 have: an embedding of each token for each layer, and last layers
// without keys of their own.

// layerInputs are the embeddings for all layers, mixed with what the first layer gets.
type layerInputs struct {
	Embed   nn.Embedder `mlx:"model.embed_tokens_per_layer"`
	Project nn.Layer    `mlx:"model.per_layer_model_projection"`
	Norm    nn.Layer    `mlx:"model.per_layer_projection_norm"`

	spec *spec
}

func newLayerInputs(s *spec) *layerInputs {
	n := len(s.layers) * s.layerSize
	return &layerInputs{
		Embed: nn.NewEmbedding(s.layerVocab, n), Project: nn.NewLinear(s.hidden, n, nn.Bias(false)),
		Norm: s.newNorm(s.layerSize), spec: s,
	}
}

// of gives an array [B, L, layerSize] for each layer, from tokens [B, L] and their first
// embedding x. Tokens beyond the table stand for other things than text.
func (p *layerInputs) of(tokens, x *mlx.Array, d mlx.DType) []*mlx.Array {
	s := p.spec
	B, L := tokens.Dims2()
	n := len(s.layers)
	known := mlx.Where(tokens.Lt(s.layerVocab), tokens, 0)
	own := embed(p.Embed, known, d).Mul(sqrt(s.layerSize)).Reshape(B, L, n, s.layerSize)
	y := p.Project.Forward(x).Mul(1/sqrt(s.hidden)).Reshape(B, L, n, s.layerSize)
	y = p.Norm.Forward(y).Add(own).Mul(math.Sqrt2 / 2)
	var at []int
	for i := 1; i < n; i++ {
		at = append(at, i)
	}
	parts := mlx.Split(y, at, mlx.Axis(2))
	for i := range parts {
		parts[i] = parts[i].Squeeze(2)
	}
	return parts
}

// inputGate is how much of a layer's embedding goes into it.
type inputGate struct {
	Gate       nn.Layer `mlx:"per_layer_input_gate"`
	Projection nn.Layer `mlx:"per_layer_projection"`
	Norm       nn.Layer `mlx:"post_per_layer_input_norm"`

	act activation
}

func newInputGate(s *spec) *inputGate {
	return &inputGate{
		Gate: nn.NewLinear(s.hidden, s.layerSize, nn.Bias(false)), Projection: nn.NewLinear(s.layerSize, s.hidden, nn.Bias(false)),
		Norm: s.newNorm(s.hidden), act: s.act,
	}
}

func (g *inputGate) forward(x, input *mlx.Array) *mlx.Array {
	return g.Norm.Forward(g.Projection.Forward(g.act.of(g.Gate.Forward(x)).Mul(input)))
}

// shareKeys lets the last n layers attend to the keys of the last layer of their type
// before them. Files may have matrices of keys for them, which are not used.
func (s *spec) shareKeys(n int) error {
	first := len(s.layers) - n
	for i := first; i < len(s.layers); i++ {
		l := &s.layers[i]
		for j := range first {
			if s.layers[j].window == l.window {
				l.source = j + 1
			}
		}
		if l.source == 0 {
			return fmt.Errorf("config.json: num_kv_shared_layers: no layer before layer %d has its type", i)
		}
		_, mine := s.headsOf(i)
		if _, its := s.headsOf(l.source - 1); mine != its || l.headDim != s.layers[l.source-1].headDim {
			return fmt.Errorf("config.json: num_kv_shared_layers: layer %d has other heads than layer %d, whose keys it shares", i, l.source-1)
		}
	}
	s.translate = func(name string) (string, bool) {
		var layer int
		var rest string
		if n, _ := fmt.Sscanf(name, "model.layers.%d.self_attn.%s", &layer, &rest); n == 2 && layer >= first &&
			(strings.HasPrefix(rest, "k_") || strings.HasPrefix(rest, "v_")) {
			return "", false
		}
		return name, false
	}
	return nil
}
