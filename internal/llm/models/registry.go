// Package models has the model files: one file per family, one registry line per
// model_type. A model file is written against the public packages mlx, nn and fast,
// top to bottom as its reference: config, attention, MLP, block, model.
package models

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/mlxgo/mlx/internal/llm"
)

// architectures is model_type → constructor. Mixtures of experts and state-space models
// have constructors of their own.
var architectures = merged(families, map[string]func(config []byte) (llm.Model, error){
	"gemma3":         wrapped(map[string]string{"gemma3_text": "gemma3_text", "": "gemma3_text"}),
	"gemma4":         wrapped(map[string]string{"gemma4_text": "gemma4_text", "": "gemma4_text"}),
	"gemma4_unified": wrapped(map[string]string{"gemma4_text": "gemma4_text", "gemma4_unified_text": "gemma4_text", "": "gemma4_text"}),
	"gemma3n":        wrapped(map[string]string{"gemma3n_text": "gemma3n_text", "": "gemma3n_text"}),
	"llava":          wrapped(map[string]string{"llama": "llama", "mistral": "mistral", "qwen2": "qwen2", "": "llama"}),
	"mistral3":       wrapped(map[string]string{"mistral": "mistral", "ministral3": "ministral3", "llama": "llama", "": "mistral"}),
	"pixtral":        wrapped(map[string]string{"mistral": "mistral", "llama": "llama", "": "mistral"}),
	"qwen2_vl":       wrapped(map[string]string{"qwen2_vl": "qwen2", "qwen2_vl_text": "qwen2", "qwen2": "qwen2", "": "qwen2"}),
	"qwen2_5_vl":     wrapped(map[string]string{"qwen2_5_vl": "qwen2", "qwen2_5_vl_text": "qwen2", "qwen2": "qwen2", "": "qwen2"}),
	"qwen3_vl":       wrapped(map[string]string{"qwen3_vl": "qwen3", "qwen3_vl_text": "qwen3", "qwen3": "qwen3", "": "qwen3"}),
})

// merged is all entries of both.
func merged[K comparable, V any](a, b map[K]V) map[K]V {
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}

