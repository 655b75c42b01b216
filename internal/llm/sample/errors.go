package sample

import "fmt"

// NaNError says that a logit, after the processors, is NaN or +Inf, so that
// no probability is defined.
type NaNError struct {
	Index int
	Value float32
}

func (e *NaNError) Error() string {
	return fmt.Sprintf("sample: the logit of token %d is %v", e.Index, e.Value)
}

// EmptyError says that every logit, after the processors, is -Inf: no token is
// left to choose.
type EmptyError struct {
	Vocab int
}

func (e *EmptyError) Error() string {
	return fmt.Sprintf("sample: all %d logits are -Inf, no token can be chosen", e.Vocab)
}

// LengthError says that a row of logits is not as long as the vocabulary.
type LengthError struct {
	Got, Want int
}

func (e *LengthError) Error() string {
	return fmt.Sprintf("sample: %d logits for a vocabulary of %d tokens", e.Got, e.Want)
}

// TokenError says that the history holds a token outside the vocabulary.
type TokenError struct {
	Position, Token, Vocab int
}

func (e *TokenError) Error() string {
	return fmt.Sprintf("sample: token %d at position %d of the history is outside the vocabulary of %d",
		e.Token, e.Position, e.Vocab)
}
