package tokenizer

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// normalizer rewrites a piece of text between added tokens.
type normalizer interface {
	normalize(s string) string
}

// normalizeFunc is a normalizer without parameters.
type normalizeFunc func(string) string

func (f normalizeFunc) normalize(s string) string { return f(s) }

// normalizers run one after the other.
type normalizers []normalizer

func (n normalizers) normalize(s string) string {
	for _, each := range n {
		s = each.normalize(s)
	}
	return s
}

// parseNormalizer builds the section "normalizer"; nil if there is none.
func parseNormalizer(raw json.RawMessage) (normalizer, error) {
	c, ok, err := parseComponent(raw)
	if err != nil || !ok {
		return nil, err
	}
	list, err := buildNormalizers(c, 0)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	if err := checkGrowth(list); err != nil {
		return nil, err
	}
	return normalizers(list), nil
}

func buildNormalizers(c component, depth int) ([]normalizer, error) {
	if c.kind == "Sequence" {
		var v struct {
			List []json.RawMessage `json:"normalizers"`
		}
		if err := c.fill(&v); err != nil {
			return nil, err
		}
		return buildAll(v.List, depth, buildNormalizers)
	}
	n, err := buildNormalizer(c)
	if err != nil {
		return nil, err
	}
	return []normalizer{n}, nil
}

var plainNormalizers = map[string]normalizeFunc{
	"NFC":          norm.NFC.String,
	"NFD":          norm.NFD.String,
	"NFKC":         norm.NFKC.String,
	"NFKD":         norm.NFKD.String,
	"Lowercase":    lowercase,
	"StripAccents": func(s string) string { return dropRunes(s, unicode.IsMark) },
	"Nmt":          normalizeNMT,
}

func buildNormalizer(c component) (normalizer, error) {
	if f, ok := plainNormalizers[c.kind]; ok {
		return f, nil
	}
	switch c.kind {
	case "ByteLevel":
		return byteLevelNormalizer{}, nil
	case "Prepend":
		var v struct {
			Prepend string `json:"prepend"`
		}
		err := c.fill(&v)
		return prepend(v.Prepend), err
	case "Strip":
		var v struct {
			Left  *bool `json:"strip_left"`
			Right *bool `json:"strip_right"`
		}
		err := c.fill(&v)
		return strip{optional(v.Left, true), optional(v.Right, true)}, err
	case "Replace":
		return newReplace(c)
	case "BertNormalizer":
		return newBertNormalizer(c)
	case "Precompiled":
		return newPrecompiled(c)
	}
	return nil, fmt.Errorf("normalizer type %q is not known", c.kind)
}

// byteLevelNormalizer writes bytes in the byte-level alphabet.
type byteLevelNormalizer struct{}

func (byteLevelNormalizer) normalize(s string) string { return toByteLevel(s) }
func (byteLevelNormalizer) growth() int               { return 2 }

// prepend puts a text before every piece that is not empty.
type prepend string

func (p prepend) normalize(s string) string {
	if s == "" {
		return s
	}
	return string(p) + s
}

func (p prepend) growth() int { return 1 + len(p) }

// strip cuts white space off the ends.
type strip struct{ left, right bool }

func (n strip) normalize(s string) string {
	if n.left {
		s = strings.TrimLeftFunc(s, unicode.IsSpace)
	}
	if n.right {
		s = strings.TrimRightFunc(s, unicode.IsSpace)
	}
	return s
}

// replace replaces every match of a pattern; as a decoder it does so in every
// token.
type replace struct {
	literal *string // the pattern, if it is a plain text
	find    finder
	content string
}

func newReplace(c component) (*replace, error) {
	var v struct {
		Pattern pattern `json:"pattern"`
		Content string  `json:"content"`
	}
	if err := c.fill(&v); err != nil {
		return nil, err
	}
	find, err := v.Pattern.compile()
	if err != nil {
		return nil, c.errorf("%w", err)
	}
	r := &replace{find: find, content: v.Content}
	if v.Pattern.Regex == nil {
		r.literal = v.Pattern.String
	}
	return r, nil
}

