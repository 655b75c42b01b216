package metal

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/mlxgo/mlx/internal/metal/gpu"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/internal/tensor/fast"
)

// constantAlign is what Metal asks of offsets in the constant address space, in bytes.
const constantAlign = 4

// acceptsCustom says whether a kernel of one's own reads an aligned v in place. Kernels
// written for MLX keep places in unsigned ints, so strides must not be negative.
func acceptsCustom(p fast.Custom, v *View) bool {
	if !p.StridedInputs && !v.Contiguous() {
		return false
	}
	small := v.Shape.Size() < fast.SmallInput
	return (!small || v.Offset%constantAlign == 0) && slices.Min(append([]int{0}, v.Strides...)) == 0
}

// customKernel runs a kernel of one's own, after filling the outputs if it wants so.
func customKernel(e *encoder, p fast.Custom, in, out []View) error {
	specs := make([]tensor.Spec, len(in))
	for i := range in {
		specs[i] = in[i].Spec
	}
	f := e.b.custom(p.Signature(specs))
	k, err := e.b.kernels.generated(f.key, f.Name, mathOf[p.Math], f.source, nil)
	if err != nil {
		return compileFault(p, err)
	}
	var args []arg
	for i := range in {
		v := &in[i]
		args = append(args, e.inputOrNothing(v))
		if f.Facts[i].Shape {
			args = append(args, ints(v.Shape...))
		}
		if f.Facts[i].Strides {
			args = append(args, longs(v.Strides...))
		}
		if f.Facts[i].NDim {
			args = append(args, i32(len(v.Shape)))
		}
	}
	for i := range out {
		a := e.outputOrNothing(&out[i])
		if p.HasInit {
			if err := e.initialize(&out[i], p.Init.Value()); err != nil {
				return err
			}
			a.mode |= reads
		}
		args = append(args, a)
	}
	e.run(k, p.Grid, p.ThreadGroup, args...)
	return nil
}

// inputOrNothing is in; what has no elements may have no memory, and is bound to some.
func (e *encoder) inputOrNothing(v *View) arg {
	if v.Shape.Size() == 0 {
		return longs()
	}
	return e.in(v)
}

// outputOrNothing is out for views that may be empty.
func (e *encoder) outputOrNothing(v *View) arg {
	if v.Shape.Size() == 0 {
		return e.scratch(8)
	}
	return e.out(v)
}

// initialize writes x into all elements of v.
func (e *encoder) initialize(v *View, x float64) error {
	k, err := e.kernel("copy", "store", []string{bitsType(v.DType.Size())})
	if err != nil {
		return err
	}
	grid, group := linear(v.Shape.Size())
	e.run(k, grid, group, e.out(v), i64(int(tensor.MakeConst(x, v.DType).Bits)))
	return nil
}

var mathOf = map[string]gpu.Math{"safe": gpu.Safe, "relaxed": gpu.Relaxed, "fast": gpu.Fast}

// A customSource is the source of a signature and its name in the cache of kernels.
type customSource struct {
	fast.Function
	key string
}

// custom writes the source of a signature, once.
func (b *backend) custom(s fast.Signature) customSource {
	if f, ok := b.customs.Load(s); ok {
		return f.(func() customSource)()
	}
	f, _ := b.customs.LoadOrStore(s, sync.OnceValue(func() customSource {
		f := s.Function()
		return customSource{f, fmt.Sprintf("%s.%s.%x", f.Name, s.Math, sha256.Sum256([]byte(f.Text)))}
	}))
	return f.(func() customSource)()
}

// source is the text with its prelude.
func (f customSource) source() (string, error) {
	prelude, err := expand("custom_prelude.h", map[string]bool{})
	return prelude + f.Text, err
}

// message finds one of the compiler's, in lines of Source or of Header. What the emulator
// says itself is no "error:".
var message = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_]*)(\.\w+)?:(\d+):(?:\d+:)? (?:(?:fatal )?error: )?(.*)$`)

// beside begins what the compiler adds to its errors.
var beside = regexp.MustCompile(`^(note|warning|remark): `)

// compileFault shows what the compiler says with the lines that it is about.
func compileFault(p fast.Custom, err error) error {
	if !errors.Is(err, gpu.ErrCompile) {
		return err
	}
	var b strings.Builder
	for line := range strings.Lines(err.Error()) {
		m := message.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil || m[1] != p.Kernel || beside.MatchString(m[4]) {
			continue
		}
		part, text := "Source", p.Source
		switch m[2] {
		case ".header":
			part, text = "Header", p.Header
		case ".signature":
			part, text = "the signature", ""
		case ".end":
			part, text = "the end", ""
		}
		fmt.Fprintf(&b, "\n%s, line %s: %s", part, m[3], m[4])
		if n, _ := strconv.Atoi(m[3]); text != "" {
			if lines := strings.Split(text, "\n"); n >= 1 && n <= len(lines) {
				fmt.Fprintf(&b, "\n\t%s", strings.TrimSpace(lines[n-1]))
			}
		}
	}
	if b.Len() == 0 {
		return fmt.Errorf("%s: %w", p.Kernel, err)
	}
	return &customFault{fmt.Sprintf("%s: %v%s", p.Kernel, gpu.ErrCompile, b.String())}
}

// A customFault is a fault of the source, told in its lines.
type customFault struct{ text string }

func (f *customFault) Error() string { return f.text }

func (f *customFault) Unwrap() error { return gpu.ErrCompile }
