package main

import (
	"errors"
	"slices"

	"github.com/spf13/pflag"

	"github.com/mlxgo/mlx/internal/llm"
)

// kvOptions say how attention remembers, by the flags' names.
type kvOptions struct {
	MaxKVSize        int `mapstructure:"max-kv-size"`
	KVBits           int `mapstructure:"kv-bits"`
	KVGroupSize      int `mapstructure:"kv-group-size"`
	QuantizedKVStart int `mapstructure:"quantized-kv-start"`
}

func addKVFlags(f *pflag.FlagSet) {
	f.Int("max-kv-size", 0, "most positions that attention remembers, the first 4 always; 0 is all")
	f.Int("kv-bits", 0, "quantize what attention remembers to 2, 3, 4, 5, 6 or 8 bits; 0 does not")
	f.Int("kv-group-size", 64, "elements that share a scale with --kv-bits: 32, 64 or 128 (by default 32 where 64 does not divide the head size)")
	f.Int("quantized-kv-start", 5000, "positions before --kv-bits begins")
}

// keptPositions is what a rotating cache keeps of the beginning.
const keptPositions = 4

// check refuses what cannot be meant; saved is whether a saved cache, which may be
// quantized, goes on.
func (o *kvOptions) check(from sources, saved bool) error {
	switch {
	case o.MaxKVSize < 0 || o.MaxKVSize > 0 && o.MaxKVSize <= keptPositions:
		return usagef("--max-kv-size is %d: it must be above %d, the positions at the beginning that are kept, or 0 for no limit", o.MaxKVSize, keptPositions)
	case o.KVBits != 0 && !slices.Contains([]int{2, 3, 4, 5, 6, 8}, o.KVBits):
		return usagef("--kv-bits is %d: it must be 2, 3, 4, 5, 6 or 8", o.KVBits)
	case o.KVBits != 0 && !slices.Contains([]int{32, 64, 128}, o.KVGroupSize):
		return usagef("--kv-group-size is %d: it must be 32, 64 or 128", o.KVGroupSize)
	case o.QuantizedKVStart < 0:
		return usagef("--quantized-kv-start is %d: it must not be negative", o.QuantizedKVStart)
	}
	if o.KVBits == 0 && !saved {
		for _, name := range []string{"kv-group-size", "quantized-kv-start"} {
			if from[name] == fromFlag {
				return usagef("--%s needs --kv-bits", name)
			}
		}
	}
	return nil
}

// checkBatch refuses what prompts that run together cannot have.
func (o *generateOptions) checkBatch() error {
	switch {
	case o.PromptCacheFile != "":
		return usagef("--prompt-cache-file and --prompts exclude each other: the saved beginning is of one prompt")
	case o.KV.KVBits != 0 && o.KV.QuantizedKVStart != 0:
		return usagef("--kv-bits with --prompts needs --quantized-kv-start 0: prompts that run together are stored alike")
	}
	return nil
}

func (o *kvOptions) options(from sources) llm.KVOptions {
	out := llm.KVOptions{MaxSize: o.MaxKVSize, Bits: o.KVBits, QuantizedStart: o.QuantizedKVStart}
	if from.set("kv-group-size") {
		out.GroupSize = o.KVGroupSize
	}
	return out
}

// openPromptCache opens --prompt-cache-file, nil without it. The file says which model
// it is of, unless --model does, and how its prompt was made.
func (o *generateOptions) openPromptCache() (*llm.PromptFile, error) {
	if o.PromptCacheFile == "" {
		return nil, nil
	}
	f, err := llm.OpenPromptCache(o.PromptCacheFile)
	if err != nil {
		return nil, ofFlag("prompt-cache-file", err)
	}
	if o.Model == "" {
		o.Model = f.Model
	}
	if p := f.Prompt; p != nil {
		o.IgnoreChatTemplate = o.IgnoreChatTemplate || p.IgnoreChatTemplate
		if o.SystemPrompt == "" {
			o.SystemPrompt = p.System
		}
		if o.ChatTemplateConfig == "" {
			o.ChatTemplateConfig = f.TemplateConfig
		}
	}
	return f, nil
}

// continued are the tokens of the prompt, with those of a saved beginning if it is known
// which these are, and what m remembers, nil for nothing.
func (o *generateOptions) continued(m *llm.Loaded, saved *llm.PromptFile, text string) ([]int, *llm.Sequence, error) {
	if saved == nil {
		ids, err := o.promptIDs(m, text)
		return ids, nil, err
	}
	past, err := saved.Load(m, o.Model, o.KV.options(o.from))
	if err != nil {
		return nil, nil, err
	}
	read, known := past.Tokens()
	source, err := o.promptSource()
	if err != nil {
		return nil, nil, err
	}
	if source != "prompt-tokens" && saved.Prompt != nil && known {
		ids, err := o.promptIDs(m, saved.Prompt.Text+text)
		return ids, past, err
	}
	more, err := o.following(m, source, text)
	if err == nil && len(more) == 0 {
		err = errors.New("the prompt is empty: nothing follows the prompt cache")
	}
	if err != nil {
		return nil, nil, err
	}
	return append(read, more...), past, nil
}

// following are the tokens of a prompt that follows others.
func (o *generateOptions) following(m *llm.Loaded, source, text string) ([]int, error) {
	if source == "prompt-tokens" || m.Tokenizer == nil {
		return o.promptIDs(m, text) // or the error that names what is missing
	}
	options, err := o.templateOptions(text)
	if err != nil {
		return nil, err
	}
	return m.Tokenizer.Continuation(options)
}
