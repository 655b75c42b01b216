package tokenizer

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// TestScannersAgainstPatterns compares the hand-written scanners with the
// regular expressions they stand for.
func TestScannersAgainstPatterns(t *testing.T) {
	alphabet := []string{
		"a", "B", "é", "中", "ſ", "1", "2", "½", "१", " ", " ", "  ", "\t", "\n", "\r", "\r\n", "\u00a0", "\u0085", "\u3000", "\ufeff", "\u200d",
		"'", "'s", "'S", "'ſ", "'re", "'LL", "'lL", "'v", "'ve", "'d", "'m", "'t", ".", "!", "-", "😀", "\u0301", "_", "\x00", "\u07ff", "\u0800",
	}
	rnd := rand.New(rand.NewPCG(9, 10))
	for expr, scan := range scanners {
		find, err := compileBacktracking(expr)
		if err != nil {
			t.Fatal(err)
		}
		for range 4000 {
			var b strings.Builder
			for range rnd.IntN(12) {
				b.WriteString(alphabet[rnd.IntN(len(alphabet))])
			}
			s := b.String()
			var got, want []string
			scan(s, func(a, b int) { got = append(got, s[a:b]) })
			find(s, func(a, b int) { want = append(want, s[a:b]) })
			if !slices.Equal(got, want) {
				t.Fatalf("%s on %q: %q, want %q", expr, s, got, want)
			}
		}
	}
}

func splitAll(t *testing.T, preTokenizer, text string) []string {
	t.Helper()
	pre, _, err := parsePreTokenizer(json.RawMessage(preTokenizer))
	if err != nil {
		t.Fatalf("%s: %v", preTokenizer, err)
	}
	var got []string
	pre.split(piece{text, true}, func(p piece) {
		if p.text != "" {
			got = append(got, p.text)
		}
	})
	return got
}

func TestPreTokenizers(t *testing.T) {
	split := func(pattern, behavior, more string) string {
		return `{"type":"Split","pattern":` + pattern + `,"behavior":"` + behavior + `"` + more + `}`
	}
	dash := `{"String":"-"}`
	tests := []struct{ preTokenizer, text, want string }{ // want joined by |
		{split(dash, "Removed", ""), "-a--b-", "a|b"},
		{split(dash, "Isolated", ""), "-a--b-", "-|a|-|-|b|-"},
		{split(dash, "MergedWithPrevious", ""), "-a--b-", "-|a-|-|b-"},
		{split(dash, "MergedWithNext", ""), "-a--b-", "-a|-|-b|-"},
		{split(dash, "Contiguous", ""), "-a--b-", "-|a|--|b|-"},
		{split(dash, "Removed", `,"invert":true`), "-a--b-", "-|-|-|-"},
		{split(dash, "MergedWithPrevious", `,"invert":true`), "-a--b-", "-a|-|-b|-"},
		{split(`{"String":""}`, "Isolated", ""), "ab", "a|b"},
		{split(`{"Regex":"\\s*"}`, "Removed", ""), "a b", "a|b"},
		{split(`{"Regex":"[\\p{L}&&[^\\p{Han}]]+"}`, "Isolated", ""), "ab中c", "ab|中|c"},
		{split(`{"Regex":"^b"}`, "Isolated", ""), "b\nbb", "b|\n|b|b"},
		{split(`{"Regex":"\\w+"}`, "Isolated", ""), "a½_-é", "a½_|-|é"},
		{`{"type":"Digits","individual_digits":true}`, "a12", "a|1|2"},
		{`{"type":"Digits"}`, "a12", "a|12"},
		{`{"type":"Punctuation"}`, "a,+b。", "a|,|+|b|。"},
		{`{"type":"WhitespaceSplit"}`, " a,\u0085b\u3000", "a,|b"},
		{`{"type":"Whitespace"}`, "a_1 b..c", "a_1|b|..|c"},
		{`{"type":"BertPreTokenizer"}`, "a b.c", "a|b|.|c"},
		{`{"type":"CharDelimiterSplit","delimiter":"é"}`, "aéb", "a|b"},
		{`{"type":"FixedLength","length":2}`, "aébcd", "aé|bc|d"},
		{`{"type":"UnicodeScripts"}`, " どこで cat生", "どこで |cat|生"},
		{`{"type":"Metaspace","replacement":"▁"}`, "a b  c", "▁a|▁b|▁|▁c"},
		{`{"type":"Metaspace","replacement":"▁","add_prefix_space":false}`, "a b", "a|▁b"},
		{`{"type":"Metaspace","replacement":"▁","split":false}`, "a b", "▁a▁b"},
		{`{"type":"Metaspace","replacement":"_","prepend_scheme":"first"}`, "_a", "_a"},
		{`{"type":"ByteLevel"}`, "a é", " a| é"}, // last: raw bytes
		{`{"type":"Sequence","pretokenizers":[{"type":"ByteLevel","add_prefix_space":false},{"type":"Digits"}]}`, "é 1", "Ã©|Ġ|1"},
		// "first" holds for what begins with the text, not for what is cut behind.
		{`{"type":"Sequence","pretokenizers":[{"type":"WhitespaceSplit"},{"type":"Metaspace","replacement":"_","prepend_scheme":"first"}]}`, "a b", "_a|b"},
		{`{"type":"Sequence","pretokenizers":[]}`, "", ""},
	}
	for _, tt := range tests {
		if tt.text == "" {
			continue
		}
		if got := strings.Join(splitAll(t, tt.preTokenizer, tt.text), "|"); got != tt.want {
			t.Errorf("%s on %q: %q, want %q", tt.preTokenizer, tt.text, got, tt.want)
		}
	}
}

