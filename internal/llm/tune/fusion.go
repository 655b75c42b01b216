package tune

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/convert"
	"github.com/mlxgo/mlx/internal/llm/weights"
	"github.com/mlxgo/mlx/nn"
)

// FuseOptions say what goes into the weights of a model.
type FuseOptions struct {
	// New makes the models: models.New.
	New      llm.Constructor
	Adapters []Strong
	// Dequantize unpacks all layers that are packed, which keeps changes that few bits
	// would lose.
	Dequantize bool
}

// Strong is an adapter and how strongly it counts, 1 as it was trained.
type Strong struct {
	*Adapter
	Strength float64
}

// Fusion is a model with adapters in its weights. Layers are made one at a time, when
// their tensors are asked for; what no adapter changes stays where it is.
type Fusion struct {
	layout     *llm.Layout
	source     llm.Source
	identity   string
	dequantize bool

	params   map[string]llm.Param
	whole    map[string]*mlx.Array // parameters that an adapter replaces
	layers   map[string]nn.Layer   // with adapters, or to be unpacked
	changed  []string              // paths of layers and parameters, in the model's order
	packed   int                   // layers of the result that are
	unpacked int                   // layers of the model that are packed and will not be

	mu     sync.Mutex
	last   string // the unit that is in made
	made   map[string]*mlx.Array
	report map[string]Fused
}

// NewFusion puts adapters over the model in src, which has been read but for headers.
// Errors name the tensor that does not fit; it is one if nothing would change.
func NewFusion(src llm.Source, o FuseOptions) (*Fusion, error) {
	if len(o.Adapters) == 0 {
		return nil, errors.New("there is no adapter to fuse")
	}
	f32 := mlx.Float32 // the widest: every weight keeps its dtype
	l, err := llm.LayoutOf(src, llm.LoadOptions{New: o.New, DType: &f32})
	if err != nil {
		return nil, err
	}
	f := &Fusion{layout: l, dequantize: o.Dequantize, params: map[string]llm.Param{}, whole: map[string]*mlx.Array{}, report: map[string]Fused{}}
	for _, p := range l.Params {
		f.params[p.Path] = p
	}
	if err := f.put(o.Adapters); err != nil {
		return nil, err
	}
	f.find()
	if err := f.makeSource(src); err != nil {
		return nil, err
	}
	return f, f.check()
}

// Source is the fused model.
func (f *Fusion) Source() llm.Source { return f.source }

// Identity tells apart fusions of a model: it is a digest of the adapters and strengths.
func (f *Fusion) Identity() string { return f.identity }

// Packed is how many layers of the fused model are packed, Unpacked how many of the
// model's are not any more.
func (f *Fusion) Packed() int { return f.packed }

// Unpacked is described at Packed.
func (f *Fusion) Unpacked() int { return f.unpacked }

// put puts the adapters over the layout's model.
func (f *Fusion) put(adapters []Strong) error {
	sum := sha256.New()
	for _, a := range adapters {
		if _, err := a.Put(f.layout.Model, a.Strength); err != nil {
			return err
		}
		for path, t := range a.whole {
			if layer, weight := strings.CutSuffix(path, ".weight"); weight && f.params[layer+".scales"].Path != "" {
				return fmt.Errorf("adapter %s: it has a whole weight for %s, which is packed here: fuse it into the model that mlx convert --dequantize writes", a.Dir, layer)
			}
			f.whole[path] = t
		}
		digest, err := a.Sum()
		if err != nil {
			return err
		}
		fmt.Fprintf(sum, "%v %x\n", a.Strength, digest)
	}
	f.identity = hex.EncodeToString(sum.Sum(nil))
	return nil
}

// find lists the layers that have adapters, and those that are unpacked.
func (f *Fusion) find() {
	f.layers = map[string]nn.Layer{}
	adapted := map[string]bool{}
	for path, m := range nn.Modules(f.layout.Model) {
		switch l := m.(type) {
		case *LoRALinear, *DoRALinear, *LoRAEmbedding, *DoRAEmbedding:
			if below(adapted, path) { // one adapter over another
				continue
			}
			adapted[path] = true
			f.layers[path] = l.(nn.Layer)
		}
	}
	for path, m := range nn.Modules(f.layout.Model) {
		if _, packed := packedOf(m); !packed {
			continue
		}
		f.packed++
		if layer, ok := m.(nn.Layer); ok && f.dequantize && !below(adapted, path) {
			f.layers[path] = layer
		}
	}
	if f.dequantize {
		f.packed, f.unpacked = 0, f.packed
	}
	for _, p := range f.layout.Params {
		switch layer, _ := cut(p.Path); {
		case adapted[layer]:
			if len(f.changed) == 0 || f.changed[len(f.changed)-1] != layer {
				f.changed = append(f.changed, layer)
			}
		case f.whole[p.Path] != nil:
			f.changed = append(f.changed, p.Path)
		}
	}
}

// cut cuts a path before its last part.
func cut(path string) (layer, field string) {
	at := strings.LastIndexByte(path, '.')
	return path[:max(at, 0)], path[at+1:]
}

// below reports whether path is inside one of the layers.
func below(layers map[string]bool, path string) bool {
	for at := strings.LastIndexByte(path, '.'); at > 0; at = strings.LastIndexByte(path[:at], '.') {
		if layers[path[:at]] {
			return true
		}
	}
	return false
}

