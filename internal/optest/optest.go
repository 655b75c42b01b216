// Package optest holds the table of ops that drives their tests: [Cases], a
// [Golden] of results recorded from the real MLX, and comparers ([Tol], [Diff]).
// From the one table come the golden test, the tests of layouts, dtypes and empty
// arrays, the check that no primitive is untested, and the benchmarks.
//
// It is for tests only, and says nothing about models.
package optest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/hf/safetensors"
)

// A Case is one call of one op.
type Case struct {
	// Name is the key of the recorded result, or a name of ours.
	Name string
	// File is the golden file that has the result and the inputs; empty for ops
	// that MLX has not or that nobody recorded.
	File string
	// In are the keys of the inputs in File. Inputs makes other ones.
	In     []string
	Inputs func(g Golden) []*mlx.Array
	Build  func(in []*mlx.Array) []*mlx.Array
	// Keys are the keys of the results in File; nil is Name.
	Keys []string
	// Want computes the results another way, for cases without File.
	Want func(in []*mlx.Array) []*mlx.Array
	Tol  Tol
	// Halves: the op takes float16 and bfloat16 and computes in float32 inside.
	Halves bool
	// NoGrad and NoVMap say why the op has no derivative, or cannot be mapped, though
	// it gives floating results. GradTol is another relative tolerance of derivatives, and
	// GradStep another step of the differences where float64 has no kernel.
	NoGrad, NoVMap    string
	GradTol, GradStep float64
	// Long: derivatives of the case take seconds; -short leaves them out.
	Long bool
	// NoRepeat says why the slices of an input may not all be equal.
	NoRepeat string
	// Empty: the op takes inputs whose first axis has size 0.
	Empty bool
}

// Arrays are the inputs of a case.
func (c Case) Arrays(g Golden) ([]*mlx.Array, error) {
	if c.Inputs != nil {
		return c.Inputs(g), nil
	}
	in := make([]*mlx.Array, len(c.In))
	for i, key := range c.In {
		a, ok := g[key]
		if !ok {
			return nil, fmt.Errorf("%s.safetensors has no %q", c.File, key)
		}
		in[i] = a
	}
	return in, nil
}

// Golden is a file of recorded arrays by key.
type Golden map[string]*mlx.Array

// Open reads a safetensors file whole.
func Open(path string) (Golden, error) {
	f, err := safetensors.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	g := Golden{}
	for _, t := range f.Tensors() {
		g[t.Name] = mlx.FromBytes(t.Data, t.Shape, t.DType)
	}
	return g, nil
}

// Load reads testdata/golden/NAME.safetensors of this project.
func Load(name string) (Golden, error) {
	root, err := Root()
	if err != nil {
		return nil, err
	}
	return Open(filepath.Join(root, "testdata", "golden", name+".safetensors"))
}

// Root is the directory of go.mod above the working directory.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", fmt.Errorf("no go.mod above the working directory")
		}
		dir = up
	}
}

// Shared is the folder of recorded material that is not in this repository: what
// MLX_SHARED names, else ../shared. ok is false if there is none.
func Shared() (dir string, ok bool) {
	dir = os.Getenv("MLX_SHARED")
	if dir == "" {
		root, err := Root()
		if err != nil {
			return "", false
		}
		dir = filepath.Join(root, "..", "shared")
	}
	info, err := os.Stat(dir)
	return dir, err == nil && info.IsDir()
}

// Find is the case of that name and file; it panics if there is none.
func Find(file, name string) Case {
	i := slices.IndexFunc(Cases, func(c Case) bool { return c.File == file && c.Name == name })
	if i < 0 {
		panic("optest: no case " + file + " " + name)
	}
	return Cases[i]
}
