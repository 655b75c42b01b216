package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// However an answer comes in pieces, its thoughts are the same.
func TestThoughts(t *testing.T) {
	const text = "a<b<think>x </thin y</think>\n\nAnswer <thi</think> <think>z"
	want := map[bool]string{false: "a<b\n\nAnswer <thi</think> ", true: "<think>x </thin y</think><think>z"}
	for i := range len(text) {
		for j := i; j < len(text); j++ {
			v := thoughts{open: "<think>", close: "</think>"}
			got, all := map[bool]string{}, ""
			for _, parts := range [][]part{v.add(text[:i]), v.add(text[i:j]), v.add(text[j:]), v.end()} {
				for _, p := range parts {
					got[p.thought] += p.text
					all += p.text
				}
			}
			if all != text || got[true] != want[true] || got[false] != want[false] {
				t.Fatalf("cut at %d and %d: %v", i, j, got)
			}
		}
	}
}

func TestAnswerView(t *testing.T) {
	for _, c := range []struct {
		dim, hide, inside bool
		want              string
	}{
		{want: "<think>x</think>\n\nyes <think>n"},
		{hide: true, want: "yes "},
		{dim: true, want: dim + "<think>x</think>" + plain + "\n\nyes " + dim + "<think>n" + plain},
	} {
		for _, size := range []int{1, 3, 100} {
			var out strings.Builder
			v := &answerView{dim: c.dim, hide: c.hide, write: func(s string) error { out.WriteString(s); return nil }}
			v.open, v.close = "<think>", "</think>"
			for piece := range slices.Chunk([]byte("<think>x</think>\n\nyes <think>n"), size) {
				if err := v.add(string(piece)); err != nil {
					t.Fatal(err)
				}
			}
			if err := v.end(); err != nil || out.String() != c.want {
				t.Errorf("%+v, pieces of %d: %q, %v", c, size, out.String(), err)
			}
		}
	}
	// A template may have begun the thought.
	var out strings.Builder
	v := &answerView{hide: true, write: func(s string) error { out.WriteString(s); return nil }}
	v.open, v.close, v.inside = "<think>", "</think>", true
	if err := errors.Join(v.add("x</think>\n"), v.add("\nyes\n"), v.end()); err != nil || out.String() != "yes\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
}

// fakeLines are lines, pasted where they begin with a bar.
type fakeLines struct {
	lines   []string
	prompts string
}

func (f *fakeLines) next(prompt string) (string, bool, error) {
	f.prompts += prompt
	if len(f.lines) == 0 {
		return "", false, io.EOF
	}
	line, pasted := strings.CutPrefix(f.lines[0], "|")
	f.lines = f.lines[1:]
	return line, pasted, nil
}

func TestMessage(t *testing.T) {
	for _, c := range []struct {
		lines []string
		want  []string
	}{
		{[]string{"a", "b"}, []string{"a", "b"}},
		{[]string{`a\`, `b\`, "c", "d"}, []string{"a\nb\nc", "d"}},
		{[]string{`"""`, "a", `b\`, `"""`, "c"}, []string{"a\nb\\\n", "c"}},
		{[]string{`"""a`, `b"""`, "c"}, []string{"a\nb", "c"}},
		{[]string{`"""a"""`, "c"}, []string{"a", "c"}},
		{[]string{`"""a`, "b"}, []string{"a\nb"}},
		{[]string{`a\`}, []string{"a"}},
		{[]string{`|x\`, "|y", "z", "c"}, []string{"x\\\ny\nz", "c"}},
	} {
		in := &fakeLines{lines: c.lines}
		var got []string
		for {
			text, err := message(in)
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, text)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%q gives %q, want %q", c.lines, got, c.want)
		}
	}
}

func TestPlainLines(t *testing.T) {
	p := newPlainLines(strings.NewReader("a\r\n\nlast"))
	for _, want := range []string{"a", "", "last"} {
		if line, _, err := p.next(""); line != want || err != nil {
			t.Errorf("%q, %v, want %q", line, err, want)
		}
	}
	if _, _, err := p.next(""); err != io.EOF {
		t.Error(err)
	}
}

func TestLineHistory(t *testing.T) {
	state := t.TempDir()
	path := historyPath(func(string) string { return state })
	if want := filepath.Join(state, "mlx", "chat_history"); path != want {
		t.Errorf("%s, want %s", path, want)
	}
	h, err := openHistory(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"a", "b", "b", " ", "a"} {
		h.Add(line)
	}
	if h.Len() != 3 || h.At(0) != "a" || h.At(1) != "b" || h.At(2) != "a" {
		t.Errorf("%q", h.lines)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	for range maxHistory {
		h.Add("x")
		h.Add("y")
	}
	h, err = openHistory(path)
	if err != nil || h.Len() != maxHistory || h.At(0) != "y" || h.At(1) != "x" {
		t.Errorf("%d lines, %v", h.Len(), err)
	}
	if h, err = openHistory(t.TempDir()); err == nil || h.Len() != 0 {
		t.Errorf("a directory: %v", err)
	}
	h.Add("kept in memory")
	if h.At(0) != "kept in memory" {
		t.Errorf("%q", h.lines)
	}
}
