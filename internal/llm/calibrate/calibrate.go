// Package calibrate quantizes models with the help of text: awq, gptq and dynamic, as
// mlx-lm has them, where plain rounding is not good enough.
//
// Run is the whole way from a source to a directory. layers.go runs a model layer by
// layer and gathers what its matrices take; awq.go, gptq.go and dynamic.go are the
// methods, on matrices in float64 where precision matters; write.go hands the result to
// package convert, so that it is a directory as any other.
package calibrate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/convert"
	"github.com/mlxgo/mlx/internal/llm/ruler"
	"github.com/mlxgo/mlx/internal/quant"
	"github.com/mlxgo/mlx/nn"
)

// The methods.
const (
	AWQ     = "awq"
	GPTQ    = "gptq"
	Dynamic = "dynamic"
)

// Methods lists them.
func Methods() []string { return []string{AWQ, GPTQ, Dynamic} }

// Options say how to quantize.
type Options struct {
	// Convert is how the result is written: New, Model, Dir, Repo and Remove are used.
	Convert convert.Options
	Method  string
	// Scheme is that of the matrices of layers, affine; of dynamic the lower of two.
	Scheme quant.Scheme
	// Embed is that of embeddings and the head.
	Embed quant.Scheme
	// High is dynamic's higher scheme, and Target its bits per weight of the whole model.
	High   quant.Scheme
	Target float64
	// Sensitivities, if not nil, are dynamic's from an earlier run.
	Sensitivities []Sensitivity

	// Rows are what the method sees, HeldOut what the report measures.
	Rows, HeldOut [][]int
	Batch         int // rows that run together; 0 is 8
	Grid          int // steps of awq's searches; 0 is 20

	// Line gets lines of the report, Note what else a user should know, Progress how much
	// of a phase is done. They may be nil.
	Line, Note func(text string)
	Progress   func(phase string, done, total int)
}

// Result is what was made.
type Result struct {
	Written       *convert.Result
	BitsPerWeight float64
	// Perplexities on the held-out rows: of the original, of plain rounding with the same
	// bits for each layer (dynamic: the nearest plain scheme that is not smaller), and of
	// the method.
	Original, Plain, Method *ruler.Perplexity
	Sensitivities           []Sensitivity // dynamic's
	Seconds                 float64       // of the method alone
}

func (o *Options) defaults() error {
	if !slices.Contains(Methods(), o.Method) {
		return fmt.Errorf("there is no method %q, only %s", o.Method, strings.Join(Methods(), ", "))
	}
	if o.Line == nil {
		o.Line = func(string) {}
	}
	if o.Note == nil {
		o.Note = func(string) {}
	}
	if o.Progress == nil {
		o.Progress = func(string, int, int) {}
	}
	if o.Batch <= 0 {
		o.Batch = 8
	}
	if o.Grid <= 0 {
		o.Grid = 20
	}
	for _, s := range []*quant.Scheme{&o.Scheme, &o.Embed, &o.High} {
		var err error
		if *s, err = s.Resolve(); err != nil {
			return err
		}
		if s.Mode != quant.Affine {
			return fmt.Errorf("%s quantizes in mode affine only, not %s", o.Method, s.Mode)
		}
	}
	if len(o.Rows) == 0 || len(o.HeldOut) == 0 {
		return errors.New("there is no text to calibrate with, or none is left to measure")
	}
	return nil
}

// job is one run.
type job struct {
	ctx   context.Context
	o     *Options
	src   llm.Source
	m     *llm.Loaded
	dtype mlx.DType // of scales and biases
	bits  map[string]quant.Scheme
}

