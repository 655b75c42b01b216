package tokenizer

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// naiveBPE joins the leftmost pair of the lowest rank until none is left.
func naiveBPE(d *definition, symbols []string) []string {
	rank := map[[2]string]int{}
	for i, pair := range d.merges {
		rank[pair] = i
	}
	for {
		best, at := math.MaxInt, -1
		for i := range len(symbols) - 1 {
			if r, ok := rank[[2]string{symbols[i], symbols[i+1]}]; ok && r < best {
				best, at = r, i
			}
		}
		if at < 0 {
			return symbols
		}
		symbols = slices.Concat(symbols[:at], []string{symbols[at] + symbols[at+1]}, symbols[at+2:])
	}
}

// randomBPE makes a vocabulary of letters and random merges, with the mark.
func randomBPE(rnd *rand.Rand, crossing bool, options string) string {
	tokens := []string{"▁", "a", "b", "c", "?"}
	seen := map[string]bool{}
	var merges []string
	for _, token := range tokens {
		seen[token] = true
	}
	for len(tokens) < 24 {
		a, b := tokens[rnd.IntN(len(tokens))], tokens[rnd.IntN(len(tokens))]
		crosses := strings.HasPrefix(b, "▁") && strings.Trim(a, "▁") != ""
		if len(a)+len(b) > 12 || crosses && !crossing {
			continue
		}
		merges = append(merges, fmt.Sprintf("[%q,%q]", a, b))
		if !seen[a+b] {
			seen[a+b] = true
			tokens = append(tokens, a+b)
		}
	}
	var vocab []string
	for i, token := range tokens {
		vocab = append(vocab, fmt.Sprintf("%q:%d", token, i))
	}
	return fmt.Sprintf(`{"model":{"type":"BPE",`+options+`"vocab":{%s},"merges":[%s]}}`, strings.Join(vocab, ","), strings.Join(merges, ","))
}

// TestBPEAgainstDefinition: short words, long words (queue), cut texts, cached
// and not.
func TestBPEAgainstDefinition(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	cuts := 0
	for trial := range 300 {
		options := []string{``, `"unk_token":"?",`, `"unk_token":"?","fuse_unk":true,`}[trial%3]
		file := randomBPE(rnd, trial%2 == 0, options)
		d, err := parseDefinition(file)
		if err != nil {
			t.Fatal(err)
		}
		// Of two equal merges the later counts, as in the naive map.
		tok, err := Parse([]byte(file))
		if err != nil {
			t.Fatal(err)
		}
		if tok.model.(*bpe).cutAtMark {
			cuts++
		}
		for range 10 {
			var symbols []string
			text, run := "", false
			for range 1 + rnd.IntN(90) {
				char := []string{"▁", "a", "b", "c", "?", "x"}[rnd.IntN(6)]
				text += char
				if char != "x" {
					symbols = append(symbols, char)
				} else if options != "" && (!run || !strings.Contains(options, "fuse")) {
					symbols = append(symbols, "?")
				}
				run = char == "x"
			}
			want := naiveBPE(d, symbols)
			for range 2 { // the second time from the cache
				if got := tokensOf(tok, tok.Encode(text, false)); !slices.Equal(got, want) {
					t.Fatalf("%s: %q is %q, want %q", file, text, got, want)
				}
			}
		}
	}
	if cuts < 50 {
		t.Errorf("only %d of 300 models were cut at the mark", cuts)
	}
}

func TestBPEUnknown(t *testing.T) {
	file := func(options string) string {
		return `{"model":{"type":"BPE",` + options + `"vocab":{"a":0,"?":1,"b":2,"ab":3,"<0xC3>":4,"<0xA9>":5,"aa":6},"merges":["a b"]}}`
	}
	tests := []struct {
		options, text string
		want          []int
	}{
		{``, "axxb", []int{3}},                                                    // left out: the neighbours meet
		{`"unk_token":"?",`, "axxb", []int{0, 1, 1, 2}},                           // one each
		{`"unk_token":"?","fuse_unk":true,`, "axxb", []int{0, 1, 2}},              // one for a run
		{`"unk_token":"?","byte_fallback":true,`, "aéb", []int{0, 4, 5, 2}},       // bytes
		{`"unk_token":"?","byte_fallback":true,`, "aèb", []int{0, 1, 2}},          // not all bytes have a token
		{`"unk_token":"?","byte_fallback":true,`, "xéb", []int{4, 5, 1, 2}},       // bytes overtake, as in Rust
		{`"unk_token":"none","byte_fallback":true,`, "aèb", []int{3}},             // token not in the vocabulary
		{`"ignore_merges":true,`, "aa", []int{6}},                                 // no merge makes it
		{`"ignore_merges":false,`, "aa", []int{0, 0}},                             //
		{`"ignore_merges":true,"unk_token":"?",`, "aab", []int{0, 3}},             //
		{`"dropout":0.5,"unk_token":"?",`, "abababab", []int{3, 3, 3, 3}},         // training only
		{`"unk_token":null,"byte_fallback":null,"fuse_unk":null,`, "b", []int{2}}, // null is absent
	}
	for _, tt := range tests {
		tok, err := Parse([]byte(file(tt.options)))
		if err != nil {
			t.Fatal(err)
		}
		if got := tok.Encode(tt.text, false); !slices.Equal(got, tt.want) {
			t.Errorf("{%s} %q: %v, want %v", tt.options, tt.text, got, tt.want)
		}
	}
}

