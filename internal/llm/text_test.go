package llm

import (
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/mlxgo/mlx/internal/hf/tokenizer"
)

func TestTextStops(t *testing.T) {
	tok := tinyTokenizer(t)
	word := func(s string) int { return tokenID(t, tok, s) }
	euro := []int{0xE2 + 3, 0x82 + 3, 0xAC + 3}
	for _, c := range []struct {
		name   string
		ids    []int
		stops  []string
		pieces []string // of Add, then of Finish
		stop   string
	}{
		{"none", []int{word("▁Once"), word("▁upon")}, nil, []string{"Once", " upon", ""}, ""},
		{"one token", []int{word("▁Once"), word("▁upon")}, []string{"upon"}, []string{"Once", " ", ""}, "upon"},
		{"over tokens", []int{word("▁Once"), word("▁upon"), word("▁a")}, []string{"ce upon"}, []string{"On", "", "", ""}, "ce upon"},
		{"over tokens, taken back", []int{word("▁Once"), word("▁a")}, []string{"ce upon"}, []string{"On", "ce a", ""}, ""},
		{"at the beginning", []int{word("▁Once")}, []string{"O"}, []string{"", ""}, "O"},
		{"held at the end", []int{word("▁Once")}, []string{"ce!"}, []string{"On", "ce"}, ""},
		{"first complete", []int{word("▁upon")}, []string{"upon", "po"}, []string{"u", ""}, "po"},
		{"longest of those that end together", []int{word("▁upon")}, []string{"on", "pon"}, []string{"u", ""}, "pon"},
		{"a character in bytes", append(append([]int{word("▁a")}, euro...), word("!")), []string{"€!"},
			[]string{"a", "", "", "", "", ""}, "€!"},
		{"overlapping itself", []int{word("!"), word("!"), word("."), word("!"), word("!"), word("!"), word(".")}, []string{"!!!."},
			[]string{"", "", "!!.", "", "", "", "", ""}, "!!!."},
	} {
		a := newText(tok.Detokenizer(), c.stops)
		var pieces []string
		for _, id := range c.ids {
			s, _, _ := a.Add(id)
			pieces = append(pieces, s)
		}
		pieces = append(pieces, a.Finish())
		if strings.Join(pieces, "|") != strings.Join(c.pieces, "|") || a.stop() != c.stop {
			t.Errorf("%s: %q, stop %q; want %q, %q", c.name, pieces, a.stop(), c.pieces, c.stop)
		}
	}
}

// A stop string may come up in the bytes that only the end makes certain.
func TestTextStopInFinish(t *testing.T) {
	tok := tinyTokenizer(t)
	a := newText(tok.Detokenizer(), []string{"b"})
	s := ""
	for _, c := range []byte("abc") { // byte tokens wait for the run's end
		p, _, _ := a.Add(int(c) + 3)
		s += p
	}
	if s += a.Finish(); s != "a" || a.stop() != "b" {
		t.Errorf("text %q, stop %q", s, a.stop())
	}
}

func TestTextWithoutTokenizer(t *testing.T) {
	a := newText(nil, nil)
	if s, stopped, _ := a.Add(5); s != "" || stopped || a.Finish() != "" {
		t.Error("text out of nothing")
	}
}

func TestStopCheck(t *testing.T) {
	for _, bad := range []string{"", "\xff", "a\xe2\x82"} {
		if err := (stopStrings{"ok", bad}).check(); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	if err := (stopStrings{"a", "€"}).check(); err != nil {
		t.Error(err)
	}
}

// cutAt is the definition: the text before the stop string that ends first.
func cutAt(all string, stops []string) (string, string) {
	for end := range len(all) + 1 {
		best := ""
		for _, s := range stops {
			if strings.HasSuffix(all[:end], s) && len(s) > len(best) {
				best = s
			}
		}
		if best != "" {
			return all[:end-len(best)], best
		}
	}
	return all, ""
}

// Whatever the tokens and stop strings: the pieces are whole characters, and make
// the decoded text up to the first stop string.
func TestTextProperty(t *testing.T) {
	tokens := map[string]*Tokenizer{"tiny": tinyTokenizer(t)}
	if dir := textSharedOptional("tokenizers", "qwen2.5"); dir != "" {
		tok, err := LoadTokenizer(dir)
		if err != nil {
			t.Fatal(err)
		}
		tokens["qwen2.5"] = tok
	}
	for name, tok := range tokens {
		rnd := rand.New(rand.NewPCG(1, uint64(len(name))))
		for range 3000 {
			ids := randomIDs(rnd, tok)
			all := tok.Decode(ids, false)
			stops := randomStops(rnd, all)
			checkText(t, name, tok.Detokenizer(), ids, all, stops)
		}
	}
}

func checkText(t *testing.T, name string, d *tokenizer.Detokenizer, ids []int, all string, stops []string) {
	t.Helper()
	a := newText(d, stops)
	got := ""
	for _, id := range ids {
		s, stopped, which := a.Add(id)
		if got += s; !utf8.ValidString(s) {
			t.Fatalf("%s: piece %q of %v is no text", name, s, ids)
		}
		if stopped != (which != "") || which != a.stop() {
			t.Fatalf("%s: stopped %v by %q", name, stopped, which)
		}
		if stopped {
			break
		}
	}
	s := a.Finish()
	if got += s; !utf8.ValidString(s) {
		t.Fatalf("%s: piece %q of %v is no text", name, s, ids)
	}
	want, stop := cutAt(all, stops)
	if got != want || a.stop() != stop {
		t.Fatalf("%s: %v with stops %q: %q by %q, want %q by %q", name, ids, stops, got, a.stop(), want, stop)
	}
}

func randomIDs(rnd *rand.Rand, tok *Tokenizer) []int {
	ids := make([]int, 0, 12)
	for range 1 + rnd.IntN(10) {
		switch rnd.IntN(3) {
		case 0:
			ids = append(ids, rnd.IntN(tok.VocabSize()))
		case 1:
			ids = append(ids, tok.Encode(string([]rune("a€😀é\n ")[rnd.IntN(6)]), false)...)
		default:
			ids = append(ids, rnd.IntN(270))
		}
	}
	return ids
}

// randomStops takes strings out of the text, and some that almost occur.
func randomStops(rnd *rand.Rand, all string) []string {
	var stops []string
	runes := []rune(all)
	for range rnd.IntN(4) {
		if len(runes) == 0 {
			break
		}
		i := rnd.IntN(len(runes))
		s := string(runes[i:min(len(runes), i+1+rnd.IntN(6))])
		if rnd.IntN(2) == 0 {
			s += "§"
		}
		stops = append(stops, s)
	}
	return stops
}

func FuzzText(f *testing.F) {
	f.Add([]byte("Once upon a time"), "upon", "on")
	f.Add([]byte{0xE2, 0x82, 0xAC, 0xFF, 'a'}, "€", "\uFFFD")
	tok := tinyTokenizer(f)
	f.Fuzz(func(t *testing.T, bytes []byte, s1, s2 string) {
		stops := []string{s1, s2}
		if (stopStrings(stops)).check() != nil || len(bytes) > 200 {
			return
		}
		ids := make([]int, len(bytes))
		for i, b := range bytes {
			ids[i] = int(b) + 3*(i%2) // byte tokens and low ids
		}
		checkText(t, "fuzz", tok.Detokenizer(), ids, tok.Decode(ids, false), stops)
	})
}
