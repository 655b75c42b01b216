package convert

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/hf/safetensors"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/weights"
	"github.com/mlxgo/mlx/internal/quant"
)

// plan is what a conversion writes, before anything is read but headers.
type plan struct {
	src    llm.Source
	o      *Options
	layout *llm.Layout
	layers *layers
	scheme quant.Scheme // resolved; of Quantize
	dtype  *mlx.DType   // floating parameters become it; nil: they stay

	steps  []*step
	shards []*shard
	files  []file // the small ones, in the order of writing
	notes  []string

	bytes, params int64 // of the result; packed values count one by one
	source        int64 // bytes that are read
}

// step makes the tensors of one parameter, or of a layer's packed weight.
type step struct {
	in  []weights.Tensor
	out []output
	rows
}

// output is a tensor of the result: its rows follow one another in a shard.
type output struct {
	safetensors.Tensor
	shard *shard
	row   int64 // bytes
}

// shard is a file of the result.
type shard struct {
	name    string
	tensors []safetensors.Tensor
	plan    *safetensors.Plan
	last    int // the step that completes it
}

func newPlan(src llm.Source, o *Options) (*plan, error) {
	if o.Quantize && o.Dequantize {
		return nil, errors.New("choose either quantize or dequantize, not both")
	}
	p := &plan{src: src, o: o}
	var err error
	if o.Quantize {
		if p.scheme, err = o.Scheme.Resolve(); err != nil {
			return nil, err
		}
		if o.Recipe != "" && p.scheme.Mode != quant.Affine {
			return nil, errors.New("quant predicates only support 'affine' quantization")
		}
		if err := o.Rules.check(p.scheme); err != nil {
			return nil, err
		}
	}
	wide := mlx.Float32 // of layers that are widened: exact
	if o.DType != nil {
		wide = *o.DType
	}
	if p.layout, err = llm.LayoutOf(src, llm.LoadOptions{New: o.New, DType: &wide}); err != nil {
		return nil, err
	}
	p.layers = layersOf(p.layout.Model)
	config, err := readConfig(src, p.layout)
	if err != nil {
		return nil, err
	}
	if p.dtype = o.DType; p.dtype == nil && !o.KeepDTypes {
		p.dtype = config.dtype()
	}
	if p.dtype != nil {
		o.Line("[INFO] Using dtype: " + p.dtype.String())
	}
	if err := p.makeSteps(config); err != nil {
		return nil, err
	}
	if err := p.makeShards(); err != nil {
		return nil, err
	}
	if err := p.checkRemove(); err != nil {
		return nil, err
	}
	return p, p.makeFiles(config)
}

// makeSteps says what becomes of each parameter, and tells config.
func (p *plan) makeSteps(config *config) error {
	choose, err := p.chooser(config)
	if err != nil {
		return err
	}
	quantized := 0
	byPath := map[string]llm.Param{}
	for _, param := range p.layout.Params {
		byPath[param.Path] = param
	}
	for _, param := range p.layout.Params {
		layer, field := split(param.Path)
		packed, is := p.layers.packed[layer]
		switch {
		case is && p.o.Dequantize && field == "weight":
			if err := p.dequantize(layer, packed, byPath); err != nil {
				return err
			}
			continue
		case is && p.o.Dequantize && field != "bias":
			continue // went with the weight
		case choose != nil && field == "weight" && p.layers.dense[layer]:
			name := p.layers.name(layer)
			c := choose.of(layer, name)
			width := param.Shape[len(param.Shape)-1]
			if !c.skip && width%c.scheme.GroupSize != 0 {
				p.notes = append(p.notes, fmt.Sprintf("%s stays as it is: its width %d is no multiple of the group size %d", name, width, c.scheme.GroupSize))
				break
			}
			if c.entry != nil {
				config.layer(name, c.entry)
			}
			if !c.skip {
				quantized++
				p.quantize(param, c.scheme)
				continue
			}
		}
		p.keep(param, packed, is && field != "bias")
	}
	p.noteWidened()
	if choose == nil {
		return nil
	}
	if err := p.o.Rules.unused(); err != nil {
		return err
	}
	return p.checkQuantized(quantized)
}

// noteWidened says what becomes of layers that another tool has packed.
func (p *plan) noteWidened() {
	n := 0
	for _, param := range p.layout.Params {
		if param.Widened {
			n++
		}
	}
	switch {
	case n == 0 || p.o.Quantize:
	case p.o.DType == nil:
		p.notes = append(p.notes, fmt.Sprintf("%d layers of %s have no exact form in MLX's packing and are written as float32, which holds them; --dtype bfloat16 or float16 takes half of that, --quantize less", n, p.layout.Foreign))
	default:
		p.notes = append(p.notes, fmt.Sprintf("%d layers of %s have no exact form in MLX's packing and are written as %v", n, p.layout.Foreign, *p.o.DType))
	}
}

