package foreign_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/hf/safetensors"
	"github.com/mlxgo/mlx/internal/llm/foreign"
)

// BenchmarkTranslate makes the weight of one layer; bytes are those of the packed source.
func BenchmarkTranslate(b *testing.B) {
	const n = 2048
	g := newGrid(rand.New(rand.NewPCG(1, 1)), n, n, 4, 128, dtype.Float16, false, inOrder)
	moved := newGrid(rand.New(rand.NewPCG(1, 1)), n, n, 4, 128, dtype.Float16, false, actOrder)
	three := newGrid(rand.New(rand.NewPCG(1, 1)), n, n, 6, 128, dtype.BFloat16, true, inOrder)
	for _, c := range []struct {
		name   string
		config object
		ts     []safetensors.Tensor
	}{
		{"awq", awqConfig(object{"group_size": 128}), packAWQ(g)},
		{"gptq", gptqConfig(object{"group_size": 128}), packGPTQ(g, 1)},
		{"gptq-act-order", gptqConfig(object{"group_size": 128}), packGPTQ(moved, 1)},
		{"compressed-6-bits", compressedConfig("pack-quantized", object{"num_bits": 6, "type": "int", "group_size": 128}), packCompressed(three, true, false, false)},
		{"fp8", object{"model_type": "x", "quantization_config": object{"quant_method": "fp8"}},
			[]safetensors.Tensor{octets(layer+".weight", "F8_E4M3", make([]byte, n*n), n, n), floats(layer+".weight_scale_inv", dtype.Float32, []float64{0.3}, 1)}},
	} {
		b.Run(c.name, func(b *testing.B) {
			out, _, err := foreign.Translate(source(c.config, c.ts...), foreign.Options{})
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(c.ts[0].Data)))
			for b.Loop() {
				for _, x := range out.Tensors {
					if !strings.HasPrefix(x.Name, layer) {
						continue
					}
					if _, err := x.Bytes(); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
