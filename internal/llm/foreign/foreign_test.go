package foreign_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/hf/safetensors"
	"github.com/mlxgo/mlx/internal/llm/foreign"
	"github.com/mlxgo/mlx/internal/llm/weights"
)

const layer = "model.layers.0.mlp.up_proj"

// check translates a source of one layer and compares the layer with want; packed says
// whether it stays packed, and in what.
func check(t *testing.T, s weights.Source, want [][]float64, packed string, scales dtype.DType) {
	t.Helper()
	all, config, report := translated(t, s)
	got := ""
	if q, ok := config["quantization"].(map[string]any); ok {
		got = q["mode"].(string)
	}
	if got != packed || (packed != "") != slices.Contains(report.Packed, layer) || (packed == "") != slices.Contains(report.Dequantized, layer) {
		t.Fatalf("the layer is packed %q, not %q: %+v", got, packed, report)
	}
	if packed != "" && all[layer+".scales"].DType != scales {
		t.Errorf("scales are %v, not %v", all[layer+".scales"].DType, scales)
	}
	for name := range all {
		if path, ok := strings.CutPrefix(name, layer); ok && !slices.Contains([]string{".weight", ".scales", ".biases"}, path) {
			t.Errorf("%s is left", name)
		}
	}
	same(t, decoded(t, all, config, layer), want)
	headers, hc, hr := translated(t, headersOf(s)) // the same but for what only elements tell
	if len(headers) != len(all) && len(hr.Packed) == len(report.Packed) {
		t.Errorf("of headers alone %v", hr)
	}
	_ = hc
}

// packAWQ is AutoAWQ's WQLinear_GEMM.from_linear.
func packAWQ(g *grid) []safetensors.Tensor {
	order := []int{0, 2, 4, 6, 1, 3, 5, 7}
	pack := func(name string, rows int, at func(row, col int) int) safetensors.Tensor {
		out := make([]uint32, rows*g.rows/8)
		for row := range rows {
			for col := range g.rows / 8 {
				for i := range 8 {
					out[row*g.rows/8+col] |= uint32(at(row, col*8+order[i])) << (4 * i)
				}
			}
		}
		return words(name, "I32", out, rows, g.rows/8)
	}
	return []safetensors.Tensor{
		pack(layer+".qweight", g.cols, func(row, col int) int { return g.q[col][row] }),
		pack(layer+".qzeros", g.groups(), func(row, col int) int { return g.zero[col][row] }),
		g.scales(layer+".scales", true), embedding(),
	}
}

func TestAWQ(t *testing.T) {
	for i, c := range []struct {
		rows, cols, group int
		symmetric         bool
		packed            string
		scales            dtype.DType
	}{
		{96, 128, 32, false, "affine", dtype.Float32},
		{40, 128, 64, false, "affine", dtype.Float32},
		{72, 256, 128, true, "affine", dtype.Float16},
		{8, 96, -1, false, "affine", dtype.Float32},
		{40, 64, 16, false, "", 0},
		{8, 40, 40, false, "", 0},
	} {
		t.Run(name(c), func(t *testing.T) {
			g := newGrid(rand.New(rand.NewPCG(uint64(i), 1)), c.rows, c.cols, 4, c.group, dtype.Float16, c.symmetric, inOrder)
			s := source(object{"model_type": "llama", "quantization_config": object{
				"quant_method": "awq", "bits": 4, "group_size": c.group, "version": "GEMM", "zero_point": true, "modules_to_not_convert": nil,
			}}, packAWQ(g)...)
			check(t, s, g.value(), c.packed, c.scales)
		})
	}
}

