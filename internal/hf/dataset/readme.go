package dataset

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// config is one of the configurations that a README.md names.
type config struct {
	Name    string `yaml:"config_name"`
	Default bool   `yaml:"default"`
	Files   any    `yaml:"data_files"`
	Dir     string `yaml:"data_dir"`
}

// ReadmeLayout is what a dataset's README.md says of a configuration; "" is the default
// one. It is empty when the file says nothing. Errors name what there is.
func ReadmeLayout(readme []byte, name string) (Layout, error) {
	var none Layout
	var header struct {
		Configs []config `yaml:"configs"`
	}
	if text, ok := frontMatter(readme); ok {
		if err := yaml.Unmarshal(text, &header); err != nil {
			return none, fmt.Errorf("README.md: its header is no YAML that is understood: %s", strings.Join(strings.Fields(err.Error()), " "))
		}
	}
	var names []string
	at := -1
	for i, c := range header.Configs {
		if c.Name == "" {
			c.Name = "default"
		}
		names = append(names, c.Name)
		if c.Name == name || name == "" && (c.Default || len(header.Configs) == 1 || at < 0 && c.Name == "default") {
			at = i
		}
	}
	switch {
	case at >= 0:
		return header.Configs[at].layout()
	case len(names) > 0 && name == "":
		return none, fmt.Errorf("it has the configurations %s, and config: {name: ...} of hf_dataset must choose one", strings.Join(names, ", "))
	case len(names) > 0:
		return none, fmt.Errorf("it has no configuration %q: there are %s", name, strings.Join(names, ", "))
	case name != "" && name != "default":
		return none, fmt.Errorf("it has no configuration %q, and names none", name)
	}
	return none, nil
}

// frontMatter is the YAML between lines of three dashes at the beginning.
func frontMatter(readme []byte) ([]byte, bool) {
	text := bytes.ReplaceAll(bytes.TrimPrefix(readme, []byte("\xef\xbb\xbf")), []byte("\r\n"), []byte("\n"))
	text, ok := bytes.CutPrefix(text, []byte("---\n"))
	if !ok {
		return nil, false
	}
	text, _, ok = bytes.Cut(text, []byte("\n---"))
	return text, ok
}

func (c config) layout() (Layout, error) {
	p, err := ParsePatterns(c.Files)
	if err != nil {
		return Layout{}, fmt.Errorf("README.md: configuration %s: %w", c.Name, err)
	}
	return Layout{p, c.Dir}, nil
}

// ParsePatterns reads data_files: a pattern or a list of them, of train, an object of
// them by split, or a list of objects with split and path. Nil is nil.
func ParsePatterns(v any) (Patterns, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case map[string]any:
		p := Patterns{}
		for split, list := range v {
			var err error
			if p[split], err = globs(list); err != nil {
				return nil, fmt.Errorf("data_files: %s: %w", split, err)
			}
		}
		return p, nil
	case []any:
		if !slices.ContainsFunc(v, func(one any) bool { _, ok := one.(map[string]any); return ok }) {
			break
		}
		p := Patterns{}
		for _, one := range v {
			m, _ := one.(map[string]any)
			split, ok := m["split"].(string)
			if !ok || p[split] != nil || len(m) != 2 {
				return nil, fmt.Errorf("data_files: %v is not {split: NAME, path: PATTERN}, once for each split", one)
			}
			var err error
			if p[split], err = globs(m["path"]); err != nil {
				return nil, fmt.Errorf("data_files: %s: %w", split, err)
			}
		}
		return p, nil
	}
	list, err := globs(v)
	if err != nil {
		return nil, fmt.Errorf("data_files: %w", err)
	}
	return Patterns{Train: list}, nil
}

// globs are one or several patterns.
func globs(v any) ([]string, error) {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	var out []string
	for _, one := range list {
		s, ok := one.(string)
		if !ok || s == "" {
			return nil, fmt.Errorf("%v is no pattern of files' names", one)
		}
		if strings.Contains(s, "://") || strings.HasPrefix(s, "/") {
			return nil, fmt.Errorf("%s is not a file of the dataset", s)
		}
		out = append(out, s)
	}
	if out == nil {
		return nil, fmt.Errorf("there is no pattern")
	}
	return out, nil
}
