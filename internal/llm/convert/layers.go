package convert

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/quant"
	"github.com/mlxgo/mlx/nn"
)

// Recipes are the mixed ones, affine, by name: bits of most layers and of some.
var recipes = map[string][2]int{"mixed_2_6": {2, 6}, "mixed_3_4": {3, 4}, "mixed_3_6": {3, 6}, "mixed_4_6": {4, 6}}

// Recipes lists their names.
func Recipes() []string { return []string{"mixed_2_6", "mixed_3_4", "mixed_3_6", "mixed_4_6"} }

// choice is how a layer is quantized, and what config.json says of it: nil is nothing,
// the whole model's scheme.
type choice struct {
	skip   bool
	scheme quant.Scheme // resolved
	entry  any
}

// layers are a model's layers by the paths of their parameters.
type layers struct {
	dense  map[string]bool         // that can be quantized
	packed map[string]quant.Scheme // that are
	paths  []string                // of all modules, parents first
	name   func(path string) string
}

// layersOf walks over a model.
func layersOf(m llm.Model) *layers {
	out := &layers{dense: map[string]bool{}, packed: map[string]quant.Scheme{}, name: FileNames(m)}
	nn.Replace(m, func(path string, l nn.Layer) nn.Layer {
		if _, ok := l.(nn.Quantizable); ok {
			out.dense[path] = true
		}
		return l
	})
	for path, l := range nn.Modules(m) {
		out.paths = append(out.paths, path)
		switch l := l.(type) {
		case *nn.QuantizedLinear:
			out.packed[path] = l.Scheme
		case *nn.QuantizedEmbedding:
			out.packed[path] = l.Scheme
		}
	}
	return out
}

// chooser says how layers are quantized, by their names in the files.
type chooser struct {
	whole  quant.Scheme // resolved
	recipe *recipe
	rules  *Rules
	model  llm.Predicated // nil: it says nothing
	// partly: some layers are packed already, so config.json names each new one.
	partly bool
}

// of is how the layer at path is quantized.
func (c *chooser) of(path, name string) choice {
	if r := c.rules.match(path, name); r != nil {
		return c.ruled(r)
	}
	switch {
	case c.recipe != nil:
		return c.recipe.of(name, c.whole)
	case c.model != nil:
		s, ok := c.model.QuantPredicate(path)
		if !ok {
			return choice{skip: true}
		}
		if s != (quant.Scheme{}) {
			s, _ = s.Resolve()
			s.Rounding = c.whole.Rounding
			entry := newObject().set("group_size", s.GroupSize).set("bits", s.Bits)
			if s.Mode != quant.Affine {
				entry.set("mode", string(s.Mode))
			}
			return choice{scheme: s, entry: entry}
		}
	}
	return c.plain()
}

// plain is the scheme of the whole model.
func (c *chooser) plain() choice {
	if c.partly {
		return choice{scheme: c.whole, entry: entryOf(c.whole)}
	}
	return choice{scheme: c.whole}
}

// ruled is what a rule of the user says.
func (c *chooser) ruled(r *rule) choice {
	if r.skip {
		return choice{skip: true, entry: false}
	}
	s := r.over(c.whole)
	if s == c.whole {
		return c.plain()
	}
	return choice{scheme: s, entry: entryOf(s)}
}

// entryOf is a scheme as config.json has it.
func entryOf(s quant.Scheme) *object {
	return newObject().set("group_size", s.GroupSize).set("bits", s.Bits).set("mode", string(s.Mode))
}

// recipe is a mixed one for a model, in the manner of llama.cpp's Q4_K_M.
type recipe struct {
	low, high int
	at        int // which part of a path is the number of the layer
	layers    int // how many there are
	group     any // as the user gave it; nil: he did not
}

// newRecipe finds the layers of a model with modules of these names.
func newRecipe(name string, paths []string, group any) (*recipe, error) {
	bits, ok := recipes[name]
	if !ok {
		return nil, fmt.Errorf("there is no quantization recipe %q, only %s", name, strings.Join(Recipes(), ", "))
	}
	i := slices.IndexFunc(paths, func(p string) bool { return strings.Contains(p, "down_proj") })
	if i < 0 {
		return nil, fmt.Errorf("the recipe %s needs layers with a down_proj (Model does not have expected keys for mixed quant.)", name)
	}
	r := &recipe{low: bits[0], high: bits[1], group: group}
	parts := strings.Split(paths[i], ".")
	r.at = slices.IndexFunc(parts, func(s string) bool { _, ok := number(s); return ok })
	if r.at < 0 {
		r.at = len(parts) - 1
		return r, nil
	}
	before := strings.Join(parts[:r.at], ".")
	for _, p := range paths {
		rest, ok := strings.CutPrefix(p, before+".")
		if n, is := number(rest); ok && is {
			r.layers = max(r.layers, n+1)
		}
	}
	return r, nil
}

// number is a text of digits.
func number(s string) (n int, ok bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.Atoi(s)
	return n, err == nil
}

// of is how a layer is quantized: the first and last eighth of the layers and every
// third between keep values and what MLPs end with at more bits, and so does the head.
func (r *recipe) of(name string, whole quant.Scheme) choice {
	index, n := 0, r.layers
	if parts := strings.Split(name, "."); len(parts) > r.at {
		index, _ = number(parts[r.at])
	}
	more := index < n/8 || index >= 7*n/8 || (index-n/8)%3 == 2
	has := func(part string) bool { return strings.Contains(name, part) }
	whole.Bits = r.low
	if more && (has("v_proj") || has("v_a_proj") || has("v_b_proj") || has("down_proj")) || has("lm_head") {
		whole.Bits = r.high
	}
	return choice{scheme: whole, entry: newObject().set("group_size", r.group).set("bits", whole.Bits).set("mode", string(whole.Mode))}
}
