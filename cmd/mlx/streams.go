package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/term"

	"github.com/mlxgo/mlx/internal/builtin"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/models"
)

// streams are what a command reads and writes. Results go to out, all else to err.
type streams struct {
	in       io.Reader
	out, err io.Writer
	outTTY   bool
	errTTY   bool

	errColumns int // of the terminal; 0 is not known
}

func stdStreams() *streams {
	columns, _, _ := term.GetSize(int(os.Stderr.Fd()))
	return &streams{
		in: os.Stdin, out: os.Stdout, err: os.Stderr,
		outTTY: term.IsTerminal(int(os.Stdout.Fd())),
		errTTY: term.IsTerminal(int(os.Stderr.Fd())), errColumns: columns,
	}
}

// note tells the user something beside the result, as one line.
func (s *streams) note(format string, args ...any) {
	text := strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", "; ")
	fmt.Fprintf(s.err, "mlx: %s\n", visible(text))
}

// visible is text with escapes as \n and \x1b for what does not print: names in files
// of others must not command the terminal.
func visible(text string) string {
	var b strings.Builder
	for _, r := range text {
		if strconv.IsPrint(r) {
			b.WriteRune(r)
		} else {
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
	}
	return b.String()
}

// output is standard output; it remembers what went wrong there.
type output struct {
	io.Writer
	err error
}

func (o *output) Write(p []byte) (int, error) {
	n, err := o.Writer.Write(p)
	if err != nil {
		o.err = err
	}
	return n, err
}

// closed reports whether the reader of standard output went away, as head does: then
// the work is done.
func (s *streams) closed() bool {
	o, ok := s.out.(*output)
	return ok && (errors.Is(o.err, syscall.EPIPE) || errors.Is(o.err, io.ErrClosedPipe))
}

// builtinModel is the value of --model for the model inside the program.
const builtinModel = "builtin"

// loadModel loads the model that findModel gave.
func loadModel(s *streams, name string, o llm.LoadOptions) (*llm.Loaded, error) {
	o.New = models.New
	var m *llm.Loaded
	var err error
	if name == builtinModel {
		m, err = builtin.Load(o)
	} else {
		m, err = llm.Load(name, o)
	}
	if err != nil {
		return nil, err
	}
	for _, w := range m.Warnings {
		s.note("%s", w)
	}
	return m, nil
}

// loadTokenizer is loadModel for the tokenizer alone.
func loadTokenizer(name string) (*llm.Tokenizer, error) {
	if name == builtinModel {
		return builtin.Tokenizer()
	}
	return llm.LoadTokenizer(name)
}
