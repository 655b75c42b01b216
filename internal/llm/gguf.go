package llm

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/mlxgo/mlx/internal/llm/foreign"
)

// IsGGUF reports whether path names a GGUF file: a file, not a directory, whose name
// ends in .gguf.
func IsGGUF(path string) bool {
	if !strings.EqualFold(filepath.Ext(path), ".gguf") {
		return false
	}
	info, err := os.Stat(path)
	return err == nil && !info.IsDir()
}

// OpenGGUF is the model in a GGUF file, see [foreign.OpenGGUF].
func OpenGGUF(path string) (Source, error) { return foreign.OpenGGUF(path) }

func loadGGUF(path string, o LoadOptions) (*Loaded, error) {
	s, err := foreign.OpenGGUF(path)
	if err != nil {
		return nil, fmt.Errorf("model %w", err)
	}
	return LoadSource(s, o)
}

// readGGUFTokenizer is readTokenizerFiles for a GGUF file.
func readGGUFTokenizer(path string) (map[string][]byte, error) {
	s, err := foreign.OpenGGUF(path)
	if err != nil {
		return nil, err
	}
	files := make(map[string][]byte)
	for _, name := range []string{TokenizerFile, TokenizerConfigFile} {
		data, err := s.Read(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", path, name, err)
		}
		files[name] = data
	}
	return files, nil
}
