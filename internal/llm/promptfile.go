package llm

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"github.com/mlxgo/mlx/internal/llm/cache"
)

// identity tells models and tokenizers apart.
type identity struct {
	Model     string `json:"model"`
	Tokenizer string `json:"tokenizer,omitempty"`
}

// identity hashes the configuration and the tensors' names, types, shapes and samples
// of their values, and apart from it tokenizer.json.
func (l *loader) identity() (id identity, err error) {
	const sample = 4096 // bytes at the beginning, middle and end of each tensor
	h := sha256.New()
	write := func(b []byte) {
		h.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(b))))
		h.Write(b)
	}
	write(l.files[ConfigFile])
	for _, name := range slices.Sorted(maps.Keys(l.tensors)) {
		t := l.tensors[name]
		write(fmt.Appendf(nil, "%s %s %v", name, t.RawDType, t.Shape))
		data, err := t.Bytes()
		if err != nil {
			return id, err
		}
		n := len(data)
		for _, at := range []int{0, (n - sample) / 2, n - sample} {
			at = max(at, 0)
			write(data[at:min(at+sample, n)])
		}
	}
	id.Model = hex.EncodeToString(h.Sum(nil))
	text, err := l.source.Read(TokenizerFile)
	if errors.Is(err, fs.ErrNotExist) {
		return id, nil
	}
	if err != nil {
		return id, fmt.Errorf("%s: %w", TokenizerFile, unwrapPath(err))
	}
	sum := sha256.Sum256(text)
	id.Tokenizer = hex.EncodeToString(sum[:])
	return id, nil
}

// PromptInfo is what a saved prompt cache says of itself.
type PromptInfo struct {
	Model string // as it was named
	// Prompt made the tokens, if they were made of a text: Text, System and
	// IgnoreChatTemplate. TemplateConfig is the text of the object.
	Prompt         *PromptOptions
	TemplateConfig string
	// EOSToken is the eos_token in place of the tokenizer's own; "" for that.
	EOSToken string
}

// tokenizerMeta is what mlx-lm's key of the tokenizer's configuration has.
type tokenizerMeta struct {
	EOSToken string `json:"eos_token,omitempty"`
}

// The keys of the metadata: mlx-lm's two and ours, a JSON object.
const (
	metaModel     = "model"
	metaTokenizer = "tokenizer_config"
	metaOwn       = "mlx_go"
)

// ownMeta is the object of metaOwn.
type ownMeta struct {
	Identity       identity `json:"identity"`
	Tokens         []int    `json:"tokens,omitempty"`
	Text           *string  `json:"text,omitempty"`
	System         string   `json:"system,omitempty"`
	Raw            bool     `json:"ignore_chat_template,omitempty"`
	TemplateConfig string   `json:"chat_template_config,omitempty"`
}

// Save writes the memory to path in mlx-lm's format, whole or not at all.
func (q *Sequence) Save(path string, info PromptInfo) error {
	id, err := q.m.identity()
	if err != nil {
		return err
	}
	own := ownMeta{Identity: id, TemplateConfig: info.TemplateConfig}
	if !q.unknown {
		own.Tokens = q.tokens
	}
	if o := info.Prompt; o != nil {
		own.Text, own.System, own.Raw = &o.Text, o.System, o.IgnoreChatTemplate
	}
	text, err := json.Marshal(own)
	if err != nil {
		return err
	}
	config, err := json.Marshal(tokenizerMeta{info.EOSToken})
	if err != nil {
		return err
	}
	q.s.release()
	return q.s.cache.Save(path, map[string]string{metaModel: info.Model, metaTokenizer: string(config), metaOwn: string(text)})
}

// A PromptFile is a saved prompt cache that is not loaded yet.
type PromptFile struct {
	PromptInfo
	path string
	file *cache.File
	own  *ownMeta // nil in mlx-lm's files
}

