package main

import "strings"

// thoughts tells what a model thinks, between two tags, from what it says. The tags
// belong to the thoughts.
type thoughts struct {
	open, close string
	inside      bool
	held        string // maybe the beginning of a tag
}

// part is a piece of an answer.
type part struct {
	text    string
	thought bool
}

// add takes the next piece of text and gives what is certain.
func (t *thoughts) add(piece string) []part {
	var out []part
	text := t.held + piece
	t.held = ""
	for text != "" {
		tag := t.open
		if t.inside {
			tag = t.close
		}
		if at := strings.Index(text, tag); at >= 0 {
			end := at + len(tag)
			if t.inside {
				out = appendPart(out, text[:end], true)
			} else {
				out = appendPart(out, text[:at], false)
				out = appendPart(out, tag, true)
			}
			text, t.inside = text[end:], !t.inside
			continue
		}
		keep := beginning(text, tag)
		out = appendPart(out, text[:len(text)-keep], t.inside)
		t.held, text = text[len(text)-keep:], ""
	}
	return out
}

// end gives what was held back.
func (t *thoughts) end() []part {
	out := appendPart(nil, t.held, t.inside)
	t.held = ""
	return out
}

func appendPart(parts []part, text string, thought bool) []part {
	if text == "" {
		return parts
	}
	return append(parts, part{text, thought})
}

// beginning is the length of the longest end of text that tag begins with.
func beginning(text, tag string) int {
	for n := min(len(text), len(tag)-1); n > 0; n-- {
		if strings.HasSuffix(text, tag[:n]) {
			return n
		}
	}
	return 0
}

// The escapes of a terminal for dim text.
const dim, plain = "\x1b[2m", "\x1b[0m"

// answerView writes an answer as it comes, its thoughts in one of three ways.
type answerView struct {
	thoughts
	write func(string) error
	dim   bool // with escapes
	hide  bool

	inDim  bool // the terminal is
	hidden bool // thoughts came last: blanks that follow them are hidden too
}

func (v *answerView) add(piece string) error { return v.show(v.thoughts.add(piece)) }

func (v *answerView) end() error {
	if err := v.show(v.thoughts.end()); err != nil || !v.inDim {
		return err
	}
	return v.write(plain)
}

func (v *answerView) show(parts []part) error {
	for _, p := range parts {
		switch {
		case v.hide && p.thought:
			v.hidden = true
			continue
		case v.hidden:
			if p.text = strings.TrimLeft(p.text, " \t\r\n"); p.text == "" {
				continue
			}
			v.hidden = false
		case v.dim && p.thought != v.inDim:
			v.inDim = p.thought
			p.text = map[bool]string{true: dim, false: plain}[p.thought] + p.text
		}
		if err := v.write(p.text); err != nil {
			return err
		}
	}
	return nil
}
