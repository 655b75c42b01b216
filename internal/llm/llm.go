// Package llm loads language models and generates text with them.
//
// Its main types are Model (what a model file implements), Loaded (a model with
// its configuration and tokenizer), Tokenizer (text to ids and back, chat template
// and EOS set) and Generation. Models live in llm/models, caches in llm/cache,
// sampling in llm/sample; nothing here reads flags or prints.
package llm

import (
	"crypto/sha256"
	"encoding/hex"
	"sync"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/llm/cache"
)

// Model is a decoder. Forward maps tokens int32 [B, L] to logits [B, L, V], or
// with rows int32 [B] to the logits [B, V] of these positions only; it writes the
// caches c, one per layer.
type Model interface {
	Forward(tokens, rows *mlx.Array, c []cache.KV) *mlx.Array
	// Layout describes the caches, one per layer.
	Layout() []cache.Layout
	// Info is what the commands need to know of the model.
	Info() Info
	// Sanitize settles the model's parts by the tensors that there are, and says
	// which of them it does not use.
	Sanitize(has func(name string) bool) (drop func(name string) bool)
	// SetDType sets the computing type.
	SetDType(d mlx.DType)
}

// A Trainable model computes logits in two steps, so that training need not hold those
// of all tokens at once, and can forget the intermediates of its layers.
type Trainable interface {
	Model
	// Hidden maps tokens int32 [B, L] to what Outputs takes, [B, L, D].
	Hidden(tokens *mlx.Array, c []cache.KV) *mlx.Array
	// Outputs maps [..., D] to logits [..., V].
	Outputs(x *mlx.Array) *mlx.Array
	// SetCheckpoint makes layers forget their intermediates, which the gradient computes
	// again. It is an error for models that cannot.
	SetCheckpoint(on bool) error
}

// A Layered model can be run layer by layer.
type Layered interface {
	Trainable
	// Enter maps tokens int32 [B, L] to what the first layer takes, [B, L, D].
	Enter(tokens *mlx.Array, c []cache.KV) *mlx.Array
	// Layers are the layers between Enter and Outputs, in their order. It is an error for
	// models whose layers take more than the one before gives.
	Layers() ([]Layer, error)
}

// Layer is one of a Layered model.
type Layer struct {
	Path string // of its parameters
	// Forward maps [B, L, D] to the same; c is that of the model.
	Forward func(x *mlx.Array, c []cache.KV) *mlx.Array
	Folds   []Fold
}

// A Fold is a place where the channels of an activation can be scaled without a change of
// the model: From gives them, dividing its rows, and all of To take them, multiplying
// their columns.
type Fold struct {
	From string   // path of a norm or a linear layer
	To   []string // of linear layers with the same input
	// Repeat > 1: each block of HeadDim channels of From is so many blocks of To's input,
	// one after the other, as values of heads that share them.
	Repeat, HeadDim int
}

// A Translator is a model whose files may call parameters otherwise: what Translate
// returns maps a name in the files to a path, "" for a tensor that is not used, and says
// whether the matrix must be transposed. Has tells the names that there are; nil means
// that names are paths.
type Translator interface {
	Translate(has func(name string) bool) func(name string) (path string, transpose bool)
}

// A ShapeReader is a model that settles sizes which its configuration may tell wrongly by
// the tensors that there are. Shape is that of the tensor of a path, nil without one; it
// is called before Sanitize.
type ShapeReader interface {
	ReadShapes(shape func(path string) []int)
}

// Info is a model's dimensions.
type Info struct {
	ModelType  string
	VocabSize  int
	MaxContext int // positions the model was made for; 0 if the config does not say
	Tested     bool
	// Recompute > 0: a text that grows beyond so many tokens runs anew from its
	// beginning, since the model rotates all its keys otherwise from there on.
	Recompute int
}

// Constructor makes the model of a model_type from the text of config.json, with
// empty parameters; known is the list of types for the error of an unknown one.
type Constructor func(modelType string, config []byte) (Model, error)

// LoadOptions say how to load a model.
type LoadOptions struct {
	// New is the constructor, models.New.
	New Constructor
	// DType is the computing type; nil means the model's.
	DType *mlx.DType
	// MapWeights leaves the weights in the mapped files, which processes share,
	// instead of reading them into memory of this one, which is faster to read.
	MapWeights bool
	// ExactActivations keeps activations of half precision as they are in products
	// with quantized weights; otherwise a device may round them for speed.
	ExactActivations bool
	// RoundWeights lets such products, and their gradients, round unpacked weights to
	// the computing type where that is faster.
	RoundWeights bool
	// MemoryAvailable is how many bytes may be used, weights, cache and temporaries
	// together; 0 asks the system.
	MemoryAvailable int64
	// NoTokenizer loads the weights and configuration only.
	NoTokenizer bool
}

// Loaded is a model ready to run.
type Loaded struct {
	Dir       string
	Model     Model
	Tokenizer *Tokenizer // nil with NoTokenizer, or when the directory has none
	Config    *Config
	DType     mlx.DType // computing type
	Warnings  []string  // what a user should know of the files

	steps    *stepSet
	identity func() (identity, error)
}

// Adapted says that the model's weights are not those of its files alone any more: saved
// prompts of the model with other adapters, or without, do not fit. What are the
// adapters' bytes and strengths, or what tells them apart.
func (m *Loaded) Adapted(what []byte) {
	before := m.identity
	m.identity = sync.OnceValues(func() (identity, error) {
		id, err := before()
		sum := sha256.Sum256(append([]byte(id.Model), what...))
		id.Model = hex.EncodeToString(sum[:])
		return id, err
	})
}

// Load reads the model in dir: config.json, the safetensors files, which stay
// mapped, and the tokenizer if there is one. dir can also be a GGUF file. Errors name
// the file, key or tensor.
func Load(dir string, o LoadOptions) (*Loaded, error) {
	if IsGGUF(dir) {
		return loadGGUF(dir, o)
	}
	return load(dir, o)
}

// Logits are the float32 logits [len(tokens), V] after each of tokens.
func (m *Loaded) Logits(tokens []int) (*mlx.Array, error) { return m.logits(tokens) }

// AvailableMemory is how many bytes the system can give, 0 if it does not tell.
func AvailableMemory() int64 { return availableMemory() }
