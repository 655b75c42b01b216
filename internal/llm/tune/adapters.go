package tune

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/atomicfile"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/peft"
	machinery "github.com/mlxgo/mlx/internal/nn"
	"github.com/mlxgo/mlx/nn"
)

// The files of an adapter's directory.
const (
	AdapterFile   = "adapters.safetensors"
	AdapterConfig = "adapter_config.json"
)

// An Adapter is a directory as mlx-lm or PEFT writes it: what was trained, and how.
type Adapter struct {
	Dir     string
	Kind    Kind
	Rank    int
	Scale   float64
	Dropout float64
	Model   string // the base that it was trained on, as it was called
	Tensors map[string]*mlx.Array
	Notes   []string // what the user should know

	peft  *peft.Adapter         // where Tensors have transformers' names; nil for mlx-lm's
	whole map[string]*mlx.Array // whole parameters, by the paths of the model that Put was given
}

// OpenAdapter reads the adapter in dir. Errors name the file and the key.
func OpenAdapter(dir string) (*Adapter, error) {
	a := &Adapter{Dir: dir, Kind: LoRA}
	path := filepath.Join(dir, AdapterConfig)
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("adapter: %w", err)
	}
	if peft.Is(raw) {
		return openPEFT(dir)
	}
	if err := a.configure(raw); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if a.Tensors, _, err = mlx.LoadAll(filepath.Join(dir, AdapterFile)); err != nil {
		return nil, fmt.Errorf("adapter: %w", err)
	}
	if len(a.Tensors) == 0 {
		return nil, fmt.Errorf("%s holds no tensors: it changes nothing", filepath.Join(dir, AdapterFile))
	}
	return a, nil
}

// Sum is a digest of the adapter's configuration and tensors.
func (a *Adapter) Sum() ([]byte, error) {
	h := sha256.New()
	for _, path := range []string{filepath.Join(a.Dir, AdapterConfig), a.WeightsFile()} {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		_, err = io.Copy(h, f)
		if err = errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
	}
	return h.Sum(nil), nil
}

// WeightsFile is the path of the file that has the tensors.
func (a *Adapter) WeightsFile() string {
	name := AdapterFile
	if a.peft != nil {
		name = a.peft.Weights
	}
	return filepath.Join(a.Dir, name)
}

func (a *Adapter) configure(raw []byte) error {
	var c struct {
		FineTuneType string `json:"fine_tune_type"`
		Model        string `json:"model"`
		Parameters   *struct {
			Rank    int      `json:"rank"`
			Scale   *float64 `json:"scale"`
			Dropout float64  `json:"dropout"`
		} `json:"lora_parameters"`
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		return err
	}
	a.Model = c.Model
	if c.FineTuneType != "" { // older files are of LoRA
		a.Kind = Kind(c.FineTuneType)
	}
	switch a.Kind {
	case Full:
		return nil
	case LoRA, DoRA:
	default:
		return fmt.Errorf("fine_tune_type %q is not lora, dora or full", c.FineTuneType)
	}
	if c.Parameters == nil || c.Parameters.Rank < 1 || c.Parameters.Scale == nil {
		return errors.New("lora_parameters needs a rank above 0 and a scale")
	}
	a.Rank, a.Scale, a.Dropout = c.Parameters.Rank, *c.Parameters.Scale, c.Parameters.Dropout
	return nil
}

// Put puts the adapter over a model with its weights, at strength 1 as it was trained.
// Several adapters of LoRA may lie over each other. It returns the paths of the layers
// that it changes. Every tensor must have its place: errors name those that have none, or
// another shape or rank; then the model is as it was.
func (a *Adapter) Put(model any, strength float64) ([]string, error) {
	changed, err := a.put(model, strength)
	if err != nil {
		return nil, fmt.Errorf("adapter %s: %w%s", a.Dir, err, a.base())
	}
	return changed, nil
}

// base says what the adapter was trained on.
func (a *Adapter) base() string {
	if a.Model == "" {
		return ""
	}
	return fmt.Sprintf(" (it was trained on %s)", a.Model)
}

