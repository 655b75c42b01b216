package llm

import "github.com/mlxgo/mlx/internal/hf/tokenizer"

// text makes the answer's text of its tokens, piece by piece. A piece is whole
// characters and holds nothing that a stop string may still take back; all
// together they are the decoded tokens up to the first stop string.
type text struct {
	d     *tokenizer.Detokenizer // nil: no text
	stops stopStrings
	held  string // certain as text, but maybe the beginning of a stop string
	hit   string // the stop string that ended the text, "" before
}

// newText starts an answer. stops must have passed stopStrings.check; d may be
// nil, then the text stays empty.
func newText(d *tokenizer.Detokenizer, stops []string) *text {
	return &text{d: d, stops: stops}
}

// Add takes the next token and returns the text that is now certain, often "".
// stopped says that the stop string which came up; the rest of the text is
// dropped, and tokens after it too.
func (t *text) Add(id int) (text string, stopped bool, which string) {
	if t.d == nil || t.hit != "" {
		return "", t.hit != "", t.hit
	}
	return t.take(t.d.Add(id), false)
}

// Finish ends the answer and returns the rest of its text. The bytes of a
// character that never got its end become U+FFFD, as in one-shot decoding. A stop
// string can come up here too: see stop.
func (t *text) Finish() string {
	if t.d == nil || t.hit != "" {
		return ""
	}
	rest, _, _ := t.take(t.d.Finish(), true)
	return rest
}

// stop is the stop string that ended the text, "" if none did.
func (t *text) stop() string { return t.hit }

// take appends piece to what is held and returns what can go out.
func (t *text) take(piece string, last bool) (string, bool, string) {
	if piece == "" && !last {
		return "", false, ""
	}
	all := t.held + piece
	if at, which := t.stops.find(all); at >= 0 {
		t.held, t.hit = "", which
		return all[:at], true, which
	}
	cut := len(all)
	if !last {
		cut = t.stops.open(all)
	}
	t.held = all[cut:]
	return all[:cut], false, ""
}
