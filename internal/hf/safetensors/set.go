package safetensors

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/mlxgo/mlx/internal/hf/shards"
)

// IndexName is the file of a model directory that maps tensors to shards.
const IndexName = "model.safetensors.index.json"

// ErrNoWeights is what OpenDir gives for a directory without weights, wrapped.
var ErrNoWeights = errors.New("no safetensors found")

// Set is the weights of a model directory: all tensors of all its shards.
type Set struct {
	Dir string
	// Files are the open shards, in the order of their names.
	Files []*File
	// Unindexed are the names of files that look like weights but are not in the
	// index; they were not opened. Empty without an index.
	Unindexed []string
	names     []string
	where     map[string]*File
}

// OpenDir opens the weights in dir: the shards that model.safetensors.index.json
// names, else every model*.safetensors. With an index, each shard must hold
// exactly the tensors that the index says; without one, shards that are numbered
// (model-00001-of-00003.safetensors) must be complete. A tensor may be in one
// shard only. Errors name the file and the tensor; with no weights at all the
// error wraps ErrNoWeights.
func OpenDir(dir string) (*Set, error) {
	names, err := weightFiles(dir)
	if err != nil {
		return nil, err
	}
	index, err := readIndex(filepath.Join(dir, IndexName))
	if err != nil {
		return nil, err
	}
	return openSet(dir, names, index, func(name string) (*File, error) { return Open(filepath.Join(dir, name)) })
}

// openSet opens the weights among names, which are sorted, or those of the index.
func openSet(dir string, names []string, indexText []byte, open func(name string) (*File, error)) (*Set, error) {
	var ix *index
	s := &Set{Dir: dir, where: map[string]*File{}}
	if indexText != nil {
		var err error
		if ix, err = parseIndex(indexText, filepath.Join(dir, IndexName)); err != nil {
			return nil, err
		}
		s.Unindexed = slices.DeleteFunc(names, func(n string) bool { return slices.Contains(ix.files, n) })
		names = ix.files
	} else if err := shards.Complete(dir, names, ".safetensors"); err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s: %w (model*.safetensors or %s)", dir, ErrNoWeights, IndexName)
	}
	if err := s.open(names, ix, open); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// open opens the shards and, with an index, holds each against it.
func (s *Set) open(names []string, ix *index, open func(name string) (*File, error)) error {
	for _, name := range names {
		f, err := open(name)
		if err != nil {
			if ix != nil && errors.Is(err, os.ErrNotExist) {
				return &Error{Path: ix.path, Err: fmt.Errorf("names the file %q, which is missing: %w", name, err)}
			}
			return err
		}
		s.Files = append(s.Files, f)
		for _, t := range f.tensors {
			if other := s.where[t.Name]; other != nil {
				return &Error{Path: f.Path, Tensor: t.Name, Named: true, Err: fmt.Errorf("it is in %s, too", other.Path)}
			}
			s.where[t.Name] = f
			s.names = append(s.names, t.Name)
		}
	}
	slices.Sort(s.names)
	if ix == nil {
		return nil
	}
	return s.agree(ix)
}

// agree checks the index against the shards, both ways.
func (s *Set) agree(ix *index) error {
	for _, e := range ix.entries {
		f := s.where[e.tensor]
		want := filepath.Join(s.Dir, e.file)
		switch {
		case f == nil:
			return &Error{Path: ix.path, Tensor: e.tensor, Named: true, Err: fmt.Errorf("the index puts it in %q, which does not have it", e.file)}
		case f.Path != want:
			return &Error{Path: ix.path, Tensor: e.tensor, Named: true, Err: fmt.Errorf("the index puts it in %q, but it is in %s", e.file, f.Path)}
		}
	}
	for _, f := range s.Files {
		for _, t := range f.tensors {
			if !ix.has[t.Name] {
				return &Error{Path: f.Path, Tensor: t.Name, Named: true, Err: fmt.Errorf("the index %s does not have it", ix.path)}
			}
		}
	}
	return nil
}

// Names are the names of all tensors, sorted. The slice must not be changed.
func (s *Set) Names() []string { return slices.Clip(s.names) }

