package models_test

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/hf/safetensors"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/llmtest"
	"github.com/mlxgo/mlx/internal/llm/models"
)

// eighth is the code of E4M3 that is nearest to x, by trying all.
func eighth(x float64) byte {
	best, distance := byte(0), math.Inf(1)
	for code := range 256 {
		if code&0x7f == 0x7f {
			continue
		}
		if d := math.Abs(refMinifloat(code, 4, 3) - x); d < distance {
			best, distance = byte(code), d
		}
	}
	return best
}

// fp8 stores the matrices of blocks as 8-bit floats with a scale for each block, and
// gives the weights that they stand for.
func fp8(r *rand.Rand, w []safetensors.Tensor, rows, cols int) (packed, wide []safetensors.Tensor) {
	for _, x := range w {
		if len(x.Shape) != 2 || strings.Contains(x.Name, "embed") || strings.Contains(x.Name, "lm_head") {
			packed, wide = append(packed, x), append(wide, x)
			continue
		}
		h, n := x.Shape[0], x.Shape[1]
		b, d := rows, cols
		if rows == 0 {
			b, d = h, n
		}
		sh, sn := (h+b-1)/b, (n+d-1)/d
		scales := make([]float32, sh*sn)
		for i := range scales {
			scales[i] = 0.001 + 0.01*r.Float32()
		}
		codes, values := make([]byte, h*n), make([]float32, h*n)
		for i, v := range refFloats(safetensors.Tensor{RawDType: "F32", Data: x.Data}) {
			s := float64(scales[i/n/b*sn+i%n/d])
			codes[i] = eighth(v / s)
			values[i] = float32(refMinifloat(int(codes[i]), 4, 3) * s)
		}
		shape := []int{sh, sn}
		if rows == 0 {
			shape = nil // a scalar
		}
		packed = append(packed, safetensors.Tensor{Name: x.Name, RawDType: "F8_E4M3", DType: mlx.Uint8, Shape: x.Shape, Data: codes},
			llmtest.Tensor(x.Name+"_scale_inv", scales, mlx.Float32, shape...),
			llmtest.Tensor(strings.TrimSuffix(x.Name, "weight")+"activation_scale", []float32{3}, mlx.Float32))
		wide = append(wide, llmtest.Tensor(x.Name, values, mlx.Float32, x.Shape...))
	}
	return packed, wide
}

// TestFP8: blocks that do not divide the matrix, and Mistral's one scale, of a model that
// sees and of its text part.
func TestFP8(t *testing.T) {
	for i, block := range [][2]int{{0, 0}, {48, 40}, {32, 128}} {
		r := rand.New(rand.NewPCG(uint64(i), 48))
		c := llmtest.Tiny("ministral3")
		families["ministral3"](r, c)
		packed, wide := fp8(r, lively(t, r, c, mlx.Float32), block[0], block[1])
		q := llmtest.Config{"quant_method": "fp8", "activation_scheme": "static"}
		if block[0] > 0 {
			q["weight_block_size"] = block
		}
		want := logitsFrom(t, load(t, llmtest.Write(t, c, wide)), tokensOf(20))
		dir := t.TempDir()
		llmtest.WriteJSON(t, dir, "config.json", c.With(llmtest.Config{"quantization_config": q}))
		writeRaw(t, filepath.Join(dir, "model.safetensors"), packed)
		got := logitsFrom(t, load(t, dir), tokensOf(20))
		for at, row := range want {
			for j, x := range row {
				if got[at][j] != x {
					t.Fatalf("blocks of %v: logit %d at %d is %v, not %v", block, j, at, got[at][j], x)
				}
			}
		}
		if block[0] == 0 {
			continue
		}
		llmtest.WriteJSON(t, dir, "config.json", c.With(llmtest.Config{"quantization_config": llmtest.Config{"quant_method": "fp8", "weight_block_size": []int{16, 16}}}))
		if _, err := llm.Load(dir, llm.LoadOptions{New: models.New}); err == nil || !strings.Contains(err.Error(), "do not fit a weight of shape") {
			t.Errorf("wrong blocks: %v", err)
		}
	}
}

// writeRaw is safetensors.Write for any element type.
func writeRaw(t *testing.T, path string, w []safetensors.Tensor) {
	t.Helper()
	header, at := llmtest.Config{}, 0
	var data []byte
	for _, x := range w {
		kind := x.RawDType
		if kind == "" {
			kind = map[mlx.DType]string{mlx.Float32: "F32", mlx.BFloat16: "BF16", mlx.Uint8: "U8"}[x.DType]
		}
		header[x.Name] = llmtest.Config{"dtype": kind, "shape": append([]int{}, x.Shape...), "data_offsets": []int{at, at + len(x.Data)}}
		data, at = append(data, x.Data...), at+len(x.Data)
	}
	text := []byte(describe(header))
	file := append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...)
	writeFile(t, path, append(file, data...))
}

func writeFile(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
}
