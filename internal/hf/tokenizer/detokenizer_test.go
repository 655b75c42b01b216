package tokenizer

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestDetokenizerPieces pins when text comes out, the last piece by Finish.
func TestDetokenizerPieces(t *testing.T) {
	const bad = "\uFFFD"
	tests := []struct {
		name   string
		file   string
		ids    []int
		pieces []string
	}{
		{"character of three tokens", "bytelevel", []int{0xe2, 0x82, 0xac, 'a'}, []string{"", "", "€", "a", ""}},
		{"character of two tokens", "bytelevel", []int{266, 0xac}, []string{"", "€", ""}},
		{"cut by a letter", "bytelevel", []int{0xe2, 0x82, 'a'}, []string{"", "", bad + "a", ""}},
		{"cut by the end", "bytelevel", []int{'a', 0xe2, 0x82}, []string{"a", "", "", bad}},
		{"never valid", "bytelevel", []int{0xff, 'a', 0xc0, 0xed, 0xa0}, []string{bad, "a", bad, "", bad + bad, ""}},
		{"cut by an added token", "bytelevel", []int{0xe2, 273}, []string{"", bad + "two words", ""}},
		{"spaces", "bytelevel", []int{' ', ' ', 'a', ' '}, []string{" ", " ", "a", " ", ""}},

		{"first space", "spm", []int{291, 295}, []string{"the", " cat", ""}},
		{"only the first space", "spm", []int{259, 259, 260}, []string{"", " ", "a", ""}},
		{"bytes wait for the end of their run", "spm", []int{3 + 0xe2, 3 + 0x82, 3 + 0xac, 260}, []string{"", "", "", "€a", ""}},
		{"run of two characters", "spm", []int{229, 133, 175, 243, 162, 155, 131}, []string{"", "", "", "", "", "", "", "€😀"}},
		{"lone invalid byte", "spm", []int{260, 258, 261}, []string{"a", bad, "b", ""}},
		{"a bad byte spoils its run", "spm", []int{229, 133, 175, 258, 229}, []string{"", "", "", bad + bad + bad + bad, bad, ""}},
		{"cut by the end of the run", "spm", []int{229, 133}, []string{"", "", bad + bad}},
		{"cut by the end of the run, then text", "spm", []int{229, 133, 260}, []string{"", "", bad + bad + "a", ""}},

		{"mark of the first token", "unigram", []int{8, 8, 3}, []string{"a", " a", "a", ""}},
		{"prefix", "wordpiece", []int{8, 9, 10, 7}, []string{"cat", "s", ".", " the", ""}},
		{"no id", "wordpiece", []int{8, -5, 99, 9}, []string{"cat", "", "", "s", ""}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tok := load(t, tt.file)
			d := NewDetokenizer(tok, true)
			for range 2 { // Finish starts anew
				var got []string
				for _, id := range tt.ids {
					got = append(got, d.Add(id))
				}
				got = append(got, d.Finish())
				if !slices.Equal(got, tt.pieces) {
					t.Errorf("pieces %q, want %q", got, tt.pieces)
				}
				if whole := tok.Decode(tt.ids, true); whole != strings.Join(got, "") {
					t.Errorf("Decode = %q", whole)
				}
			}
		})
	}
}

