package template

import (
	"testing"
)

// benchTemplates are our own small template and a real one, which is skipped
// without the shared folder.
var benchTemplates = []struct {
	name string
	src  func(b *testing.B) string
}{
	{"chatml", func(b *testing.B) string { return chatML }},
	{"qwen3", func(b *testing.B) string { return string(sharedFile(b, "chat-templates", "Qwen-Qwen3-0.6B.jinja")) }},
}

func BenchmarkParse(b *testing.B) {
	for _, c := range benchTemplates {
		b.Run(c.name, func(b *testing.B) {
			src := c.src(b)
			b.SetBytes(int64(len(src)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse(src); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkChat(b *testing.B) {
	m := NewList(Message("system", "Be brief."), Message("user", "Hello"), Message("assistant", "Hi"), Message("user", "Why?"))
	for _, c := range benchTemplates {
		b.Run(c.name, func(b *testing.B) {
			src := c.src(b)
			tmpl, err := Parse(src)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := tmpl.Chat(m, ChatOptions{AddGenerationPrompt: true}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkSteps measures what the step limit means in time.
func BenchmarkSteps(b *testing.B) {
	const src = "{% for a in range(1000) %}{% set x = a + 1 %}{% if x == a %}y{% endif %}{% endfor %}"
	tmpl, err := Parse(src)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := tmpl.Render(nil, Options{}); err != nil {
			b.Fatal(err)
		}
	}
}
