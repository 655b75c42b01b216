// Package peft reads and writes adapters of Hugging Face's PEFT, kind LoRA, in the terms
// of mlx-lm: a directory with adapter_config.json and adapter_model.safetensors (or .bin).
//
// PEFT's layer is W x + s B (A x) with A [rank, in] and B [out, rank]; mlx-lm's has
// both transposed. PEFT's s is lora_alpha/r, with use_rslora lora_alpha/sqrt(r), and may
// differ between layers; mlx-lm has one rank and one scale for all, see [Adapter.Uniform].
// DoRA is the same in both: rows of W + s B A are scaled to trained lengths.
// Source: peft/tuners/lora and peft/utils/save_and_load.py.
package peft

import (
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mlxgo/mlx"
)

// The files of an adapter's directory.
const (
	ConfigFile  = "adapter_config.json"
	WeightsFile = "adapter_model.safetensors"
	TorchFile   = "adapter_model.bin"
)

// An Adapter is a directory of PEFT's.
type Adapter struct {
	Dir     string
	Weights string // the name in Dir of the file that was read
	Base    string // the model that it was trained on, as it was called
	DoRA    bool
	Rank    int // r and the scale of layers that no pattern names
	Scale   float64
	Dropout float64
	// TiesHead: where the head is the embedding, a change of the one is one of the other.
	TiesHead bool
	Layers   map[string]Layer      // by the paths of transformers' modules
	Whole    map[string]*mlx.Array // parameters that were trained whole, by name
	Notes    []string              // what the user should know
}

// A Layer is what one layer has: A [in, rank], B [rank, out], of an embedding A [n, rank],
// B [rank, dims], and with DoRA M [out], else nil.
type Layer struct {
	A, B, M   *mlx.Array
	Scale     float64
	Embedding bool
}

// Open reads the adapter in dir. Errors name the file and the key or tensor; what only
// PEFT can run is refused.
func Open(dir string) (*Adapter, error) {
	c, err := readConfig(filepath.Join(dir, ConfigFile))
	if err != nil {
		return nil, err
	}
	a := &Adapter{
		Dir: dir, Base: c.Base, DoRA: c.DoRA, Rank: c.R, Scale: c.scale(c.R, c.Alpha), Dropout: c.Dropout,
		TiesHead: c.TiesHead, Layers: map[string]Layer{}, Whole: map[string]*mlx.Array{}, Notes: c.notes,
	}
	tensors, name, err := readTensors(dir)
	if err != nil {
		return nil, err
	}
	a.Weights = name
	if err := a.collect(c, tensors); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, name), err)
	}
	return a, nil
}

// collect gives each tensor its place.
func (a *Adapter) collect(c *config, tensors map[string]*mlx.Array) error {
	parts, adapter, first := map[string]map[part]*mlx.Array{}, "", ""
	for _, name := range slices.Sorted(maps.Keys(tensors)) {
		n, err := parseName(name)
		if err != nil {
			return err
		}
		if n.adapter != "" {
			if adapter != "" && adapter != n.adapter {
				return fmt.Errorf("it holds two adapters, %s (%s) and %s (%s): save them one by one", adapter, first, n.adapter, name)
			}
			adapter, first = n.adapter, name
		}
		t := tensors[name]
		if !t.DType().Is(mlx.Floating) || t.DType() == mlx.Float64 {
			return fmt.Errorf("tensor %s has the dtype %v: float32, float16 and bfloat16 are read", name, t.DType())
		}
		if n.part == whole {
			if a.Whole[n.module] != nil {
				return fmt.Errorf("it holds %s twice", n.module)
			}
			a.Whole[n.module] = t
			continue
		}
		if parts[n.module] == nil {
			parts[n.module] = map[part]*mlx.Array{}
		}
		if parts[n.module][n.part] != nil {
			return fmt.Errorf("it holds %s of %s twice", n.part, n.module)
		}
		parts[n.module][n.part] = t
	}
	for _, module := range slices.Sorted(maps.Keys(parts)) {
		l, err := newLayer(c, module, parts[module])
		if err != nil {
			return fmt.Errorf("%s: %w", module, err)
		}
		a.Layers[module] = l
	}
	if len(a.Layers)+len(a.Whole) == 0 {
		return fmt.Errorf("it holds no tensors: it changes nothing")
	}
	return c.checkWhole(a)
}