// packGPTQ is AutoGPTQ's QuantLinear.pack.
func packGPTQ(g *grid, less int) []safetensors.Tensor {
	pack := func(n int, at func(i int) int) (out []uint32) { // along one axis
		out = make([]uint32, n*g.bits/32)
		if g.bits != 3 {
			for i := range n {
				out[i/(32/g.bits)] |= uint32(at(i)) << (g.bits * (i % (32 / g.bits)))
			}
			return out
		}
		i, row := 0, 0
		for row < len(out) {
			for j := i; j < i+10; j++ {
				out[row] |= uint32(at(j)) << (3 * (j - i))
			}
			i += 10
			out[row] |= uint32(at(i)) << 30
			row++
			out[row] |= uint32(at(i)>>2) & 1
			i++
			for j := i; j < i+10; j++ {
				out[row] |= uint32(at(j)) << (3*(j-i) + 1)
			}
			i += 10
			out[row] |= uint32(at(i)) << 31
			row++
			out[row] |= uint32(at(i)>>1) & 3
			i++
			for j := i; j < i+10; j++ {
				out[row] |= uint32(at(j)) << (3*(j-i) + 2)
			}
			i += 10
			row++
		}
		return out
	}
	qweight, qzeros := make([]uint32, g.cols*g.bits/32*g.rows), []uint32{}
	for r := range g.rows {
		for i, w := range pack(g.cols, func(c int) int { return g.q[r][c] }) {
			qweight[i*g.rows+r] = w
		}
	}
	for k := range g.groups() {
		qzeros = append(qzeros, pack(g.rows, func(r int) int { return (g.zero[r][k] - less) & (1<<g.bits - 1) })...)
	}
	return []safetensors.Tensor{
		words(layer+".qweight", "I32", qweight, g.cols*g.bits/32, g.rows), words(layer+".qzeros", "I32", qzeros, g.groups(), g.rows*g.bits/32),
		g.scales(layer+".scales", true), g.index(layer + ".g_idx"), embedding(),
	}
}

func TestGPTQ(t *testing.T) {
	i := uint64(0)
	for _, bits := range []int{2, 3, 4, 8} {
		for _, group := range []int{32, 64, 128, -1, 48} {
			for _, order := range []shuffle{inOrder, actOrder} {
				for _, symmetric := range []bool{false, true} {
					for _, format := range []string{"", "gptq", "gptq_v2"} {
						i++
						less := 1
						if format == "gptq_v2" {
							less = 0
						}
						t.Run(name(bits, " ", group, " ", order, " ", symmetric, " ", format), func(t *testing.T) {
							g := newGrid(rand.New(rand.NewPCG(i, 2)), 64, 256, bits, group, dtype.Float16, symmetric, order)
							packed, scales := "affine", dtype.Float32
							if symmetric {
								scales = dtype.Float16
							}
							if group == 48 || order == actOrder && group > 0 {
								packed = ""
							}
							q := object{"quant_method": "gptq", "bits": bits, "group_size": group, "desc_act": order == actOrder, "sym": symmetric}
							if format != "" {
								q["checkpoint_format"] = format
							}
							s := source(object{"model_type": "llama", "quantization_config": q}, packGPTQ(g, less)...)
							check(t, s, g.value(), packed, scales)
						})
					}
				}
			}
		}
	}
}

// packCompressed is compressed-tensors' PackedQuantizationCompressor.
func packCompressed(g *grid, symmetric, oldZeros, index bool) []safetensors.Tensor {
	per := 32 / g.bits
	pack := func(rows, cols int, at func(row, col int) int) ([]uint32, int) {
		n := (cols + per - 1) / per
		out := make([]uint32, rows*n)
		for row := range rows {
			for col := range cols {
				out[row*n+col/per] |= uint32(at(row, col)) << (g.bits * (col % per))
			}
		}
		return out, n
	}
	q, n := pack(g.rows, g.cols, func(row, col int) int { return g.q[row][col] })
	ts := []safetensors.Tensor{
		words(layer+".weight_packed", "I32", q, g.rows, n), g.scales(layer+".weight_scale", false), longs(layer+".weight_shape", g.rows, g.cols), embedding(),
	}
	switch {
	case symmetric:
	case oldZeros:
		var z []byte
		for _, row := range g.zero {
			for _, v := range row {
				z = append(z, byte(v-1<<(g.bits-1)))
			}
		}
		ts = append(ts, octets(layer+".weight_zero_point", "I8", z, g.rows, g.groups()))
	default: // packed along the outputs
		z, zn := pack(g.groups(), g.rows, func(k, row int) int { return g.zero[row][k] })
		turned := make([]uint32, len(z))
		for k := range g.groups() {
			for i := range zn {
				turned[i*g.groups()+k] = z[k*zn+i]
			}
		}
		ts = append(ts, words(layer+".weight_zero_point", "I32", turned, zn, g.groups()))
	}
	if index {
		ts = append(ts, g.index(layer+".weight_g_idx"))
	}
	return ts
}

