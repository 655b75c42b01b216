package llm

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/hf/safetensors"
	"github.com/mlxgo/mlx/internal/hf/torchfile"
	"github.com/mlxgo/mlx/internal/llm/cache"
	"github.com/mlxgo/mlx/internal/llm/foreign"
	"github.com/mlxgo/mlx/internal/llm/weights"
	machinery "github.com/mlxgo/mlx/internal/nn"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/nn"
)

// Source is where a model comes from: a directory, or files inside the program.
type Source = weights.Source

// textFiles are the small files of a model beside config.json.
var textFiles = []string{"generation_config.json", TokenizerFile, TokenizerConfigFile,
	"chat_template.jinja", "chat_template.json", "special_tokens_map.json"}

// Files are the open files that a source's tensors view.
type Files interface {
	// InHugePages moves what is mapped into memory of the process.
	InHugePages() error
	Close() error
}

// OpenDir opens the model in dir, whose files must be there whole: safetensors, or
// without them PyTorch's. Close the files when the source is needed no more.
func OpenDir(dir string) (Source, Files, error) {
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		if err == nil {
			err = errors.New("not a directory")
		}
		return Source{}, nil, fmt.Errorf("model %s: %w", dir, unwrapPath(err))
	}
	if _, err := readRegular(filepath.Join(dir, "config.json")); err != nil { // before the weights: the clearer message
		return Source{}, nil, fmt.Errorf("model %s: config.json: %w", dir, unwrapPath(err))
	}
	set, err := safetensors.OpenDir(dir)
	if errors.Is(err, safetensors.ErrNoWeights) {
		if source, files, torch := OpenTorch(dir); !errors.Is(torch, torchfile.ErrNoWeights) {
			return source, files, torch
		}
	}
	if err != nil {
		return Source{}, nil, err
	}
	if len(set.Unindexed) > 0 {
		err := fmt.Errorf("model %s: %s is not listed in %s; remove it or the index", dir, strings.Join(set.Unindexed, ", "), safetensors.IndexName)
		return Source{}, nil, errors.Join(err, set.Close())
	}
	return dirSource(dir, set), set, nil
}

func load(dir string, o LoadOptions) (*Loaded, error) {
	source, files, err := OpenDir(dir)
	if err != nil {
		return nil, err
	}
	var total int64
	for _, t := range source.Tensors {
		total += t.Size()
	}
	l := &loader{source: source, options: o}
	m, err := l.named()
	if err != nil {
		return nil, err
	}
	m.Dir = dir
	if l.movesWeights(total) {
		go func() { // what cannot be read stays mapped, and its fault will name the file
			_ = files.InHugePages()
		}()
	}
	return m, nil
}

// movesWeights says whether the weights shall move into memory of the process, whose
// huge pages are read faster than those of a mapped file: if it leaves half as much
// free and few weights have been converted, since those of the file are then not needed.
func (l *loader) movesWeights(total int64) bool {
	stored, converted := l.sizes()
	if l.options.MapWeights || converted > stored/8 {
		return false
	}
	have := availableMemory()
	return have <= 0 || total <= have/3*2
}

// dirSource is the model in dir with the weights of set.
func dirSource(dir string, set *safetensors.Set) Source {
	s := Source{Name: dir, Read: func(name string) ([]byte, error) { return readRegular(filepath.Join(dir, name)) }, Release: set.Release}
	for _, name := range set.Names() {
		t, _ := set.Tensor(name)
		s.Tensors = append(s.Tensors, weights.Tensor{Tensor: t})
	}
	return s
}

// unwrapPath drops the operation and path of a file error: messages name the file.
func unwrapPath(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// LoadSource is Load from any source.
func LoadSource(s Source, o LoadOptions) (*Loaded, error) {
	return (&loader{source: s, options: o}).named()
}

func (l *loader) named() (*Loaded, error) {
	m, err := l.load()
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", l.source.Name, err)
	}
	return m, nil
}

// loader is one load at work.
type loader struct {
	source  Source
	options LoadOptions
	files   map[string][]byte // config.json and textFiles, each read once
	config  *Config
	model   Model
	tensors map[string]weights.Tensor // by path, without those that the model drops
	turned  map[string]bool           // paths of matrices that are stored [in, out]
	foreign *foreign.Report           // how the source's format was translated, nil for MLX's
	dtype   mlx.DType
	headers bool    // the tensors have no data: nothing is evaluated
	faults  []error // with headers: what checkKind says
}