func (r *replace) growth() int {
	if r.literal != nil && *r.literal != "" {
		return (len(r.content) + len(*r.literal) - 1) / len(*r.literal)
	}
	return 1 + len(r.content)
}

func (r *replace) normalize(s string) string {
	if r.literal != nil && *r.literal != "" {
		return strings.ReplaceAll(s, *r.literal, r.content)
	}
	var out strings.Builder
	end, any := 0, false
	r.find(s, func(a, b int) {
		out.WriteString(s[end:a])
		out.WriteString(r.content)
		end, any = b, true
	})
	if !any {
		return s
	}
	out.WriteString(s[end:])
	return out.String()
}

// bertNormalizer cleans text as BERT's basic tokenizer does.
type bertNormalizer struct{ clean, chinese, accents, lower bool }

func newBertNormalizer(c component) (normalizer, error) {
	var v struct {
		Clean   *bool `json:"clean_text"`
		Chinese *bool `json:"handle_chinese_chars"`
		Accents *bool `json:"strip_accents"`
		Lower   *bool `json:"lowercase"`
	}
	err := c.fill(&v)
	lower := optional(v.Lower, true)
	return bertNormalizer{
		clean:   optional(v.Clean, true),
		chinese: optional(v.Chinese, true),
		accents: optional(v.Accents, lower), // null follows lowercase
		lower:   lower,
	}, err
}

func (n bertNormalizer) normalize(s string) string {
	var out strings.Builder
	out.Grow(len(s))
	for _, r := range s {
		if n.clean {
			space := unicode.IsSpace(r)
			ascii := r == '\t' || r == '\n' || r == '\r'
			if r == 0 || r == 0xfffd || !ascii && isOther(r) {
				continue
			}
			if space {
				r = ' '
			}
		}
		if n.chinese && isChinese(r) {
			out.WriteByte(' ')
			out.WriteRune(r)
			out.WriteByte(' ')
			continue
		}
		out.WriteRune(r)
	}
	s = out.String()
	if n.accents {
		s = dropRunes(norm.NFD.String(s), func(r rune) bool { return unicode.Is(unicode.Mn, r) })
	}
	if n.lower {
		s = lowercase(s)
	}
	return s
}

// isOther reports Unicode category C, unassigned code points included.
func isOther(r rune) bool {
	return !unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.P, unicode.S, unicode.Z)
}

// isChinese reports the blocks of CJK ideographs that BERT splits.
func isChinese(r rune) bool {
	switch {
	case r < 0x3400:
		return false
	case r <= 0x4dbf, r >= 0x4e00 && r <= 0x9fff, r >= 0xf900 && r <= 0xfaff,
		r >= 0x20000 && r <= 0x2a6df, r >= 0x2a700 && r <= 0x2b73f,
		r >= 0x2b740 && r <= 0x2b81f, r >= 0x2b920 && r <= 0x2ceaf,
		r >= 0x2f800 && r <= 0x2fa1f:
		return true
	}
	return false
}

func dropRunes(s string, drop func(rune) bool) string {
	return strings.Map(func(r rune) rune {
		if drop(r) {
			return -1
		}
		return r
	}, s)
}

// lowercase lowers each character for itself, without regard to its place in
// the word; U+0130 is the one character that becomes two.
func lowercase(s string) string {
	if !strings.ContainsRune(s, 'İ') {
		return strings.Map(unicode.ToLower, s)
	}
	var out strings.Builder
	for _, r := range s {
		if r == 'İ' {
			out.WriteString("i\u0307")
		} else {
			out.WriteRune(unicode.ToLower(r))
		}
	}
	return out.String()
}

// normalizeNMT drops control characters and turns the odd spaces into spaces,
// by the list of SentencePiece's nmt rules.
func normalizeNMT(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 0x01 && r <= 0x08, r == 0x0b, r >= 0x0e && r <= 0x1f, r == 0x7f, r == 0x8f, r == 0x9f:
			return -1
		case r == 0x09, r == 0x0a, r == 0x0c, r == 0x0d, r == 0x1680, r >= 0x200b && r <= 0x200f,
			r == 0x2028, r == 0x2029, r == 0x2581, r == 0xfeff, r == 0xfffd:
			return ' '
		}
		return r
	}, s)
}
