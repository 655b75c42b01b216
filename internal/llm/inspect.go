package llm

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/hf/safetensors"
	"github.com/mlxgo/mlx/internal/llm/cache"
	"github.com/mlxgo/mlx/internal/llm/weights"
	machinery "github.com/mlxgo/mlx/internal/nn"
	"github.com/mlxgo/mlx/nn"
)

// Inspection is what a model's files say of it. Sizes are bytes.
type Inspection struct {
	ModelType string `json:"model_type"`
	// Supported is whether the program has this model type, and Tested whether it is
	// compared with numbers of a reference implementation.
	Supported bool `json:"supported"`
	Tested    bool `json:"tested"`
	// Architecture are the values of config.json that are numbers, texts, truth values
	// or null, by their names.
	Architecture map[string]any `json:"architecture"`

	Parameters    int64   `json:"parameters"` // packed ones count one by one
	WeightBytes   int64   `json:"weight_bytes"`
	BitsPerWeight float64 `json:"bits_per_weight"`
	// DTypes are the bytes of the tensors by the file's name of their dtype.
	DTypes      map[string]int64 `json:"dtypes"`
	ComputeType string           `json:"compute_type"`

	VocabSize  int `json:"vocab_size"`
	MaxContext int `json:"max_context"` // 0: the config does not say
	// Attention is the memory of each layer.
	Attention []AttentionLayer `json:"attention"`
	// Foreign is the format of another tool that the weights are in, nil for MLX's.
	Foreign *ForeignFormat `json:"foreign"`
	// Quantized are the layers that are packed.
	Quantized []QuantizedLayer `json:"quantized"`

	EOS     []TokenText `json:"eos"`
	EOSFrom string      `json:"eos_from"`
	// TokenizerSize is the number of tokens of the tokenizer, 0 without one.
	TokenizerSize int  `json:"tokenizer_size"`
	ChatTemplate  bool `json:"chat_template"`

	Memory Needs `json:"memory"`

	Tensors []TensorInfo `json:"tensors"`
	// Missing are parameters of the model without a tensor, Unexpected are tensors
	// that it does not know, Unused those that it knows and does not need.
	Missing    []string `json:"missing"`
	Unexpected []string `json:"unexpected"`
	Unused     []string `json:"unused"`
	// Problems are why the model cannot be run, one sentence each; Warnings are worth
	// knowing.
	Problems []string `json:"problems"`
	Warnings []string `json:"warnings"`
}

// ForeignFormat is another tool's format, and which layers MLX's packing holds as they
// are.
type ForeignFormat struct {
	Name        string             `json:"name"`
	Packed      []string           `json:"packed"`
	Dequantized []DequantizedLayer `json:"dequantized"`
}

// DequantizedLayer is a layer that is unpacked, and why.
type DequantizedLayer struct {
	Path string `json:"path"`
	Why  string `json:"why"`
}

// AttentionLayer is what a layer's cache holds for each position.
type AttentionLayer struct {
	Heads    int `json:"kv_heads"`
	KeyDim   int `json:"key_dim"`
	ValueDim int `json:"value_dim"`
	Window   int `json:"window"` // 0: all positions
}

// QuantizedLayer is a packed layer.
type QuantizedLayer struct {
	Path      string `json:"path"`
	Mode      string `json:"mode"`
	Bits      int    `json:"bits"`
	GroupSize int    `json:"group_size"`
}

// TokenText is a token by its id; Text is empty without a tokenizer.
type TokenText struct {
	ID   int    `json:"id"`
	Text string `json:"token"`
}

// Needs is the memory for one sequence of Context tokens, without what a pass needs
// for the moment.
type Needs struct {
	Context int `json:"context"`
	// Weights stay mapped from their files; Converted are copies in another dtype.
	Weights   int64 `json:"weights"`
	Converted int64 `json:"converted"`
	Cache     int64 `json:"cache"`
	Total     int64 `json:"total"`
	Available int64 `json:"available"` // here and now; 0: unknown
}

// TensorInfo is a tensor of the files.
type TensorInfo struct {
	Name  string `json:"name"`
	DType string `json:"dtype"`
	Shape []int  `json:"shape"`
	Bytes int64  `json:"bytes"`
	File  string `json:"file"`
}