func (l *loader) load() (*Loaded, error) {
	raw, err := l.configure()
	if err != nil {
		return nil, err
	}
	if err := l.readFiles(raw); err != nil {
		return nil, err
	}
	if l.config.EOS, l.config.EOSFrom, err = ParseEOS(l.files); err != nil {
		return nil, err
	}
	warnings, err := l.structure(raw)
	if err != nil {
		return nil, err
	}
	l.dtype = l.computeType()
	if err := l.checkMemory(); err != nil {
		return nil, err
	}
	if err := l.assign(); err != nil {
		return nil, err
	}
	l.model.SetDType(l.dtype)
	out := &Loaded{Model: l.model, Config: l.config, DType: l.dtype, Warnings: warnings}
	out.steps = newStepSet(l.model)
	out.identity = sync.OnceValues(l.identity)
	if !l.options.NoTokenizer && l.files[TokenizerFile] != nil { // ids need no tokenizer
		if out.Tokenizer, err = ParseTokenizer(l.files); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// configure reads config.json, and that of another tool as MLX's.
func (l *loader) configure() (raw []byte, err error) {
	if err := l.fromForeign(); err != nil {
		return nil, err
	}
	if raw, err = l.source.Read("config.json"); err != nil {
		return nil, fmt.Errorf("config.json: %w", unwrapPath(err))
	}
	l.config, err = parseConfig(raw)
	return raw, err
}

// fromForeign puts MLX's tensors and configuration in the place of another tool's.
func (l *loader) fromForeign() (err error) {
	l.source, l.foreign, err = foreign.Translate(l.source, foreign.Options{DType: l.options.DType})
	return err
}

// structure makes the model with the parts and packed layers that its tensors have.
func (l *loader) structure(raw []byte) (warnings []string, err error) {
	var build error
	err = mlx.Try(func() { l.model, build = l.options.New(l.config.ModelType, raw) })
	if err = errors.Join(err, build); err != nil {
		return nil, err
	}
	if warnings, err = l.sanitize(); err != nil {
		return nil, err
	}
	return warnings, l.quantize()
}

// readFiles reads the text files that there are, but for config.json, which is raw;
// one that cannot be read is an error.
func (l *loader) readFiles(raw []byte) error {
	l.files = map[string][]byte{"config.json": raw}
	for _, name := range textFiles {
		data, err := l.source.Read(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, unwrapPath(err))
		}
		if data == nil {
			data = []byte{} // empty is not missing
		}
		l.files[name] = data
	}
	return nil
}

// sanitize lets the model drop tensors that it does not use.
func (l *loader) sanitize() (warnings []string, err error) {
	all := l.translate()
	if m, ok := l.model.(ShapeReader); ok {
		m.ReadShapes(func(path string) []int { return all[path].Shape })
	}
	drop := l.model.Sanitize(func(name string) bool { _, ok := all[name]; return ok })
	l.tensors = make(map[string]weights.Tensor, len(all))
	for name, t := range all {
		if !drop(name) {
			l.tensors[name] = t
		}
	}
	const head, embedding = "lm_head.weight", "model.embed_tokens.weight"
	h, hasHead := all[head]
	e, hasEmbedding := all[embedding]
	if _, used := l.tensors[head]; hasHead && hasEmbedding && !used && differs(h, e) {
		warnings = append(warnings, fmt.Sprintf("%s differs from %s and is not used: config.json says tie_word_embeddings", head, embedding))
	}
	return warnings, nil
}

// translate is the tensors by the paths of the model's parameters.
func (l *loader) translate() map[string]weights.Tensor {
	all := make(map[string]weights.Tensor, len(l.source.Tensors))
	for _, t := range l.source.Tensors {
		all[t.Name] = t
	}
	m, ok := l.model.(Translator)
	if !ok {
		return all
	}
	f := m.Translate(func(name string) bool { _, ok := all[name]; return ok })
	if f == nil {
		return all
	}
	l.turned = map[string]bool{}
	out := make(map[string]weights.Tensor, len(all))
	for name, t := range all {
		if path, turn := f(name); path != "" {
			out[path] = t
			l.turned[path] = turn && !l.inRows(t)
		}
	}
	l.config.quantization.translate(f)
	return out
}

// inRows reports whether a matrix is [out, in] whatever the model's own files have: packed
// ones are, and those made of the packed columns of AWQ and GPTQ.
func (l *loader) inRows(t weights.Tensor) bool {
	path, ok := strings.CutSuffix(t.Name, ".weight")
	return t.DType == mlx.Uint32 || ok && l.foreign != nil && l.foreign.Used[path+".qweight"]
}

// differs compares two matrices by a sample of their bytes: reading all of a large
// head would cost more than the warning is worth.
func differs(a, b weights.Tensor) bool {
	if a.RawDType != b.RawDType || len(a.Data) != len(b.Data) {
		return true
	}
	const piece, pieces = 4096, 64
	step := max(piece, len(a.Data)/pieces)
	for at := 0; at < len(a.Data); at += step {
		end := min(at+piece, len(a.Data))
		if string(a.Data[at:end]) != string(b.Data[at:end]) {
			return true
		}
	}
	return false
}

// quantize replaces the layers that the configuration says are packed.
func (l *loader) quantize() error {
	q := l.config.quantization
	if q == nil {
		for _, name := range slices.Sorted(maps.Keys(l.tensors)) {
			if strings.HasSuffix(name, ".scales") {
				return fmt.Errorf("%s: the weights are quantized, but config.json has no quantization block", name)
			}
		}
		return nil
	}
	err := mlx.Try(func() {
		nn.Quantize(l.model, nn.Predicate(func(path string, _ nn.Quantizable) (mlx.Scheme, bool) {
			_, has := l.tensors[path+".scales"]
			return q.of(path, has)
		}))
	})
	if err != nil {
		return fmt.Errorf("config.json: quantization: %w", err)
	}
	for _, m := range nn.Modules(l.model) {
		switch m := m.(type) {
		case *nn.QuantizedLinear:
			m.RoundActivations, m.RoundWeights = !l.options.ExactActivations, l.options.RoundWeights
		case *nn.QuantizedEmbedding:
			m.RoundActivations, m.RoundWeights = !l.options.ExactActivations, l.options.RoundWeights
		}
	}
	return nil
}

// computeType is the type asked for, else the weights', else the declared one.
func (l *loader) computeType() mlx.DType {
	if d := l.options.DType; d != nil {
		return *d
	}
	embedding := l.embedding()
	for _, name := range []string{embedding + ".scales", embedding + ".weight", "model.norm.weight"} {
		if t, ok := l.tensors[name]; ok && t.DType.Is(mlx.Floating) {
			return t.DType
		}
	}
	if l.config.DType != nil {
		return *l.config.DType
	}
	return mlx.BFloat16
}

// embedding is the path of the first one.
func (l *loader) embedding() string {
	for path, m := range nn.Modules(l.model) {
		switch m.(type) {
		case *nn.Embedding, *nn.QuantizedEmbedding:
			return path
		}
	}
	return ""
}

// casts reports whether a weight of dtype d is converted at load: one that would
// widen the computing type. Narrower ones stay mapped; kernels widen as they read.
func (l *loader) casts(d mlx.DType) bool {
	return d.Is(mlx.Floating) && !mlx.CanCast(d, l.dtype)
}

// checkMemory refuses a model that cannot run here, before anything is read.
func (l *loader) checkMemory() error {
	have := l.options.MemoryAvailable
	if have == 0 {
		have = availableMemory()
	}
	if have <= 0 {
		return nil
	}
	stored, converted := l.sizes()
	need := stored + converted + cache.Kind{}.Bytes(l.model.Layout(), 1, l.dtype)
	if need > have {
		return fmt.Errorf("needs %s of memory, and %s are available", gigabytes(need), gigabytes(have))
	}
	return nil
}

// sizes are the bytes of the weights in the files, and of those that are made, converted
// or turned.
func (l *loader) sizes() (stored, converted int64) {
	for path, t := range l.tensors {
		n := t.Size()
		if l.casts(t.DType) {
			n = n / int64(t.DType.Size()) * int64(l.dtype.Size())
		}
		if t.Make == nil {
			stored += t.Size()
		}
		if t.Make != nil || l.casts(t.DType) || l.turned[path] {
			converted += n
		}
	}
	return stored, converted
}

func gigabytes(n int64) string { return fmt.Sprintf("%.3f GB", float64(n)/1e9) }

// assign puts the mapped weights into the model.
func (l *loader) assign() error {
	kinds, shapes := map[string]mlx.DType{}, map[string]mlx.Shape{}
	for path, a := range nn.Parameters(l.model) {
		kinds[path], shapes[path] = a.DType(), a.Shape()
	}
	arrays := make(map[string]*mlx.Array, len(l.tensors))
	var converted []*mlx.Array
	for _, name := range slices.Sorted(maps.Keys(l.tensors)) {
		t := l.tensors[name]
		if _, known := kinds[name]; !known && l.emptyBias(t) {
			continue
		}
		if kind, known := kinds[name]; known { // Assign names the others
			if err := checkKind(t, kind); err != nil && l.headers {
				l.faults = append(l.faults, err)
			} else if err != nil {
				return err
			}
		}
		a, err := l.array(t)
		if err != nil {
			return err
		}
		if l.turned[name] && a.NDim() == 2 {
			a = tensor.CopyOf(a.T(), mlx.Stream{})
			converted = append(converted, a)
		}
		if want, known := shapes[name]; known && want.Size() == 1 && a.Size() == 1 { // [1] or a scalar
			a = a.Reshape(want...)
		}
		if l.casts(t.DType) {
			a = a.AsType(l.dtype)
			converted = append(converted, a)
		}
		arrays[name] = a
	}
	if err := machinery.Assign(l.model, arrays, true); err != nil {
		return l.explain(err)
	}
	if l.headers {
		return nil
	}
	return mlx.Eval(converted)
}

// emptyBias reports whether t is one of the biases of zeros that some tools write for
// each packed layer, also where the model has none.
func (l *loader) emptyBias(t weights.Tensor) bool {
	path, ok := strings.CutSuffix(t.Name, ".bias")
	if !ok || l.foreign == nil || !l.foreign.Used[path+".qweight"] {
		return false
	}
	return len(bytes.Trim(t.Data, "\x00")) == 0 // headers have no data, and get the benefit of the doubt
}

// array is the tensor as an array; without data one that nobody evaluates.
func (l *loader) array(t weights.Tensor) (*mlx.Array, error) {
	if l.headers {
		return mlx.Zeros(t.Shape, t.DType), nil
	}
	data, err := t.Bytes()
	if err != nil {
		return nil, err
	}
	return over(t, data)
}

// checkKind refuses weights of a dtype that the layer cannot read.
func checkKind(t weights.Tensor, want mlx.DType) error {
	ok := t.DType == want
	if want.Is(mlx.Floating) {
		ok = t.RawDType == "F32" || t.RawDType == "F16" || t.RawDType == "BF16"
	} else if want == mlx.Uint8 {
		ok = t.RawDType == "U8"
	}
	if ok {
		return nil
	}
	return fmt.Errorf("%s: dtype %s is not supported here; the layer needs %v", t.Name, t.RawDType, want)
}

// over is an array over the tensor's elements, without a copy where a file has them.
func over(t weights.Tensor, data []byte) (*mlx.Array, error) {
	var owner any = t.File
	if t.Owner != nil {
		owner = t.Owner
	}
	if t.Make != nil {
		owner = data
	}
	b, err := tensor.Adopt(data, owner, tensor.Weights)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.Name, err)
	}
	return tensor.FromView(tensor.RowMajorView(tensor.Spec{Shape: t.Shape, DType: t.DType}, b)), nil
}

// explain adds what the configuration has to do with a mismatch.
func (l *loader) explain(err error) error {
	var e *machinery.MismatchError
	if errors.As(err, &e) {
		for _, name := range e.Missing {
			if name == "lm_head.weight" {
				return fmt.Errorf("the weights do not fit config.json, which says that tie_word_embeddings is false: %w", err)
			}
		}
	}
	return fmt.Errorf("the weights do not fit config.json: %w", err)
}
