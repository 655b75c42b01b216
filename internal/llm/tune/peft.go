package tune

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/peft"
	"github.com/mlxgo/mlx/nn"
)

// openPEFT reads an adapter of PEFT. Its tensors have mlx-lm's shapes, rank and scale, and
// transformers' names until a model says what it calls them.
func openPEFT(dir string) (*Adapter, error) {
	p, err := peft.Open(dir)
	if err != nil {
		return nil, err
	}
	u, err := p.Uniform()
	if err != nil {
		return nil, fmt.Errorf("adapter %s: %w", dir, err)
	}
	a := &Adapter{Dir: dir, Kind: LoRA, Rank: u.Rank, Scale: u.Scale, Dropout: p.Dropout, Model: p.Base, Tensors: u.Tensors,
		Notes: append(p.Notes, u.Notes...), peft: p}
	if p.DoRA {
		a.Kind = DoRA
	}
	if len(p.Layers) == 0 {
		a.Rank, a.Scale = p.Rank, p.Scale
	}
	return a, nil
}

// PEFT reports whether the directory is PEFT's.
func (a *Adapter) PEFT() bool { return a.peft != nil }

// paths maps a layer's name in the adapter to its path in the model, "" for one of a part
// that does not run here.
func (a *Adapter) paths(model any) func(name string) string {
	if a.peft != nil {
		f := translation(model)
		return func(name string) string { return strings.TrimSuffix(f(name+".weight"), ".weight") }
	}
	return pathsIn(model)
}

// translation maps transformers' names of parameters to paths.
func translation(model any) func(name string) string {
	if t, ok := model.(llm.Translator); ok {
		if f := t.Translate(func(string) bool { return false }); f != nil {
			return func(name string) string {
				path, _ := f(name)
				return path
			}
		}
	}
	return func(name string) string { return name }
}

// checkTied refuses changes of an embedding that is the head too: PEFT leaves the head as
// it was, and here they are one.
func (a *Adapter) checkTied(model any, parts map[string]map[string]*mlx.Array, whole map[string]*mlx.Array) error {
	if a.peft == nil || a.peft.TiesHead {
		return nil
	}
	for path, m := range nn.Modules(model) {
		e, ok := m.(nn.Embedder)
		if !ok || parts[path] == nil && whole[path+".weight"] == nil || !headless(model, e) {
			continue
		}
		return fmt.Errorf("%s is the model's head too, which PEFT leaves as it was (ensure_weight_tying is not true): merge the adapter with PEFT", path)
	}
	return nil
}

// headless reports whether no linear layer outside of the blocks has the shape of the
// embedding: then it is the head.
func headless(model any, e nn.Embedder) bool {
	n, dims, _, _ := sizes(baseOf(e))
	blocks := blockPaths(model)
	for path, m := range nn.Modules(model) {
		inside := slices.ContainsFunc(blocks, func(b string) bool { return strings.HasPrefix(path, b+".") })
		if l, ok := m.(nn.Layer); ok && !inside {
			if in, out, embedding, ok := sizes(baseOf(l)); ok && !embedding && in == dims && out == n {
				return false
			}
		}
	}
	return true
}

// experts are layers that mlx-lm has as one.
var experts = regexp.MustCompile(`\.experts\.\d+\.`)

// seeing begins transformers' names of the text part of models that also see.
const seeing = "model.language_model."

