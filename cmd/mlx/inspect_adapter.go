package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/mlxgo/mlx/internal/hf/hub"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/convert"
	"github.com/mlxgo/mlx/internal/llm/tune"
	"github.com/mlxgo/mlx/internal/llm/weights"
)

// adapterReport is what --json prints of an adapter.
type adapterReport struct {
	Adapter    string           `json:"adapter"`
	Kind       tune.Kind        `json:"fine_tune_type"`
	Rank       int              `json:"rank,omitempty"`  // of lora and dora
	Scale      float64          `json:"scale,omitempty"` // likewise
	Base       string           `json:"model"`           // as it was called in training
	Blocks     []int            `json:"layers"`          // the numbers of blocks that change
	Changed    int              `json:"changed"`         // layers, of full fine-tuning tensors
	Keys       []string         `json:"keys"`            // their names, * stands for a number
	Parameters int64            `json:"parameters"`
	Bytes      int64            `json:"bytes"`
	Tensors    []llm.TensorInfo `json:"tensors"`
}

// isAdapter reports whether dir has an adapter and no model.
func isAdapter(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "config.json"))
	info, has := os.Stat(filepath.Join(dir, tune.AdapterConfig))
	return errors.Is(err, fs.ErrNotExist) && has == nil && info.Mode().IsRegular()
}

func (o *inspectOptions) inspectAdapter(s *streams) error {
	for name, given := range map[string]bool{"revision": o.Revision != "", "dtype": o.DType != "", "context": o.Context != 0} {
		if given {
			return usagef("--%s is for models, and %s is an adapter", name, o.Model)
		}
	}
	a, err := tune.OpenAdapter(o.Model)
	if err != nil {
		return err
	}
	r := adapterReport{Adapter: o.Model, Kind: a.Kind, Rank: a.Rank, Scale: a.Scale, Base: a.Model}
	if err := r.describe(a); err != nil {
		return err
	}
	if o.JSON {
		return writeJSON(s, r)
	}
	w := newTable(s.out)
	w.line("adapter", "%s", r.Adapter)
	w.line("kind", "%s", r.Kind)
	if a.Kind != tune.Full {
		w.line("rank", "%d", r.Rank)
		w.line("scale", "%g", r.Scale)
	}
	w.line("base", "%s", orNone(r.Base))
	w.line("layers", "%s", ranges(r.Blocks))
	for at, key := range r.Keys {
		w.line(map[bool]string{true: "keys"}[at == 0], "%s", key)
	}
	w.line("changes", "%s", plural(r.Changed, map[bool]string{true: "tensor", false: "layer"}[a.Kind == tune.Full]))
	w.line("parameters", "%s", grouped(r.Parameters))
	w.line("tensors", "%d, %s", len(r.Tensors), hub.Bytes(r.Bytes))
	fmt.Fprintln(w)
	writeTensors(w, r.Tensors, o.Tensors)
	return w.Flush()
}

// describe lists the tensors and counts what they change.
func (r *adapterReport) describe(a *tune.Adapter) error {
	changed, keys, blocks := map[string]bool{}, map[string]bool{}, map[int]bool{}
	var tensors []weights.Tensor
	for name, t := range a.Tensors {
		info, err := convert.TensorOf(name, t.DType(), t.Shape())
		if err != nil {
			return err
		}
		tensors = append(tensors, info)
		r.Parameters += int64(t.Size())
		r.Bytes += int64(t.NBytes())
		if a.Kind != tune.Full {
			name = name[:max(strings.LastIndexByte(name, '.'), 0)]
		}
		changed[name], keys[withoutNumbers(name)] = true, true
		for part := range strings.SplitSeq(name, ".") {
			if n, err := strconv.Atoi(part); err == nil {
				blocks[n] = true
				break // experts are inside of blocks
			}
		}
	}
	r.Changed, r.Keys, r.Blocks = len(changed), slices.Sorted(maps.Keys(keys)), slices.Sorted(maps.Keys(blocks))
	if r.Blocks == nil {
		r.Blocks = []int{}
	}
	r.Tensors = llm.InspectTensors(tensors)
	for i := range r.Tensors {
		r.Tensors[i].File = a.WeightsFile()
	}
	return nil
}

// ranges writes sorted numbers as 0-3, 5.
func ranges(numbers []int) string {
	var parts []string
	for i := 0; i < len(numbers); {
		j := i
		for j+1 < len(numbers) && numbers[j+1] == numbers[j]+1 {
			j++
		}
		part := strconv.Itoa(numbers[i])
		if j > i {
			part += "-" + strconv.Itoa(numbers[j])
		}
		parts = append(parts, part)
		i = j + 1
	}
	return orNone(strings.Join(parts, ", "))
}