// oneShot decodes by the definitions of the decoders, each over the list of all
// tokens: the second path for what stages do.
func oneShot(kind map[string]any, tokens []string) []string {
	each := func(f func(i int, token string) string) []string {
		var out []string
		for i, token := range tokens {
			out = append(out, f(i, token))
		}
		return out
	}
	text := func(key string) string { return kind[key].(string) }
	switch kind["type"] {
	case "Fuse":
		return []string{strings.Join(tokens, "")}
	case "ByteLevel":
		var b []byte
		for _, token := range tokens {
			bytes, ok := appendFromByteLevel(nil, token)
			if !ok {
				bytes = []byte(token)
			}
			b = append(b, bytes...)
		}
		return []string{lossyOneByOne(b)}
	case "ByteFallback":
		var out []string
		var run []byte
		for _, token := range append(slices.Clone(tokens), "") {
			var b byte
			if n, _ := fmt.Sscanf(token, "<0x%02X>", &b); n == 1 && len(token) == 6 {
				run = append(run, b)
				continue
			}
			if utf8.Valid(run) && len(run) > 0 {
				out = append(out, string(run))
			} else {
				out = append(out, slices.Repeat([]string{"\uFFFD"}, len(run))...)
			}
			run = nil
			out = append(out, token)
		}
		return out[:len(out)-1]
	case "Replace":
		p := kind["pattern"].(map[string]any)
		if re, ok := p["Regex"]; ok {
			return each(func(_ int, s string) string {
				return regexp.MustCompile(re.(string)).ReplaceAllLiteralString(s, text("content"))
			})
		}
		return each(func(_ int, s string) string { return strings.ReplaceAll(s, p["String"].(string), text("content")) })
	case "Strip":
		return each(func(_ int, s string) string {
			for range kind["start"].(int) {
				s = strings.TrimPrefix(s, text("content"))
			}
			for range kind["stop"].(int) {
				s = strings.TrimSuffix(s, text("content"))
			}
			return s
		})
	case "Metaspace":
		return each(func(i int, s string) string {
			if i == 0 && kind["prepend_scheme"] != "never" {
				return strings.ReplaceAll(s, "▁", "")
			}
			return strings.ReplaceAll(s, "▁", " ")
		})
	case "WordPiece":
		return each(func(i int, s string) string {
			switch {
			case i > 0 && strings.HasPrefix(s, "##"):
				s = s[2:]
			case i > 0:
				s = " " + s
			}
			if kind["cleanup"].(bool) {
				s = cleanUp(s)
			}
			return s
		})
	case "BPEDecoder":
		return each(func(i int, s string) string {
			if i == len(tokens)-1 {
				return strings.ReplaceAll(s, text("suffix"), "")
			}
			return strings.ReplaceAll(s, text("suffix"), " ")
		})
	case "CTC":
		var out []string
		for _, s := range slices.Compact(slices.Clone(tokens)) {
			s = strings.ReplaceAll(s, text("pad_token"), "")
			s = strings.ReplaceAll(cleanUp(s), "|", " ")
			if s != "" {
				out = append(out, s)
			}
		}
		return out
	}
	panic("unknown decoder")
}

// lossyOneByOne is the definition of lossy decoding: at each place the longest
// start of any character's encoding becomes one U+FFFD, found by search.
func lossyOneByOne(b []byte) string {
	begins := func(p []byte) bool { // whether some valid character starts with p
		for _, low := range []byte{0x80, 0x90, 0xa0, 0x8f, 0x9f, 0xbf} {
			for _, first := range []bool{true, false} {
				full := slices.Clone(p)
				for len(full) < 4 {
					next := byte(0x80)
					if len(full) == 1 && first {
						next = low
					}
					full = append(full, next)
				}
				if r, n := utf8.DecodeRune(full); r != utf8.RuneError && n >= len(p) {
					return true
				}
			}
		}
		return false
	}
	var out strings.Builder
	for len(b) > 0 {
		if r, n := utf8.DecodeRune(b); r != utf8.RuneError || n > 1 {
			out.Write(b[:n])
			b = b[n:]
			continue
		}
		n := 1
		for n < len(b) && n < 3 && begins(b[:n+1]) {
			n++
		}
		out.WriteString("\uFFFD")
		b = b[n:]
	}
	return out.String()
}