func (a *Adapter) put(model any, strength float64) ([]string, error) {
	if a.Kind == Full {
		return a.putWeights(model, strength)
	}
	parts, whole, err := a.layers(model)
	if err != nil {
		return nil, err
	}
	if len(whole) > 0 && strength != 1 {
		return nil, errors.New("it has whole weights, which have no strength")
	}
	if err := a.checkTied(model, parts, whole); err != nil {
		return nil, err
	}
	a.whole = maps.Clone(whole)
	adapted := map[string]nn.Layer{}
	for path, m := range nn.Modules(model) {
		l, ok := m.(nn.Layer)
		if !ok || parts[path] == nil && !takesWhole(l, path, whole) {
			continue
		}
		if l, err = withWhole(l, path, whole); err == nil && parts[path] != nil {
			l, err = a.over(l, parts[path], strength)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		adapted[path] = l
	}
	for _, path := range slices.Sorted(maps.Keys(parts)) {
		if adapted[path] == nil {
			return nil, fmt.Errorf("the model has no layer %s", path)
		}
	}
	if whole, err = fitting(model, whole); err != nil { // those of layers that are no matrices
		return nil, err
	}
	err = mlx.Try(func() {
		machinery.Replace(model, func(path string, l nn.Layer) nn.Layer {
			if now := adapted[path]; now != nil {
				return now
			}
			return l
		})
	})
	if err == nil {
		err = nn.Update(model, maps.All(whole))
	}
	return slices.Sorted(maps.Keys(adapted)), err
}

// InFiles are arrays that are called by a model's paths under the names that mlx-lm writes:
// those of a model that also sees begin with language_model.
func InFiles(model any, arrays map[string]*mlx.Array) map[string]*mlx.Array {
	out, name := make(map[string]*mlx.Array, len(arrays)), fileNames(model)
	for path, a := range arrays {
		out[name(path)] = a
	}
	return out
}

// InModel are the tensors of a file by a model's paths, which they may have already. It is
// an error if two are of the same path.
func InModel(model any, tensors map[string]*mlx.Array) (map[string]*mlx.Array, error) {
	out, pathOf := make(map[string]*mlx.Array, len(tensors)), pathsIn(model)
	for _, name := range slices.Sorted(maps.Keys(tensors)) {
		path := pathOf(name)
		if out[path] != nil {
			return nil, fmt.Errorf("%s is there under two names, of which one is %s", path, name)
		}
		out[path] = tensors[name]
	}
	return out, nil
}

// fileNames gives paths in a model the names that they have in files.
func fileNames(model any) func(path string) string {
	if n, ok := model.(llm.FileNamer); ok {
		return n.FileName
	}
	return func(path string) string { return path }
}

// pathsIn gives names in files the paths that they have in a model: mlx-lm's adapters of a
// model that also sees have those of files.
func pathsIn(model any) func(name string) string {
	paths := map[string]string{}
	if n, ok := model.(llm.FileNamer); ok {
		for path := range nn.Modules(model) {
			paths[n.FileName(path)] = path
		}
		for path := range nn.Parameters(model) {
			paths[n.FileName(path)] = path
		}
	}
	return func(name string) string {
		if path, ok := paths[name]; ok {
			return path
		}
		return strings.TrimPrefix(name, "language_model.")
	}
}

// layers are the tensors by layer and by their last names, and whole parameters by path.
func (a *Adapter) layers(model any) (parts map[string]map[string]*mlx.Array, whole map[string]*mlx.Array, err error) {
	want := []string{"lora_a", "lora_b"}
	if a.Kind == DoRA {
		want = append(want, "m")
	}
	pathOf, left := a.paths(model), 0
	parts, whole = map[string]map[string]*mlx.Array{}, map[string]*mlx.Array{}
	for _, name := range slices.Sorted(maps.Keys(a.Tensors)) {
		at := strings.LastIndexByte(name, '.')
		if at < 0 || !slices.Contains(append(want, "weight", "bias"), name[at+1:]) {
			return nil, nil, fmt.Errorf("tensor %s does not belong to an adapter of %s", name, a.Kind)
		}
		layer, last := name[:at], name[at+1:]
		if last == "weight" || last == "bias" {
			layer, _ = a.outer(layer)
		}
		path := pathOf(layer)
		if path == "" {
			left++
			continue
		}
		if last == "weight" || last == "bias" {
			whole[path+"."+last] = a.Tensors[name]
			continue
		}
		if parts[path] == nil {
			parts[path] = map[string]*mlx.Array{}
		}
		parts[path][last] = a.Tensors[name]
	}
	if left > 0 {
		a.Notes = append(a.Notes, fmt.Sprintf("%d of %d tensors are of parts that do not run here, and are not used", left, len(a.Tensors)))
	}
	for path, p := range parts {
		for _, name := range want {
			if p[name] == nil {
				return nil, nil, fmt.Errorf("tensor %s.%s is missing", path, name)
			}
		}
	}
	if len(parts)+len(whole) == 0 {
		return nil, nil, errors.New("none of its tensors is of a part that runs here: it changes nothing")
	}
	return parts, whole, nil
}

// outer is the name of an adapted layer whose tensor is of the layer inside, and the name
// in between.
func (a *Adapter) outer(layer string) (outer, between string) {
	for _, between := range []string{".linear", ".embedding"} {
		if outer, ok := strings.CutSuffix(layer, between); ok && a.Tensors[outer+".lora_a"] != nil {
			return outer, between
		}
	}
	return layer, ""
}

// over is the layer with its part of the adapter.
func (a *Adapter) over(l nn.Layer, p map[string]*mlx.Array, strength float64) (nn.Layer, error) {
	switch l.(type) {
	case *DoRALinear, *DoRAEmbedding:
		return nil, fmt.Errorf("%T takes no adapter", l)
	}
	base := baseOf(l)
	if base != l && a.Kind == DoRA {
		return nil, errors.New("an adapter of dora lies over no other adapter")
	}
	in, out, embedding, ok := sizes(base)
	if !ok {
		return nil, fmt.Errorf("%T takes no adapter", l)
	}
	for name, want := range map[string]mlx.Shape{"lora_a": {in, a.Rank}, "lora_b": {a.Rank, out}} {
		if !slices.Equal(p[name].Shape(), want) {
			return nil, fmt.Errorf("%s has shape %v, and a layer of %d inputs and %d outputs with rank %d takes %v", name, p[name].Shape(), in, out, a.Rank, want)
		}
	}
	if a.Kind == DoRA {
		if strength != 1 {
			return nil, errors.New("an adapter of dora has no strength: it scales rows to what was trained")
		}
		rows := out
		if embedding {
			rows = in
		}
		if m := p["m"]; !slices.Equal(m.Shape(), mlx.Shape{rows}) {
			return nil, fmt.Errorf("m has shape %v, not (%d,)", m.Shape(), rows)
		}
	}
	return wrap(a.Kind, l, part{a: p["lora_a"], b: p["lora_b"], m: p["m"], scale: a.Scale * strength})
}

// putWeights sets whole weights, those of full fine-tuning.
func (a *Adapter) putWeights(model any, strength float64) ([]string, error) {
	if strength != 1 {
		return nil, errors.New("whole weights have no strength")
	}
	a.whole = map[string]*mlx.Array{}
	pathOf := pathsIn(model)
	for name, t := range a.Tensors {
		a.whole[pathOf(name)] = t
	}
	set, err := fitting(model, a.whole)
	if err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(set)), nn.Update(model, maps.All(set))
}

