package tune

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/mlxgo/mlx"
	machinery "github.com/mlxgo/mlx/internal/nn"
	"github.com/mlxgo/mlx/nn"
)

// Kind is fine_tune_type.
type Kind string

// The kinds of fine-tuning.
const (
	LoRA Kind = "lora"
	DoRA Kind = "dora"
	Full Kind = "full"
)

// Layers say what of a model is trained.
type Layers struct {
	Kind Kind
	// Num is how many of the last blocks, below 0 all.
	Num int
	// Rank, Scale and Dropout are those of the adapters.
	Rank    int
	Scale   float64
	Dropout float64
	// Keys are the layers' paths inside a block, or whole paths or names in files of layers
	// outside of blocks; nil means all linear layers and embeddings of the blocks.
	Keys []string
}

// Trained is a model prepared for training: which of its parameters are trained.
type Trained struct {
	Filter  nn.Filter
	Changed []string // paths of the layers that got adapters; of full, the blocks
	Keys    []string // those of Layers, as mlx-lm calls them in this model
}

// Prepare puts adapters into the last blocks of a model, as linear_to_lora_layers does, or
// chooses them whole. The model must have its weights. Errors name the key or number
// that does not fit.
func Prepare(model any, o Layers) (*Trained, error) {
	blocks := blockPaths(model)
	if len(blocks) == 0 {
		return nil, fmt.Errorf("the model has no list of layers")
	}
	if o.Num > len(blocks) {
		return nil, fmt.Errorf("%d layers are to be trained, but the model has %d", o.Num, len(blocks))
	}
	from := len(blocks) - o.Num
	if o.Num < 0 {
		from = 0
	}
	chosen := blocks[from:]
	if o.Kind == Full {
		return &Trained{Filter: nn.Under(chosen...), Changed: chosen}, nil
	}
	p := &placer{o: o, blocks: chosen, fileName: fileNames(model), used: map[string]string{}}
	var fault error
	err := mlx.Try(func() {
		machinery.Replace(model, func(path string, l nn.Layer) nn.Layer {
			if fault != nil || !p.wants(path, l) {
				return l
			}
			adapted, err := p.adapt(l)
			if err != nil {
				fault = fmt.Errorf("%s: %w", path, err)
				return l
			}
			p.changed = append(p.changed, path)
			return adapted
		})
	})
	if err == nil {
		err = fault
	}
	if err != nil {
		return nil, err
	}
	if err := p.unused(); err != nil {
		return nil, err
	}
	slices.Sort(p.changed)
	t := &Trained{Filter: nn.Named("lora_a", "lora_b", "m"), Changed: p.changed}
	for _, k := range o.Keys {
		t.Keys = append(t.Keys, p.used[k])
	}
	return t, nil
}

// blockPaths are the paths of a decoder's layers in order: those of the longest list of
// modules.
func blockPaths(model any) []string {
	lists := map[string]int{}
	for path := range nn.Modules(model) {
		at := strings.LastIndexByte(path, '.')
		if i, err := strconv.Atoi(path[at+1:]); err == nil && at > 0 {
			lists[path[:at]] = max(lists[path[:at]], i+1)
		}
	}
	var best string
	for list, n := range lists {
		if n > lists[best] || n == lists[best] && (best == "" || len(list) < len(best) || len(list) == len(best) && list < best) {
			best = list
		}
	}
	paths := make([]string, lists[best])
	for i := range paths {
		paths[i] = best + "." + strconv.Itoa(i)
	}
	return paths
}

// placer decides where adapters go.
type placer struct {
	o        Layers
	blocks   []string
	fileName func(path string) string
	used     map[string]string // keys that named a layer, as mlx-lm calls them
	changed  []string
}

// wants reports whether the layer at path is adapted.
func (p *placer) wants(path string, l nn.Layer) bool {
	if _, _, _, ok := sizes(l); !ok {
		return false
	}
	inside := ""
	for _, b := range p.blocks {
		if rest, ok := strings.CutPrefix(path, b+"."); ok {
			inside = rest
		}
	}
	if p.o.Keys == nil {
		return inside != ""
	}
	name := p.fileName(path)
	for _, k := range p.o.Keys {
		switch {
		case inside != "" && k == inside:
			p.used[k] = k
		case k == path, k == name:
			p.used[k] = name
		default:
			continue
		}
		return true
	}
	return false
}

// unused is the error of keys that name no layer.
func (p *placer) unused() error {
	for _, k := range p.o.Keys {
		if p.used[k] == "" {
			return fmt.Errorf("lora_parameters: keys: %q names no linear layer or embedding of the chosen layers", k)
		}
	}
	if len(p.changed) == 0 {
		return fmt.Errorf("no layer can be adapted")
	}
	return nil
}

// adapt puts an adapter around a layer.
func (p *placer) adapt(l nn.Layer) (nn.Layer, error) {
	in, out, _, _ := sizes(l)
	x := part{dropout: dropout(p.o.Dropout), scale: p.o.Scale}
	x.a, x.b = lowRank(in, p.o.Rank, out)
	if p.o.Kind == DoRA {
		x.m = rowNorm(weightOf(l))
	}
	return wrap(p.o.Kind, l, x)
}