// checkRemove refuses to remove files from which tensors are made in more ways than one.
func (p *plan) checkRemove() error {
	if p.o.Remove == nil {
		return nil
	}
	for _, s := range p.steps {
		for _, t := range s.in {
			if t.Make != nil || t.File == nil || !t.File.Mapped() && !t.File.Gone() {
				return fmt.Errorf("model %s: the files of weights that are unpacked (%s) cannot be removed on the way: leave out --remove-source-shards", p.src.Name, t.Name)
			}
		}
	}
	return nil
}

// checkQuantized refuses a quantized model in which nothing is.
func (p *plan) checkQuantized(n int) error {
	if n > 0 {
		return nil
	}
	if len(p.layers.packed) > 0 {
		p.notes = append(p.notes, "every layer that can be quantized is so already and stays as it is; mlx convert --dequantize makes a model that can be quantized otherwise")
		return nil
	}
	if len(p.notes) > 0 {
		return fmt.Errorf("the group size %d divides the width of no layer: nothing would be quantized", p.scheme.GroupSize)
	}
	return errors.New("the model has no layers that can be quantized, or all are left out")
}

// chooser is how layers are quantized, nil if they are not.
func (p *plan) chooser(config *config) (*chooser, error) {
	if p.o.Dequantize {
		p.o.Line("[INFO] Dequantizing")
		config.dequantized()
		if len(p.layers.packed) == 0 {
			p.notes = append(p.notes, "the model is not quantized: there is nothing to dequantize")
		}
	}
	if !p.o.Quantize {
		return nil, nil
	}
	p.o.Line("[INFO] Quantizing")
	c := &chooser{whole: p.scheme, rules: p.o.Rules, partly: config.quantized(p.scheme)}
	if p.o.Recipe != "" {
		var group any
		if p.o.Scheme.GroupSize != 0 {
			group = p.o.Scheme.GroupSize
		}
		names := make([]string, len(p.layers.paths))
		for i, path := range p.layers.paths {
			names[i] = p.layers.name(path)
		}
		var err error
		c.recipe, err = newRecipe(p.o.Recipe, names, group)
		return c, err
	}
	c.model, _ = p.layout.Model.(llm.Predicated)
	return c, nil
}

// split cuts a path before its last part.
func split(path string) (layer, field string) {
	dot := strings.LastIndexByte(path, '.')
	return path[:max(dot, 0)], path[dot+1:]
}

// isFloat reports whether t has numbers that can be cast.
func isFloat(t weights.Tensor) bool { return t.DType.Is(dtype.Floating) }

// cast is the dtype that a floating parameter becomes. The scales of what is packed, and
// what another tool has packed, keep one that holds them exactly, unless the user asks for
// another.
func (p *plan) cast(param llm.Param) mlx.DType {
	d := param.Tensor.DType
	c, ok := p.layout.Model.(llm.CastPredicated)
	layer, field := split(param.Path)
	_, packed := p.layers.packed[layer]
	exact := p.o.DType == nil && (packed && field != "bias" || param.Widened && !p.o.Quantize)
	if !isFloat(param.Tensor) || p.dtype == nil || exact || ok && !c.Casts(param.Path) {
		if d == mlx.Float64 { // no model computes in it
			d = mlx.Float32
		}
		return d
	}
	return *p.dtype
}

// keep writes a parameter as it is, or in another dtype. Packed ones count by their bits.
func (p *plan) keep(param llm.Param, s quant.Scheme, packed bool) {
	to := p.cast(param)
	t := param.Tensor
	raw := ""
	if to == t.DType {
		raw = t.RawDType
	}
	shape := param.Shape
	out := safetensors.Tensor{Name: p.layers.name(param.Path), DType: to, RawDType: raw, Shape: shape}
	n := int64(shape.Size())
	if packed {
		n = 0
		if _, field := split(param.Path); field == "weight" {
			n = int64(shape.Size()) * 32 / int64(s.Bits)
		}
	}
	p.add(n, rows{kind: castRows, from: t.DType, to: to, turned: param.Turned}, shape, []weights.Tensor{t}, out)
}

