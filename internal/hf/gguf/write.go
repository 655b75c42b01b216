package gguf

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/mlxgo/mlx/internal/atomicfile"
)

// Entry is a key and its value.
type Entry struct {
	Key   string
	Value Value
}

// Out is a tensor to write.
type Out struct {
	Name  string
	Type  Type
	Shape []int // the outermost dimension first
	// Fill writes the blocks, row by row: exactly as many bytes as type and shape take.
	Fill func(w io.Writer) error
}

// Size is the tensor's bytes.
func (o Out) Size() int64 {
	t := Tensor{Name: o.Name, Type: o.Type, Shape: o.Shape}
	n, _ := t.size()
	return int64(n)
}

// Write writes a file of version 3 to path, which appears when it is complete. Tensors
// are filled one after the other in their order; nothing of them is kept in memory.
func Write(path string, entries []Entry, tensors []Out) error {
	header, err := header(entries, tensors)
	if err != nil {
		return &Error{path, err}
	}
	return atomicfile.Write(path, true, func(f *os.File) error {
		w := bufio.NewWriterSize(f, 1<<20)
		if _, err := w.Write(header); err != nil {
			return err
		}
		for _, t := range tensors {
			c := &counter{w: w}
			if err := t.Fill(c); err != nil {
				return fmt.Errorf("tensor %s: %w", t.Name, err)
			}
			if c.n != t.Size() {
				return fmt.Errorf("tensor %s: %d bytes were written, but %v of shape %v takes %d", t.Name, c.n, t.Type, t.Shape, t.Size())
			}
			if _, err := w.Write(make([]byte, aligned(c.n)-c.n)); err != nil {
				return err
			}
		}
		return w.Flush()
	})
}

// counter counts what is written.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// aligned is n up to the next multiple of the alignment.
func aligned(n int64) int64 { return (n + defaultAlignment - 1) / defaultAlignment * defaultAlignment }

// header is all before the tensors' bytes.
func header(entries []Entry, tensors []Out) ([]byte, error) {
	le := binary.LittleEndian
	b := append([]byte("GGUF"), 3, 0, 0, 0)
	b = le.AppendUint64(le.AppendUint64(b, uint64(len(tensors))), uint64(len(entries)))
	seen := map[string]bool{}
	for _, e := range entries {
		if e.Key == "" || e.Key == alignmentKey || seen[e.Key] {
			return nil, fmt.Errorf("key %q cannot be written", e.Key)
		}
		seen[e.Key] = true
		b = le.AppendUint32(appendText(b, e.Key), uint32(e.Value.kind))
		if e.Value.kind == Array {
			b = le.AppendUint64(le.AppendUint32(b, uint32(e.Value.elem)), uint64(e.Value.n))
		}
		b = append(b, e.Value.data...)
	}
	var at int64
	clear(seen)
	for _, t := range tensors {
		last := 0
		if n := len(t.Shape); n > 0 {
			last = t.Shape[n-1]
		}
		if t.Name == "" || seen[t.Name] || !t.Type.Known() || len(t.Shape) > maxDims || last == 0 || last%t.Type.Block() != 0 {
			return nil, fmt.Errorf("tensor %q of shape %v cannot be written as %v", t.Name, t.Shape, t.Type)
		}
		seen[t.Name] = true
		b = le.AppendUint32(appendText(b, t.Name), uint32(len(t.Shape)))
		for _, d := range slices.Backward(t.Shape) {
			b = le.AppendUint64(b, uint64(d))
		}
		b = le.AppendUint64(le.AppendUint32(b, uint32(t.Type)), uint64(at))
		at += aligned(t.Size())
	}
	return append(b, make([]byte, aligned(int64(len(b)))-int64(len(b)))...), nil
}