func compressedConfig(format string, w object, more ...object) object {
	groups := object{"group_0": object{"targets": []string{"Linear"}, "weights": w}}
	for i, m := range more {
		groups[name("group_", i+1)] = m
	}
	return object{"model_type": "llama", "quantization_config": object{
		"quant_method": "compressed-tensors", "format": format, "ignore": []string{"lm_head"}, "config_groups": groups,
	}}
}

func TestCompressedInts(t *testing.T) {
	i := uint64(0)
	for bits := 2; bits <= 8; bits++ {
		for _, group := range []int{32, 128, -1} {
			for kind := range 5 {
				i++
				symmetric, oldZeros, index, order := kind == 0 || kind == 4, kind == 2, kind >= 3, inOrder
				if kind == 4 {
					order = actOrder
				}
				t.Run(name(bits, " ", group, " ", kind), func(t *testing.T) {
					g := newGrid(rand.New(rand.NewPCG(i, 3)), 50, 128, bits, group, dtype.BFloat16, symmetric, order)
					strategy, size := "group", any(group)
					if group < 0 {
						strategy, size = "channel", nil
					}
					w := object{"num_bits": bits, "type": "int", "symmetric": symmetric, "strategy": strategy, "group_size": size}
					if order == actOrder {
						w["actorder"] = "group"
					}
					packed, scales := "affine", dtype.Float32
					if symmetric {
						scales = dtype.BFloat16
					}
					if bits == 7 || order == actOrder && g.groups() > 1 {
						packed = ""
					}
					check(t, source(compressedConfig("pack-quantized", w), packCompressed(g, symmetric, oldZeros, index)...), g.value(), packed, scales)
				})
			}
		}
	}
}

// TestCompressedWidths: widths that end within a word or a group, and one scale for all.
func TestCompressedWidths(t *testing.T) {
	for _, c := range []struct {
		cols, group int
		packed      string
	}{{100, 32, ""}, {96, 64, "affine"}, {33, -1, ""}, {160, 128, "affine"}} {
		g := newGrid(rand.New(rand.NewPCG(uint64(c.cols), 4)), 9, c.cols, 4, c.group, dtype.BFloat16, true, inOrder)
		w := object{"num_bits": 4, "type": "int", "symmetric": true, "strategy": "group", "group_size": c.group}
		check(t, source(compressedConfig("pack-quantized", w), packCompressed(g, true, false, false)...), g.value(), c.packed, dtype.BFloat16)
	}
	g := newGrid(rand.New(rand.NewPCG(5, 4)), 16, 64, 8, -1, dtype.BFloat16, true, inOrder)
	for r := range g.scale {
		g.scale[r][0] = g.scale[0][0]
	}
	ts := packCompressed(g, true, false, false)
	ts[1] = floats(ts[1].Name, dtype.BFloat16, g.scale[0], 1)
	check(t, source(compressedConfig("pack-quantized", object{"num_bits": 8, "type": "int", "symmetric": true, "strategy": "tensor"}), ts...), g.value(), "affine", dtype.BFloat16)
}