// Inspect reads what there is to know of a model without its weights: the tensors of
// s need no Data. context is the length for the memory; 0 or less means the model's,
// at most 4096. What is wrong with the model is in Problems, not an error; an error
// means that there is no config.json to read.
func Inspect(s Source, o LoadOptions, context int) (*Inspection, error) {
	i := &inspector{loader: loader{source: s, options: o, headers: true}, out: newInspection(s.Tensors)}
	raw, err := s.Read("config.json")
	if err != nil {
		return nil, fmt.Errorf("model %s: config.json: %w", s.Name, unwrapPath(err))
	}
	raw = i.readForeign(raw)
	i.readConfig(raw)
	i.readText(raw)
	if i.config != nil && !i.unreadable && i.makeModel(raw) {
		i.fit()
		i.measure(context)
	}
	return i.out, nil
}

// InspectDir is Inspect for the text files in dir and the tensors of set, which may lie
// elsewhere.
func InspectDir(dir string, set *safetensors.Set, o LoadOptions, context int) (*Inspection, error) {
	s := dirSource(dir, set)
	s.Name = set.Dir
	return Inspect(s, o, context)
}

func newInspection(tensors []weights.Tensor) *Inspection {
	out := &Inspection{
		DTypes: map[string]int64{}, Attention: []AttentionLayer{}, Quantized: []QuantizedLayer{}, EOS: []TokenText{},
		Tensors: InspectTensors(tensors), Missing: []string{}, Unexpected: []string{}, Unused: []string{}, Problems: []string{}, Warnings: []string{},
	}
	for _, t := range out.Tensors {
		out.DTypes[t.DType] += t.Bytes
		out.WeightBytes += t.Bytes
		n := int64(1)
		for _, d := range t.Shape {
			n *= int64(d)
		}
		out.Parameters += n
	}
	return out
}

