package main

import (
	"strings"
	"testing"

	"github.com/mlxgo/mlx/internal/llm"
)

// FuzzInput: what users write into files and flags is read, or refused in a sentence.
func FuzzInput(f *testing.F) {
	for _, text := range []string{
		`"a"`, `{"prompt": "a", "id": [1]}`, `{"messages": [{"role": "user", "content": "a"}]}`, "{\"prompt_tokens\": [1]}\r\n\n\"b\"\n", `{}}`,
		`[{"role": "system", "content": "a"}, {"role": "user", "content": "b"}]`, `{"model": "m", "messages": []}`, `[1, 2]`, "1, 2 3", `{"messages": 1, "tools": [], "add_generation_prompt": true}`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		lines, err := parsePrompts([]byte(text))
		if err == nil {
			for _, l := range lines {
				if l.Prompt == nil && l.Messages == nil && len(l.Tokens) == 0 {
					t.Errorf("%q: line %d is empty", text, l.number)
				}
			}
		} else if !strings.HasPrefix(err.Error(), "line ") || strings.Contains(err.Error(), "Go ") {
			t.Error(err)
		}
		chat, err := parseChatFile([]byte(text))
		if err == nil && chat.Messages == nil || err != nil && strings.Contains(err.Error(), "Go ") {
			t.Errorf("%q: %+v, %v", text, chat, err)
		}
		if messages, _, _, err := llm.ParseChat([]byte(text)); err == nil && messages == nil && strings.TrimSpace(text) != "null" {
			t.Errorf("%q: no messages", text)
		}
		if _, err := parseIDs(text); err != nil && strings.Contains(err.Error(), "Go ") {
			t.Error(err)
		}
	})
}