// families are the dense ones, with the defaults of transformers' configuration classes.
var families = map[string]func(config []byte) (llm.Model, error){
	"apertus": dense(apertusConfig{baseConfig: baseConfig{HiddenAct: "xielu", eps: 1e-5, ropeConfig: ropeConfig{MaxPositions: 65536,
		otherwise: ropeParameters{Type: "llama3", Theta: 12e6, Factor: 8, Original: 8192, LowFreqFactor: 1, HighFreqFactor: 4}}}}),
	"afm7":     dense(afmConfig{Scale: 3.25, baseConfig: baseConfig{eps: 1e-5, ropeConfig: ropeConfig{Theta: 50000}}}),
	"arcee":    dense(biasConfig{plain: true, baseConfig: baseConfig{HiddenAct: "relu2", eps: 1e-5}}),
	"bitnet":   dense(bitNetConfig{baseConfig{HiddenAct: "relu2", eps: 1e-5, ropeConfig: ropeConfig{Theta: 500000}}}),
	"cohere":   dense(cohereConfig{LogitScale: 0.0625}),
	"cohere2":  dense(cohereConfig{LogitScale: 0.0625, second: true, Pattern: 4, baseConfig: baseConfig{SlidingWindow: 4096}}),
	"ernie4_5": dense(biasConfig{neighbours: true, recorded: true, baseConfig: baseConfig{HeadDim: 128, eps: 1e-5, ropeConfig: ropeConfig{Theta: 500000}}}),
	"exaone":   dense(exaoneConfig{}),
	"exaone4":  dense(exaone4Config{Pattern: patternOf(4), baseConfig: baseConfig{SlidingWindow: 4096, eps: 1e-5}}),
	"gemma":    dense(gemmaConfig{version: 1, baseConfig: baseConfig{HeadDim: 256}}),
	"gemma2":   dense(gemmaConfig{version: 2, QueryScalar: 256, SoftCap: 50, FinalCap: 30, baseConfig: baseConfig{HeadDim: 256, SlidingWindow: 4096}}),
	"gemma3_text": dense(gemmaConfig{version: 3, QueryScalar: 256, Pattern: 6, LocalBase: 10000, baseConfig: baseConfig{HeadDim: 256, SlidingWindow: 4096,
		VocabSize: 262208, HiddenSize: 2304, IntermediateSize: 9216, Layers: 26, Heads: 8, KVHeads: 4,
		ropeConfig: ropeConfig{Theta: 1e6, MaxPositions: 131072}}}),
	"gemma4_text": dense(gemma4Config{Activation: "gelu_pytorch_tanh", GlobalDim: 512, LayerVocab: 262144, LayerSize: 256, baseConfig: baseConfig{
		HeadDim: 256, SlidingWindow: 512, VocabSize: 262144, HiddenSize: 2304, IntermediateSize: 9216, Layers: 30, Heads: 8, KVHeads: 4,
		ropeConfig: ropeConfig{MaxPositions: 131072}}}),
	"gemma3n_text": arch(newGemma3n, gemma3nConfig{gemmaConfig: gemmaConfig{QueryScalar: 256, FinalCap: 30, LocalBase: 10000, baseConfig: baseConfig{
		HeadDim: 256, SlidingWindow: 512, VocabSize: 262400, HiddenSize: 2048, Layers: 35, Heads: 8, KVHeads: 2,
		ropeConfig: ropeConfig{Theta: 1e6, MaxPositions: 32768}}}, Width: widths{16384}, Shared: 15, LayerVocab: 262144, LayerSize: 256,
		Streams: 4, Rank: 64, Bound: 120}),
	"glm":         dense(glmConfig{baseConfig: baseConfig{AttentionBias: true, HeadDim: 128, eps: 1.5625e-7, ropeConfig: ropeConfig{PartialFactor: 0.5, Traditional: true}}}),
	"glm4":        dense(glmConfig{sandwich: true, baseConfig: baseConfig{AttentionBias: true, HeadDim: 128, eps: 1.5625e-7, ropeConfig: ropeConfig{PartialFactor: 0.5, Traditional: true}}}),
	"gpt2":        dense(gptConfig{Activation: "gelu_new", Embd: 768, NLayer: 12, NHead: 12, NPositions: 1024, baseConfig: baseConfig{VocabSize: 50257}}),
	"gpt_bigcode": dense(gptConfig{Activation: "gelu_pytorch_tanh", bigcode: true, MultiQuery: true, NPositions: 1024, baseConfig: baseConfig{AttentionBias: true, MLPBias: true}}),
	"gpt_neox":    dense(neoXConfig{Parallel: true, Rotary: 0.25, Base: 10000, baseConfig: baseConfig{HiddenAct: "gelu"}}),
	"granite":     dense(graniteConfig{Embedding: 1, Attention: 1, Residual: 1, Logits: 1}),
	"helium":      dense(biasConfig{neighbours: true, noOutBias: true, baseConfig: baseConfig{HeadDim: 128, eps: 1e-8, ropeConfig: ropeConfig{Theta: 100000}}}),

	"hunyuan_v1_dense": dense(hunyuanConfig{baseConfig: baseConfig{eps: 1e-5}}),

	"internlm2":       dense(internLM2Config{Bias: true}),
	"internlm3":       dense(biasConfig{}),
	"iquestcoder":     dense(llamaConfig{untested: true}),
	"iquestloopcoder": dense(loopConfig{Loops: 2, Window: 64, baseConfig: baseConfig{ropeConfig: ropeConfig{Theta: 500000, MaxPositions: 131072}}}),
	"lille-130m":      dense(lilleConfig{}),
	"llama":           dense(llamaConfig{}),
	"llama4_text": dense(llama4Config{Interval: 4, QKNorm: true, Chunk: 8192, Tuning: true, FloorScale: 8192, AttnScale: 0.1,
		baseConfig: baseConfig{HeadDim: 128, eps: 1e-5, ropeConfig: ropeConfig{Theta: 500000, MaxPositions: 131072}}}),
	"mimo":    dense(qwenConfig{mimo: true, baseConfig: baseConfig{SlidingWindow: 4096}, MaxWindowLayers: 28}),
	"minicpm": dense(miniCPMConfig{ScaleEmb: 1, ScaleDepth: 1}),
	"ministral3": dense(ministralConfig{baseConfig{HeadDim: 128, eps: 1e-5, ropeConfig: ropeConfig{MaxPositions: 262144,
		otherwise: ropeParameters{Type: "yarn", Theta: 1e6, Factor: 16, Original: 16384, BetaFast: 32, BetaSlow: 1, MScale: 1, MScaleAllDim: 1, Llama4Beta: 0.1}}}}),
	"mistral":      dense(mistralConfig{baseConfig{SlidingWindow: 4096}}),
	"nanochat":     dense(nanoConfig{}),
	"nemotron":     dense(nemotronConfig{baseConfig: baseConfig{HiddenAct: "relu2", ropeConfig: ropeConfig{PartialFactor: 0.5}}}),
	"nemotron-nas": dense(nasConfig{baseConfig: baseConfig{eps: 1e-5, ropeConfig: ropeConfig{Theta: 500000, MaxPositions: 131072}}}),
	"olmo":         dense(olmoConfig{}),
	"olmo2":        dense(olmo2Config{baseConfig: baseConfig{eps: 1e-5}}),
	"olmo3":        dense(olmo2Config{third: true, baseConfig: baseConfig{eps: 1e-5, SlidingWindow: 4096, ropeConfig: ropeConfig{Theta: 500000}}}),
	"openelm":      dense(openELMConfig{Function: "swish", baseConfig: baseConfig{eps: 1e-6}}),
	"phi":          dense(phiConfig{baseConfig: baseConfig{HiddenAct: "gelu_new", ropeConfig: ropeConfig{PartialFactor: 0.5}}}),
	"phi3":         dense(phi3Config{baseConfig{eps: 1e-5, ropeConfig: ropeConfig{Original: 4096, MaxPositions: 4096}}}),
	"phi3small":    dense(phi3SmallConfig{Attention: 1, Scaling: true, Embedding: 10, Width: 8, RopeBase: 1e6, RopeScale: 1, BlockSize: 64, Local: 16, Stride: 8}),
	"plamo":        dense(plamoConfig{Shared: 8}),
	"qwen":         dense(qwen1Config{Width: 128}),
	"qwen2":        dense(qwenConfig{baseConfig: baseConfig{SlidingWindow: 4096}, MaxWindowLayers: 28}),
	"qwen3":        dense(qwenConfig{third: true, baseConfig: baseConfig{HeadDim: 128, SlidingWindow: 4096}, MaxWindowLayers: 28}),
	"seed_oss":     dense(biasConfig{noOutBias: true, baseConfig: baseConfig{HeadDim: 128, AttentionBias: true}}),
	"smollm3":      dense(smolConfig{Interval: 4, baseConfig: baseConfig{ropeConfig: ropeConfig{Theta: 2e6}}}),
	"telechat3":    dense(llamaConfig{untested: true}),
	"stablelm":     dense(stableLMConfig{baseConfig: baseConfig{ropeConfig: ropeConfig{PartialFactor: 0.25}}}),
	"starcoder2":   dense(starCoder2Config{Bias: true, baseConfig: baseConfig{HiddenAct: "gelu_pytorch_tanh"}}),
}

