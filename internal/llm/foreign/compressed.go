package foreign

import (
	"encoding/binary"
	"fmt"

	"github.com/mlxgo/mlx/internal/llm/weights"
)

// compressed-tensors. A layer has weight_packed (integers in I32, 4-bit floats in U8) or
// weight (8-bit floats or integers), weight_scale, and more by its scheme. References:
// compressed_tensors/compressors/quantized_compressors/{pack_quantized,naive_quantized,
// nvfp4_quantized}.py.

// activationScales are for rounding activations and caches, which is not done here.
var activationScales = []string{".input_scale", ".input_zero_point", ".input_global_scale", ".output_scale", ".output_zero_point",
	".k_scale", ".v_scale", ".q_scale", ".activation_scale"}

func (t *translation) compressed() error {
	if t.config.Format != "" {
		t.report.Format += " " + t.config.Format
	}
	for _, path := range t.paths(".weight_packed") {
		packed := t.tensors[path+".weight_packed"]
		var err error
		switch packed.RawDType {
		case "U8":
			err = t.compressedFloats4(path)
		default:
			err = t.compressedInts(path)
		}
		if err != nil {
			return err
		}
		t.drop(path, activationScales...)
	}
	for _, path := range t.paths(".weight_scale") {
		if t.report.Used[path+".weight_scale"] {
			continue
		}
		w, ok := t.tensors[path+".weight"]
		if !ok {
			return fmt.Errorf("%s.weight_scale: there is no %s.weight beside it", path, path)
		}
		var err error
		switch w.RawDType {
		case "I8":
			err = t.compressedBytes(path)
		case "F8_E4M3", "F8_E5M2":
			err = t.scaled8(path+".weight", path+".weight_scale", t.compressedBlock(path))
		default:
			err = fmt.Errorf("%s: dtype %s with scales beside it is not supported: the checkpoint is not compressed", w.Name, w.RawDType)
		}
		if err != nil {
			return err
		}
		t.drop(path, activationScales...)
	}
	for _, path := range t.paths("_scale") { // scales of attention's caches
		for _, kind := range []string{".k", ".v", ".q"} {
			if len(path) > len(kind) && path[len(path)-len(kind):] == kind {
				t.take(path + "_scale")
			}
		}
	}
	return nil
}

// compressedBlock is the layer's block_structure, nil if there is none.
func (t *translation) compressedBlock(path string) []int {
	if g, err := t.config.groupOf(path); err == nil && g != nil {
		return g.Block
	}
	return nil
}

// compressedInts: weight_packed I32 [out, in*bits/32] has the unsigned codes of a row,
// as many whole ones in a word as fit, lowest first; q - 2^(bits-1) is the signed integer.
// weight_scale is [out, groups]; weight_zero_point I32 is packed alike along the outputs,
// older ones are I8 [out, groups], signed. weight_shape is [out, in].
func (t *translation) compressedInts(path string) error {
	q, _ := t.take(path + ".weight_packed")
	if err := checkInts(q, 2); err != nil {
		return err
	}
	if count(q.Shape) == 0 {
		return fmt.Errorf("%s: shape %v has no elements", q.Name, q.Shape)
	}
	g, err := t.config.groupOf(path)
	if err != nil {
		return err
	}
	if g == nil || g.NumBits < 1 || g.NumBits > 8 || g.Type == "float" {
		return t.config.fault("config_groups", "%s is packed in I32, which goes with integers of 1 to 8 bits, num_bits and type say otherwise", path)
	}
	per := 32 / g.NumBits
	in, err := t.compressedWidth(path, q, per)
	if err != nil {
		return err
	}
	x := &ints{path: path, rows: q.Shape[0], cols: in, bits: g.NumBits, from: q}
	if err := t.compressedScales(x, g); err != nil {
		return err
	}
	if err := t.compressedZeros(x, g); err != nil {
		return err
	}
	if x.groupOf, err = t.groupIndex(path+".weight_g_idx", x, g.actOrder()); err != nil {
		return err
	}
	words := q.Shape[1]
	x.codes = func(dst, data []byte, begin, end int) {
		for row := begin; row < end; row++ {
			for c := range in {
				word := binary.LittleEndian.Uint32(data[4*(row*words+c/per):])
				dst[(row-begin)*in+c] = byte(word>>(c%per*x.bits)) & (1<<x.bits - 1)
			}
		}
	}
	x.asIs = 32%x.bits == 0 && words*per == in
	return t.add(x)
}