// OpenPromptCache reads what a file says of itself; Close it after Load.
func OpenPromptCache(path string) (*PromptFile, error) {
	f, err := cache.OpenFile(path)
	if err != nil {
		return nil, err
	}
	out := &PromptFile{path: path, file: f}
	out.Model = f.Metadata[metaModel]
	if text, ok := f.Metadata[metaTokenizer]; ok {
		var config tokenizerMeta
		if err := json.Unmarshal([]byte(text), &config); err != nil {
			f.Close()
			return nil, fmt.Errorf("%s: metadata 1.%s: %w", path, metaTokenizer, JSONError(err))
		}
		out.EOSToken = config.EOSToken
	}
	if text, ok := f.Metadata[metaOwn]; ok {
		out.own = &ownMeta{}
		if err := json.Unmarshal([]byte(text), out.own); err != nil {
			f.Close()
			return nil, fmt.Errorf("%s: metadata 1.%s: %w", path, metaOwn, JSONError(err))
		}
		out.TemplateConfig = out.own.TemplateConfig
		if t := out.own.Text; t != nil {
			out.Prompt = &PromptOptions{Text: *t, System: out.own.System, IgnoreChatTemplate: out.own.Raw}
		}
	}
	return out, nil
}

// Close unmaps the file.
func (f *PromptFile) Close() error { return f.file.Close() }

// Load is the memory for m, which is named so. Of o only the quantization of a plain
// cache can still happen; other options must agree with the file or be absent.
func (f *PromptFile) Load(m *Loaded, name string, o KVOptions) (*Sequence, error) {
	if err := f.checkModel(m, name); err != nil {
		return nil, err
	}
	o, err := f.options(o, m.Model.Layout())
	if err != nil {
		return nil, err
	}
	kind, err := f.file.Kind(m.Model.Layout())
	if err != nil {
		return nil, err
	}
	if err := m.checkCacheMemory(kind, 1, cache.CapacityFor(f.file.Len+1)); err != nil {
		return nil, fmt.Errorf("%s: %w", f.path, err)
	}
	c, err := f.file.Load(m.Model.Layout(), m.DType)
	if err != nil {
		return nil, err
	}
	q := &Sequence{m: m, s: newSession(m, o, c, false), unknown: true}
	if f.own != nil && f.own.Tokens != nil {
		if len(f.own.Tokens) != c.Len() {
			return nil, fmt.Errorf("%s has %d tokens and %d positions", f.path, len(f.own.Tokens), c.Len())
		}
		q.tokens, q.unknown = f.own.Tokens, false
	}
	return q, nil
}

// checkModel refuses the cache of another model or tokenizer.
func (f *PromptFile) checkModel(m *Loaded, name string) error {
	if f.own == nil { // mlx-lm compares names, and there is nothing else
		if name != f.Model {
			return fmt.Errorf("%s is a prompt cache of the model %q, and this is %q", f.path, f.Model, name)
		}
		return nil
	}
	id, err := m.identity()
	switch {
	case err != nil:
		return err
	case id.Model != f.own.Identity.Model:
		return fmt.Errorf("%s is a prompt cache of another model (it was made with %q): the configuration or the weights differ", f.path, f.Model)
	case id.Tokenizer != f.own.Identity.Tokenizer:
		return fmt.Errorf("%s is a prompt cache of another tokenizer: %s differs", f.path, TokenizerFile)
	}
	return nil
}

// options are those of the file with what o adds.
func (f *PromptFile) options(o KVOptions, layout []cache.Layout) (KVOptions, error) {
	k, err := f.file.Kind(layout)
	if err != nil {
		return o, err
	}
	if o.MaxSize != 0 && !cache.Rotating(o.MaxSize).Same(k, layout) {
		return o, fmt.Errorf("%s is a cache %s: it cannot become one of %d positions", f.path, sizeText(k), o.MaxSize)
	}
	if k.Bits > 0 {
		if o.Bits != 0 && o.Bits != k.Bits {
			return o, fmt.Errorf("%s is a cache of %d bits, not of %d", f.path, k.Bits, o.Bits)
		}
		if o.GroupSize != 0 && o.GroupSize != k.Group {
			return o, fmt.Errorf("%s is a cache quantized in groups of %d, not of %d", f.path, k.Group, o.GroupSize)
		}
		o.Bits, o.GroupSize = k.Bits, k.Group
	}
	o.MaxSize = 0 // the file has what it has
	o, err = o.resolve(layout)
	o.MaxSize = k.MaxSize
	return o, err
}

func sizeText(k cache.Kind) string {
	if k.MaxSize == 0 {
		return "of all positions"
	}
	return fmt.Sprintf("of the last %d positions", k.MaxSize)
}
