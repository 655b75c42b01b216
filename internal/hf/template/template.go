// Package template renders Hugging Face chat templates: the Jinja2 language as
// transformers sets it up (trim_blocks, lstrip_blocks, loopcontrols, the
// generation tag, a sandbox whose values cannot be changed, and tojson,
// raise_exception and strftime_now on top).
//
// The main types are [Template] (a parsed template, safe for concurrent use),
// [Dict] and the other values (a closed set of Go types, see [Value]) and
// [ChatOptions] (what a chat call passes besides the messages). [Set] chooses
// the template of a model from its files.
//
// It does not load other templates (include, import, extends), escape
// automatically, run asynchronously or offer random filters. It knows nothing
// of tokens: the text it returns already holds the special tokens that the
// template writes, so an encoder must not add them once more.
//
// Known differences from Jinja2: complex numbers, bytes and \N{...} escapes do
// not exist; a macro called before a top-level set of a name that the caller
// also passed sees the caller's value, where Jinja2 sees undefined.
//
// A template is foreign code. Rendering is bounded in steps, bytes and depth
// (see [Limits]); what goes beyond returns a [*LimitError].
package template

import (
	"errors"
	"fmt"
	"time"
)

// Template is a parsed template. It is immutable: Render may be called from
// several goroutines at once.
type Template struct {
	body []node
}

// Options of a rendering. The zero value is the default.
type Options struct {
	// Now is the clock of strftime_now; time.Now when nil. The zone of the
	// time it returns is the zone of the printed date.
	Now func() time.Time
	// Limits bounds the work of a rendering.
	Limits Limits
}

// Limits bounds what one rendering may use. A zero field takes its default.
type Limits struct {
	// Steps counts evaluated expressions, statements, iterations and, by the
	// kilobyte, bytes handled. Default 50 million.
	Steps int64
	// Bytes counts all bytes of strings, lists and output that the template
	// produces, dropped ones too. Default 512 MiB.
	Bytes int64
	// Depth bounds nested evaluation: expressions, blocks, macro calls and
	// recursive loops. Default 10000.
	Depth int
}

const (
	defaultSteps = 50_000_000
	defaultBytes = 512 << 20
	defaultDepth = 10_000
)

func (l Limits) withDefaults() Limits {
	if l.Steps <= 0 {
		l.Steps = defaultSteps
	}
	if l.Bytes <= 0 {
		l.Bytes = defaultBytes
	}
	if l.Depth <= 0 {
		l.Depth = defaultDepth
	}
	return l
}

// Error is a fault in a template: of its syntax, or while it renders.
type Error struct {
	Line int   // line of the template, counted from 1
	Err  error // the reason
}

func (e *Error) Error() string { return fmt.Sprintf("template line %d: %v", e.Line, e.Err) }

// Unwrap returns the reason.
func (e *Error) Unwrap() error { return e.Err }

// RaisedError is the call of raise_exception in a template: the template
// itself refuses the input. Render returns it inside an [*Error].
type RaisedError struct{ Message string }

func (e *RaisedError) Error() string { return e.Message }

// LimitError tells which of the [Limits] a template went beyond.
type LimitError struct {
	What  string // "steps", "bytes" or "depth"
	Limit int64
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("the template needs more than %d %s", e.Limit, e.What)
}

// Parse reads a template. The error is an [*Error] with the line and reason.
func Parse(src string) (*Template, error) {
	toks, err := lex(src)
	if err != nil {
		return nil, err
	}
	p := &parser{toks: toks}
	body, err := p.template()
	if err != nil {
		return nil, err
	}
	if err := checkNames(body); err != nil {
		return nil, err
	}
	return &Template{body: body}, nil
}

// Render runs the template with the variables of vars (nil: none) and returns
// its text. Errors are an [*Error] around the reason, which may be a
// [*RaisedError] or a [*LimitError].
func (t *Template) Render(vars *Dict, o Options) (string, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	lim := o.Limits.withDefaults()
	r := &runtime{lim: lim, now: o.Now}
	root := &scope{vars: vars}
	err := r.exec(t.body, &scope{up: root})
	if err == nil {
		err = r.over
	}
	if err != nil {
		var te *Error
		if !errors.As(err, &te) {
			err = &Error{Line: 1, Err: err}
		}
		return "", err
	}
	return string(r.out), nil
}