// Tensor is the tensor of that name, if a shard has it.
func (s *Set) Tensor(name string) (Tensor, bool) {
	f := s.where[name]
	if f == nil {
		return Tensor{}, false
	}
	return f.Tensor(name)
}

// TotalBytes is the sum of the tensors' sizes.
func (s *Set) TotalBytes() int64 {
	var n int64
	for _, f := range s.Files {
		n += f.TotalBytes()
	}
	return n
}

// InHugePages moves the shards into memory of the process, see
// [fmap.File.InHugePages], until one fails.
func (s *Set) InHugePages() error {
	for _, f := range s.Files {
		if _, err := f.mapped.InHugePages(); err != nil {
			return err
		}
	}
	return nil
}

// Release lets go of the pages of the shards that were read; see [File.Release].
func (s *Set) Release() {
	for _, f := range s.Files {
		f.Release()
	}
}

// Close closes all shards; see File.Close.
func (s *Set) Close() error {
	var errs []error
	for _, f := range s.Files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// weightFiles are the names in dir that match model*.safetensors, sorted.
func weightFiles(dir string) ([]string, error) {
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range list {
		if n := e.Name(); !e.IsDir() && isWeights(n) {
			names = append(names, n)
		}
	}
	return names, nil
}

func isWeights(name string) bool {
	return strings.HasPrefix(name, "model") && strings.HasSuffix(name, ".safetensors")
}

// index is a parsed model.safetensors.index.json.
type index struct {
	path    string
	entries []entry // in the order of the file
	has     map[string]bool
	files   []string // sorted, each once
}

type entry struct{ tensor, file string }

// readIndex reads the text of the index at path; nil if there is none.
func readIndex(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case info.Size() > MaxHeader:
		return nil, &Error{Path: path, Err: fmt.Errorf("%d bytes exceed the limit of %d", info.Size(), MaxHeader)}
	}
	data, err := os.ReadFile(path)
	if data == nil && err == nil {
		data = []byte{}
	}
	return data, err
}

func parseIndex(data []byte, path string) (*index, error) {
	if !utf8.Valid(data) {
		return nil, &Error{Path: path, Err: errors.New("it is not valid UTF-8")}
	}
	ix := &index{path: path, has: map[string]bool{}}
	s := scanner{b: data}
	found := false
	err := s.object(func(key string) error {
		if key != "weight_map" {
			return s.skip(1)
		}
		if found {
			return errors.New("weight_map is there twice")
		}
		found = true
		return s.object(func(tensor string) error { return ix.add(&s, tensor) })
	})
	if err == nil {
		err = s.end()
	}
	switch {
	case err != nil:
		var named *Error
		if errors.As(err, &named) {
			return nil, err
		}
	case !found:
		err = errors.New("weight_map is missing")
	case len(ix.entries) == 0:
		err = errors.New("weight_map names no weights")
	}
	if err != nil {
		return nil, &Error{Path: path, Err: err}
	}
	slices.Sort(ix.files)
	ix.files = slices.Compact(ix.files)
	return ix, nil
}

// add reads the file of one tensor.
func (ix *index) add(s *scanner, tensor string) error {
	bad := func(err error) error { return &Error{Path: ix.path, Tensor: tensor, Named: true, Err: err} }
	if ix.has[tensor] {
		return bad(errors.New("the name is there twice"))
	}
	ix.has[tensor] = true
	if s.peek() != '"' {
		return bad(errors.New("its file is not a string"))
	}
	file, err := s.text()
	if err != nil {
		return err
	}
	// A plain name or a path below the directory; backslashes would climb on Windows.
	if !filepath.IsLocal(file) || file == "." || strings.ContainsAny(file, "\\\x00") || filepath.Clean(file) != filepath.FromSlash(file) {
		return bad(fmt.Errorf("its file %q is not a name inside the model's directory", clip(file)))
	}
	ix.entries = append(ix.entries, entry{tensor, file})
	if n := len(ix.files); n == 0 || ix.files[n-1] != file {
		ix.files = append(ix.files, file)
	}
	return nil
}
