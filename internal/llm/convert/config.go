package convert

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"

	"errors"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/quant"
)

// The blocks of config.json that say how weights are packed: MLX's, and Hugging Face's,
// which is the same for a model of MLX.
const (
	block   = "quantization"
	hfBlock = "quantization_config"
)

// config is config.json on its way to what mlx-lm writes.
type config struct {
	*object
}

func readConfig(src llm.Source, l *llm.Layout) (*config, error) {
	o, err := parseObject(l.Config.Raw)
	if err != nil {
		return nil, fmt.Errorf("model %s: config.json: %w", src.Name, err)
	}
	c := &config{o}
	c.remove("_name_or_path")
	c.remove("vision_config")
	if c.get(block) == nil { // also null
		c.remove(block)
		if own, ok := c.get(hfBlock).(*object); ok && own.get("quant_method") == nil && len(own.keys) > 0 {
			c.set(block, own)
		}
	}
	if own, ok := c.get(hfBlock).(*object); ok && own.get("quant_method") == "fp8" {
		c.remove(hfBlock) // the weights are widened
	}
	return c, c.takeEOS(src)
}

// takeEOS lets generation_config.json say what ends a text, as mlx-lm does.
func (c *config) takeEOS(src llm.Source) error {
	text, err := src.Read("generation_config.json")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("model %s: generation_config.json: %w", src.Name, err)
	}
	g, err := parseObject(text)
	if err != nil {
		return fmt.Errorf("model %s: generation_config.json: %w", src.Name, err)
	}
	if eos := g.get("eos_token_id"); eos != nil && eos != json.Number("0") {
		c.set("eos_token_id", eos)
	}
	return nil
}

// dtype is what the configuration declares, nil for nothing: torch_dtype, else
// text_config's dtype, else the dtype of newer files.
func (c *config) dtype() *mlx.DType {
	names := []any{c.get("torch_dtype"), nil, c.get("dtype")}
	if text, ok := c.get("text_config").(*object); ok {
		names[1] = text.get("dtype")
	}
	for _, name := range names {
		if name == nil {
			continue
		}
		for _, d := range []mlx.DType{mlx.Float16, mlx.BFloat16, mlx.Float32} {
			if name == d.String() {
				return &d
			}
		}
		return nil
	}
	return nil
}

// quantized adds the block of a scheme; partly says that there is one already, whose
// scheme stays.
func (c *config) quantized(s quant.Scheme) (partly bool) {
	if _, ok := c.get(block).(*object); ok {
		return true
	}
	c.set(block, entryOf(s))
	return false
}

// layer says how one layer is packed.
func (c *config) layer(name string, entry any) {
	c.get(block).(*object).set(name, entry)
}

// dequantized takes the blocks away, but those that are the model's own affair.
func (c *config) dequantized() {
	c.remove(block)
	if own, ok := c.get(hfBlock).(*object); !ok || own.get("quant_method") != "bitnet" {
		c.remove(hfBlock)
	}
}

// text is the file: keys sorted, both blocks the same.
func (c *config) text() []byte {
	if own := c.get(block); own != nil {
		hf, ok := c.get(hfBlock).(*object)
		if !ok || hf.get("quant_method") == nil {
			c.set(hfBlock, own)
		}
	}
	sorted := newObject()
	for _, key := range slices.Sorted(slices.Values(c.keys)) {
		sorted.set(key, c.get(key))
	}
	return pythonJSON(sorted)
}
