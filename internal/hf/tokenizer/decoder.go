package tokenizer

import (
	"encoding/json"
	"fmt"
	"strings"
)

// decoder turns tokens into text. It works on a stream, so that one-shot and
// streamed decoding are the same code: stages pass on what can not change any
// more.
type decoder interface {
	// stage returns a sink that decodes into next. joined says that all writes
	// are parts of one token.
	stage(next sink, joined bool) sink
	// joins says that the stage's output is one token in parts.
	joins() bool
}

// sink takes tokens one by one. What is written is always whole characters.
type sink interface {
	write(token string)
	close()
}

// decoders run one behind the other; none at all puts spaces between tokens.
type decoders []decoder

// sink returns the first stage of the chain that ends in out.
func (d decoders) sink(out sink) sink {
	if d == nil {
		return &mapStage{next: out, f: func(i int, token string) string {
			if i > 0 {
				return " " + token
			}
			return token
		}}
	}
	joined := make([]bool, len(d)+1)
	for i, each := range d {
		joined[i+1] = joined[i] || each.joins()
	}
	for i := len(d) - 1; i >= 0; i-- {
		out = d[i].stage(out, joined[i])
	}
	return out
}

// parseDecoder builds the section "decoder"; nil if there is none.
func parseDecoder(raw json.RawMessage) (decoders, error) {
	c, ok, err := parseComponent(raw)
	if err != nil || !ok {
		return nil, err
	}
	list, err := buildDecoders(c, 0)
	if err != nil {
		return nil, err
	}
	if err := checkGrowth(list); err != nil {
		return nil, err
	}
	return append(decoders{}, list...), nil // an empty Sequence is not "none"
}

func buildDecoders(c component, depth int) ([]decoder, error) {
	if c.kind == "Sequence" {
		var v struct {
			List []json.RawMessage `json:"decoders"`
		}
		if err := c.fill(&v); err != nil {
			return nil, err
		}
		return buildAll(v.List, depth, buildDecoders)
	}
	d, err := buildDecoder(c)
	if err != nil {
		return nil, err
	}
	return []decoder{d}, nil
}

func buildDecoder(c component) (decoder, error) {
	switch c.kind {
	case "ByteLevel":
		return byteLevelDecoder{}, nil
	case "ByteFallback":
		return byteFallbackDecoder{}, nil
	case "Fuse":
		return fuseDecoder{}, nil
	case "Replace":
		r, err := newReplace(c)
		return replaceDecoder{r}, err
	case "Strip":
		return newStripDecoder(c)
	case "Metaspace":
		m, err := parseMetaspace(c)
		if err != nil {
			return nil, err
		}
		return metaspaceDecoder{m.mark, m.scheme != "never"}, nil
	case "WordPiece":
		var v struct {
			Prefix  *string `json:"prefix"`
			Cleanup *bool   `json:"cleanup"`
		}
		err := c.fill(&v)
		return wordPieceDecoder{optional(v.Prefix, "##"), optional(v.Cleanup, true)}, err
	case "BPEDecoder":
		var v struct {
			Suffix *string `json:"suffix"`
		}
		err := c.fill(&v)
		return bpeDecoder{optional(v.Suffix, "</w>")}, err
	case "CTC":
		var v struct {
			Pad       *string `json:"pad_token"`
			Delimiter *string `json:"word_delimiter_token"`
			Cleanup   *bool   `json:"cleanup"`
		}
		err := c.fill(&v)
		return ctcDecoder{optional(v.Pad, "<pad>"), optional(v.Delimiter, "|"), optional(v.Cleanup, true)}, err
	}
	return nil, fmt.Errorf("decoder type %q is not known", clip(c.kind))
}

// fuseDecoder makes one token of all.
type fuseDecoder struct{}

func (fuseDecoder) joins() bool                  { return true }
func (fuseDecoder) stage(next sink, _ bool) sink { return next }

// byteLevelDecoder turns the byte-level alphabet into bytes and all bytes into
// one token; a token with other characters stands for itself.
type byteLevelDecoder struct{}

func (byteLevelDecoder) joins() bool { return true }
func (byteLevelDecoder) stage(next sink, joined bool) sink {
	stage := &byteLevelStage{next: next}
	if joined {
		return &wholeStage{next: stage, f: func(s string) string { return s }}
	}
	return stage
}

// byteFallbackDecoder turns runs of tokens like <0xE2> into text: characters if
// the whole run is valid UTF-8, else one U+FFFD for each token.
type byteFallbackDecoder struct{}

func (byteFallbackDecoder) joins() bool { return false }
func (byteFallbackDecoder) stage(next sink, joined bool) sink {
	if joined {
		return &wholeStage{next: next, limit: len("<0x00>"), f: func(token string) string {
			if b, ok := parseByteToken(token); ok {
				return toValid(string([]byte{b}))
			}
			return token
		}}
	}
	return &byteRunStage{next: next}
}

