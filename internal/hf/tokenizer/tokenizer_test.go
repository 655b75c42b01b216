package tokenizer

import (
	"slices"
	"strings"
	"sync"
	"testing"
)

func load(t testing.TB, name string) *Tokenizer {
	t.Helper()
	tok, err := Load("testdata/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// The expectations follow from the files in testdata by hand. In bytelevel.json
// an id below 256 is the byte; 256-268 are merges, from "he" to two spaces. In
// spm.json the byte b is 3+b, the mark 259, a-z 260-285.
func TestEncodeDecode(t *testing.T) {
	tests := []struct {
		file    string
		text    string
		special bool
		ids     []int
		decoded string // with special tokens skipped
	}{
		{"bytelevel", "", false, nil, ""},
		{"bytelevel", "hello world", false, []int{259, 264}, "hello world"},
		{"bytelevel", "hello", true, []int{269, 259, 270}, "hello"},
		{"bytelevel", "<|im_start|>hello<|im_end|>", false, []int{269, 259, 270}, "hello"},
		{"bytelevel", "ä€", false, []int{265, 267}, "ä€"},
		{"bytelevel", "h\x00\xff", false, []int{'h', 0, 0xef, 0xbf, 0xbd}, "h\x00\uFFFD"},
		// An added token is found whole; its letters are read as bytes in
		// decoding where they all are in the byte-level alphabet (Ö is 0xD6).
		{"bytelevel", "ilÖveyou", false, []int{271}, "il\uFFFDveyou"},
		{"bytelevel", "<|päd|>", false, []int{272}, ""},
		{"bytelevel", "two words", false, []int{273}, "two words"},
		{"bytelevel", "x   y", false, []int{'x', 274, 'y'}, "x   y"},
		{"bytelevel", "x  y", false, []int{'x', ' ', ' ', 'y'}, "x  y"},
		{"bytelevel", "a <mask> b", false, []int{'a', 275, ' ', 'b'}, "a b"},
		{"bytelevel", "a <r>  b", false, []int{'a', ' ', 276, 'b'}, "a <r>b"},
		{"bytelevel", "cats cat", false, []int{'c', 'a', 't', 's', ' ', 277}, "cats cat"},

		{"spm", "", false, nil, ""},
		{"spm", "", true, []int{1}, ""},
		{"spm", "the cat sat.", false, []int{291, 295, 298, 286}, "the cat sat."},
		{"spm", "the", true, []int{1, 291}, "the"},
		{"spm", " a", false, []int{259, 292}, " a"},
		{"spm", "€", false, []int{259, 3 + 0xe2, 3 + 0x82, 3 + 0xac}, "€"},
		{"spm", "a</s>the", false, []int{292, 2, 291}, "a the"},

		// ▁+abc scores -7.5, ▁a+bc -8.5, ▁abc -9.5.
		{"unigram", "abc", false, []int{2, 6}, "abc"},
		{"unigram", "abc d", true, []int{2, 6, 2, 11, 1}, "abc d"},
		{"unigram", "a", false, []int{8}, "a"},
		{"unigram", "Ａ", false, []int{8}, "a"},
		{"unigram", "xyd", false, []int{2, 0, 11}, "d"},

		{"wordpiece", "The cats.", false, []int{7, 8, 9, 10}, "the cats."},
		{"wordpiece", "unaffable!", true, []int{2, 4, 5, 6, 18, 3}, "unaffable!"},
		{"wordpiece", "xyz the", false, []int{1, 7}, "the"},
		{"wordpiece", "中中", false, []int{19, 19}, "中 中"},
		{"wordpiece", strings.Repeat("a", 3), false, []int{20, 21, 21}, "aaa"},
		{"wordpiece", strings.Repeat("a", 13), false, []int{1}, ""}, // over the limit of 12
	}
	for _, tt := range tests {
		tok := load(t, tt.file)
		ids := tok.Encode(tt.text, tt.special)
		if !slices.Equal(ids, tt.ids) {
			t.Errorf("%s: Encode(%q, %v) = %v, want %v", tt.file, tt.text, tt.special, ids, tt.ids)
			continue
		}
		if got := tok.Decode(ids, true); got != tt.decoded {
			t.Errorf("%s: Decode(%v, true) = %q, want %q", tt.file, ids, got, tt.decoded)
		}
		if got := streamed(t, tok, ids, true); got != tt.decoded {
			t.Errorf("%s: streamed %v = %q, want %q", tt.file, ids, got, tt.decoded)
		}
	}
}

func TestDecodeKeepsSpecial(t *testing.T) {
	tests := []struct {
		file string
		ids  []int
		want string
	}{
		{"bytelevel", []int{269, 259, 272, 270}, "<|im_start|>hello<|p\uFFFDd|><|im_end|>"},
		{"spm", []int{1, 291, 2}, "<s> the</s>"},
		{"unigram", []int{8, 1}, "a</s>"},
		{"wordpiece", []int{2, 15, 17, 18, 3}, "[CLS] don't! [SEP]"},
		{"wordpiece", []int{8, 11, 12}, "cat ' s"},
		// Ids that are none are left out.
		{"spm", []int{-1, 291, 1 << 40, 300, -1 << 62, 295}, "the cat"},
	}
	for _, tt := range tests {
		tok := load(t, tt.file)
		if got := tok.Decode(tt.ids, false); got != tt.want {
			t.Errorf("%s: Decode(%v, false) = %q, want %q", tt.file, tt.ids, got, tt.want)
		}
	}
}

func TestVocabulary(t *testing.T) {
	tok := load(t, "bytelevel")
	if got := tok.VocabSize(); got != 278 {
		t.Errorf("VocabSize() = %d, want 278", got)
	}
	if id, ok := tok.TokenID("Ġworld"); id != 264 || !ok {
		t.Errorf("TokenID(Ġworld) = %d, %v", id, ok)
	}
	if id, ok := tok.TokenID("<|im_end|>"); id != 270 || !ok {
		t.Errorf("TokenID(<|im_end|>) = %d, %v", id, ok)
	}
	if _, ok := tok.TokenID("nothing"); ok {
		t.Error("TokenID finds a token that is none")
	}
	if s, ok := tok.Token(264); s != "Ġworld" || !ok {
		t.Errorf("Token(264) = %q, %v", s, ok)
	}
	for id, want := range map[int]bool{-1: false, 0: true, 277: true, 278: false, 1 << 40: false} {
		if got := tok.Valid(id); got != want {
			t.Errorf("Valid(%d) = %v", id, got)
		}
	}
	for id, want := range map[int]bool{269: true, 271: false, 264: false, -1: false} {
		if got := tok.IsSpecial(id); got != want {
			t.Errorf("IsSpecial(%d) = %v", id, got)
		}
	}
}

// TestTruncationIgnored: wordpiece.json asks for 3 ids and for padding to 8.
func TestTruncationIgnored(t *testing.T) {
	if got := load(t, "wordpiece").Encode("the cat the cat", false); len(got) != 4 {
		t.Errorf("Encode = %v, want 4 ids", got)
	}
}

func TestConcurrentUse(t *testing.T) {
	for _, file := range []string{"bytelevel", "spm", "unigram", "wordpiece"} {
		tok := load(t, file)
		texts := []string{"hello world", "the cat sat.", "abc d a b c", strings.Repeat("unaffable ab ", 40), "€😀 中"}
		var want [][]int
		for _, s := range texts {
			want = append(want, load(t, file).Encode(s, true))
		}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for i := range 200 {
					k := i % len(texts)
					ids := tok.Encode(texts[k], true)
					if !slices.Equal(ids, want[k]) {
						t.Errorf("%s: Encode(%q) = %v, want %v", file, texts[k], ids, want[k])
					}
					tok.Decode(ids, false)
				}
			})
		}
		wg.Wait()
	}
}

// TestFileIDs: added tokens have the ids of the file, also with gaps, and a huge
// id costs no memory.
func TestFileIDs(t *testing.T) {
	tok, err := Parse([]byte(`{"added_tokens":[
		{"id":2147483647,"content":"<far>","special":true},{"id":7,"content":"<near>"}],
		"model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":5},"merges":["a b"]}}`))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := tok.Encode("ab<far>a<near>", false), []int{5, 2147483647, 0, 7}; !slices.Equal(got, want) {
		t.Errorf("Encode = %v, want %v", got, want)
	}
	if got := tok.Decode([]int{5, 2147483647, 6}, false); got != "ab <far>" { // no decoder: spaces
		t.Errorf("Decode = %q", got)
	}
	if tok.tokens.list != nil {
		t.Errorf("table of %d entries for 5 tokens", len(tok.tokens.list))
	}
	if tok.VocabSize() != 5 {
		t.Errorf("VocabSize() = %d, want 5", tok.VocabSize())
	}
}
