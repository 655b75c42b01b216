package tune

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/mlxgo/mlx/internal/atomicfile"
)

// WriteAdapterConfig writes adapter_config.json, which mlx-lm reads to rebuild the layers.
func WriteAdapterConfig(dir string, config map[string]any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "    ")
	if err := e.Encode(config); err != nil {
		return err
	}
	text := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	return atomicfile.Write(filepath.Join(dir, AdapterConfig), false, func(f *os.File) error {
		_, err := f.Write(text)
		return err
	})
}