// dense reads config.json over the defaults of a model_type and makes the decoder of
// the spec that it gives.
func dense[C any, P interface {
	*C
	spec() (*spec, error)
}](defaults C) func([]byte) (llm.Model, error) {
	return arch(func(c C) (*decoder, error) {
		s, err := P(&c).spec()
		if err != nil {
			return nil, err
		}
		return newDecoder(s), nil
	}, defaults)
}

// arch reads config.json over the defaults of a model_type and calls its
// constructor.
func arch[C any, M llm.Model](construct func(C) (M, error), defaults C) func([]byte) (llm.Model, error) {
	return func(config []byte) (llm.Model, error) {
		c := defaults
		if err := json.Unmarshal(config, &c); err != nil {
			return nil, fmt.Errorf("config.json: %w", llm.JSONError(err))
		}
		m, err := construct(c)
		if err != nil {
			return nil, err
		}
		return m, nil
	}
}

// Types lists the known model types.
func Types() []string { return slices.Sorted(maps.Keys(architectures)) }

// New makes the model of a model_type with lazy random parameters.
func New(modelType string, config []byte) (llm.Model, error) {
	build, ok := architectures[modelType]
	if !ok {
		return nil, fmt.Errorf("model type %q is not supported; the known ones are %s", modelType, strings.Join(Types(), ", "))
	}
	return build(config)
}
