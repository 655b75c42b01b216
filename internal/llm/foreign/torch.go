package foreign

import (
	"github.com/mlxgo/mlx/internal/hf/safetensors"
	"github.com/mlxgo/mlx/internal/hf/torchfile"
	"github.com/mlxgo/mlx/internal/llm/weights"
)

// Torch are the tensors of PyTorch's files: views of them, but for those that lie in
// another order.
func Torch(set *torchfile.Set) []weights.Tensor {
	files := map[*torchfile.File]*safetensors.File{} // for messages
	for _, f := range set.Files {
		files[f] = &safetensors.File{Path: f.Path}
	}
	out := make([]weights.Tensor, 0, len(set.Tensors))
	for _, t := range set.Tensors {
		w := weights.Tensor{Owner: t.File, Tensor: safetensors.Tensor{
			Name: t.Name, DType: t.DType, RawDType: t.RawDType, Shape: t.Shape, File: files[t.File],
		}}
		if data, ok := t.Data(); ok {
			w.Data = data
		} else {
			w.Make = t.Bytes
		}
		out = append(out, w)
	}
	return out
}