// TestCompressedBytes: int8 as it is.
func TestCompressedBytes(t *testing.T) {
	for _, format := range []string{"int-quantized", "naive-quantized"} {
		g := newGrid(rand.New(rand.NewPCG(6, 4)), 48, 96, 8, -1, dtype.BFloat16, true, inOrder)
		var data []byte
		for _, row := range g.q {
			for _, q := range row {
				data = append(data, byte(q-128))
			}
		}
		w := object{"num_bits": 8, "type": "int", "symmetric": true, "strategy": "channel"}
		check(t, source(compressedConfig(format, w), octets(layer+".weight", "I8", data, 48, 96), g.scales(layer+".weight_scale", false),
			floats(layer+".input_scale", dtype.Float32, []float64{3}, 1)), g.value(), "affine", dtype.BFloat16)
	}
}

// TestMixedLayers: layers of different schemes get entries of their own, those that are
// left out stay as they are, and names of other parts of the configuration stay.
func TestMixedLayers(t *testing.T) {
	four := newGrid(rand.New(rand.NewPCG(7, 4)), 64, 128, 4, 32, dtype.BFloat16, true, inOrder)
	eight := newGrid(rand.New(rand.NewPCG(8, 4)), 64, 128, 8, 64, dtype.BFloat16, true, inOrder)
	rename := func(ts []safetensors.Tensor, to string) (out []safetensors.Tensor) {
		for _, x := range ts {
			if rest, ok := strings.CutPrefix(x.Name, layer); ok {
				x.Name = to + rest
				out = append(out, x)
			}
		}
		return out
	}
	const up, gate, down = "model.layers.0.mlp.up_proj", "model.layers.0.mlp.gate_proj", "model.layers.0.mlp.down_proj"
	ts := slices.Concat(packCompressed(four, true, false, false), rename(packCompressed(four, true, false, false), gate), rename(packCompressed(eight, true, false, false), down),
		[]safetensors.Tensor{floats(up+".bias", dtype.BFloat16, make([]float64, 64), 64), floats("lm_head.weight", dtype.BFloat16, make([]float64, 64), 1, 64)})
	c := compressedConfig("pack-quantized", object{"num_bits": 4, "type": "int", "symmetric": true, "group_size": 32},
		object{"targets": []string{"re:.*down_proj"}, "weights": object{"num_bits": 8, "type": "int", "symmetric": true, "group_size": 64}})
	inner := object{"model_type": "llama", "quantization_config": c["quantization_config"], "hidden_size": 128}
	for _, c := range []object{c, {"model_type": "mistral3", "text_config": inner}} {
		all, config, report := translated(t, source(c, ts...))
		same(t, decoded(t, all, config, up), four.value())
		same(t, decoded(t, all, config, gate), four.value())
		same(t, decoded(t, all, config, down), eight.value())
		q := config["quantization"].(map[string]any)
		own, _ := q[down].(map[string]any)
		if q["bits"] != 4.0 || q["group_size"] != 32.0 || own["bits"] != 8.0 || len(q) != 4 {
			t.Errorf("quantization is %v", q)
		}
		if all[up+".bias"].Data == nil || all["lm_head.weight"].Data == nil || report.Used["lm_head.weight"] {
			t.Error("a tensor that is not packed is gone")
		}
		if in, ok := config["text_config"].(map[string]any); ok && (in["quantization_config"] != nil || in["hidden_size"] != 128.0) {
			t.Errorf("text_config is %v", in)
		}
	}
}

// TestUnchanged: models in no foreign format.
func TestUnchanged(t *testing.T) {
	for _, c := range []object{
		{"model_type": "llama"},
		{"model_type": "llama", "quantization_config": nil},
		{"model_type": "llama", "quantization": object{"bits": 4, "group_size": 64}, "quantization_config": object{"bits": 4, "group_size": 64}},
		{"model_type": "llama", "quantization_config": object{"bits": 4, "group_size": 64}},
		{"model_type": "bitnet", "quantization_config": object{"quant_method": "bitnet"}},
	} {
		s := source(c, embedding())
		out, report, err := foreign.Translate(s, foreign.Options{})
		if err != nil || report != nil || len(out.Tensors) != 1 {
			t.Errorf("%v: %v %v", c, report, err)
		}
	}
}
