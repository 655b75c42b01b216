package main

import (
	"errors"
	"fmt"
	"io"
	"os"
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
}

func stdStreams() *streams {
	return &streams{
		in: os.Stdin, out: os.Stdout, err: os.Stderr,
		outTTY: term.IsTerminal(int(os.Stdout.Fd())),
		errTTY: term.IsTerminal(int(os.Stderr.Fd())),
	}
}

// note tells the user something beside the result, as one line.
func (s *streams) note(format string, args ...any) {
	fmt.Fprintf(s.err, "mlx: "+format+"\n", args...)
}

// closed reports whether err says that the reader of the output went away, as head
// does: then the work is done.
func closed(err error) bool { return errors.Is(err, syscall.EPIPE) || errors.Is(err, io.ErrClosedPipe) }

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
