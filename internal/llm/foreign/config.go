package foreign

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/llm/weights"
)

// The keys of config.json that hold the quantization of other tools. compression_config
// is an older name of compressed-tensors.
const (
	quantKey       = "quantization_config"
	compressionKey = "compression_config"
	textKey        = "text_config"
)

// config is config.json, and what its quantization block says.
type config struct {
	all       map[string]json.RawMessage
	modelType string
	dtype     *dtype.DType
	key       string // of the block, for messages

	Method string `json:"quant_method"`

	// AWQ and GPTQ.
	Bits             *int            `json:"bits"`
	GroupSize        *int            `json:"group_size"`
	Version          *string         `json:"version"`
	Sym              *bool           `json:"sym"`
	DescAct          *bool           `json:"desc_act"`
	CheckpointFormat *string         `json:"checkpoint_format"`
	Dynamic          json.RawMessage `json:"dynamic"`

	// FP8.
	BlockSize []int `json:"weight_block_size"`

	// compressed-tensors.
	Format    string                 `json:"format"`
	Groups    map[string]configGroup `json:"config_groups"`
	Sparsity  *sparsity              `json:"sparsity_config"`
	Transform json.RawMessage        `json:"transform_config"`
}

// configGroup is how the layers of some targets are quantized.
type configGroup struct {
	Targets []string     `json:"targets"`
	Weights *groupScheme `json:"weights"`
	Format  *string      `json:"format"`
}

type groupScheme struct {
	NumBits   int             `json:"num_bits"`
	Type      string          `json:"type"`
	Symmetric *bool           `json:"symmetric"`
	Strategy  *string         `json:"strategy"`
	GroupSize *int            `json:"group_size"`
	Block     []int           `json:"block_structure"`
	ActOrder  json.RawMessage `json:"actorder"`
}

type sparsity struct {
	Format string `json:"format"`
}

// legacyFiles have the quantization of checkpoints that are older than the key in
// config.json.
var legacyFiles = []struct{ name, method string }{{"quantize_config.json", "gptq"}, {"quant_config.json", "awq"}}

// readConfig reads config.json. Without a block of another tool Method is empty.
func readConfig(src weights.Source) (*config, error) {
	raw, err := src.Read("config.json")
	if err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	c := &config{}
	if err := json.Unmarshal(raw, &c.all); err != nil {
		return nil, fmt.Errorf("config.json: %w", plainError(err))
	}
	_ = json.Unmarshal(c.all["model_type"], &c.modelType)
	c.readDType(c.all)
	if isSet(c.all["quantization"]) { // MLX's own
		return c, nil
	}
	text := map[string]json.RawMessage{}
	if isSet(c.all[textKey]) && json.Unmarshal(c.all[textKey], &text) == nil {
		c.readDType(text)
	}
	block := json.RawMessage(nil)
	for _, at := range []struct {
		in          map[string]json.RawMessage
		prefix, key string
	}{{c.all, "", quantKey}, {text, textKey + ".", quantKey}, {c.all, "", compressionKey}} {
		if isSet(at.in[at.key]) {
			block, c.key = at.in[at.key], at.prefix+at.key
			break
		}
	}
	if block == nil {
		return c, c.readLegacy(src)
	}
	if err := json.Unmarshal(block, c); err != nil {
		return nil, fmt.Errorf("config.json: %s: %w", c.key, plainError(err))
	}
	return c, nil
}

// readLegacy reads the block of files beside config.json, if tensors need it.
func (c *config) readLegacy(src weights.Source) error {
	if !slices.ContainsFunc(src.Tensors, func(t weights.Tensor) bool { return strings.HasSuffix(t.Name, ".qweight") }) {
		return nil
	}
	for _, f := range legacyFiles {
		data, err := readFile(src, f.name)
		if err != nil {
			return err
		}
		if data == nil {
			continue
		}
		if err := json.Unmarshal(data, c); err != nil {
			return fmt.Errorf("%s: %w", f.name, plainError(err))
		}
		c.key = f.name
		if c.Method == "" {
			c.Method = f.method
		}
		return nil
	}
	return errors.New("there are tensors *.qweight, but config.json has no quantization_config that says what they are")
}