// replaceDecoder replaces a pattern in each token.
type replaceDecoder struct{ *replace }

func (replaceDecoder) joins() bool { return false }
func (d replaceDecoder) stage(next sink, joined bool) sink {
	switch {
	case !joined:
		return &mapStage{next: next, f: func(_ int, token string) string { return d.normalize(token) }}
	case d.literal != nil && *d.literal != "":
		return newLiteralStage(next, *d.literal, d.content)
	}
	return &wholeStage{next: next, f: d.normalize}
}

// stripDecoder cuts up to start and stop times the text off the ends of a token.
type stripDecoder struct {
	text        string // one character
	start, stop int
}

func newStripDecoder(c component) (decoder, error) {
	var v struct {
		Content string `json:"content"`
		Start   int    `json:"start"`
		Stop    int    `json:"stop"`
	}
	if err := c.fill(&v); err != nil {
		return nil, err
	}
	if _, err := oneRune("content", v.Content); err != nil {
		return nil, c.errorf("%w", err)
	}
	if v.Start < 0 || v.Stop < 0 {
		return nil, c.errorf("start is %d and stop %d, want none below 0", v.Start, v.Stop)
	}
	return stripDecoder{v.Content, v.Start, v.Stop}, nil
}

func (stripDecoder) joins() bool { return false }
func (d stripDecoder) stage(next sink, joined bool) sink {
	if joined {
		return &stripStage{next: next, stripDecoder: d}
	}
	return &mapStage{next: next, f: func(_ int, token string) string {
		for i := 0; i < d.start && strings.HasPrefix(token, d.text); i++ {
			token = token[len(d.text):]
		}
		for i := 0; i < d.stop && strings.HasSuffix(token, d.text); i++ {
			token = token[:len(token)-len(d.text)]
		}
		return token
	}}
}

// metaspaceDecoder turns marks into spaces; those of the first token vanish if
// encoding put one in front.
type metaspaceDecoder struct {
	mark    string
	prepend bool
}

func (metaspaceDecoder) joins() bool { return false }
func (d metaspaceDecoder) stage(next sink, joined bool) sink {
	return &mapStage{next: next, f: func(i int, token string) string {
		if d.prepend && (i == 0 || joined) {
			return strings.ReplaceAll(token, d.mark, "")
		}
		return strings.ReplaceAll(token, d.mark, " ")
	}}
}

// wordPieceDecoder joins tokens with the prefix to the one before and puts a
// space before the others.
type wordPieceDecoder struct {
	prefix  string
	cleanup bool
}

func (wordPieceDecoder) joins() bool { return false }
func (d wordPieceDecoder) stage(next sink, joined bool) sink {
	f := func(i int, token string) string {
		if i > 0 {
			if rest, ok := strings.CutPrefix(token, d.prefix); ok {
				token = rest
			} else {
				token = " " + token
			}
		}
		if d.cleanup {
			token = cleanUp(token)
		}
		return token
	}
	if joined {
		return &wholeStage{next: next, f: func(s string) string { return f(0, s) }}
	}
	return &mapStage{next: next, f: f}
}

// cleanUps undo the spaces that English tokenizers put around punctuation, one
// after the other.
var cleanUps = [][2]string{
	{" .", "."}, {" ?", "?"}, {" !", "!"}, {" ,", ","}, {" ' ", "'"}, {" n't", "n't"}, {" 'm", "'m"},
	{" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"},
}

func cleanUp(s string) string {
	for _, rule := range cleanUps {
		s = strings.ReplaceAll(s, rule[0], rule[1])
	}
	return s
}

// bpeDecoder turns the suffix of words into spaces, but for the last token's.
type bpeDecoder struct{ suffix string }

func (bpeDecoder) joins() bool { return false }
func (d bpeDecoder) stage(next sink, joined bool) sink {
	last := func(token string) string { return strings.ReplaceAll(token, d.suffix, "") }
	switch {
	case !joined:
		return &lastStage{
			next:  next,
			inner: func(token string) string { return strings.ReplaceAll(token, d.suffix, " ") },
			last:  last,
		}
	case d.suffix == "":
		return next
	}
	return newLiteralStage(next, d.suffix, "")
}

// ctcDecoder drops repeated and padding tokens, as speech models emit them.
type ctcDecoder struct {
	pad, delimiter string
	cleanup        bool
}

func (ctcDecoder) joins() bool { return false }
func (d ctcDecoder) stage(next sink, joined bool) sink {
	stage := &ctcStage{next: next, ctcDecoder: d}
	if joined {
		return &wholeStage{next: stage, f: func(s string) string { return s }}
	}
	return stage
}