// ToMLX is an adapter of PEFT in mlx-lm's names, with its configuration. Without a model
// (nil) names are taken as those of a Llama, which most families share; with one each
// tensor must fit. Base is what the configuration calls the model.
func (a *Adapter) ToMLX(model any, base string) (tensors map[string]*mlx.Array, config map[string]any, err error) {
	rename := func(layer string) (string, error) {
		if experts.MatchString(layer + ".") {
			return "", fmt.Errorf("%s is one of several experts, which are one layer in mlx-lm: not supported", layer)
		}
		return layer, nil
	}
	seen := slices.ContainsFunc(slices.Collect(maps.Keys(a.Tensors)), func(name string) bool { return strings.HasPrefix(name, seeing) })
	blocks := 0
	switch {
	case model != nil:
		if _, err := a.Put(model, 1); err != nil {
			return nil, nil, err
		}
		blocks = len(blockPaths(model))
		pathOf := a.paths(model)
		rename = func(layer string) (string, error) {
			path := pathOf(layer)
			if path != "" {
				path = fileNames(model)(path)
			}
			return path, nil
		}
	case seen:
		structural := rename
		rename = func(layer string) (string, error) {
			layer, err := structural(layer)
			if rest, ok := strings.CutPrefix(layer, seeing); ok {
				return "language_model.model." + rest, err
			}
			return "language_model." + layer, err
		}
	}
	tensors = map[string]*mlx.Array{}
	for _, name := range slices.Sorted(maps.Keys(a.Tensors)) {
		at := strings.LastIndexByte(name, '.')
		layer, between := a.outer(name[:at])
		now, err := rename(layer)
		if err != nil {
			return nil, nil, fmt.Errorf("adapter %s: %w", a.Dir, err)
		}
		if now != "" { // Put says of others that they are left out
			tensors[now+between+name[at:]] = a.Tensors[name]
		}
	}
	return tensors, a.mlxConfig(tensors, base, blocks), nil
}

// mlxConfig is what mlx-lm needs to rebuild the layers: keys inside of blocks, whole paths
// of others, and how many of the last blocks; -1 means all of them.
func (a *Adapter) mlxConfig(tensors map[string]*mlx.Array, base string, blocks int) map[string]any {
	keys, first := map[string]bool{}, blocks
	for name := range tensors {
		layer, ok := strings.CutSuffix(name, ".lora_a")
		if !ok {
			continue
		}
		index, inside := peft.SplitBlock(layer)
		if index < 0 {
			inside = layer
		} else {
			first = min(first, index)
		}
		keys[inside] = true
	}
	num := -1
	if blocks > 0 {
		num = blocks - first
	}
	if a.Model != "" {
		base = a.Model
	}
	return map[string]any{
		"fine_tune_type": string(a.Kind), "model": base, "num_layers": num,
		"lora_parameters": map[string]any{"rank": a.Rank, "scale": a.Scale, "dropout": a.Dropout, "keys": slices.Sorted(maps.Keys(keys))},
	}
}

