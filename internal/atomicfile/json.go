package atomicfile

import (
	"bytes"
	"encoding/json"
	"os"
)

// WriteJSON writes v as JSON with sorted keys of maps, as Python's json.dump with that
// indent: no line break at the end, and no letter of HTML escaped.
func WriteJSON(path, indent string, v any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	if err := e.Encode(v); err != nil {
		return err
	}
	return Write(path, false, func(f *os.File) error {
		_, err := f.Write(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
		return err
	})
}