// fitting are whole weights in the dtypes of the model's parameters, each of which must
// have its place and shape.
func fitting(model any, tensors map[string]*mlx.Array) (map[string]*mlx.Array, error) {
	known := maps.Collect(nn.Parameters(model))
	set := map[string]*mlx.Array{}
	for _, path := range slices.Sorted(maps.Keys(tensors)) {
		t := tensors[path]
		have := known[path]
		if have == nil || !slices.Equal(have.Shape(), t.Shape()) {
			return nil, fmt.Errorf("the model has no tensor %s of shape %v", path, t.Shape())
		}
		set[path] = t.AsType(have.DType())
	}
	return set, nil
}

// WriteAdapterConfig writes adapter_config.json, which mlx-lm reads to rebuild the layers.
func WriteAdapterConfig(dir string, config map[string]any) error {
	return atomicfile.WriteJSON(filepath.Join(dir, AdapterConfig), "    ", config)
}

// WriteAdapter writes the tensors and the configuration into dir, each file in one step,
// with sorted keys as mlx-lm does.
func WriteAdapter(dir string, tensors map[string]*mlx.Array, config map[string]any) error {
	if err := WriteAdapterConfig(dir, config); err != nil {
		return err
	}
	return mlx.SaveSafetensors(filepath.Join(dir, AdapterFile), tensors, nil)
}
