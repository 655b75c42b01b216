package torchfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mlxgo/mlx/internal/hf/shards"
)

// IndexName is the file of a model directory that maps tensors to shards.
const IndexName = "pytorch_model.bin.index.json"

// ErrNoWeights is what OpenDir gives for a directory without weights, wrapped.
var ErrNoWeights = errors.New("no PyTorch weights found")

// Set is the weights of a model directory.
type Set struct {
	Dir     string
	Files   []*File
	Tensors []Tensor // of all files
}

// OpenDir opens the weights in dir: the shards that pytorch_model.bin.index.json names,
// else every pytorch_model*.bin, of which numbered ones must be complete. A tensor may be
// in one shard only, and must be in that of the index. With no weights at all the error
// wraps ErrNoWeights.
func OpenDir(dir string) (*Set, error) {
	where, err := readIndex(filepath.Join(dir, IndexName))
	if err != nil {
		return nil, err
	}
	var names []string
	if where != nil {
		names = slices.Compact(slices.Sorted(maps.Values(where)))
	} else if names, err = weightFiles(dir); err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s: %w (pytorch_model*.bin or %s)", dir, ErrNoWeights, IndexName)
	}
	s := &Set{Dir: dir}
	if err := s.open(names, where); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// open opens the shards and holds them against the index, if there is one.
func (s *Set) open(names []string, where map[string]string) error {
	in := map[string]string{}
	for _, name := range names {
		f, err := Open(filepath.Join(s.Dir, name))
		if err != nil {
			if where != nil && errors.Is(err, fs.ErrNotExist) {
				return &Error{Path: filepath.Join(s.Dir, IndexName), Err: fmt.Errorf("names the file %q, which is missing", clip(name))}
			}
			return err
		}
		s.Files = append(s.Files, f)
		for _, t := range f.tensors {
			if other, twice := in[t.Name]; twice {
				return &Error{Path: f.Path, Tensor: t.Name, Err: fmt.Errorf("it is in %s, too", other)}
			}
			in[t.Name] = name
			if where != nil && where[t.Name] != name {
				return &Error{Path: f.Path, Tensor: t.Name, Err: fmt.Errorf("%s does not put it in this file", IndexName)}
			}
		}
		s.Tensors = append(s.Tensors, f.tensors...)
	}
	for _, name := range slices.Sorted(maps.Keys(where)) {
		if _, ok := in[name]; !ok {
			return &Error{Path: filepath.Join(s.Dir, where[name]), Tensor: name, Err: fmt.Errorf("%s puts it in this file, which does not have it", IndexName)}
		}
	}
	return nil
}

// InHugePages moves the files into memory of the process, see fmap.File.InHugePages.
func (s *Set) InHugePages() error {
	for _, f := range s.Files {
		if _, err := f.mapped.InHugePages(); err != nil {
			return err
		}
	}
	return nil
}

// Release lets go of the pages of the files that were read; see File.Release.
func (s *Set) Release() {
	for _, f := range s.Files {
		f.Release()
	}
}

// Close closes all files; see File.Close.
func (s *Set) Close() error {
	var errs []error
	for _, f := range s.Files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// readIndex is the file of each tensor, nil if there is no index.
func readIndex(path string) (map[string]string, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case info.Size() > maxPickle:
		return nil, &Error{Path: path, Err: fmt.Errorf("%d bytes exceed the limit of %d", info.Size(), maxPickle)}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var index struct {
		Map map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(data, &index); err != nil {
		return nil, &Error{Path: path, Err: err}
	}
	if len(index.Map) == 0 {
		return nil, &Error{Path: path, Err: errors.New("weight_map is missing or names no weights")}
	}
	for tensor, file := range index.Map {
		if !filepath.IsLocal(file) || strings.ContainsAny(file, "/\\\x00") {
			return nil, &Error{Path: path, Tensor: tensor, Err: fmt.Errorf("its file %q is not a name inside the model's directory", clip(file))}
		}
	}
	return index.Map, nil
}

// weightFiles are the names in dir that match pytorch_model*.bin; numbered ones must all
// be there.
func weightFiles(dir string) ([]string, error) {
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range list {
		if !e.IsDir() && IsWeights(e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names, shards.Complete(dir, names, ".bin")
}

// IsWeights reports whether a file of this name has a model's weights.
func IsWeights(name string) bool {
	return strings.HasPrefix(name, "pytorch_model") && strings.HasSuffix(name, ".bin")
}