// quantize packs the weight of a layer.
func (p *plan) quantize(param llm.Param, s quant.Scheme) {
	layer, _ := split(param.Path)
	name := p.layers.name(layer)
	d := p.cast(param)
	last := len(param.Shape) - 1
	k := param.Shape[last]
	shaped := func(field string, d mlx.DType, n int) safetensors.Tensor {
		shape := append(append([]int{}, param.Shape[:last]...), n)
		return safetensors.Tensor{Name: name + "." + field, DType: d, Shape: shape}
	}
	out := []safetensors.Tensor{shaped("weight", mlx.Uint32, k*s.Bits/32)}
	if s.Mode == quant.Affine {
		out = append(out, shaped("scales", d, k/s.GroupSize), shaped("biases", d, k/s.GroupSize))
	} else {
		out = append(out, shaped("scales", mlx.Uint8, k/s.GroupSize))
	}
	p.add(int64(param.Shape.Size()), rows{kind: quantizeRows, from: param.Tensor.DType, to: d, turned: param.Turned, scheme: s},
		param.Shape, []weights.Tensor{param.Tensor}, out...)
}

// dequantize unpacks the weight of a layer: to the dtype of its scales, or of bfloat16
// where these are 8-bit floats and no other is asked for.
func (p *plan) dequantize(layer string, s quant.Scheme, byPath map[string]llm.Param) error {
	weight, scales := byPath[layer+".weight"], byPath[layer+".scales"]
	in := []weights.Tensor{weight.Tensor, scales.Tensor}
	to := mlx.BFloat16
	if s.Mode == quant.Affine {
		biases := byPath[layer+".biases"].Tensor
		if biases.DType != scales.Tensor.DType {
			return fmt.Errorf("%s: dtype %v differs from %v of the scales", biases.Name, biases.DType, scales.Tensor.DType)
		}
		in = append(in, biases)
		to = p.cast(scales)
	} else if p.o.DType != nil {
		to = *p.o.DType
	}
	shape := slices.Clone(weight.Shape)
	last := len(shape) - 1
	shape[last] = shape[last] * 32 / s.Bits
	p.add(int64(shape.Size()), rows{kind: dequantizeRows, from: scales.Tensor.DType, to: to, scheme: s}, shape, in,
		safetensors.Tensor{Name: p.layers.name(layer + ".weight"), DType: to, Shape: shape})
	return nil
}

// add appends a step that makes out of in, with the rows of a parameter of shape.
func (p *plan) add(params int64, r rows, shape mlx.Shape, in []weights.Tensor, out ...safetensors.Tensor) {
	r.n, r.cols = 1, shape.Size()
	if len(shape) > 1 {
		r.cols = shape[len(shape)-1]
		r.n = shape[:len(shape)-1].Size()
	}
	s := &step{in: in, rows: r}
	for _, t := range out {
		o := output{Tensor: t}
		if r.n > 0 {
			o.row = t.Size() / int64(r.n)
		}
		s.out = append(s.out, o)
		p.bytes += t.Size()
	}
	p.params += params
	p.source += s.read()
	p.steps = append(p.steps, s)
}

// read is how many bytes of the source a step reads.
func (s *step) read() (n int64) {
	for _, t := range s.in {
		n += t.Size()
	}
	return n
}

// makeShards fills shards in the order of the steps, as mlx-lm; but none is empty.
func (p *plan) makeShards() error {
	var now *shard
	var filled int64
	for i, s := range p.steps {
		for j := range s.out {
			o := &s.out[j]
			if n := o.Size(); now == nil || filled > 0 && filled+n > p.o.shard {
				now, filled = &shard{}, 0
				p.shards = append(p.shards, now)
			}
			filled += o.Size()
			o.shard, now.last = now, i
			now.tensors = append(now.tensors, o.Tensor)
		}
	}
	for i, s := range p.shards {
		s.name = "model.safetensors"
		if n := len(p.shards); n > 1 {
			s.name = fmt.Sprintf("model-%05d-of-%05d.safetensors", i+1, n)
		}
		var err error
		if s.plan, err = safetensors.NewPlan(s.tensors, map[string]string{"format": "mlx"}); err != nil {
			return err
		}
	}
	return nil
}

// bits is the bits per weight, as mlx-lm counts them.
func (p *plan) bits() float64 { return float64(p.bytes) * 8 / float64(max(p.params, 1)) }

// digest identifies what the steps and files are.
func (p *plan) digest() string {
	h := sha256.New()
	if p.o.Identity != "" {
		fmt.Fprintf(h, "%q", p.o.Identity)
	}
	for _, s := range p.steps {
		fmt.Fprintf(h, "%v", s.rows)
		for _, t := range s.in {
			fmt.Fprintf(h, "|%q %v %s %v", t.Name, t.DType, t.RawDType, t.Shape)
		}
		for _, t := range s.out {
			fmt.Fprintf(h, "|%q %v %s %v %s", t.Name, t.DType, t.RawDType, t.Shape, t.shard.name)
		}
	}
	for _, f := range p.files {
		fmt.Fprintf(h, "|%q %d %s", f.name, len(f.data), f.data)
	}
	return hex.EncodeToString(h.Sum(nil))
}