func (c *config) readDType(in map[string]json.RawMessage) {
	for _, key := range []string{"dtype", "torch_dtype"} {
		var name string
		if json.Unmarshal(in[key], &name) != nil {
			continue
		}
		switch d, err := dtype.Parse(strings.TrimPrefix(name, "torch.")); {
		case err != nil || c.dtype != nil:
		case d == dtype.Float32 || d == dtype.Float16 || d == dtype.BFloat16:
			c.dtype = &d
		}
	}
}

// foreign says whether config.json must change.
func (c *config) foreign() bool { return c.Method != "" }

func isSet(raw json.RawMessage) bool {
	return len(raw) > 0 && !bytes.Equal(raw, []byte("null"))
}

// plainError says it in words of JSON.
func plainError(err error) error {
	var e *json.UnmarshalTypeError
	if !errors.As(err, &e) {
		return err
	}
	if e.Field == "" {
		return fmt.Errorf("a JSON %s stands where an object belongs", e.Value)
	}
	return fmt.Errorf("%s is a JSON %s, which it cannot be", e.Field, e.Value)
}

// fault is an error about a key of the block.
func (c *config) fault(key, format string, args ...any) error {
	where := c.key
	if !strings.HasSuffix(where, ".json") {
		where = "config.json: " + where
	}
	if key != "" {
		where += "." + key
	}
	return fmt.Errorf("%s: %w", where, fmt.Errorf(format, args...))
}

// refused are the methods that are not read, and what to do instead.
var refused = map[string]string{
	"bitsandbytes": "load it with transformers, call dequantize() and save that, or take the unquantized model",
	"hqq":          "", "aqlm": "", "quanto": "", "eetq": "", "higgs": "", "torchao": "", "spqr": "", "vptq": "",
	"auto-round": "export it as auto_gptq or auto_awq, or take the unquantized model",
	"modelopt":   "",
}

// refuse is the error for a method that is not read.
func (c *config) refuse() error {
	do := refused[c.Method]
	if do == "" {
		do = "take the unquantized model, or one in awq, gptq, fp8, compressed-tensors, mxfp4 or MLX's own format"
	}
	return c.fault("quant_method", "weights quantized by %q are not supported: %s", c.Method, do)
}

func (c *config) checkAWQ() error {
	switch {
	case c.Version != nil && !strings.EqualFold(*c.Version, "gemm"):
		return c.fault("version", "the layout %q of awq is not supported, only gemm is", *c.Version)
	case c.Bits != nil && *c.Bits != 4:
		return c.fault("bits", "awq with %d bits is not supported, only with 4", *c.Bits)
	}
	return nil
}

func (c *config) checkGPTQ() error {
	if f := c.checkpointFormat(); f != "gptq" && f != "gptq_v2" {
		return c.fault("checkpoint_format", "the layout %q of gptq is not supported, only gptq and gptq_v2 are", f)
	}
	if b := c.Bits; b != nil && !slices.Contains([]int{2, 3, 4, 8}, *b) {
		return c.fault("bits", "gptq with %d bits is not supported, only with 2, 3, 4 or 8", *b)
	}
	return nil
}

// checkpointFormat is gptq, gptq_v2 (zeros as they are) or another one.
func (c *config) checkpointFormat() string {
	switch {
	case c.CheckpointFormat != nil && *c.CheckpointFormat != "":
		return *c.CheckpointFormat
	case c.Format != "":
		return c.Format
	}
	return "gptq"
}

// compressedFormats are the layouts of compressed-tensors that are read.
var compressedFormats = []string{"", "dense", "pack-quantized", "int-quantized", "float-quantized", "naive-quantized",
	"nvfp4-pack-quantized", "mxfp4-pack-quantized", "mixed-precision"}