func TestNormalizers(t *testing.T) {
	tests := []struct{ normalizer, text, want string }{
		{`{"type":"NFC"}`, "e\u0301", "é"},
		{`{"type":"NFD"}`, "é", "e\u0301"},
		{`{"type":"NFKC"}`, "ﬁ", "fi"},
		{`{"type":"NFKD"}`, "½", "1\u20442"},
		{`{"type":"Lowercase"}`, "ÀİΣ", "ài\u0307σ"},
		{`{"type":"StripAccents"}`, "e\u0301", "e"},
		{`{"type":"Nmt"}`, "a\u200bb\x01\u2581", "a b "},
		{`{"type":"ByteLevel"}`, "é ", "Ã©Ġ"},
		{`{"type":"Prepend","prepend":"▁"}`, "a", "▁a"},
		{`{"type":"Prepend","prepend":"▁"}`, "", ""},
		{`{"type":"Strip"}`, " a\u0085", "a"},
		{`{"type":"Strip","strip_left":false}`, " a ", " a"},
		{`{"type":"Replace","pattern":{"Regex":" {2,}"},"content":"_"}`, "a   b c", "a_b c"},
		{`{"type":"Replace","pattern":{"String":""},"content":"_"}`, "ab", "_a_b_"},
		{`{"type":"BertNormalizer"}`, "É\x00\u200d\t中x", "e  中 x"},
		{`{"type":"BertNormalizer","lowercase":false}`, "É", "É"},
		{`{"type":"BertNormalizer","lowercase":false,"strip_accents":true,"handle_chinese_chars":false,"clean_text":false}`, "É中\t", "E中\t"},
		{`{"type":"Precompiled","precompiled_charsmap":""}`, "ﬁ", "ﬁ"},
		{`{"type":"Sequence","normalizers":[{"type":"NFD"},{"type":"Sequence","normalizers":[{"type":"StripAccents"},{"type":"Lowercase"}]}]}`, "É", "e"},
	}
	for _, tt := range tests {
		n, err := parseNormalizer(json.RawMessage(tt.normalizer))
		if err != nil {
			t.Errorf("%s: %v", tt.normalizer, err)
			continue
		}
		if got := n.normalize(tt.text); got != tt.want {
			t.Errorf("%s on %q: %q, want %q", tt.normalizer, tt.text, got, tt.want)
		}
	}
}

// TestPrecompiledTable reads a table of one rule, byte 'a' to "bc", laid out by
// hand.
func TestPrecompiledTable(t *testing.T) {
	// Root at 0 with offset 1: child 'a' (0x61) at 1^0x61 = 0x60, with a value
	// and offset 1: the value at 0x60^1 = 0x61.
	words := make([]byte, 4*0x62)
	put := func(i int, v uint32) {
		words[4*i], words[4*i+1], words[4*i+2], words[4*i+3] = byte(v), byte(v>>8), byte(v>>16), byte(v>>24)
	}
	put(0, 1<<10)
	put(0x60, 1<<10|1<<8|'a')
	put(0x61, 1<<31|2)
	table := append([]byte{byte(len(words)), byte(len(words) >> 8), 0, 0}, words...)
	table = append(table, "x\x00bc\x00"...)
	text, err := json.Marshal(map[string]any{"type": "Precompiled", "precompiled_charsmap": table})
	if err != nil {
		t.Fatal(err)
	}
	n, err := parseNormalizer(text)
	if err != nil {
		t.Fatal(err)
	}
	// The whole cluster a + U+0301 starts with a rule, which takes all of it.
	if got := n.normalize("abaéa\u0301"); got != "bcbbcébc" {
		t.Errorf("normalize = %q", got)
	}
}

func TestMatcherOverlaps(t *testing.T) {
	tok, err := Parse([]byte(`{"added_tokens":[
		{"id":10,"content":"<a>"},{"id":11,"content":"<a><b>"},{"id":12,"content":"  "},{"id":13,"content":"<r>","rstrip":true},{"id":14,"content":"<l>","lstrip":true},
		{"id":15,"content":"ON","normalized":true}],
		"normalizer":{"type":"Lowercase"},
		"model":{"type":"WordLevel","vocab":{"<unk>":0,"x":1}}}`))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		text string
		want []int
	}{
		{"<a><b>", []int{11}},       // longest
		{"<a><a>", []int{10, 10}},   //
		{"x<l>", []int{1, 14}},      //
		{"x <l>x", []int{1, 14, 1}}, //
		{"x  <l>", []int{1, 12, 14}},
		{"<r> x", []int{13, 1}},
		{"<r>  x", []int{13, 12, 1}}, // the search goes on behind the match itself, as in Rust
		{"xonx", []int{1, 15, 1}},    // found in the normalized text
		{"xOnx", []int{1, 15, 1}},
		{"<A>", []int{0}},
	}
	for _, tt := range tests {
		if got := tok.Encode(tt.text, false); !slices.Equal(got, tt.want) {
			t.Errorf("%q: %v, want %v", tt.text, got, tt.want)
		}
	}
}
