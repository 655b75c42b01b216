package main

import (
	"math"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/mlxgo/mlx/internal/builtin"
	"github.com/mlxgo/mlx/internal/llm/sample"
)

// samplingOptions are the options that choose tokens, by the flags' names.
type samplingOptions struct {
	Temp            float64 `mapstructure:"temp"`
	TopP            float64 `mapstructure:"top-p"`
	MinP            float64 `mapstructure:"min-p"`
	TopK            int     `mapstructure:"top-k"`
	MinTokensToKeep int     `mapstructure:"min-tokens-to-keep"`
	XTCProbability  float64 `mapstructure:"xtc-probability"`
	XTCThreshold    float64 `mapstructure:"xtc-threshold"`

	RepetitionPenalty     float64  `mapstructure:"repetition-penalty"`
	RepetitionContextSize int      `mapstructure:"repetition-context-size"`
	PresencePenalty       float64  `mapstructure:"presence-penalty"`
	PresenceContextSize   int      `mapstructure:"presence-context-size"`
	FrequencyPenalty      float64  `mapstructure:"frequency-penalty"`
	FrequencyContextSize  int      `mapstructure:"frequency-context-size"`
	LogitBias             []string `mapstructure:"logit-bias"`

	Seed uint64 `mapstructure:"seed"`
}

func addSamplingFlags(f *pflag.FlagSet) {
	f.Float64("temp", 0, "sampling temperature; 0 takes the likeliest token")
	f.Float64("top-p", 1, "sample from the likeliest tokens with this probability in sum; 1 is off")
	f.Float64("min-p", 0, "drop tokens less likely than this times the likeliest; 0 is off")
	f.Int("top-k", 0, "sample from the likeliest so many tokens; 0 is off")
	f.Int("min-tokens-to-keep", 1, "tokens that min-p never drops")
	f.Float64("xtc-probability", 0, "chance per token that XTC drops the likeliest tokens; 0 is off")
	f.Float64("xtc-threshold", 0.1, "probability above which XTC drops tokens, all but the least likely of them")
	f.Float64("repetition-penalty", 1, "make seen tokens less likely: divides their logits, or multiplies negative ones; 1 is off")
	f.Int("repetition-context-size", sample.DefaultContext, "tokens that the repetition penalty looks back")
	f.Float64("presence-penalty", 0, "subtracted from the logits of seen tokens")
	f.Int("presence-context-size", sample.DefaultContext, "tokens that the presence penalty looks back")
	f.Float64("frequency-penalty", 0, "subtracted from the logits of seen tokens each time they were seen")
	f.Int("frequency-context-size", sample.DefaultContext, "tokens that the frequency penalty looks back")
	f.StringSlice("logit-bias", nil, "add to the logit of a token: `ID=VALUE`, -inf forbids it (with commas or repeated)")
	f.Uint64("seed", 0, "seed of the random numbers (default a new one each time)")
}

// options checks the values; what depends on the model's vocabulary is left to
// llm.Generate. own is whether the built-in model's settings are the defaults.
func (o *samplingOptions) options(from sources, own bool) (sample.Options, error) {
	out := sample.Options{
		Temperature: o.Temp, TopP: o.TopP, MinP: o.MinP, TopK: o.TopK, MinTokensToKeep: o.MinTokensToKeep,
		XTCProbability: o.XTCProbability, XTCThreshold: o.XTCThreshold,
		RepetitionContext: o.RepetitionContextSize,
		PresencePenalty:   o.PresencePenalty, PresenceContext: o.PresenceContextSize,
		FrequencyPenalty: o.FrequencyPenalty, FrequencyContext: o.FrequencyContextSize,
	}
	if own {
		temperature, topP := builtin.Sampling()
		if !from.set("temp") {
			out.Temperature = temperature
		}
		if !from.set("top-p") {
			out.TopP = topP
		}
	}
	if from.set("seed") {
		out.Seed = &o.Seed
	}
	if from.set("repetition-penalty") {
		out.RepetitionPenalty = &o.RepetitionPenalty
	}
	// In sample 0 means the default; who writes 0 means something else.
	for _, c := range []struct {
		name  string
		value int
	}{
		{"min-tokens-to-keep", o.MinTokensToKeep},
		{"repetition-context-size", o.RepetitionContextSize},
		{"presence-context-size", o.PresenceContextSize},
		{"frequency-context-size", o.FrequencyContextSize},
	} {
		if c.value < 1 {
			return out, usagef("--%s is %d: it must be above 0", c.name, c.value)
		}
	}
	if o.TopK < 0 {
		return out, usagef("--top-k is %d: it must be 0 or more", o.TopK)
	}
	var err error
	if out.LogitBias, err = parseBias(o.LogitBias); err != nil {
		return out, err
	}
	return out, samplingError(out.Validate(math.MaxInt32))
}

// parseBias reads the values of --logit-bias.
func parseBias(items []string) ([]sample.Bias, error) {
	var out []sample.Bias
	for _, item := range items {
		id, value, ok := strings.Cut(item, "=")
		n, err1 := strconv.Atoi(strings.TrimSpace(id))
		v, err2 := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if !ok || err1 != nil || err2 != nil {
			return nil, usagef("--logit-bias: %q is not ID=VALUE", item)
		}
		out = append(out, sample.Bias{Token: n, Value: v})
	}
	return out, nil
}