// newLayer turns the parts of a layer and checks them by the configuration.
func newLayer(c *config, module string, p map[part]*mlx.Array) (Layer, error) {
	l := Layer{Embedding: p[embeddingA] != nil || p[embeddingB] != nil}
	a, b := linearA, linearB
	if l.Embedding {
		a, b = embeddingA, embeddingB
	}
	l.A, l.B, l.M = p[a], p[b], p[magnitude]
	want := 2
	if c.DoRA {
		want = 3
	}
	switch {
	case l.A == nil:
		return l, fmt.Errorf("%s is missing", a)
	case l.B == nil:
		return l, fmt.Errorf("%s is missing", b)
	case c.DoRA && l.Embedding:
		return l, fmt.Errorf("use_dora: DoRA of an embedding scales its columns in PEFT and its rows in mlx-lm: merge the adapter with PEFT")
	case c.DoRA && l.M == nil:
		return l, fmt.Errorf("%s is missing, and use_dora is true", magnitude)
	case !c.DoRA && l.M != nil:
		return l, fmt.Errorf("it has %s, but use_dora is not true", magnitude)
	case len(p) != want:
		return l, fmt.Errorf("it has parts of a linear layer and of an embedding")
	}
	if l.A.NDim() != 2 || l.B.NDim() != 2 || l.A.Dim(0) != l.B.Dim(1) || l.A.Size() == 0 || l.B.Size() == 0 {
		return l, fmt.Errorf("%s has shape %v and %s %v: [rank, in] and [out, rank] are read", a, l.A.Shape(), b, l.B.Shape())
	}
	if l.M != nil && !slices.Equal(l.M.Shape(), mlx.Shape{l.B.Dim(0)}) {
		return l, fmt.Errorf("%s has shape %v, not (%d,)", magnitude, l.M.Shape(), l.B.Dim(0))
	}
	rank, alpha, err := c.of(module, l.Embedding)
	if err != nil {
		return l, err
	}
	if l.A.Dim(0) != rank {
		return l, fmt.Errorf("its rank is %d, and %s says %d", l.A.Dim(0), ConfigFile, rank)
	}
	l.Scale = c.scale(rank, alpha)
	l.A, l.B = mlx.Contiguous(l.A.T(), false), mlx.Contiguous(l.B.T(), false)
	return l, nil
}

// A Uniform adapter has one rank and one scale, as mlx-lm's: tensors by path of
// transformers' module and lora_a, lora_b, m, and whole parameters.
type Uniform struct {
	Rank    int
	Scale   float64
	Tensors map[string]*mlx.Array
	Notes   []string
}

// Uniform gives all layers the greatest rank, with zeros, which is exact, and one scale:
// that of most layers. Where a layer's own differs the ratio goes into lora_b, exactly
// when it is a power of two; otherwise lora_b is rounded, as float32.
func (a *Adapter) Uniform() (*Uniform, error) {
	u := &Uniform{Scale: a.commonScale(), Tensors: map[string]*mlx.Array{}}
	padded, exact, rounded := 0, 0, 0
	for _, l := range a.Layers {
		u.Rank = max(u.Rank, l.A.Dim(1))
	}
	for path, l := range a.Layers {
		x, y := l.A, l.B
		if more := u.Rank - x.Dim(1); more > 0 {
			x, y = mlx.Pad(x, [][2]int{{0, 0}, {0, more}}), mlx.Pad(y, [][2]int{{0, more}, {0, 0}})
			padded++
		}
		if ratio := l.Scale / u.Scale; l.Scale != u.Scale {
			if math.IsInf(ratio, 0) || math.IsNaN(ratio) {
				return nil, fmt.Errorf("%s: its scale is %g and that of other layers %g: no factor leads from one to the other", path, l.Scale, u.Scale)
			}
			fraction, _ := math.Frexp(ratio)
			if math.Abs(fraction) == 0.5 {
				exact++
			} else {
				rounded++
			}
			if y.DType() != mlx.BFloat16 || math.Abs(fraction) != 0.5 { // float16 has few exponents
				y = y.AsType(mlx.Float32)
			}
			y = y.Mul(ratio)
		}
		u.Tensors[path+".lora_a"], u.Tensors[path+".lora_b"] = x, y
		if l.M != nil {
			u.Tensors[path+".m"] = l.M
		}
	}
	for name, t := range a.Whole {
		u.Tensors[a.wholeName(name)] = t
	}
	if padded > 0 {
		u.Notes = append(u.Notes, fmt.Sprintf("ranks differ: %d of %d layers are padded with zeros to rank %d, which changes nothing", padded, len(a.Layers), u.Rank))
	}
	if exact+rounded > 0 {
		u.Notes = append(u.Notes, fmt.Sprintf("scales differ: lora_b of %d of %d layers takes the ratio to %g, exactly in %d (powers of two), rounded to float32 in %d",
			exact+rounded, len(a.Layers), u.Scale, exact, rounded))
	}
	return u, mlx.Eval(slices.Collect(maps.Values(u.Tensors)))
}

// commonScale is the scale of most layers, that of the configuration before others; one
// of 0 only if all have it.
func (a *Adapter) commonScale() float64 {
	count := map[float64]int{}
	for _, l := range a.Layers {
		count[l.Scale]++
	}
	best := a.Scale
	if best == 0 {
		count[0] = 0
	}
	for _, s := range slices.Sorted(maps.Keys(count)) {
		if s != 0 && count[s] > count[best] {
			best = s
		}
	}
	return best
}

// wholeName is mlx-lm's name of a whole parameter: adapters hold their layer inside.
func (a *Adapter) wholeName(name string) string {
	at := strings.LastIndexByte(name, '.')
	l, ok := a.Layers[name[:at]]
	switch {
	case !ok:
		return name
	case l.Embedding:
		return name[:at] + ".embedding" + name[at:]
	}
	return name[:at] + ".linear" + name[at:]
}
