package tokenizer

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	regexp2 "github.com/dlclark/regexp2/v2"
)

// finder reports all matches in s in order, as byte ranges that do not overlap.
type finder func(s string, found func(start, end int))

// pattern is the member "pattern" of Split and Replace.
type pattern struct {
	String *string `json:"String"`
	Regex  *string `json:"Regex"`
}

func (p pattern) compile() (finder, error) {
	switch {
	case p.Regex != nil:
		return compileRegex(*p.Regex)
	case p.String != nil:
		return findLiteral(*p.String), nil
	}
	return nil, errors.New(`pattern has neither "String" nor "Regex"`)
}

// findLiteral finds p; an empty p matches at every border of characters.
func findLiteral(p string) finder {
	return func(s string, found func(start, end int)) {
		if p == "" {
			for i := range s {
				found(i, i)
			}
			if s != "" {
				found(len(s), len(s))
			}
			return
		}
		for i := 0; ; {
			k := strings.Index(s[i:], p)
			if k < 0 {
				return
			}
			found(i+k, i+k+len(p))
			i += k + len(p)
		}
	}
}

// findRunes finds every character of a class.
func findRunes(is func(rune) bool) finder {
	return func(s string, found func(start, end int)) {
		for i, r := range s {
			if is(r) {
				found(i, i+utf8.RuneLen(r))
			}
		}
	}
}

// maxBacktrack bounds the memory of one regular expression match (in ints); a
// text that needs more counts as one without a match.
const maxBacktrack = 1 << 22

// compileRegex makes a finder of an Oniguruma pattern: a scanner of ours for
// the patterns nearly every model has, else a backtracking engine, since the
// patterns use look-ahead.
func compileRegex(expr string) (finder, error) {
	if scan, ok := scanners[expr]; ok {
		return scan, nil
	}
	return compileBacktracking(expr)
}

func compileBacktracking(expr string) (f finder, err error) {
	// The engine is not ours, and the pattern comes from outside.
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("regular expression %q: %v", clip(expr), r)
		}
	}()
	translated, err := translateClasses(expr)
	if err != nil {
		return nil, fmt.Errorf("regular expression %q: %w", clip(expr), err)
	}
	// Oniguruma's ^ and $ match at every line, as with Multiline.
	re, err := regexp2.Compile(translated, regexp2.Multiline, regexp2.OptionMaxBacktrackingStackSize(maxBacktrack))
	if err != nil {
		return nil, fmt.Errorf("regular expression %q: %w", clip(expr), err)
	}
	if re.RightToLeft() {
		return nil, fmt.Errorf("regular expression %q: matching from right to left is not supported", clip(expr))
	}
	return func(s string, found func(start, end int)) {
		for _, m := range findAll(re, s) {
			found(m[0], m[1])
		}
	}, nil
}

// findAll returns no match where the engine gives up, by an error or a panic.
func findAll(re *regexp2.Regexp, s string) (matches [][]int) {
	defer func() {
		if recover() != nil {
			matches = nil
		}
	}()
	matches, err := re.FindAllStringIndex(s, -1)
	if err != nil {
		return nil
	}
	return matches
}

// onigEscapes are classes that the engine knows by other names or in another
// extent, in brackets and without.
var onigEscapes = map[string]string{
	`\w`: `\p{L}\p{M}\p{N}\p{Pc}`,
	`\h`: `0-9A-Fa-f`,
}

// translateClasses rewrites Oniguruma's character classes in the engine's
// terms: [ab[cd]] is [abcd], [a&&[^b]] is [a-[b]], \w has all numbers.
func translateClasses(expr string) (string, error) {
	t := &classTranslator{in: expr}
	for t.i < len(t.in) {
		switch t.in[t.i] {
		case '\\':
			t.escape("[", "]")
		case '[':
			if err := t.class(0); err != nil {
				return "", err
			}
		default:
			t.copy(1)
		}
	}
	return t.out.String(), nil
}

type classTranslator struct {
	in  string
	i   int
	out strings.Builder
}

func (t *classTranslator) copy(n int) {
	end := min(t.i+n, len(t.in))
	t.out.WriteString(t.in[t.i:end])
	t.i = end
}

// escape translates a backslash and what follows.
func (t *classTranslator) escape(open, end string) {
	name := t.in[t.i:min(t.i+2, len(t.in))]
	if class, ok := onigEscapes[name]; ok {
		t.out.WriteString(open + class + end)
		t.i += len(name)
		return
	}
	t.copy(len(name))
}

// class translates from '[' to the matching ']'.
func (t *classTranslator) class(depth int) error {
	if depth > maxNesting {
		return errors.New("character classes nested too deep")
	}
	t.copy(1)
	if t.i < len(t.in) && t.in[t.i] == '^' {
		t.copy(1)
	}
	for first := true; t.i < len(t.in); first = false {
		rest := t.in[t.i:]
		switch {
		case rest[0] == ']' && !first:
			t.copy(1)
			return nil
		case rest[0] == '\\':
			t.escape("", "")
		case strings.HasPrefix(rest, "[:"):
			return errors.New("POSIX brackets are not supported")
		case strings.HasPrefix(rest, "&&["):
			t.i += 2
			return t.intersect(depth)
		case strings.HasPrefix(rest, "&&"):
			return errors.New("intersection with anything but a bracketed class is not supported")
		case rest[0] == '[':
			if err := t.union(depth); err != nil {
				return err
			}
		default:
			t.copy(1)
		}
	}
	return errors.New("character class without end")
}

// intersect handles the last operand of &&: A∩B = A minus the complement of B.
func (t *classTranslator) intersect(depth int) error {
	inner, err := t.inner(depth)
	if err != nil {
		return err
	}
	if body, negated := strings.CutPrefix(inner, "[^"); negated {
		t.out.WriteString("-[" + body)
	} else {
		t.out.WriteString("-[^" + inner[1:])
	}
	if t.i >= len(t.in) || t.in[t.i] != ']' {
		return errors.New("an intersection must end its character class")
	}
	t.copy(1)
	return nil
}

func (t *classTranslator) union(depth int) error {
	inner, err := t.inner(depth)
	if err != nil {
		return err
	}
	if strings.HasPrefix(inner, "[^") || strings.Contains(inner, "-[") {
		return errors.New("a union with a negated or intersected class is not supported")
	}
	t.out.WriteString(inner[1 : len(inner)-1])
	return nil
}

// inner translates the class at t.i and returns it instead of writing it.
func (t *classTranslator) inner(depth int) (string, error) {
	sub := &classTranslator{in: t.in, i: t.i}
	if err := sub.class(depth + 1); err != nil {
		return "", err
	}
	t.i = sub.i
	return sub.out.String(), nil
}
