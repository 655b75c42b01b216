package calibrate

import (
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/quant"
)

// Sensitivity is how much the loss grows with the low bits of a layer.
type Sensitivity struct {
	Path  string
	Value float64
}

func (j *job) dynamic() ([]Sensitivity, error)                    { return nil, nil }
func (j *job) plainSchemes(m *llm.Loaded) map[string]quant.Scheme { return nil }
func (j *job) checkMemory() error                                 { return nil }
