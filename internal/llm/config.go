package llm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/mlxgo/mlx"
)

// Config is what loading needs of config.json; models read the rest themselves.
type Config struct {
	ModelType string
	Raw       []byte // the whole file
	// EOS are the ids that end a text, and EOSFrom is the file they come from.
	EOS     []int
	EOSFrom string
	// DType is the declared type of the weights: "dtype", or "torch_dtype" of older
	// files; nil if there is none.
	DType *mlx.DType

	quantization *quantization
}

// quantization is MLX's block: one scheme, and what single paths have instead.
type quantization struct {
	whole mlx.Scheme
	paths map[string]layerScheme
}

// layerScheme is a path's entry: false, true (the whole model's) or a scheme.
type layerScheme struct {
	skip   bool
	scheme *mlx.Scheme
}

func parseConfig(raw []byte) (*Config, error) {
	var c struct {
		ModelType          string          `json:"model_type"`
		DType              *string         `json:"dtype"`
		TorchDType         *string         `json:"torch_dtype"`
		Quantization       json.RawMessage `json:"quantization"`
		QuantizationConfig json.RawMessage `json:"quantization_config"`
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		return nil, fmt.Errorf("config.json: %w", JSONError(err))
	}
	if c.ModelType == "" {
		return nil, fmt.Errorf("config.json: model_type is missing")
	}
	out := &Config{ModelType: c.ModelType, Raw: raw}
	name := c.DType
	if name == nil {
		name = c.TorchDType
	}
	if name != nil {
		d, err := mlx.ParseDType(strings.TrimPrefix(*name, "torch."))
		if err != nil || !d.Is(mlx.Floating) {
			return nil, fmt.Errorf("config.json: dtype %q is not a floating dtype", *name)
		}
		out.DType = &d
	}
	block := c.Quantization
	key := "quantization"
	if isNull(block) {
		block, key = c.QuantizationConfig, "quantization_config"
	}
	if isNull(block) {
		return out, nil
	}
	var err error
	if out.quantization, err = parseQuantization(block); err != nil {
		return nil, fmt.Errorf("config.json: %s: %w", key, err)
	}
	return out, nil
}

// JSONError says in words of JSON, not of Go, which key has a value of a wrong
// type; other errors stay as they are.
func JSONError(err error) error {
	var e *json.UnmarshalTypeError
	if !errors.As(err, &e) {
		return err
	}
	want := map[reflect.Kind]string{
		reflect.Bool: "true or false", reflect.String: "a string", reflect.Slice: "an array",
		reflect.Struct: "an object", reflect.Map: "an object", reflect.Float64: "a number", reflect.Int: "a whole number",
	}[e.Type.Kind()]
	if want == "" {
		want = e.Type.String()
	}
	have := e.Value // also "number 1.5"
	if e.Field == "" {
		return fmt.Errorf("a JSON %s stands where %s belongs", have, want)
	}
	return fmt.Errorf("%s is a JSON %s, not %s", e.Field[strings.LastIndex(e.Field, ".")+1:], have, want)
}

// ModelType is the model_type of a config.json, "" if there is none.
func ModelType(raw []byte) string {
	var c struct {
		ModelType string `json:"model_type"`
	}
	if json.Unmarshal(raw, &c) != nil {
		return ""
	}
	return c.ModelType
}

func isNull(raw json.RawMessage) bool { return len(raw) == 0 || bytes.Equal(raw, []byte("null")) }

// parseQuantization reads MLX's block. Blocks with a quant_method are of other
// tools.
func parseQuantization(raw json.RawMessage) (*quantization, error) {
	var entries map[string]json.RawMessage
	if err := json.Unmarshal(raw, &entries); err != nil {
		return nil, JSONError(err)
	}
	if m, ok := entries["quant_method"]; ok {
		switch string(bytes.TrimSpace(m)) {
		case `"bitnet"`: // the model's affair
			return nil, nil
		}
		return nil, fmt.Errorf("weights quantized by the method %s are not supported; use an MLX or an unquantized model", m)
	}
	q := &quantization{paths: map[string]layerScheme{}}
	whole, err := parseScheme(raw)
	if err != nil {
		return nil, err
	}
	q.whole = whole
	for path, entry := range entries {
		switch path {
		case "group_size", "bits", "mode":
			continue
		}
		switch s := string(bytes.TrimSpace(entry)); {
		case s == "false":
			q.paths[path] = layerScheme{skip: true}
		case s == "true":
			q.paths[path] = layerScheme{}
		case strings.HasPrefix(s, "{"):
			own, err := parseScheme(entry)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			q.paths[path] = layerScheme{scheme: &own}
		}
	}
	return q, nil
}

// parseScheme reads one scheme; null and missing values are the mode's defaults.
func parseScheme(raw json.RawMessage) (mlx.Scheme, error) {
	var s struct {
		GroupSize *int    `json:"group_size"`
		Bits      *int    `json:"bits"`
		Mode      *string `json:"mode"`
	}
	var out mlx.Scheme
	if err := json.Unmarshal(raw, &s); err != nil {
		return out, JSONError(err)
	}
	if s.GroupSize != nil {
		out.GroupSize = *s.GroupSize
	}
	if s.Bits != nil {
		out.Bits = *s.Bits
	}
	if s.Mode != nil {
		out.Mode = mlx.Mode(*s.Mode)
	}
	return out.Resolve()
}

// of is the scheme of the layer at path; ok is false when it is not quantized.
func (q *quantization) of(path string, hasScales bool) (s mlx.Scheme, ok bool) {
	if own, listed := q.paths[path]; listed {
		switch {
		case own.skip:
			return s, false
		case own.scheme != nil:
			return *own.scheme, true
		}
		return q.whole, true
	}
	return q.whole, hasScales
}

// translate gives single paths the names that the model has for them.
func (q *quantization) translate(f func(name string) (path string, transpose bool)) {
	if q == nil {
		return
	}
	paths := make(map[string]layerScheme, len(q.paths))
	for name, own := range q.paths {
		if path, _ := f(name + ".weight"); path != "" {
			paths[strings.TrimSuffix(path, ".weight")] = own
		}
	}
	q.paths = paths
}
