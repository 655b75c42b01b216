package foreign

import (
	"fmt"
	"io/fs"
	"sync"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/fmap"
	"github.com/mlxgo/mlx/internal/hf/gguf"
	"github.com/mlxgo/mlx/internal/llm/weights"
)

// OpenGGUF is the model in the GGUF file at path, as a Hugging Face directory would have
// it: config.json, generation_config.json, tokenizer.json and tokenizer_config.json are
// made of the file's entries, and the tensors have Hugging Face's names and row orders.
//
// F32, F16 and BF16 tensors are views of the file. Q4_0, Q4_1 and Q8_0 matrices become
// MLX's affine packing of 4 or 8 bits in groups of 32 (weight, scales and biases), which
// holds the same numbers. Other types are dequantized when they are read: to bfloat16
// where the file has bfloat16 matrices, else to float16.
//
// A file without tensors has a vocabulary only: reading config.json then is an error.
// Errors name the file and the entry, tensor or architecture.
func OpenGGUF(path string) (weights.Source, error) {
	f, err := gguf.Open(path)
	if err != nil {
		return weights.Source{}, err
	}
	m := &ggufModel{file: f}
	s := weights.Source{Name: path, Release: f.Release}
	err = fmap.Guard(func() (err error) {
		s.Tensors, err = m.open()
		return err
	})
	if err != nil {
		_ = f.Close()
		return s, fmt.Errorf("%s: %w", path, err)
	}
	made := map[string]func() ([]byte, error){
		"config.json":            func() ([]byte, error) { return m.configFile, m.configErr },
		"generation_config.json": sync.OnceValues(m.generationConfig),
		"tokenizer.json":         sync.OnceValues(m.tokenizerFile),
		"tokenizer_config.json":  sync.OnceValues(m.tokenizerConfig),
	}
	s.Read = func(name string) (data []byte, err error) {
		read, ok := made[name]
		if !ok {
			return nil, fs.ErrNotExist
		}
		err = fmap.Guard(func() (err error) {
			data, err = read()
			return err
		})
		return data, err
	}
	return s, nil
}

// ggufModel is one file at work.
type ggufModel struct {
	file *gguf.File
	name string // general.architecture
	arch *ggufArch

	blocks, heads, kvHeads, headDim int
	wide                            dtype.DType // of what is dequantized

	configFile []byte
	configErr  error

	vocabOnce sync.Once
	vocab     *ggufVocab
	vocabErr  error
}

// open reads the architecture, the configuration and the tensors.
func (m *ggufModel) open() ([]weights.Tensor, error) {
	if len(m.file.Tensors()) == 0 {
		m.configErr = fmt.Errorf("%s has no tensors: it is a vocabulary, not a model", m.file.Path)
		return nil, nil
	}
	var err error
	if m.name, err = m.text("general.architecture"); err != nil {
		return nil, err
	}
	if m.name == "" {
		return nil, fmt.Errorf("general.architecture is missing")
	}
	if m.arch, err = ggufArchOf(m.name); err != nil {
		return nil, err
	}
	if n, err := m.int("split.count", 0); err != nil || n > 1 {
		if err == nil {
			err = fmt.Errorf("this is one of %d files of a split model, which are not read: join them with llama-gguf-split --merge", n)
		}
		return nil, err
	}
	c, err := m.config()
	if err != nil {
		return nil, err
	}
	m.chooseWide()
	tensors, schemes, err := m.tensors()
	if err != nil {
		return nil, err
	}
	if m.configFile, err = marshalGGUF(m.finishConfig(c, tensors, schemes)); err != nil {
		return nil, err
	}
	return tensors, nil
}

// chooseWide chooses the dtype of what is dequantized.
func (m *ggufModel) chooseWide() {
	m.wide = dtype.Float16
	for _, t := range m.file.Tensors() {
		if t.Type == gguf.BF16 && len(t.Shape) > 1 {
			m.wide = dtype.BFloat16
		}
	}
}

// text is an entry that is a string, "" if there is none.
func (m *ggufModel) text(key string) (string, error) {
	v, ok := m.file.Value(key)
	if !ok {
		return "", nil
	}
	s, err := v.Text()
	if err != nil {
		return "", fmt.Errorf("%s %w", key, err)
	}
	return s, nil
}

// float is an entry that is a number, or otherwise.
func (m *ggufModel) float(key string, otherwise float64) (float64, error) {
	v, ok := m.file.Value(key)
	if !ok {
		return otherwise, nil
	}
	x, err := v.Float()
	if err != nil {
		return 0, fmt.Errorf("%s %w", key, err)
	}
	return x, nil
}

// int is an entry that is a count, or otherwise. An array of one count for each layer is
// that count, if all are the same.
func (m *ggufModel) int(key string, otherwise int) (int, error) {
	v, ok := m.file.Value(key)
	if !ok {
		return otherwise, nil
	}
	if v.Kind() == gguf.Array {
		all, err := v.Floats()
		if err != nil || len(all) == 0 {
			return 0, fmt.Errorf("%s is not a count", key)
		}
		for _, x := range all {
			if x != all[0] {
				return 0, fmt.Errorf("%s differs from layer to layer (%v and %v), which is not supported", key, all[0], x)
			}
		}
		v = gguf.Number(gguf.Float64, all[0])
	}
	n, err := v.Int()
	if err != nil {
		return 0, fmt.Errorf("%s %w", key, err)
	}
	return n, nil
}

// truth is an entry that is a bool, or otherwise.
func (m *ggufModel) truth(key string, otherwise bool) (bool, error) {
	v, ok := m.file.Value(key)
	if !ok {
		return otherwise, nil
	}
	b, err := v.Bool()
	if err != nil {
		return false, fmt.Errorf("%s %w", key, err)
	}
	return b, nil
}

// tensor is the tensor of a name.
func (m *ggufModel) tensor(name string) (gguf.Tensor, bool) {
	for _, t := range m.file.Tensors() {
		if t.Name == name {
			return t, true
		}
	}
	return gguf.Tensor{}, false
}
