package llm

import (
	"encoding/binary"
	"fmt"
	"math"
	"runtime"
	"strings"
	"sync"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/hf/safetensors"
	"github.com/mlxgo/mlx/internal/llm/weights"
)

// Weights of 8-bit floats (quant_method fp8: DeepSeek's blocks, Mistral's one scale for
// a matrix) are widened at load, as mlx-lm does: code times the scale of its block.

const (
	fp8Scale = "_scale_inv" // after the weight's name
	fp8Type  = "F8_E4M3"
)

// pairFP8 takes the scales of 8-bit floats out of the tensors, and the scales of
// activations, which stay as they are.
func (l *loader) pairFP8(tensors map[string]weights.Tensor) error {
	l.scales = map[string]weights.Tensor{}
	for name, scale := range tensors {
		path, ok := strings.CutSuffix(name, fp8Scale)
		w, has := tensors[path]
		if !ok || !has || w.RawDType != fp8Type {
			continue
		}
		l.scales[path] = scale
	}
	for path, scale := range l.scales {
		w := tensors[path]
		if _, err := l.fp8Blocks(w.Shape, scale.Shape); err != nil {
			return fmt.Errorf("%s: %w", scale.Name, err)
		}
		if scale.RawDType != "F32" && scale.RawDType != "BF16" && scale.RawDType != "F16" {
			return fmt.Errorf("%s: dtype %s is not supported here", scale.Name, scale.RawDType)
		}
		delete(tensors, path+fp8Scale)
		base := strings.TrimSuffix(path, ".weight")
		for _, other := range []string{".activation_scale", ".input_scale"} {
			delete(tensors, base+other)
		}
	}
	return nil
}

// fp8Blocks is the size of the blocks of a matrix: all of it where there is one scale,
// else that of weight_block_size.
func (l *loader) fp8Blocks(w, scale []int) (block [2]int, err error) {
	if len(w) != 2 || w[0] == 0 || w[1] == 0 {
		return block, fmt.Errorf("scales of a weight of shape %v are not supported", w)
	}
	block = [2]int{w[0], w[1]}
	size := 1
	for _, n := range scale {
		size *= n
	}
	if size == 1 {
		return block, nil
	}
	if l.config.fp8Block != nil {
		block = *l.config.fp8Block
	}
	for i, b := range block {
		if len(scale) != 2 || b < 1 || (w[i]+b-1)/b != scale[i] {
			return block, fmt.Errorf("scales of shape %v do not fit a weight of shape %v in blocks of %v (weight_block_size)", scale, w, block)
		}
	}
	return block, nil
}

// widenFP8 is the weight of codes and scales in dtype d, [rows, cols] as it is.
func widenFP8(w, scale safetensors.Tensor, block [2]int, d mlx.DType) *mlx.Array {
	scales := mlx.ToSlice[float32](mlx.FromBytes(scale.Data, scale.Shape, scale.DType).AsType(mlx.Float32))
	rows, cols := w.Shape[0], w.Shape[1]
	perRow := (cols + block[1] - 1) / block[1]
	out := make([]byte, rows*cols*d.Size())
	var codes [256]float32
	for c := range codes {
		codes[c] = fp8Value(byte(c))
	}
	widen := func(row int) {
		from, to := w.Data[row*cols:][:cols], out[row*cols*d.Size():]
		for j, code := range from {
			x := codes[code] * scales[row/block[0]*perRow+j/block[1]]
			switch d {
			case mlx.BFloat16:
				binary.LittleEndian.PutUint16(to[2*j:], dtype.F32ToBF16(x))
			case mlx.Float16:
				binary.LittleEndian.PutUint16(to[2*j:], dtype.F32ToF16(x))
			default:
				binary.LittleEndian.PutUint32(to[4*j:], math.Float32bits(x))
			}
		}
	}
	var wait sync.WaitGroup
	n := runtime.GOMAXPROCS(0)
	for part := range n {
		wait.Go(func() {
			for row := part * rows / n; row < (part+1)*rows/n; row++ {
				widen(row)
			}
		})
	}
	wait.Wait()
	return mlx.FromBytes(out, w.Shape, d)
}

// fp8Value is the number of a code of E4M3: sign, 4 bits of exponent with bias 7, 3 of
// mantissa, no infinity.
func fp8Value(code byte) float32 {
	exponent, mantissa := int(code>>3&15), float64(code&7)
	x := math.Ldexp(1+mantissa/8, exponent-7)
	switch {
	case code&0x7f == 0x7f:
		x = math.NaN()
	case exponent == 0:
		x = math.Ldexp(mantissa/8, -6)
	}
	if code&0x80 != 0 {
		x = -x
	}
	return float32(x)
}
