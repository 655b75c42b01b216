package tokenizer

import (
	"os"
	"strings"
	"testing"
	"unicode/utf8"
)

func readTestdata(f testing.TB, name string) []byte {
	f.Helper()
	data, err := os.ReadFile("testdata/" + name + ".json")
	if err != nil {
		f.Fatal(err)
	}
	return data
}

// FuzzParse: any bytes give a tokenizer that works or an error, never a panic.
func FuzzParse(f *testing.F) {
	for _, name := range []string{"bytelevel", "spm", "unigram", "wordpiece"} {
		f.Add(readTestdata(f, name))
	}
	small := `"model":{"type":"BPE","unk_token":"a","vocab":{"a":0,"b":1,"ab":2,"<0x61>":3},"merges":["a b",["a","b"]]}}`
	for _, s := range []string{
		`{"normalizer":{"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"Replace","pattern":{"Regex":" +"},"content":"b"},{"type":"BertNormalizer"}]},`,
		`{"normalizer":{"type":"Precompiled","precompiled_charsmap":"CAAAAAEAAAAAAQAAYQA="},`,
		`{"pre_tokenizer":{"type":"Split","pattern":{"Regex":"[ab&&[^b]]|c"},"behavior":"MergedWithNext","invert":true},`,
		`{"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Punctuation","behavior":"Contiguous"},{"type":"ByteLevel"},{"type":"UnicodeScripts"}]},`,
		`{"post_processor":{"type":"Sequence","processors":[{"type":"RobertaProcessing","sep":["b",1],"cls":["a",0]}]},`,
		`{"decoder":{"type":"Sequence","decoders":[{"type":"ByteFallback"},{"type":"Fuse"},{"type":"Strip","content":"a","start":1,"stop":1},{"type":"CTC"}]},`,
		`{"decoder":{"type":"BPEDecoder","suffix":"b"},"added_tokens":[{"id":9,"content":"ab","lstrip":true,"rstrip":true,"single_word":true,"special":true}],`,
	} {
		f.Add([]byte(s + small))
	}
	f.Add([]byte(`{"model":{"unk_id":0,"vocab":[["?",0],["a",-1.5e0],["\u00e9\ud83d\ude00",-2]]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		tok, err := Parse(data)
		if err != nil {
			if err.Error() == "" || tok != nil {
				t.Errorf("tokenizer %v with error %v", tok, err)
			}
			return
		}
		ids := tok.Encode("ab a,b é😀\n1 <mask>", true)
		for _, id := range append(ids, 0, 1, 2, 3, -1, 1<<40) {
			if token, ok := tok.Token(id); ok != tok.Valid(id) || !utf8.ValidString(token) {
				t.Errorf("Token(%d) = %q, %v", id, token, ok)
			}
		}
		if got, want := streamed(t, tok, ids, false), tok.Decode(ids, false); got != want {
			t.Errorf("streamed %q, whole %q", got, want)
		}
	})
}

// FuzzEncodeDecode: encoding takes any text; decoding any ids, whole as streamed;
// the byte-level tokenizer gives the text back.
func FuzzEncodeDecode(f *testing.F) {
	var toks []*Tokenizer
	names := []string{"bytelevel", "spm", "unigram", "wordpiece"}
	for _, name := range names {
		tok, err := Parse(readTestdata(f, name))
		if err != nil {
			f.Fatal(err)
		}
		toks = append(toks, tok)
	}
	f.Add("hello world", []byte{1, 2, 200})
	f.Add("the cat sat.  €😀", []byte{229, 133, 175, 0, 243, 162})
	f.Add("<|im_start|>ilÖveyou <mask>   cat\xff", []byte{255, 130, 0, 0})
	f.Add("▁▁a▁b</s> \u2028\u0301", []byte{})
	f.Fuzz(func(t *testing.T, text string, raw []byte) {
		ids := make([]int, 0, len(raw))
		for i, b := range raw {
			ids = append(ids, int(b)+i%3*40-2)
		}
		for i, tok := range toks {
			encoded := tok.Encode(text, true)
			for _, id := range encoded {
				if !tok.Valid(id) {
					t.Errorf("%s: Encode(%q) has id %d", names[i], text, id)
				}
			}
			for _, list := range [][]int{ids, encoded} {
				for _, skip := range []bool{false, true} {
					whole := tok.Decode(list, skip)
					if got := streamed(t, tok, list, skip); got != whole {
						t.Errorf("%s: streamed %q, whole %q", names[i], got, whole)
					}
					if !utf8.ValidString(whole) {
						t.Errorf("%s: Decode(%v) = %q", names[i], list, whole)
					}
				}
			}
		}
		// What added tokens swallow or write otherwise does not come back.
		if strings.ContainsAny(text, "<Ö ") {
			return
		}
		if got := toks[0].Decode(toks[0].Encode(text, true), true); got != toValid(text) {
			t.Errorf("%q comes back as %q", text, got)
		}
	})
}
