// Package convert writes models as MLX directories, as mlx-lm's convert does: quantized,
// dequantized or in another dtype, tensor by tensor, so that memory does not depend on
// the model's size.
//
// Run is the whole way from a source to a directory. plan.go says what is written: the
// source's layout (package llm) gives the parameters, layers.go and rules.go how each
// layer is quantized, config.go and files.go the small files. rows.go makes rows of
// tensors, write.go puts them into shards, work.go keeps what is finished in a directory
// beside the result until all is there, so that a conversion that was killed goes on.
package convert

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/quant"
)

// Options say what to write.
type Options struct {
	// New makes the models: models.New.
	New llm.Constructor
	// Model is the source as the user named it, and Dir its directory or File its file, ""
	// if it has none.
	Model, Dir, File string
	// Repo is the source's name on the Hub, for the model card; "" if it is not of the Hub.
	Repo string

	// Quantize packs the layers by Scheme, whose zero fields are the mode's defaults.
	Quantize bool
	Scheme   quant.Scheme
	// Recipe is one of Recipes, or "": which layers get more bits. It replaces what the
	// model says itself.
	Recipe string
	// Rules say more of single layers than all else; nil: none.
	Rules *Rules
	// Dequantize unpacks the layers that are packed.
	Dequantize bool
	// DType is what floating parameters become, before they are packed; nil: what
	// config.json says, if anything. KeepDTypes: it says nothing of that.
	DType      *mlx.DType
	KeepDTypes bool
	// Identity tells apart what tensors are made of that are in no file: a conversion
	// that was killed goes on with its own only.
	Identity string

	// Remove removes a file of the source after all that is needed of it is written,
	// checked and on the disk; nil: sources stay.
	Remove func(path string) error

	// Complete gets the directory of the result when all is written, before that takes its
	// place: it may add to it. It is called again if its error, or a kill, was the end of an
	// earlier run; what it had added is gone then. nil: nothing is added.
	Complete func(dir string) error

	// Line gets mlx-lm's lines, Note what else a user should know, Progress how many bytes
	// of the source are done. They may be nil.
	Line, Note func(text string)
	Progress   func(done, total int64)

	shard int64 // largest size of a shard; 0: shardLimit
	free  func(dir string) (int64, error)
}

// shardLimit is mlx-lm's bound of a shard's bytes.
const shardLimit = 5 << 30

// Result is what was written.
type Result struct {
	Bytes         int64 // of tensors
	Shards        int
	BitsPerWeight float64
	Kept          int64 // bytes that an earlier run had written
}

// ErrExists is a place where something is already.
type ErrExists struct{ Path string }

// Error is mlx-lm's sentence.
func (e *ErrExists) Error() string {
	return "Cannot save to the path " + e.Path + " as it already exists. Please delete the file/directory or specify a new path to save to."
}

// CheckOut refuses an output that is there.
func CheckOut(out string) error {
	switch _, err := os.Lstat(out); {
	case err == nil:
		return &ErrExists{out}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return nil
}

// Interrupted is a conversion that ended before its end: the work directory has what is
// finished, and the same call goes on with it.
type Interrupted struct {
	Work        string
	Done, Total int64 // bytes of tensors
	Err         error // why
}

// Error says what to do.
func (e *Interrupted) Error() string {
	why := e.Err.Error()
	if errors.Is(e.Err, context.Canceled) {
		why = "interrupted"
	}
	return fmt.Sprintf("%s; %s of %s are written and kept in %s: the same command goes on with them", why, size(e.Done), size(e.Total), e.Work)
}

// Unwrap is why.
func (e *Interrupted) Unwrap() error { return e.Err }

// size is a number of bytes for people.
func size(n int64) string {
	switch f := float64(n); {
	case n >= 1e9:
		return fmt.Sprintf("%.2f GB", f/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f MB", f/1e6)
	case n >= 1e3:
		return fmt.Sprintf("%.1f kB", f/1e3)
	}
	return fmt.Sprintf("%d B", n)
}

// Run writes the model in src to the directory out, which must not be there and appears
// when it is complete. An error of type *Interrupted means that a second call goes on.
func Run(ctx context.Context, src llm.Source, out string, o Options) (*Result, error) {
	out = filepath.Clean(out)
	if err := CheckOut(out); err != nil {
		return nil, err
	}
	o.defaults()
	p, err := newPlan(src, &o)
	if err != nil {
		return nil, err
	}
	for _, text := range slices.Concat(p.layout.Warnings, p.notes) {
		o.Note(text)
	}
	w, err := openWork(ctx, out, p)
	if err != nil {
		return nil, err
	}
	defer w.close()
	kept := w.bytesDone()
	if kept > 0 {
		o.Note(fmt.Sprintf("going on with what is in %s: %s of %s are written", w.dir, size(kept), size(p.bytes)))
	}
	if err := w.room(); err != nil {
		return nil, w.leave(err)
	}
	if err := w.run(ctx); err != nil {
		return nil, w.leave(err)
	}
	if err := w.finish(); err != nil {
		return nil, w.leave(err)
	}
	r := &Result{Bytes: p.bytes, Shards: len(p.shards), BitsPerWeight: p.bits(), Kept: kept}
	if o.Quantize {
		o.Line(fmt.Sprintf("[INFO] Quantized model with %.3f bits per weight.", r.BitsPerWeight))
	}
	return r, nil
}

func (o *Options) defaults() {
	if o.Line == nil {
		o.Line = func(string) {}
	}
	if o.Note == nil {
		o.Note = func(string) {}
	}
	if o.Progress == nil {
		o.Progress = func(int64, int64) {}
	}
	if o.shard == 0 {
		o.shard = shardLimit
	}
	if o.free == nil {
		o.free = freeSpace
	}
}
