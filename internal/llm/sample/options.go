// Package sample picks the next token from a row of logits the way mlx-lm does:
// logits processors, log-probabilities, filters (top-p, min-p, XTC, top-k in
// this order), temperature and a categorical draw from MLX's key sequence, so
// that a seed gives mlx-lm's tokens.
//
// Main types: [Options] says what to do, [Sampler] does it for one text, and
// [Categorical] is mx.random.categorical on host rows.
//
// It works on float32 host slices. It does not run models, stop generation,
// decode text, or run filters that mlx-lm lacks (typical-p, mirostat, DRY,
// beams). mlx-lm computes log-probabilities in the model's dtype; here they are
// always float32.
package sample

import (
	"fmt"
	"math"

	"github.com/mlxgo/mlx/internal/threefry"
)

// DefaultContext is how many of the last tokens a penalty looks at when the
// option for it is 0.
const DefaultContext = 20

// WholeHistory as a context makes a penalty look at every token of the history.
const WholeHistory = math.MaxInt

// Bias is an addend for the logit of one token; -Inf forbids the token.
type Bias struct {
	Token int
	Value float64
}

// Options are mlx-lm's settings of make_sampler and make_logits_processors. The
// zero value is greedy decoding without processors.
type Options struct {
	// Temperature 0 takes the most likely token; no filter and no random draw
	// happens then. Otherwise the log-probabilities that the filters left are
	// divided by it.
	Temperature float64
	// TopP keeps the most likely tokens whose probabilities first reach TopP in
	// sum. 0 and 1 are off.
	TopP float64
	// MinP drops tokens less likely than MinP times the most likely one. 0 is off.
	MinP float64
	// MinTokensToKeep are never dropped by MinP. 0 is the default, 1.
	MinTokensToKeep int
	// TopK keeps the K most likely tokens; 0 or less is off. K must be below the
	// vocabulary's size.
	TopK int

	// XTCProbability is the chance per token that XTC runs: of the tokens more
	// likely than XTCThreshold only the least likely one stays, and so do those
	// in XTCSpecial. mlx-lm's default threshold is 0.1; 0 is a threshold too.
	XTCProbability float64
	XTCThreshold   float64
	XTCSpecial     []int

	// Seed starts a key sequence of the sampler's own, as mx.random.seed does.
	// Generator is a sequence that the caller shares among samplers. At most one
	// may be set; with neither, each sampler gets a seed from the system.
	Seed      *uint64
	Generator *threefry.Generator

	// LogitBias is added to the logits first, in order.
	LogitBias []Bias
	// RepetitionPenalty divides the positive and multiplies the negative logits
	// of tokens seen in the context, once per distinct token. nil is off; a
	// penalty that is given must be above 0 (mlx-lm's server says 0 for off).
	RepetitionPenalty *float64
	// PresencePenalty is subtracted once per distinct token of the context,
	// FrequencyPenalty once per occurrence. 0 is off, negative rewards.
	PresencePenalty  float64
	FrequencyPenalty float64
	// Contexts are numbers of tokens from the end of the history; 0 is
	// [DefaultContext].
	RepetitionContext int
	PresenceContext   int
	FrequencyContext  int

	// Processors run after the ones above, in order.
	Processors []Processor
}

// OptionError says which option is out of range. Field is mlx-lm's name.
type OptionError struct {
	Field  string
	Value  any
	Reason string
}

func (e *OptionError) Error() string {
	return fmt.Sprintf("sample: %s is %v: %s", e.Field, e.Value, e.Reason)
}

// Validate reports the first option that is out of range for a vocabulary of
// the given size, as an [*OptionError].
//
// Ranges are those of mlx-lm. Where it takes a value without sense as "off"
// (top_p outside [0, 1], a negative xtc_probability) or runs into nonsense
// (a negative temperature), it is an error here. As in mlx-lm, top_k is only
// held against the vocabulary if the temperature makes it count.
func (o *Options) Validate(vocab int) error {
	if vocab < 1 {
		return &OptionError{"vocab_size", vocab, "must be at least 1"}
	}
	if err := o.validateFilters(vocab); err != nil {
		return err
	}
	if err := o.validateProcessors(vocab); err != nil {
		return err
	}
	if o.Seed != nil && o.Generator != nil {
		return &OptionError{"seed", *o.Seed, "a seed and a generator exclude each other"}
	}
	return nil
}

// validateFilters checks what make_sampler takes.
func (o *Options) validateFilters(vocab int) error {
	if !(o.Temperature >= 0) || math.IsInf(o.Temperature, 1) {
		return &OptionError{"temp", o.Temperature, "must be a finite number, 0 or more"}
	}
	// Below this a log-probability divided by it leaves float32's range.
	if o.Temperature > 0 && o.Temperature < 1e-36 {
		return &OptionError{"temp", o.Temperature, "too small to divide by; use 0"}
	}
	for _, r := range []struct {
		field    string
		value    float64
		max      float64
		interval string
	}{
		{"top_p", o.TopP, 1, "[0, 1]"},
		{"min_p", o.MinP, 1, "[0, 1]"},
		{"xtc_probability", o.XTCProbability, 1, "[0, 1]"},
		{"xtc_threshold", o.XTCThreshold, 0.5, "[0, 0.5]"},
	} {
		if !(r.value >= 0 && r.value <= r.max) {
			return &OptionError{r.field, r.value, "must be in " + r.interval}
		}
	}
	if o.MinTokensToKeep < 0 || o.MinTokensToKeep > vocab {
		return &OptionError{"min_tokens_to_keep", o.MinTokensToKeep,
			fmt.Sprintf("must be in 1..%d", vocab)}
	}
	if o.Temperature > 0 && o.TopK >= vocab {
		return &OptionError{"top_k", o.TopK,
			fmt.Sprintf("must be below the vocabulary size %d", vocab)}
	}
	for _, t := range o.XTCSpecial {
		if t < 0 || t >= vocab {
			return &OptionError{"xtc_special_tokens", t, tokenRange(vocab)}
		}
	}
	return nil
}

// validateProcessors checks what make_logits_processors takes.
func (o *Options) validateProcessors(vocab int) error {
	for _, b := range o.LogitBias {
		if b.Token < 0 || b.Token >= vocab {
			return &OptionError{"logit_bias", b.Token, tokenRange(vocab)}
		}
		if math.IsNaN(b.Value) || math.IsInf(float64(float32(b.Value)), 1) {
			return &OptionError{"logit_bias", b.Value,
				fmt.Sprintf("the addend of token %d must be a float32 number or -Inf", b.Token)}
		}
	}
	if p := o.RepetitionPenalty; p != nil && !(float32(*p) > 0 && float32(*p) <= math.MaxFloat32) {
		return &OptionError{"repetition_penalty", *p, "must be a float32 number above 0"}
	}
	for _, p := range []struct {
		field string
		value float64
	}{
		{"presence_penalty", o.PresencePenalty},
		{"frequency_penalty", o.FrequencyPenalty},
	} {
		if f := float64(float32(p.value)); math.IsNaN(f) || math.IsInf(f, 0) {
			return &OptionError{p.field, p.value, "must be a float32 number"}
		}
	}
	for _, c := range []struct {
		field string
		value int
	}{
		{"repetition_context_size", o.RepetitionContext},
		{"presence_context_size", o.PresenceContext},
		{"frequency_context_size", o.FrequencyContext},
	} {
		if c.value < 0 {
			return &OptionError{c.field, c.value, "must not be negative"}
		}
	}
	return nil
}

func tokenRange(vocab int) string {
	return fmt.Sprintf("a token must be in 0..%d", vocab-1)
}