// Run quantizes the model in src and writes it to the directory out, which must not be
// there.
func Run(ctx context.Context, src llm.Source, out string, o Options) (*Result, error) {
	if err := o.defaults(); err != nil {
		return nil, err
	}
	if err := convert.CheckOut(out); err != nil {
		return nil, err
	}
	j := &job{ctx: ctx, o: &o, src: src, bits: map[string]quant.Scheme{}}
	var err error
	if j.m, err = j.load(); err != nil {
		return nil, err
	}
	if err := j.check(); err != nil {
		return nil, err
	}
	if err := j.checkMemory(); err != nil {
		return nil, err
	}
	r := &Result{}
	if r.Original, err = j.measure("original", j.m); err != nil {
		return nil, err
	}
	o.Line(fmt.Sprintf("Original PPL: %.3f", r.Original.Value))
	start := time.Now()
	if err := j.run(r); err != nil {
		return nil, err
	}
	r.Seconds = time.Since(start).Seconds()
	if r.Method, err = j.measure(o.Method, j.m); err != nil {
		return nil, err
	}
	if r.Plain, err = j.plain(); err != nil {
		return nil, err
	}
	r.Written, err = j.write(out)
	if err != nil {
		return nil, err
	}
	r.BitsPerWeight = r.Written.BitsPerWeight
	o.Line(fmt.Sprintf("Plain rounding PPL: %.3f", r.Plain.Value))
	o.Line(fmt.Sprintf("Quantized PPL: %.3f", r.Method.Value))
	return r, nil
}

// run is the method on the model in place.
func (j *job) run(r *Result) (err error) {
	caught := mlx.Try(func() {
		switch j.o.Method {
		case AWQ:
			err = j.layerwise((*job).awqLayer)
		case GPTQ:
			err = j.layerwise((*job).gptqLayer)
		case Dynamic:
			r.Sensitivities, err = j.dynamic()
		}
	})
	return errors.Join(caught, err)
}

// load reads the model to compute in float32.
func (j *job) load() (*llm.Loaded, error) {
	f32 := mlx.Float32
	return llm.LoadSource(j.src, llm.LoadOptions{New: j.o.Convert.New, DType: &f32, MapWeights: true, ExactActivations: true, NoTokenizer: true})
}

// check refuses models that the methods are not for, and finds the dtype of scales.
func (j *job) check() error {
	for path, l := range nn.Modules(j.m.Model) {
		switch l.(type) {
		case *nn.QuantizedLinear, *nn.QuantizedEmbedding:
			return fmt.Errorf("the model is quantized already (%s): %s needs the original, or what mlx convert --dequantize makes of it", path, j.o.Method)
		}
	}
	j.dtype = mlx.BFloat16
	for _, p := range nn.Parameters(j.m.Model) { // the first is the embedding
		if p.DType().Is(mlx.Floating) {
			j.dtype = p.DType()
			break
		}
	}
	if j.o.Convert.DType != nil {
		j.dtype = *j.o.Convert.DType
	}
	return nil
}

// measure is the perplexity on the rows that the method does not see.
func (j *job) measure(what string, m *llm.Loaded) (*ruler.Perplexity, error) {
	p, err := ruler.Measure(j.ctx, m, j.o.HeldOut, ruler.Options{Batch: j.o.Batch,
		Progress: func(done, total int) { j.o.Progress("measure "+what, done, total) }})
	if err != nil {
		return nil, fmt.Errorf("measuring the %s model: %w", what, err)
	}
	return p, nil
}

// plain is the perplexity of rounding without calibration, to the same size.
func (j *job) plain() (*ruler.Perplexity, error) {
	m, err := j.load()
	if err != nil {
		return nil, err
	}
	schemes := j.bits
	if j.o.Method == Dynamic {
		schemes = j.plainSchemes(m)
	}
	for path, l := range nn.Modules(m.Model) {
		if w := weightOf(l); w != nil && schemes[path] != (quant.Scheme{}) {
			*w = (*w).AsType(j.dtype)
		}
	}
	err = mlx.Try(func() {
		nn.Quantize(m.Model, nn.Predicate(func(path string, _ nn.Quantizable) (mlx.Scheme, bool) {
			s, ok := schemes[path]
			return s, ok
		}))
	})
	if err != nil {
		return nil, err
	}
	return j.measure("plain", m)
}

// weightOf is the place of a dense layer's weight, nil for other layers.
func weightOf(l any) **mlx.Array {
	switch l := l.(type) {
	case *nn.Linear:
		return &l.Weight
	case *nn.Embedding:
		return &l.Weight
	}
	return nil
}
