package tune

import (
	"errors"
	"fmt"
	"slices"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/nn"
)

// Whole parameters that lie beside the matrices of an adapter: mlx-lm's loader sets them
// too, and PEFT's modules_to_save and bias make them.

// takesWhole reports whether a matrix has whole parameters.
func takesWhole(l nn.Layer, path string, whole map[string]*mlx.Array) bool {
	if _, _, _, ok := sizes(baseOf(l)); !ok {
		return false
	}
	return whole[path+".weight"] != nil || whole[path+".bias"] != nil
}

// withWhole is a linear layer or an embedding with its whole parameters, which it takes
// out of the map. A packed layer becomes a plain one.
func withWhole(l nn.Layer, path string, whole map[string]*mlx.Array) (nn.Layer, error) {
	weight, bias := whole[path+".weight"], whole[path+".bias"]
	if weight == nil && bias == nil {
		return l, nil
	}
	if baseOf(l) != l {
		return nil, errors.New("whole weights lie over no other adapter")
	}
	rows, columns, embedding, _ := sizes(l)
	if !embedding {
		rows, columns = columns, rows
	}
	delete(whole, path+".weight")
	delete(whole, path+".bias")
	if weight != nil && !slices.Equal(weight.Shape(), mlx.Shape{rows, columns}) {
		return nil, fmt.Errorf("the whole weight has shape %v, and that of the model (%d, %d)", weight.Shape(), rows, columns)
	}
	have := biasOf(l)
	if bias != nil && (have == nil || !slices.Equal(bias.Shape(), have.Shape())) {
		return nil, fmt.Errorf("the model has no bias of shape %v", bias.Shape())
	}
	if bias == nil {
		bias = have
	} else {
		bias = bias.AsType(have.DType())
	}
	if weight == nil {
		return withBias(l, bias), nil
	}
	if embedding {
		return &nn.Embedding{Weight: weight.AsType(floatType(l))}, nil
	}
	return &nn.Linear{Weight: weight.AsType(floatType(l)), Bias: bias}, nil
}

// withBias is a linear layer with another bias.
func withBias(l nn.Layer, bias *mlx.Array) nn.Layer {
	if q, ok := l.(*nn.QuantizedLinear); ok {
		now := *q
		now.Bias = bias
		return &now
	}
	return &nn.Linear{Weight: l.(*nn.Linear).Weight, Bias: bias}
}

// floatType is the dtype of a layer's weights, unpacked.
func floatType(l nn.Layer) mlx.DType {
	if q, ok := packedOf(l); ok {
		return floatOf(q.Scales.DType())
	}
	return weightOf(l).DType()
}