// compressedWidth is the number of inputs, which weight_shape tells.
func (t *translation) compressedWidth(path string, q weights.Tensor, per int) (int, error) {
	in := q.Shape[1] * per
	shape, ok := t.take(path + ".weight_shape")
	if !ok {
		return in, nil
	}
	if !hasData(shape) { // most likely what groups divide
		if index, ok := t.tensors[path+".weight_g_idx"]; ok && len(index.Shape) == 1 && index.Shape[0] > in-per && index.Shape[0] <= in {
			return index.Shape[0], nil
		}
		if n := in / 32 * 32; n > in-per {
			in = n
		}
		return in, nil
	}
	if (shape.RawDType != "I64" && shape.RawDType != "I32") || len(shape.Shape) != 1 || shape.Shape[0] != 2 {
		return 0, fmt.Errorf("%s: %s %v is not I64 [2]", shape.Name, shape.RawDType, shape.Shape)
	}
	data, err := shape.Bytes()
	if err != nil {
		return 0, err
	}
	var dims [2]int64
	for i := range dims {
		if shape.RawDType == "I32" {
			dims[i] = int64(int32(binary.LittleEndian.Uint32(data[4*i:])))
		} else {
			dims[i] = int64(binary.LittleEndian.Uint64(data[8*i:]))
		}
	}
	if dims[0] != int64(q.Shape[0]) || dims[1] > int64(in) || dims[1] <= int64(in-per) || dims[1] < 1 {
		return 0, fmt.Errorf("%s: [%d, %d] does not go with %s %v of %d codes a word", shape.Name, dims[0], dims[1], q.Name, q.Shape, per)
	}
	return int(dims[1]), nil
}

// compressedScales reads weight_scale by its shape: a group's, a row's or the matrix's.
func (t *translation) compressedScales(x *ints, g *groupScheme) error {
	scales, err := t.need(x.path+".weight_scale", x.from.Name)
	if err != nil {
		return err
	}
	if err := checkFloats(scales); err != nil {
		return err
	}
	x.scales, x.group, x.groups = scales, x.cols, 1
	fit := fmt.Errorf("%s: shape %v does not go with %d outputs of %d inputs", scales.Name, scales.Shape, x.rows, x.cols)
	switch n := count(scales.Shape); {
	case x.rows == 0 || x.cols == 0:
		return fit
	case n == 1:
		x.scaleAt = func(int, int) int { return 0 }
		return nil
	case len(scales.Shape) > 2 || scales.Shape[0] != x.rows || n%x.rows != 0 || n == 0:
		return fit
	default:
		x.groups = n / x.rows
	}
	x.group = (x.cols + x.groups - 1) / x.groups
	if x.groups > 1 && g.GroupSize != nil && *g.GroupSize > 0 {
		x.group = *g.GroupSize
	}
	if (x.cols+x.group-1)/x.group != x.groups {
		return fmt.Errorf("%w in groups of %d", fit, x.group)
	}
	groups := x.groups
	x.scaleAt = func(row, group int) int { return row*groups + group }
	return nil
}

// compressedZeros reads weight_zero_point, if there is one, as unsigned codes.
func (t *translation) compressedZeros(x *ints, g *groupScheme) error {
	name := x.path + ".weight_zero_point"
	zeros, ok := t.take(name)
	if !ok {
		if g.Symmetric != nil && !*g.Symmetric {
			return fmt.Errorf("%s: there is no %s beside it, but %s says that it is not symmetric", x.from.Name, name, t.config.key)
		}
		return nil
	}
	per, groups, rows := 32/x.bits, x.groups, x.rows
	if count(x.scales.Shape) == 1 {
		rows = 1
	}
	x.zerosData = hasData(zeros)
	n := count(zeros.Shape)
	at := func(row, group int) int { return min(row, rows-1)*groups + group }
	switch {
	case zeros.RawDType == "I8" && n == rows*groups:
		middle := 1 << (x.bits - 1)
		x.zeroAt = func() (func(row, group int) int, error) {
			data, err := zeros.Bytes()
			return func(row, group int) int { return int(int8(data[at(row, group)])) + middle }, err
		}
	case (zeros.RawDType == "I32" || zeros.RawDType == "U32") && n == (rows+per-1)/per*groups:
		bits := x.bits
		x.zeroAt = func() (func(row, group int) int, error) {
			data, err := zeros.Bytes()
			return func(row, group int) int {
				row = min(row, rows-1)
				word := binary.LittleEndian.Uint32(data[4*(row/per*groups+group):])
				return int(word>>(row%per*bits)) & (1<<bits - 1)
			}, err
		}
	default:
		return fmt.Errorf("%s: %s %v does not go with %d outputs of %d groups of %d bits", name, zeros.RawDType, zeros.Shape, rows, groups, x.bits)
	}
	return nil
}

// compressedBytes: weight I8 [out, in], signed.
func (t *translation) compressedBytes(path string) error {
	w, _ := t.take(path + ".weight")
	if len(w.Shape) != 2 {
		return fmt.Errorf("%s: shape %v has %d axes, not 2", w.Name, w.Shape, len(w.Shape))
	}
	g, err := t.config.groupOf(path)
	if err != nil {
		return err
	}
	if g == nil {
		g = &groupScheme{}
	}
	x := &ints{path: path, rows: w.Shape[0], cols: w.Shape[1], bits: 8, from: w}
	if err := t.compressedScales(x, g); err != nil {
		return err
	}
	if err := t.compressedZeros(x, g); err != nil {
		return err
	}
	if x.groupOf, err = t.groupIndex(path+".weight_g_idx", x, g.actOrder()); err != nil {
		return err
	}
	x.codes = func(dst, data []byte, begin, end int) {
		for i, c := range data[begin*x.cols : end*x.cols] {
			dst[i] = c ^ 0x80
		}
	}
	return t.add(x)
}
