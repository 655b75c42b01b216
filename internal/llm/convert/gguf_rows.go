package convert

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"runtime"
	"sync"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/fmap"
	"github.com/mlxgo/mlx/internal/hf/gguf"
	"github.com/mlxgo/mlx/internal/llm/weights"
)

// fillFloats writes float32.
func fillFloats(x []float32) func(io.Writer) error {
	return func(w io.Writer) error {
		b, err := gguf.Quantize(nil, gguf.F32, x)
		if err != nil {
			return err
		}
		_, err = w.Write(b)
		return err
	}
}

// ggufDTypes are the types that have the elements of a dtype as they are.
var ggufDTypes = map[string]gguf.Type{"F32": gguf.F32, "F16": gguf.F16, "BF16": gguf.BF16}

// packed reports whether the layer at path is packed.
func (w *ggufWriter) packed(path string) bool {
	_, ok := w.tensors[path+".scales"]
	return ok && w.config.whole != nil
}

// float is the tensor of a name with floating elements; that of a packed layer is
// unpacked when it is read.
func (w *ggufWriter) float(name string) (weights.Tensor, error) {
	t := w.tensors[name]
	path, suffix, _ := cutLast(name)
	if suffix == "weight" && w.packed(path) {
		return w.unpacked(t, path)
	}
	if _, ok := ggufDTypes[t.RawDType]; !ok || len(t.Shape) == 0 {
		return t, fmt.Errorf("tensor %s is %s of shape %v, which cannot be written as GGUF", name, t.RawDType, t.Shape)
	}
	return t, nil
}

// unpacked is a packed layer's matrix as float32 [rows, cols].
func (w *ggufWriter) unpacked(t weights.Tensor, path string) (weights.Tensor, error) {
	s, own := w.config.schemes[path]
	if !own {
		s = *w.config.whole
	}
	if len(t.Shape) != 2 {
		return t, fmt.Errorf("tensor %s of shape %v is no packed matrix", t.Name, t.Shape)
	}
	parts := []weights.Tensor{t, w.tensors[path+".scales"]}
	if biases, ok := w.tensors[path+".biases"]; ok {
		parts = append(parts, biases)
	}
	out := weights.Tensor{}
	out.Name, out.RawDType, out.DType = t.Name, "F32", dtype.Float32
	out.Shape = []int{t.Shape[0], t.Shape[1] * 32 / s.Bits}
	out.Make = func() (data []byte, err error) {
		arrays := make([]*mlx.Array, 3)
		for i, p := range parts {
			b, err := p.Bytes()
			if err != nil {
				return nil, err
			}
			arrays[i] = mlx.FromBytes(b, p.Shape, p.DType)
		}
		err = mlx.Try(func() {
			x := mlx.Dequantize(mlx.Quantized{Weight: arrays[0], Scales: arrays[1], Biases: arrays[2], Scheme: s}, mlx.DType(mlx.Float32))
			data = x.Bytes()
		})
		return data, err
	}
	return out, nil
}

// fill writes the rows of t as blocks of a type, in the order of the file.
func (w *ggufWriter) fill(t weights.Tensor, kind gguf.Type, row func(int) int) func(io.Writer) error {
	return func(to io.Writer) error {
		data, err := t.Bytes()
		if err != nil {
			return err
		}
		rows, cols := 1, t.Shape[len(t.Shape)-1]
		if len(t.Shape) > 1 || row != nil { // elements of a vector that is turned are rows
			rows = t.Shape[0]
			cols = 1
			for _, d := range t.Shape[1:] {
				cols *= d
			}
		}
		r := ggufRows{data: data, from: ggufDTypes[t.RawDType], to: kind, cols: cols, row: row}
		step := max(1, (4<<20)/cols)
		for i := 0; i < rows; i += step {
			if err := w.ctx.Err(); err != nil {
				return err
			}
			b, err := r.blocks(i, min(i+step, rows))
			if err != nil {
				return err
			}
			if _, err := to.Write(b); err != nil {
				return err
			}
		}
		return nil
	}
}

// ggufRows makes blocks of rows.
type ggufRows struct {
	data     []byte
	from, to gguf.Type
	cols     int
	row      func(int) int
}

// blocks are those of rows [from, to), made on all cores.
func (r *ggufRows) blocks(from, to int) ([]byte, error) {
	size := r.cols / r.to.Block() * r.to.BlockBytes()
	out := make([]byte, (to-from)*size)
	workers := min(runtime.GOMAXPROCS(0), to-from)
	errs := make([]error, workers)
	var wg sync.WaitGroup
	for k := range workers {
		begin, end := (to-from)*k/workers, (to-from)*(k+1)/workers
		wg.Go(func() {
			errs[k] = fmap.Guard(func() error {
				x := make([]float32, r.cols)
				for i := begin; i < end; i++ {
					if err := r.one(out[i*size:i*size:(i+1)*size], from+i, x); err != nil {
						return err
					}
				}
				return nil
			})
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// one writes a row of the file; x is scratch.
func (r *ggufRows) one(out []byte, i int, x []float32) error {
	if r.row != nil {
		i = r.row(i)
	}
	n := r.cols * r.from.BlockBytes()
	row := r.data[i*n : (i+1)*n]
	if r.from == r.to {
		copy(out[:n], row)
		return nil
	}
	switch r.from {
	case gguf.F32:
		for j := range x {
			x[j] = math.Float32frombits(binary.LittleEndian.Uint32(row[4*j:]))
		}
	case gguf.F16:
		for j := range x {
			x[j] = dtype.F16ToF32(binary.LittleEndian.Uint16(row[2*j:]))
		}
	default:
		for j := range x {
			x[j] = dtype.BF16ToF32(binary.LittleEndian.Uint16(row[2*j:]))
		}
	}
	_, err := gguf.Quantize(out, r.to, x)
	return err
}
