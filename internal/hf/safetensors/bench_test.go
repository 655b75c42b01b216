package safetensors

import (
	"fmt"
	"strings"
	"testing"
)

func BenchmarkParse(b *testing.B) {
	const n = 10_000
	var h strings.Builder
	h.WriteByte('{')
	for i := range n {
		if i > 0 {
			h.WriteByte(',')
		}
		h.WriteString(tensorJSON(fmt.Sprintf("model.layers.%d.mlp.experts.gate_proj.weight", i), "BF16", "[1,1]", 2*i, 2*i+2))
	}
	h.WriteByte('}')
	data := build(h.String(), 2*n)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(data, "x"); err != nil {
			b.Fatal(err)
		}
	}
}
