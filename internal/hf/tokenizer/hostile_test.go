package tokenizer

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestParseErrors: each fault of a file gives an error that names the place.
func TestParseErrors(t *testing.T) {
	model := func(m string) string { return `{"model":` + m + `}` }
	bpe := func(rest string) string { return model(`{"type":"BPE","vocab":{"a":0,"b":1,"ab":2}` + rest + `}`) }
	section := func(name, value string) string {
		return `{"` + name + `":` + value + `,"model":{"type":"BPE","vocab":{"a":0},"merges":[]}}`
	}
	tests := []struct{ file, want string }{
		{"", "want an object"},
		{"[]", "want an object"},
		{"{", "want a string"},
		{"{}", `no section "model"`},
		{bpe("") + "x", "text after the end"},
		{"\xef\xbb\xbf" + bpe(""), "want an object"},
		{"{\"a\":\"\xff\"}", "not valid UTF-8"},
		{`{"a":"\ud800"}`, "surrogate"},
		{`{"a":"\u12"}`, `\u escape`},
		{`{"a":"\x"}`, "unknown escape"},
		{`{"a":"b`, "string without end"},
		{`{"a":}`, `unexpected '}'`},
		{`{"a":[1,2}`, "want ',' or '}'"},
		{strings.Repeat(`{"a":`, 100_000), "value without end"},
		{section("normalizer", strings.Repeat("[", 100_000)+strings.Repeat("]", 100_000)), `section "normalizer"`},
		{section("decoder", strings.Repeat(`{"type":"Sequence","decoders":[`, 100)+strings.Repeat("]}", 100)), "nested deeper"},
		{section("normalizer", `{"type":"Magic"}`), `normalizer type "Magic" is not known`},
		{section("normalizer", `{}`), `section "normalizer": no "type"`},
		{section("normalizer", `{"type":"Replace","content":""}`), `neither "String" nor "Regex"`},
		{section("normalizer", `{"type":"Replace","pattern":{"Regex":"("},"content":""}`), "regular expression"},
		{section("normalizer", `{"type":"Precompiled","precompiled_charsmap":"?"}`), "precompiled_charsmap"},
		{section("normalizer", `{"type":"Precompiled","precompiled_charsmap":"/////w=="}`), "trie of 4294967295 bytes"},
		{section("normalizer", `{"type":"Sequence","normalizers":[null]}`), "element 0 of a Sequence"},
		{section("pre_tokenizer", `{"type":"Magic"}`), `pre-tokenizer type "Magic" is not known`},
		{section("pre_tokenizer", `{"type":"Split","pattern":{"Regex":"[a&&b]"},"behavior":"Isolated"}`), "intersection"},
		{section("pre_tokenizer", `{"type":"Split","pattern":{"Regex":"[[:alpha:]]"},"behavior":"Isolated"}`), "POSIX"},
		{section("pre_tokenizer", `{"type":"Split","pattern":{"Regex":"(?r)a"},"behavior":"Isolated"}`), "regular expression"},
		{section("pre_tokenizer", `{"type":"Split","pattern":{"String":"a"},"behavior":"Odd"}`), `behavior "Odd"`},
		{section("pre_tokenizer", `{"type":"Metaspace","replacement":"ab"}`), "want one character"},
		{section("pre_tokenizer", `{"type":"Metaspace","replacement":"_","prepend_scheme":"odd"}`), "prepend_scheme"},
		{section("pre_tokenizer", `{"type":"Metaspace","add_prefix_space":false,"prepend_scheme":"first"}`), "add_prefix_space is false"},
		{section("pre_tokenizer", `{"type":"FixedLength","length":0}`), "want at least 1"},
		{section("post_processor", `{"type":"Magic"}`), `post-processor type "Magic" is not known`},
		{section("post_processor", `{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"x"}}]}`), "not in special_tokens"},
		{section("post_processor", `{"type":"TemplateProcessing","single":[{"Sequence":{"id":"A"}},{"Sequence":{"id":"A"}}]}`), "one sequence A"},
		{section("post_processor", `{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"x"}}],"special_tokens":{"x":{"ids":[-1]}}}`), "has id -1"},
		{section("post_processor", `{"type":"BertProcessing","cls":["a",1],"sep":["b"]}`), "sep: want [token, id]"},
		{section("decoder", `{"type":"Magic"}`), `decoder type "Magic" is not known`},
		{section("decoder", `{"type":"Strip","content":"","start":1,"stop":0}`), "want one character"},
		{section("decoder", `{"type":"Strip","content":" ","start":-1,"stop":0}`), "start is -1"},
		{section("added_tokens", `{}`), `section "added_tokens"`},
		{section("added_tokens", `[{"id":1099511627776,"content":"x"}]`), "has id 1099511627776"},
		{section("added_tokens", `[{"id":-1,"content":"x"}]`), "has id -1"},
		{section("added_tokens", `[{"id":1.5,"content":"x"}]`), `section "added_tokens"`},
		{section("normalizer", `{"type":"Sequence","normalizers":[`+strings.Repeat(`{"type":"NFC"},`, 300)+`{"type":"NFC"}]}`), "more than 256 elements"},
		{section("normalizer", `{"type":"Sequence","normalizers":[`+strings.Repeat(`{"type":"Replace","pattern":{"String":"a"},"content":"aa"},`, 40)+`{"type":"NFC"}]}`), "could grow"},
		{section("normalizer", `{"type":"Prepend","prepend":"`+strings.Repeat("a", 1<<17)+`"}`), "could grow"},
		{section("pre_tokenizer", `{"type":"Sequence","pretokenizers":[`+strings.Repeat(`{"type":"ByteLevel"},`, 40)+`{"type":"ByteLevel"}]}`), "could grow"},
		{section("decoder", `{"type":"Sequence","decoders":[`+strings.Repeat(`{"type":"Replace","pattern":{"Regex":"a"},"content":"aa"},`, 40)+`{"type":"Fuse"}]}`), "could grow"},
		{model(`1`), "want an object"},
		{model(`{"type":"Magic","vocab":{}}`), `type "Magic" is not known`},
		{model(`{"type":"BPE","vocab":{"a":1099511627776}}`), `token "a" has id 1099511627776`},
		{model(`{"type":"BPE","vocab":{"a":-1}}`), `token "a" has id -1`},
		{model(`{"type":"BPE","vocab":{"a":"b"}}`), `token "a" has id`},
		{bpe(`,"merges":["a c"]`), `merge 0 ("a", "c")`},
		{bpe(`,"merges":["b a"]`), `merge 0 ("b", "a")`},
		{bpe(`,"merges":["ab"]`), "entry 0"},
		{bpe(`,"merges":["a b b"]`), "entry 0"},
		{bpe(`,"merges":[["a"]]`), "entry 0 has 1 tokens"},
		{bpe(`,"merges":["a b"],"unk_token":3`), "unk_token"},
		{bpe(`,"merges":["a b"],"continuing_subword_prefix":"xx"`), "shorter than the prefix"},
		{model(`{"type":"Unigram","unk_id":1,"vocab":[["a",0]]}`), "unk_id is not in the vocabulary"},
		{model(`{"type":"Unigram","unk_id":-1,"vocab":[["a",0]]}`), "unk_id is not in the vocabulary"},
		{model(`{"type":"Unigram","vocab":[["a"]]}`), "no score"},
		{model(`{"type":"Unigram","vocab":[["a",NaN]]}`), "score NaN"},
		{model(`{"type":"Unigram","vocab":[["a",1e999]]}`), "score 1e999"},
		{model(`{"type":"Unigram","vocab":{"a":0}}`), "vocab must be a list"},
		{model(`{"type":"BPE","vocab":[["a",0]]}`), "an object for others"},
		{model(`{"type":"BPE"}`), "BPE: no vocab"},
		{model(`{"type":"WordPiece","vocab":{"a":0},"max_input_chars_per_word":"x"}`), "max_input_chars_per_word"},
	}
	for _, tt := range tests {
		_, err := Parse([]byte(tt.file))
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "tokenizer: ") {
			t.Errorf("Parse(%s): error %v, want one with %q", clip(tt.file), err, tt.want)
		}
		if err != nil && len(err.Error()) > 500 {
			t.Errorf("Parse(%s): error of %d bytes", clip(tt.file), len(err.Error()))
		}
	}
}

func TestLoadErrorsNameFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bad.json")
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("no file: %v", err)
	}
	if err := os.WriteFile(path, []byte(`{"decoder":{"type":"Odd"},"model":{"vocab":{"a":0},"merges":[]}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), path+`: section "decoder"`) {
		t.Errorf("bad decoder: %v", err)
	}
}

// TestMemory: what a file makes us keep is in proportion to its size.
func TestMemory(t *testing.T) {
	const mega = 1 << 20
	long := strings.Repeat("ab", mega/2)
	model := `"model":{"type":"BPE","vocab":{"a":0},"merges":[]}`
	files := map[string]string{
		"far ids":     `{` + model[:len(model)-len(`{"a":0},"merges":[]}`)] + `{"a":2147483647,"b":0,"c":1000000000},"merges":[]}}`,
		"far added":   `{"added_tokens":[{"id":2147483647,"content":"x"}],` + model + `}`,
		"long added":  `{"added_tokens":[{"id":1,"content":"` + long + `"}],` + model + `}`,
		"long token":  `{"model":{"type":"Unigram","unk_id":0,"vocab":[["?",0],["` + long + `",-1]]}}`,
		"long prefix": `{"model":{"type":"WordPiece","continuing_subword_prefix":"` + long[:1000] + `","vocab":{"a":0,"[UNK]":1},"max_input_chars_per_word":4000000000}}`,
		"repeat":      `{"pre_tokenizer":{"type":"Split","pattern":{"Regex":"a{1000000000}"},"behavior":"Isolated"},` + model + `}`,
		"nested":      `{"x":` + strings.Repeat("[", mega) + strings.Repeat("]", mega) + `,` + model + `}`,
		"strip":       `{"decoder":{"type":"Sequence","decoders":[{"type":"Fuse"},{"type":"Strip","content":"a","start":0,"stop":4000000000}]},` + model + `}`,
	}
	for name, file := range files {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		tok, err := Parse([]byte(file))
		if err == nil {
			tok.Encode(strings.Repeat("a", 1000)+"ab", true)
			tok.Decode([]int{0, 0, 1, 1 << 40}, false)
		}
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > 64*mega {
			t.Errorf("%s: %d MiB allocated (error %v)", name, got/mega, err)
		}
	}
}
