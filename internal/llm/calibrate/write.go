package calibrate

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/convert"
	"github.com/mlxgo/mlx/internal/llm/weights"
	"github.com/mlxgo/mlx/internal/quant"
	"github.com/mlxgo/mlx/nn"
)

// entry is a scheme as config.json has it.
type entry struct {
	GroupSize int        `json:"group_size"`
	Bits      int        `json:"bits"`
	Mode      quant.Mode `json:"mode"`
}

func entryOf(s quant.Scheme) entry { return entry{s.GroupSize, s.Bits, s.Mode} }

// write writes the model as it is now.
func (j *job) write(out string) (*convert.Result, error) {
	src, digest, err := j.result()
	if err != nil {
		return nil, err
	}
	o := j.o.Convert
	o.Identity = j.o.Method + " " + digest
	o.Quantize, o.Dequantize, o.Recipe, o.Rules, o.Remove, o.DType = false, false, "", nil, nil, &j.dtype
	o.Line, o.Note = nil, j.o.Note
	o.Progress = func(done, total int64) { j.o.Progress("write", int(done>>10), int(total>>10)) }
	return convert.Run(j.ctx, src, out, o)
}

// result is the model as a source, and a sum of its tensors.
func (j *job) result() (llm.Source, string, error) {
	block := map[string]any{"group_size": j.o.Scheme.GroupSize, "bits": j.o.Scheme.Bits, "mode": j.o.Scheme.Mode}
	name := convert.FileNames(j.m.Model)
	for path, s := range j.bits {
		block[name(path)] = entryOf(s)
	}
	config, err := convert.WithQuantization(j.m.Config.Raw, block)
	if err != nil {
		return llm.Source{}, "", err
	}
	sum := sha256.New()
	var tensors []weights.Tensor
	for path, a := range nn.Parameters(j.m.Model) {
		t, err := convert.TensorOf(path, a.DType(), a.Shape())
		if err != nil {
			return llm.Source{}, "", err
		}
		t.Data = a.Bytes()
		fmt.Fprint(sum, t.Name, t.Shape, t.RawDType)
		sum.Write(t.Data)
		tensors = append(tensors, t)
	}
	return convert.Changed(j.src, j.m.Model, config, tensors), hex.EncodeToString(sum.Sum(nil)), nil
}

// bitsPerWeight is the size of the model's parameters with these schemes over their
// number, as mlx-lm counts.
func bitsPerWeight(m llm.Model, schemes map[string]quant.Scheme, dtype mlx.DType) float64 {
	var bits, n float64
	sizes := maps.Collect(nn.Parameters(m))
	for path, a := range sizes {
		one := float64(a.DType().Size() * 8)
		if layer := path[:max(len(path)-len(".weight"), 0)]; layer+".weight" == path {
			if s, ok := schemes[layer]; ok {
				one = float64(s.Bits) + 2*8*float64(dtype.Size())/float64(s.GroupSize)
			}
		}
		bits += one * float64(a.Size())
		n += float64(a.Size())
	}
	return bits / n
}