// InspectTensors describes tensors in the order of their names.
func InspectTensors(tensors []weights.Tensor) []TensorInfo {
	out := make([]TensorInfo, 0, len(tensors))
	for _, t := range tensors {
		info := TensorInfo{Name: t.Name, DType: t.RawDType, Shape: append([]int{}, t.Shape...), Bytes: t.Size()}
		if t.File != nil {
			info.File = t.File.Path
		}
		out = append(out, info)
	}
	slices.SortFunc(out, func(a, b TensorInfo) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// inspector goes the way of a loader and collects what stops that.
type inspector struct {
	loader
	out        *Inspection
	unreadable bool // the weights are in a format that cannot be translated
}

func (i *inspector) problem(err error) { i.out.Problems = append(i.out.Problems, err.Error()) }

func (i *inspector) readConfig(raw []byte) {
	i.out.ModelType = ModelType(raw)
	i.out.Architecture = map[string]any{}
	var all map[string]any
	if json.Unmarshal(raw, &all) == nil {
		for key, value := range all {
			switch value.(type) {
			case string, float64, bool, nil:
				i.out.Architecture[key] = value
			}
		}
	}
	var err error
	if i.config, err = parseConfig(raw); err != nil {
		i.config = nil
		i.problem(err)
	}
}

// readForeign translates another tool's format and says so; config.json is then raw.
func (i *inspector) readForeign(raw []byte) []byte {
	if err := i.fromForeign(); err != nil {
		i.problem(err)
		i.unreadable = true
		return raw
	}
	if i.foreign == nil {
		return raw
	}
	f := &ForeignFormat{Name: i.foreign.Format, Packed: append([]string{}, i.foreign.Packed...), Dequantized: []DequantizedLayer{}}
	for _, path := range i.foreign.Dequantized {
		f.Dequantized = append(f.Dequantized, DequantizedLayer{path, i.foreign.Why[path]})
	}
	i.out.Foreign = f
	raw, err := i.source.Read("config.json")
	if err != nil { // it was made in memory
		i.problem(err)
	}
	return raw
}

// readText reads the files about text.
func (i *inspector) readText(raw []byte) {
	if err := i.readFiles(raw); err != nil {
		i.problem(err)
		return
	}
	var t *Tokenizer
	if i.files[TokenizerFile] == nil {
		i.out.Warnings = append(i.out.Warnings, "there is no "+TokenizerFile+": only token ids can be used")
	} else {
		var err error
		if t, err = ParseTokenizer(i.files); err != nil {
			i.problem(err)
		} else {
			i.out.TokenizerSize, i.out.ChatTemplate = t.VocabSize(), t.HasChatTemplate()
			if err := t.chat.Check(); err != nil {
				i.out.Warnings = append(i.out.Warnings, err.Error())
			}
		}
	}
	ids, from, err := ParseEOS(i.files)
	if err != nil {
		i.problem(err)
		return
	}
	i.out.EOSFrom = from
	if i.config != nil {
		i.config.EOS, i.config.EOSFrom = ids, from
	}
	for _, id := range ids {
		e := TokenText{ID: id}
		if t != nil {
			e.Text, _ = t.Token(id)
		}
		i.out.EOS = append(i.out.EOS, e)
	}
	if len(ids) == 0 {
		i.out.Warnings = append(i.out.Warnings, "no file names an EOS token: generation ends at its limit only")
	}
}

// makeModel builds the model and its packed layers; false when there is none.
func (i *inspector) makeModel(raw []byte) bool {
	var build error
	err := mlx.Try(func() { i.model, build = i.options.New(i.config.ModelType, raw) })
	if err = errors.Join(err, build); err != nil {
		i.problem(err)
		return false
	}
	info := i.model.Info()
	i.out.Supported, i.out.Tested = true, info.Tested
	i.out.VocabSize, i.out.MaxContext = info.VocabSize, info.MaxContext
	for _, l := range i.model.Layout() {
		i.out.Attention = append(i.out.Attention, AttentionLayer{l.Heads, l.KeyDim, l.ValueDim, l.Window})
	}
	if _, err := EOSSet(i.config.EOS, i.config.EOSFrom, nil, info.VocabSize, nil); err != nil {
		i.problem(err)
	}
	warnings, err := i.sanitize()
	if err != nil {
		i.problem(err)
	}
	i.out.Warnings = append(i.out.Warnings, warnings...)
	if err := i.quantize(); err != nil {
		i.problem(err)
	}
	i.dtype = i.computeType()
	i.out.ComputeType = i.dtype.String()
	return true
}

// fit holds the tensors against the model's parameters.
func (i *inspector) fit() {
	used := map[string]bool{}
	for _, t := range i.tensors {
		used[t.Name] = true
	}
	if i.foreign != nil {
		maps.Copy(used, i.foreign.Used)
	}
	for _, t := range i.out.Tensors {
		if !used[t.Name] {
			i.out.Unused = append(i.out.Unused, t.Name)
		}
	}
	err := i.assign()
	for _, fault := range i.faults {
		i.problem(fault)
	}
	var e *machinery.MismatchError
	switch {
	case errors.As(err, &e):
		i.out.Missing, i.out.Unexpected = append(i.out.Missing, e.Missing...), append(i.out.Unexpected, e.Unexpected...)
		for _, shape := range e.Shapes {
			i.out.Problems = append(i.out.Problems, "wrong shape: "+shape)
		}
		for what, names := range map[string][]string{"missing": e.Missing, "unexpected": e.Unexpected} {
			if len(names) > 0 {
				i.problem(fmt.Errorf("%s tensors: %d", what, len(names)))
			}
		}
		slices.Sort(i.out.Problems)
	case err != nil:
		i.problem(err)
	}
}

// measure counts parameters and memory.
func (i *inspector) measure(context int) {
	out := i.out
	packed := map[string]mlx.Scheme{}
	for path, m := range nn.Modules(i.model) {
		switch m := m.(type) {
		case *nn.QuantizedLinear:
			packed[path] = m.Scheme
		case *nn.QuantizedEmbedding:
			packed[path] = m.Scheme
		}
	}
	for _, path := range slices.Sorted(maps.Keys(packed)) {
		s := packed[path]
		out.Quantized = append(out.Quantized, QuantizedLayer{path, string(s.Mode), s.Bits, s.GroupSize})
	}
	out.Parameters, out.Memory.Weights = 0, 0
	var bytes int64
	for path, a := range nn.Parameters(i.model) {
		n := int64(a.Size())
		dot := strings.LastIndexByte(path, '.')
		bytes += n * int64(a.DType().Size())
		if s, ok := packed[path[:max(dot, 0)]]; ok {
			switch path[dot+1:] {
			case "weight":
				n = n * 32 / int64(s.Bits)
			case "scales", "biases":
				n = 0
			}
		}
		out.Parameters += n
	}
	if out.Parameters > 0 {
		out.BitsPerWeight = 8 * float64(bytes) / float64(out.Parameters)
	}
	if context <= 0 {
		context = 4096
		if n := out.MaxContext; n > 0 {
			context = min(context, n)
		}
	}
	weights, converted := i.sizes()
	need := cache.Kind{}.Bytes(i.model.Layout(), context, i.dtype)
	out.Memory = Needs{context, weights, converted, need, weights + converted + need, max(availableMemory(), 0)}
}
