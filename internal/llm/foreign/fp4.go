package foreign

import (
	"fmt"
	"math"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/llm/weights"
)

// Weights of 4-bit floats (e2m1), two in a byte, the first one low: MLX's order.

// mxfp4 is gpt-oss's packing: NAME_blocks U8 [..., out, in/32, 16] and NAME_scales U8
// [..., out, in/32], exponents with bias 127. They are MLX's NAME.weight and NAME.scales.
func (t *translation) mxfp4() error {
	for _, path := range t.paths("_blocks") {
		blocks, _ := t.take(path + "_blocks")
		scales, err := t.need(path+"_scales", blocks.Name)
		if err != nil {
			return err
		}
		n := len(blocks.Shape)
		if blocks.RawDType != "U8" || n < 3 || blocks.Shape[n-1] != 16 {
			return fmt.Errorf("%s: %s %v is not U8 [..., out, in/32, 16]", blocks.Name, blocks.RawDType, blocks.Shape)
		}
		if (scales.RawDType != "U8" && scales.RawDType != "F8_E8M0") || fmt.Sprint(scales.Shape) != fmt.Sprint(blocks.Shape[:n-1]) {
			return fmt.Errorf("%s: %s %v does not go with blocks %v", scales.Name, scales.RawDType, scales.Shape, blocks.Shape)
		}
		words := append([]int{}, blocks.Shape[:n-1]...)
		words[n-2] *= 4
		err = t.pack(path, scheme{32, 4, "mxfp4"}, viewOf(path+".weight", dtype.Uint32, words, blocks),
			viewOf(path+".scales", dtype.Uint8, scales.Shape, scales))
		if err != nil {
			return err
		}
		if bias, ok := t.take(path + "_bias"); ok {
			bias.Name = path + ".bias"
			if err := t.put(bias); err != nil {
				return err
			}
		}
	}
	return nil
}

// floats4 is a matrix of 4-bit floats with a scale for each group of columns, and a
// divisor of all scales.
type floats4 struct {
	w, scale   weights.Tensor
	global     float32
	rows, cols int
	group      int
}

// compressedFloats4: weight_packed U8 [out, in/2]; nvfp4 has weight_scale F8_E4M3
// [out, in/16] that weight_global_scale divides, mxfp4 has exponents U8 [out, in/32].
func (t *translation) compressedFloats4(path string) error {
	x := floats4{global: 1}
	x.w, _ = t.take(path + ".weight_packed")
	var err error
	if x.scale, err = t.need(path+".weight_scale", x.w.Name); err != nil {
		return err
	}
	if len(x.w.Shape) != 2 || len(x.scale.Shape) != 2 || count(x.w.Shape) == 0 {
		return fmt.Errorf("%s: shape %v does not go with weight_scale %v", x.w.Name, x.w.Shape, x.scale.Shape)
	}
	x.rows, x.cols = x.w.Shape[0], 2*x.w.Shape[1]
	x.group = map[string]int{"F8_E4M3": 16, "U8": 32, "F8_E8M0": 32}[x.scale.RawDType]
	if x.group == 0 || x.scale.Shape[0] != x.rows || x.scale.Shape[1]*x.group != x.cols {
		return fmt.Errorf("%s: %s %v is neither nvfp4's F8_E4M3 [out, in/16] nor mxfp4's U8 [out, in/32] of %s %v",
			x.scale.Name, x.scale.RawDType, x.scale.Shape, x.w.Name, x.w.Shape)
	}
	words := []int{x.rows, x.cols / 8}
	weight := viewOf(path+".weight", dtype.Uint32, words, x.w)
	if x.group == 32 {
		return t.pack(path, scheme{32, 4, "mxfp4"}, weight, viewOf(path+".scales", dtype.Uint8, x.scale.Shape, x.scale))
	}
	known, err := t.globalScale(path, &x)
	if err != nil {
		return err
	}
	if known && words[1]*8 == x.cols {
		if scales, ok, err := x.divided(); err != nil {
			return err
		} else if ok {
			return t.pack(path, scheme{16, 4, "nvfp4"}, weight,
				tensorOf(path+".scales", dtype.Uint8, x.scale.Shape, x.scale, func() ([]byte, error) { return append([]byte{}, scales...), nil }))
		}
	}
	d := t.wide
	return t.widen(path, "MLX's nvfp4 has no scale for the whole matrix", tensorOf(path+".weight", d, []int{x.rows, x.cols}, x.w, func() ([]byte, error) { return x.widened(d) }))
}

// globalScale reads weight_global_scale; known is false for headers alone.
func (t *translation) globalScale(path string, x *floats4) (known bool, err error) {
	global, ok := t.take(path + ".weight_global_scale")
	if !ok {
		return hasData(x.scale), nil
	}
	if err := checkFloats(global); err != nil {
		return false, err
	}
	if count(global.Shape) != 1 {
		return false, fmt.Errorf("%s: shape %v is not one number", global.Name, global.Shape)
	}
	if !hasData(global) || !hasData(x.scale) {
		return false, nil
	}
	v, err := floatsOf(global)
	if err != nil {
		return false, err
	}
	if x.global = v[0]; !(x.global > 0) || math.IsInf(float64(x.global), 0) {
		return false, fmt.Errorf("%s: %v is no divisor of scales", global.Name, x.global)
	}
	return true, nil
}

// divided are the scales over the divisor as codes of e4m3, if these hold them.
func (x *floats4) divided() (codes []byte, ok bool, err error) {
	data, err := x.scale.Bytes()
	if err != nil {
		return nil, false, err
	}
	var to [256]int
	code := map[float32]int{}
	for c, v := range e4m3 {
		code[v] = c // of both zeros the last, which is -0
	}
	code[0] = 0
	for c, v := range e4m3 {
		to[c] = -1
		if q, found := code[v/x.global]; found && (v/x.global)*x.global == v {
			to[c] = q
		}
	}
	codes = make([]byte, len(data))
	for i, c := range data {
		if to[c] < 0 {
			return nil, false, nil
		}
		codes[i] = byte(to[c])
	}
	return codes, true, nil
}

// widened is the matrix in dtype d: float32 arithmetic, rounded once.
func (x *floats4) widened(d dtype.DType) ([]byte, error) {
	scales, err := floatsOf(x.scale)
	if err != nil {
		return nil, err
	}
	data, err := x.w.Bytes()
	if err != nil {
		return nil, err
	}
	out := make([]byte, x.rows*x.cols*d.Size())
	return out, inParallel(x.rows, 1, func(from, to int) error {
		for r := from; r < to; r++ {
			for c := range x.cols {
				code := data[(r*x.cols+c)/2] >> (4 * (c % 2)) & 15
				putFloat(out, d, r*x.cols+c, e2m1[code]*(scales[(r*x.cols+c)/x.group]/x.global))
			}
		}
		return nil
	})
}