// TestBPEAffixes: CLIP's suffix, and a prefix inside words.
func TestBPEAffixes(t *testing.T) {
	tok, err := Parse([]byte(`{"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false},
		"model":{"type":"BPE","end_of_word_suffix":"</w>","unk_token":"?","vocab":{"?":0,"a":1,"b":2,"b</w>":3,"ab</w>":4,"Ġ":5,"a</w>":6},"merges":["a b</w>"]},
		"decoder":{"type":"BPEDecoder","suffix":"</w>"}}`))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := tok.Encode("ab a", false), []int{4, 5, 6}; !slices.Equal(got, want) {
		t.Errorf("suffix: %v, want %v", got, want)
	}
	tok, err = Parse([]byte(`{"model":{"type":"BPE","continuing_subword_prefix":"##","vocab":{"a":0,"##b":1,"ab":2,"##c":3},"merges":["a ##b"]}}`))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := tok.Encode("abc", false), []int{2, 3}; !slices.Equal(got, want) {
		t.Errorf("prefix: %v, want %v", got, want)
	}
}

// TestUnigramAgainstAllCuts compares the best score with that of every cut.
func TestUnigramAgainstAllCuts(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	for range 200 {
		scores := map[string]float64{"?": 0}
		entries := []string{`["?",0]`}
		for len(entries) < 12 {
			var token strings.Builder
			for range 1 + rnd.IntN(3) {
				token.WriteString([]string{"a", "b", "é"}[rnd.IntN(3)])
			}
			if _, ok := scores[token.String()]; ok {
				continue
			}
			score := -float64(1+rnd.IntN(40)) / 4
			scores[token.String()] = score
			entries = append(entries, fmt.Sprintf("[%q,%g]", token.String(), score))
		}
		tok, err := Parse([]byte(`{"model":{"type":"Unigram","unk_id":0,"vocab":[` + strings.Join(entries, ",") + `]}}`))
		if err != nil {
			t.Fatal(err)
		}
		lowest := 0.0
		for _, s := range scores {
			lowest = min(lowest, s)
		}
		var best func(s string) float64
		best = func(s string) float64 {
			if s == "" {
				return 0
			}
			_, n := utf8.DecodeRuneInString(s)
			top := math.Inf(-1)
			if _, known := scores[s[:n]]; !known {
				top = lowest - unknownPenalty + best(s[n:])
			}
			for end := 1; end <= len(s); end++ {
				if score, ok := scores[s[:end]]; ok {
					top = max(top, score+best(s[end:]))
				}
			}
			return top
		}
		text := ""
		for range 1 + rnd.IntN(9) {
			text += []string{"a", "b", "é"}[rnd.IntN(3)]
		}
		// The unknown token stands for a run, so count its characters.
		score, rest := 0.0, text
		ids := tok.Encode(text, false)
		for i, id := range ids {
			token, _ := tok.Token(id)
			if id != 0 {
				score += scores[token]
				var ok bool
				if rest, ok = strings.CutPrefix(rest, token); !ok {
					t.Fatalf("%q is %v: %q is not at %q", text, ids, token, rest)
				}
				continue
			}
			stop := len(rest)
			if i+1 < len(ids) {
				next, _ := tok.Token(ids[i+1])
				stop = strings.Index(rest, next)
			}
			score += float64(utf8.RuneCountInString(rest[:stop])) * (lowest - unknownPenalty)
			rest = rest[stop:]
		}
		if want := best(text); rest != "" || math.Abs(score-want) > 1e-9 {
			t.Errorf("%v: %q is %v with score %g, want %g", entries, text, ids, score, want)
		}
	}
}

func TestUnigramByteFallback(t *testing.T) {
	tok, err := Parse([]byte(`{"model":{"type":"Unigram","unk_id":0,"byte_fallback":true,"vocab":[["?",0],["a",-1],["<0xC3>",-2],["<0xA9>",-2]]}}`))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := tok.Encode("aéxa", false), []int{1, 0, 1}; !slices.Equal(got, want) { // a run falls back whole or not
		t.Errorf("%v, want %v", got, want)
	}
	if got, want := tok.Encode("aéa", false), []int{1, 2, 3, 1}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestWordLevel(t *testing.T) {
	tok, err := Parse([]byte(`{"pre_tokenizer":{"type":"Whitespace"},"model":{"type":"WordLevel","unk_token":"[UNK]","vocab":{"[UNK]":0,"hi":1,",":2}}}`))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := tok.Encode("hi, you", false), []int{1, 2, 0}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := tok.Decode([]int{1, 2}, false); got != "hi ," {
		t.Errorf("Decode = %q", got)
	}
}

func TestPrefixIndex(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 8))
	word := func(n int) string {
		b := make([]byte, rnd.IntN(n))
		for i := range b {
			b[i] = "ab\xff\x00"[rnd.IntN(4)]
		}
		return string(b)
	}
	for range 300 {
		var keys []string
		for range rnd.IntN(20) {
			keys = append(keys, word(6))
		}
		x := newPrefixIndex(keys)
		s := word(9)
		var got, want []string
		x.match(s, func(key int) { got = append(got, x.keys[key]) })
		for n := 1; n <= len(s); n++ {
			if slices.Contains(keys, s[:n]) {
				want = append(want, s[:n])
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%q in %q: %q, want %q", s, keys, got, want)
		}
	}
}
