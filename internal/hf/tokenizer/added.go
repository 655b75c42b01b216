package tokenizer

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// addedToken is a token that is found in the text before the model sees it.
type addedToken struct {
	ID         int64  `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"` // not inside a word
	LStrip     bool   `json:"lstrip"`      // takes the white space before it
	RStrip     bool   `json:"rstrip"`      // and behind it
	Normalized bool   `json:"normalized"`  // found in the normalized text
	Special    bool   `json:"special"`     // may be skipped in decoding
}

func parseAddedTokens(raw json.RawMessage) ([]addedToken, error) {
	var list []addedToken
	if _, err := decodeSection(raw, &list); err != nil {
		return nil, err
	}
	for i, a := range list {
		if a.ID < 0 || a.ID > maxID {
			return nil, fmt.Errorf("token %d (%q) has id %d, want one in [0, %d]", i, clip(a.Content), a.ID, maxID)
		}
	}
	return list, nil
}

// matcher finds added tokens in a text: leftmost, then longest.
type matcher struct {
	index  *prefixIndex
	tokens []addedToken // of index.keys
}

// newMatcher makes a matcher that finds tokens by the text form gives; of two
// with the same text the later counts.
func newMatcher(tokens []addedToken, form func(string) string) *matcher {
	keys := make([]string, len(tokens))
	last := make(map[string]int, len(tokens))
	for i, a := range tokens {
		keys[i] = form(a.Content)
		last[keys[i]] = i
	}
	m := &matcher{index: newPrefixIndex(keys)}
	for _, key := range m.index.keys {
		m.tokens = append(m.tokens, tokens[last[key]])
	}
	return m
}

// part is a piece of text, or an added token in its place.
type part struct {
	start, end int
	id         int32 // -1: text
}

// split appends the parts of s to out.
func (m *matcher) split(out []part, s string) []part {
	done := 0
	if len(m.tokens) > 0 {
		for i := 0; i < len(s); {
			key := -1
			if m.index.starts(s[i]) {
				key = m.index.longest(s[i:])
			}
			if key < 0 {
				i++
				continue
			}
			token := &m.tokens[key]
			start, end := i, i+len(m.index.keys[key])
			// The search goes on behind the match, also behind one refused.
			i = end
			if token.SingleWord && insideWord(s, start, end) {
				continue
			}
			if token.LStrip {
				start = max(done, len(strings.TrimRightFunc(s[:start], unicode.IsSpace)))
			}
			if token.RStrip {
				end = len(s) - len(strings.TrimLeftFunc(s[end:], unicode.IsSpace))
			}
			if done < start {
				out = append(out, part{done, start, -1})
			}
			out = append(out, part{start, end, int32(token.ID)})
			done = max(done, end)
		}
	}
	if done < len(s) {
		out = append(out, part{done, len(s), -1})
	}
	return out
}

// insideWord reports whether a word reaches over the border of s[start:end].
func insideWord(s string, start, end int) bool {
	before, _ := utf8.DecodeLastRuneInString(s[:start])
	after, _ := utf8.DecodeRuneInString(s[end:])
	return start > 0 && isWord(before) || end < len(s) && isWord(after)
}
