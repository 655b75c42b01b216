package sample

// Processor changes the logits [vocab] of the next token in place. history is
// the one given to [Sampler.Sample].
type Processor func(logits []float32, history []int) error

// processors builds mlx-lm's list: bias, repetition, presence, frequency, then
// the caller's own.
func (o *Options) processors(vocab int) []Processor {
	var list []Processor
	if len(o.LogitBias) > 0 {
		list = append(list, biasProcessor(o.LogitBias))
	}
	if o.RepetitionPenalty != nil {
		list = append(list, repetitionProcessor(float32(*o.RepetitionPenalty), context(o.RepetitionContext), vocab))
	}
	if o.PresencePenalty != 0 {
		list = append(list, presenceProcessor(float32(o.PresencePenalty), context(o.PresenceContext), vocab))
	}
	if o.FrequencyPenalty != 0 {
		list = append(list, frequencyProcessor(float32(o.FrequencyPenalty), context(o.FrequencyContext)))
	}
	return append(list, o.Processors...)
}

func context(n int) int {
	if n == 0 {
		return DefaultContext
	}
	return n
}

func biasProcessor(bias []Bias) Processor {
	bias = append([]Bias(nil), bias...)
	return func(logits []float32, _ []int) error {
		for _, b := range bias {
			logits[b.Token] += float32(b.Value)
		}
		return nil
	}
}

// repetitionProcessor: l < 0 ? l*penalty : l/penalty, once per distinct token.
// A penalty of 1 leaves every bit as it is.
func repetitionProcessor(penalty float32, context, vocab int) Processor {
	return distinctProcessor(context, vocab, func(l float32) float32 {
		if l < 0 {
			return l * penalty
		}
		return l / penalty
	})
}

// presenceProcessor: l - penalty, once per distinct token.
func presenceProcessor(penalty float32, context, vocab int) Processor {
	return distinctProcessor(context, vocab, func(l float32) float32 { return l - penalty })
}

// frequencyProcessor: l - penalty for each occurrence, one after the other, as
// a scatter that adds.
func frequencyProcessor(penalty float32, context int) Processor {
	return func(logits []float32, history []int) error {
		first := max(0, len(history)-context)
		for i, t := range history[first:] {
			if t < 0 || t >= len(logits) {
				return &TokenError{Position: first + i, Token: t, Vocab: len(logits)}
			}
			logits[t] -= penalty
		}
		return nil
	}
}

// distinctProcessor applies f once to the logit of each token among the last
// context tokens.
func distinctProcessor(context, vocab int, f func(float32) float32) Processor {
	seen := make([]bool, vocab)
	return func(logits []float32, history []int) error {
		first := max(0, len(history)-context)
		window := history[first:]
		for i, t := range window {
			if t < 0 || t >= len(logits) {
				return &TokenError{Position: first + i, Token: t, Vocab: len(logits)}
			}
		}
		for _, t := range window {
			if !seen[t] {
				seen[t] = true
				logits[t] = f(logits[t])
			}
		}
		for _, t := range window {
			seen[t] = false
		}
		return nil
	}
}