// ToPEFT is an adapter of mlx-lm as one of PEFT. Turned says that the base's own matrices
// are [in, out]. With a model each tensor must fit, and its family says how transformers
// calls its layers; without one (nil) they are taken as those of a Llama.
func (a *Adapter) ToPEFT(model any, base string) (p *peft.Adapter, turned bool, err error) {
	if a.Kind == Full {
		return nil, false, fmt.Errorf("adapter %s: fine_tune_type is full: whole weights are no adapter of PEFT; mlx fuse makes a model of them", a.Dir)
	}
	name := func(path string) (string, bool, error) { return transformersName(model, path) }
	embeddings, headlike := map[string]bool{"model.embed_tokens": true}, false
	if model == nil {
		seen := slices.ContainsFunc(slices.Collect(maps.Keys(a.Tensors)), func(name string) bool { return strings.HasPrefix(name, "language_model.") })
		name = func(path string) (string, bool, error) {
			if rest, ok := strings.CutPrefix(path, "model."); ok && seen {
				return seeing + rest, false, nil
			}
			return path, false, nil
		}
	} else {
		embeddings, headlike = embeddingsOf(model)
		if _, err := a.Put(model, 1); err != nil {
			return nil, false, err
		}
	}
	parts, whole, err := a.layers(model)
	if err != nil {
		return nil, false, fmt.Errorf("adapter %s: %w", a.Dir, err)
	}
	p = &peft.Adapter{Dir: a.Dir, Base: a.Model, DoRA: a.Kind == DoRA, Rank: a.Rank, Scale: a.Scale, Dropout: a.Dropout, TiesHead: !headlike,
		Layers: map[string]peft.Layer{}, Whole: map[string]*mlx.Array{}}
	if p.Base == "" {
		p.Base = base
	}
	for _, path := range slices.Sorted(maps.Keys(parts)) {
		x := parts[path]
		l := peft.Layer{A: x["lora_a"], B: x["lora_b"], M: x["m"], Scale: a.Scale, Embedding: embeddings[path]}
		if l.A.NDim() != 2 || l.B.NDim() != 2 || l.A.Dim(1) != a.Rank || l.B.Dim(0) != a.Rank {
			return nil, false, fmt.Errorf("adapter %s: %s: lora_a has shape %v and lora_b %v: [in, %d] and [%[4]d, out] can be written", a.Dir, path, l.A.Shape(), l.B.Shape(), a.Rank)
		}
		if l.Embedding && l.M != nil {
			return nil, false, fmt.Errorf("adapter %s: %s: DoRA of an embedding scales its rows in mlx-lm and its columns in PEFT: not supported", a.Dir, path)
		}
		to, t, err := name(path + ".weight")
		if err != nil {
			return nil, false, fmt.Errorf("adapter %s: %w", a.Dir, err)
		}
		p.Layers[strings.TrimSuffix(to, ".weight")], turned = l, turned || t
	}
	for path, t := range whole {
		to, turn, err := name(path)
		if err != nil || turn {
			return nil, false, fmt.Errorf("adapter %s: whole parameter %s: not supported for this model", a.Dir, path)
		}
		p.Whole[to] = t
	}
	return p, turned, nil
}

// embeddingsOf are the paths of embeddings, and whether there is a head beside them.
func embeddingsOf(model any) (paths map[string]bool, head bool) {
	paths = map[string]bool{}
	for path, m := range nn.Modules(model) {
		if l, ok := m.(nn.Layer); ok {
			if e, ok := baseOf(l).(nn.Embedder); ok {
				paths[path] = true
				head = head || !headless(model, e)
			}
		}
	}
	return paths, head
}

// transformersName is transformers' name of a parameter: that of a few spellings which the
// model's own translation maps to its path.
func transformersName(model any, path string) (name string, turned bool, err error) {
	t, ok := model.(llm.Translator)
	if !ok {
		return path, false, nil
	}
	f := t.Translate(func(string) bool { return false })
	if f == nil {
		return path, false, nil
	}
	rest := strings.TrimPrefix(path, "model.")
	block, inBlock := strings.CutPrefix(rest, "h.")
	candidates := []string{}
	if strings.HasPrefix(rest, "embed_out.") { // GPT-NeoX's head
		candidates = append(candidates, rest)
	}
	if rest != path {
		candidates = append(candidates, "transformer."+rest, seeing+rest)
		if inBlock {
			candidates = append(candidates, "gpt_neox.layers."+block)
		}
		candidates = append(candidates, "gpt_neox."+rest)
	}
	if path == "output.weight" { // Llama 4's head
		candidates = append(candidates, "lm_head.weight")
	}
	for _, c := range append(candidates, path) {
		if to, turn := f(c); to == path {
			return c, turn, nil
		}
	}
	return "", false, fmt.Errorf("%s: transformers' name of it is not known for this model", strings.TrimSuffix(path, ".weight"))
}

// WriteDir makes the directory out, which must not be there, in one step: write fills one
// beside it, which then takes the name.
func WriteDir(out string, write func(dir string) error) (err error) {
	if err := os.MkdirAll(filepath.Dir(out), 0o777); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(filepath.Dir(out), "."+filepath.Base(out)+"-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) // nothing is left of it after the rename
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	if err := write(dir); err != nil {
		return err
	}
	return os.Rename(dir, out)
}