func testDecoders() []map[string]any {
	type m = map[string]any
	return []m{
		{"type": "Fuse"}, {"type": "ByteLevel"}, {"type": "ByteFallback"},
		{"type": "Replace", "pattern": m{"String": "▁"}, "content": " "},
		{"type": "Replace", "pattern": m{"String": "aba"}, "content": "b"},
		{"type": "Replace", "pattern": m{"String": "aab"}, "content": ""},
		{"type": "Replace", "pattern": m{"Regex": "[ab]+|#"}, "content": "x"},
		{"type": "Strip", "content": " ", "start": 1, "stop": 0},
		{"type": "Strip", "content": "a", "start": 2, "stop": 3},
		{"type": "Strip", "content": "▁", "start": 0, "stop": 1},
		{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"},
		{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "never"},
		{"type": "WordPiece", "prefix": "##", "cleanup": true},
		{"type": "WordPiece", "prefix": "##", "cleanup": false},
		{"type": "BPEDecoder", "suffix": "</w>"}, {"type": "BPEDecoder", "suffix": "aa"},
		{"type": "CTC", "pad_token": "<s>", "word_delimiter_token": "|", "cleanup": true},
	}
}

// TestDecodersAgree compares chains of up to four decoders with their one-shot
// definitions, whole and streamed.
func TestDecodersAgree(t *testing.T) {
	tokens := []string{
		"a", "b", "aa", "ab", "ba", "aba", " ", "▁", "▁a", "a▁", "▁▁", "##a", "##", " .", "'", " n't", "do", "not", "</w>", "a</w>", "<s>", "|", "a|b",
		"<0xE2>", "<0x82>", "<0xAC>", "<0x61>", "<0xFF>", "<0xF0>", "<0x9F>", "<0xED>", "<0xA0>", "<0xC3>", "â", "Ĥ", "¬", "Ã", "¤", "ð", "Ġ", "ÿ", "Ö", "é", "中", "€", "", "<s>x", " a ",
	}
	vocab := map[string]int{}
	for i, token := range tokens {
		vocab[token] = i
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	all := testDecoders()
	for trial := range 1500 {
		var chain []map[string]any
		if trial < len(all) {
			chain = all[trial : trial+1]
		} else {
			for range 1 + rnd.IntN(4) {
				chain = append(chain, all[rnd.IntN(len(all))])
			}
		}
		file, err := json.Marshal(map[string]any{
			"model":   map[string]any{"type": "WordLevel", "unk_token": "a", "vocab": vocab},
			"decoder": map[string]any{"type": "Sequence", "decoders": chain},
		})
		if err != nil {
			t.Fatal(err)
		}
		tok, err := Parse(file)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			ids := make([]int, rnd.IntN(10))
			var list []string
			for i := range ids {
				ids[i] = rnd.IntN(len(tokens))
				list = append(list, tokens[ids[i]])
			}
			for _, kind := range chain {
				list = oneShot(kind, list)
			}
			want := strings.Join(list, "")
			if got := tok.Decode(ids, false); got != want {
				t.Fatalf("%v: Decode(%v) = %q, want %q", chain, ids, got, want)
			}
			if got := streamed(t, tok, ids, false); got != want {
				t.Fatalf("%v: streamed %v = %q, want %q", chain, ids, got, want)
			}
		}
	}
}

// TestDetokenizerIsLinear: what a stream holds does not grow with its length.
func TestDetokenizerIsLinear(t *testing.T) {
	for _, file := range []string{"bytelevel", "spm", "unigram", "wordpiece"} {
		tok := load(t, file)
		ids := tok.Encode("the cat abc ", false)
		d := NewDetokenizer(tok, true)
		n := 0
		for i := range 100_000 {
			piece := d.Add(ids[i%len(ids)])
			n += len(piece)
			if len(piece) > 64 || cap(d.out.text) > 256 {
				t.Fatalf("%s: piece %d has %d bytes, buffer %d", file, i, len(piece), cap(d.out.text))
			}
		}
		if n < 50_000 {
			t.Errorf("%s: only %d bytes came out before the end", file, n)
		}
	}
}