// makeSource lists the tensors of the result.
func (f *Fusion) makeSource(src llm.Source) error {
	var tensors []weights.Tensor
	for _, p := range f.layout.Params {
		layer, field := cut(p.Path)
		unit := p.Path
		t, shape, dtype := p.Tensor, p.Shape, p.Tensor.DType
		if l := f.layers[layer]; l != nil && field != "bias" {
			unit = layer
			if q, packed := packedOf(baseOf(l)); packed && f.dequantize {
				if field != "weight" {
					continue
				}
				shape, dtype = slices.Clone(shape), floatOf(f.params[layer+".scales"].Tensor.DType)
				shape[len(shape)-1] = shape[len(shape)-1] * 32 / q.Scheme.Bits
			}
		} else if f.whole[p.Path] == nil && !p.Turned {
			t.Name, t.Shape = p.Path, p.Shape
			tensors = append(tensors, t)
			continue
		}
		t, err := convert.TensorOf(p.Path, dtype, shape)
		if err != nil {
			return err
		}
		t.Make = func() ([]byte, error) { return f.bytes(unit, p.Path) }
		tensors = append(tensors, t)
	}
	config := f.layout.Config.Raw
	if f.unpacked > 0 {
		var err error
		if config, err = convert.WithQuantization(config, nil); err != nil {
			return err
		}
	}
	f.source = convert.Changed(src, f.layout.Model, config, tensors)
	return nil
}

// noChange is the greatest change, relative to a weight, that is the rounding of float32.
const noChange = 1e-6

// check makes units until one changes: mostly the first.
func (f *Fusion) check() error {
	for _, unit := range f.changed {
		r, err := f.survived(unit)
		if err != nil {
			return err
		}
		if r.Change > noChange {
			return nil
		}
	}
	return fmt.Errorf("nothing would change in any of %d layers: the adapters are as they were before training, or their strengths are 0", len(f.changed))
}

// Report is what became of each changed layer, or of each parameter that was replaced, in
// the order of the model. Those that have not been made yet are made now.
func (f *Fusion) Report() ([]Fused, error) {
	all := make([]Fused, 0, len(f.changed))
	for _, unit := range f.changed {
		r, err := f.survived(unit)
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

func (f *Fusion) survived(unit string) (Fused, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r, ok := f.report[unit]; ok {
		return r, nil
	}
	err := f.produce(unit)
	return f.report[unit], err
}

// bytes are the elements of a parameter of a unit.
func (f *Fusion) bytes(unit, param string) (data []byte, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.produce(unit); err != nil {
		return nil, err
	}
	err = mlx.Try(func() { data = f.made[param].Bytes() })
	return data, err
}

// produce makes the parameters of a unit, which is a layer or a single parameter. The
// last one is kept: its tensors are asked for one by one.
func (f *Fusion) produce(unit string) error {
	if f.last == unit {
		return nil
	}
	f.last, f.made = "", nil
	var made map[string]*mlx.Array
	var report *Fused
	var fault error
	err := mlx.Try(func() {
		if l := f.layers[unit]; l != nil {
			made, report, fault = f.fuseLayer(unit, l)
		} else {
			made, report, fault = f.replace(unit)
		}
	})
	if err = errors.Join(err, fault); err != nil {
		return fmt.Errorf("%s: %w", unit, err)
	}
	if report != nil {
		report.Path = unit
		f.report[unit] = *report
	}
	f.last, f.made = unit, made
	return nil
}

// value is a parameter as it is before adapters of low rank.
func (f *Fusion) value(p llm.Param) (*mlx.Array, error) {
	if a := f.whole[p.Path]; a != nil {
		return a.AsType(p.Tensor.DType), nil
	}
	return p.Array()
}

// fuseLayer lends the layer its weights and fuses it.
func (f *Fusion) fuseLayer(path string, l nn.Layer) (map[string]*mlx.Array, *Fused, error) {
	lent, stubs := map[string]*mlx.Array{}, map[string]*mlx.Array{}
	for name, stub := range nn.Parameters(l) {
		_, field := cut(name)
		p, ok := f.params[path+"."+field]
		if !ok {
			continue // the adapter's own
		}
		a, err := f.value(p)
		if err != nil {
			return nil, nil, err
		}
		lent[name], stubs[name] = a, stub
	}
	if err := nn.Update(l, maps.All(lent)); err != nil {
		return nil, nil, err
	}
	defer func() { _ = nn.Update(l, maps.All(stubs)) }() // shapes are the same
	now, report, err := fuse(l, f.dequantize)
	if err != nil {
		return nil, nil, err
	}
	made := map[string]*mlx.Array{}
	var all []*mlx.Array
	for name, a := range nn.Parameters(now) {
		made[path+"."+name] = a
		all = append(all, a)
	}
	return made, report, mlx.Eval(all)
}

// replace is a parameter that stands for itself: one that an adapter has whole, or one
// that the files have turned.
func (f *Fusion) replace(path string) (map[string]*mlx.Array, *Fused, error) {
	p := f.params[path]
	before, err := p.Array()
	if err != nil {
		return nil, nil, err
	}
	want := f.whole[path]
	if want == nil {
		return map[string]*mlx.Array{path: before}, nil, nil
	}
	after := want.AsType(before.DType())
	report, err := survival(before.AsType(mlx.Float32), want.AsType(mlx.Float32), after.AsType(mlx.Float32))
	return map[string]*mlx.Array{path: after}, report, err
}
