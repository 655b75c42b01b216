package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// component is one {"type": ...} object of a section.
type component struct {
	kind string
	raw  json.RawMessage
}

// parseComponent answers false for a section that is absent or null.
func parseComponent(raw json.RawMessage) (component, bool, error) {
	var head struct {
		Type string `json:"type"`
	}
	ok, err := decodeSection(raw, &head)
	if ok && err == nil && head.Type == "" {
		err = errors.New(`no "type"`)
	}
	return component{head.Type, raw}, ok, err
}

// fill decodes the component's members into v.
func (c component) fill(v any) error {
	if err := json.Unmarshal(c.raw, v); err != nil {
		return fmt.Errorf("%s: %w", c.kind, err)
	}
	return nil
}

func (c component) errorf(format string, args ...any) error {
	return fmt.Errorf("%s: %w", c.kind, fmt.Errorf(format, args...))
}

// buildAll builds the members of a Sequence, flattening sequences in it.
func buildAll[T any](list []json.RawMessage, depth int, build func(component, int) ([]T, error)) ([]T, error) {
	if depth > maxNesting {
		return nil, fmt.Errorf("sequences nested deeper than %d", maxNesting)
	}
	var all []T
	for i, raw := range list {
		c, ok, err := parseComponent(raw)
		if err == nil && !ok {
			err = errors.New("null")
		}
		if err != nil {
			return nil, fmt.Errorf("element %d of a Sequence: %w", i, err)
		}
		part, err := build(c, depth+1)
		if err != nil {
			return nil, err
		}
		all = append(all, part...)
		if len(all) > maxComponents {
			return nil, fmt.Errorf("a Sequence of more than %d elements", maxComponents)
		}
	}
	return all, nil
}

const (
	maxNesting    = 16      // of sequences in sequences, classes in classes
	maxComponents = 256     // of a section
	maxGrowth     = 1 << 16 // bytes that a section may make of one
)

// growing is a component that can make a text longer.
type growing interface {
	growth() int // the most bytes that one byte becomes
}

// checkGrowth refuses lists in which growth multiplies until a short text fills
// the memory.
func checkGrowth[T any](list []T) error {
	total := 1
	for _, each := range list {
		if g, ok := any(each).(growing); ok {
			if n := g.growth(); n > maxGrowth {
				total = maxGrowth + 1
			} else {
				total *= max(n, 1)
			}
		}
		if total > maxGrowth {
			return fmt.Errorf("a text could grow more than %d times", maxGrowth)
		}
	}
	return nil
}

// oneRune takes the text of a member that must be one character.
func oneRune(name, text string) (rune, error) {
	r, n := utf8.DecodeRuneInString(text)
	if n == 0 || n != len(text) {
		return 0, fmt.Errorf("%s is %q, want one character", name, clip(text))
	}
	return r, nil
}

// optional returns *p, or def where the member is absent or null.
func optional[T any](p *T, def T) T {
	if p == nil {
		return def
	}
	return *p
}