func (c *config) checkCompressed() error {
	formats := []string{c.Format}
	for _, name := range slices.Sorted(maps.Keys(c.Groups)) {
		if f := c.Groups[name].Format; f != nil {
			formats = append(formats, *f)
		}
	}
	for _, f := range formats {
		if !slices.Contains(compressedFormats, f) {
			return c.fault("format", "the layout %q of compressed-tensors is not supported, only %s are", f, strings.Join(compressedFormats[1:], ", "))
		}
	}
	if s := c.Sparsity; s != nil && s.Format != "" && s.Format != "dense" {
		return c.fault("sparsity_config.format", "sparse weights (%q) are not supported", s.Format)
	}
	var transform map[string]json.RawMessage
	if isSet(c.Transform) && (json.Unmarshal(c.Transform, &transform) != nil || len(transform) > 0) {
		return c.fault("transform_config", "weights that are rotated while the model runs are not supported")
	}
	return nil
}

// groupOf is the group whose targets name the layer: by its path or a pattern before
// its class.
func (c *config) groupOf(path string) (*groupScheme, error) {
	if len(c.Groups) == 1 {
		for _, g := range c.Groups {
			return g.Weights, nil
		}
	}
	var class *groupScheme
	for _, name := range slices.Sorted(maps.Keys(c.Groups)) {
		g := c.Groups[name]
		for _, target := range g.Targets {
			pattern, isPattern := strings.CutPrefix(target, "re:")
			switch {
			case isPattern:
				re, err := regexp.Compile("^(?:" + pattern + ")")
				if err != nil {
					return nil, c.fault("config_groups."+name+".targets", "the pattern %q cannot be read", target)
				}
				if re.MatchString(path) {
					return g.Weights, nil
				}
			case target == path:
				return g.Weights, nil
			case !strings.Contains(target, ".") && class == nil:
				class = g.Weights
			}
		}
	}
	if class == nil {
		return nil, c.fault("config_groups", "no group has %s among its targets", path)
	}
	return class, nil
}

// actOrder says whether columns are taken in another order than they are stored.
func (g *groupScheme) actOrder() bool {
	s := strings.Trim(string(g.ActOrder), `"`)
	return s == "group" || s == "true" || s == "dynamic"
}

// translated is config.json for MLX: the other tool's blocks are gone, and quantization
// has what most packed layers have, and the others by their paths.
func (c *config) translated(schemes map[string]scheme) ([]byte, error) {
	out := maps.Clone(c.all)
	delete(out, quantKey)
	delete(out, compressionKey)
	text := map[string]json.RawMessage{}
	if isSet(out[textKey]) && json.Unmarshal(out[textKey], &text) == nil && isSet(text[quantKey]) {
		delete(text, quantKey)
		raw, err := json.Marshal(text)
		if err != nil {
			return nil, fmt.Errorf("config.json: %s: %w", textKey, err)
		}
		out[textKey] = raw
	}
	if len(schemes) > 0 {
		raw, err := json.Marshal(block(schemes))
		if err != nil {
			return nil, fmt.Errorf("config.json: quantization: %w", err)
		}
		out["quantization"] = raw
	}
	raw, err := json.MarshalIndent(out, "", "    ")
	if err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	return raw, nil
}

// block is MLX's quantization block.
func block(schemes map[string]scheme) map[string]any {
	count := map[scheme]int{}
	var most scheme
	for _, path := range slices.Sorted(maps.Keys(schemes)) {
		s := schemes[path]
		if count[s]++; count[s] > count[most] {
			most = s
		}
	}
	entry := func(s scheme) map[string]any {
		return map[string]any{"group_size": s.group, "bits": s.bits, "mode": s.mode}
	}
	out := entry(most)
	for path, s := range schemes {
		if s != most {
			out[path] = entry(s)
		}
	}
	return out
}
