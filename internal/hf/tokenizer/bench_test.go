package tokenizer

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// benchmarkFiles calls f for tokenizers and a text of about a megabyte: those of
// testdata, and real ones where the recorded references are at hand.
func benchmarkFiles(b *testing.B, f func(b *testing.B, tok *Tokenizer, text string)) {
	b.Run("testdata-bytelevel", func(b *testing.B) {
		f(b, load(b, "bytelevel"), strings.Repeat("hello world, the cat sat. ", 40_000))
	})
	for _, name := range []string{"llama3", "qwen2.5", "smollm2", "llama2-tinyllama", "mistral-v0.3", "gemma2", "t5-small", "deepseek-v3-0324"} {
		b.Run(name, func(b *testing.B) {
			tok, err := Load(filepath.Join(sharedDir(b, "tokenizers", name), "tokenizer.json"))
			if err != nil {
				b.Fatal(err)
			}
			text, err := os.ReadFile(sharedDir(b, "data", "wikitext2-raw-test.txt"))
			if err != nil {
				b.Fatal(err)
			}
			f(b, tok, toValid(string(text[:min(len(text), 1_000_000)])))
		})
	}
}

func BenchmarkEncode(b *testing.B) {
	benchmarkFiles(b, func(b *testing.B, tok *Tokenizer, text string) {
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			tok.Encode(text, false)
		}
	})
}

// BenchmarkDetokenizer counts the time of one Add.
func BenchmarkDetokenizer(b *testing.B) {
	benchmarkFiles(b, func(b *testing.B, tok *Tokenizer, text string) {
		ids := tok.Encode(text, false)
		d := NewDetokenizer(tok, true)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			d.Add(ids[i%len(ids)])
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	benchmarkFiles(b, func(b *testing.B, tok *Tokenizer, text string) {
		ids := tok.Encode(text, false)
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			tok.Decode(ids, true)
		}
	})
}

func BenchmarkLoad(b *testing.B) {
	for _, name := range []string{"llama3", "smollm2", "gemma2"} {
		b.Run(name, func(b *testing.B) {
			path := filepath.Join(sharedDir(b, "tokenizers", name), "tokenizer.json")
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Load(path); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
