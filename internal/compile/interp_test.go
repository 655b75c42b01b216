package compile

import (
	"encoding/binary"
	"fmt"
	"math"
	"sync"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/internal/tensor/fast"
)

// interp is a backend that computes element by element in float64, at once. It
// does what Plans say and no more, so a wrong Plan shows; strict makes it refuse
// inputs that are not row-major.
type interp struct {
	mu     sync.Mutex
	strict bool
}

func (b *interp) setStrict(on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.strict = on
}

// Kind is one that no backend of this module's tests has.
func (b *interp) Kind() tensor.DeviceKind { return tensor.KindGPU }

func (b *interp) Devices() []tensor.DeviceInfo {
	return []tensor.DeviceInfo{{Device: tensor.Device{Kind: b.Kind()}, Architecture: "interpreter"}}
}

type heapMemory []byte

func (m heapMemory) Size() int    { return len(m) }
func (m heapMemory) Host() []byte { return m }
func (m heapMemory) Release()     {}

func (b *interp) Alloc(_ tensor.Device, n int) (tensor.Memory, error) {
	return heapMemory(make([]byte, n)), nil
}

func (b *interp) Accepts(_ tensor.Primitive, _ int, v tensor.View) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.strict || v.Contiguous()
}
func (b *interp) Open(tensor.Stream) (tensor.Queue, error) { return interpQueue{}, nil }

type interpQueue struct{}

func (interpQueue) Encode(p tensor.Primitive, in, out []tensor.View) error {
	return interpret(p, in, out)
}
func (interpQueue) Signal() tensor.Event { return doneEvent{} }
func (interpQueue) Wait(tensor.Event)    {}
func (interpQueue) Flush()               {}

type doneEvent struct{ err error }

func (doneEvent) Done() bool    { return true }
func (e doneEvent) Wait() error { return e.err }

type interpProgram struct {
	p *tensor.Plan
}

func (b *interp) Prepare(p *tensor.Plan) (tensor.Program, error) { return interpProgram{p}, nil }

// Run starts with an arena full of garbage: nothing may rest on its contents.
func (r interpProgram) Run(bind []tensor.View) (tensor.Event, error) {
	p := r.p
	mem := make([]byte, p.Arena)
	for i := range mem {
		mem[i] = 0xa5
	}
	arena := tensor.Borrow(mem, r)
	at := func(slots []tensor.Slot) []tensor.View {
		vs := make([]tensor.View, len(slots))
		for i, s := range slots {
			base := tensor.View{Buf: arena}
			switch s.Kind {
			case tensor.SlotIn:
				base = bind[s.Index]
			case tensor.SlotState:
				base = bind[len(p.In)+s.Index]
			case tensor.SlotOut:
				base = bind[len(p.In)+len(p.State)+s.Index]
			case tensor.SlotConst:
				base = p.Const[s.Index]
			}
			vs[i] = tensor.View{Spec: s.Spec, Strides: s.Strides, Buf: base.Buf, Offset: base.Offset + s.Offset}
		}
		return vs
	}
	for _, s := range p.Steps {
		if err := interpret(s.Prim, at(s.In), at(s.Out)); err != nil {
			return nil, err
		}
	}
	return doneEvent{}, nil
}

// index is the byte offset of row-major element k of v.
func index(v *tensor.View, k int) int {
	off := 0
	for i := len(v.Shape) - 1; i >= 0; i-- {
		off += k % v.Shape[i] * v.Strides[i]
		k /= v.Shape[i]
	}
	return v.Offset + off*v.DType.Size()
}

func get(v *tensor.View, k int) float64 {
	b := v.Buf.Host()[index(v, k):]
	switch v.DType {
	case dtype.Float32:
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))
	case dtype.BFloat16:
		return float64(dtype.BF16ToF32(binary.LittleEndian.Uint16(b)))
	case dtype.Int32:
		return float64(int32(binary.LittleEndian.Uint32(b)))
	case dtype.Bool:
		return float64(b[0])
	}
	panic(fmt.Sprint("interp: get ", v.DType))
}

func set(v *tensor.View, k int, x float64) {
	b := v.Buf.Host()[index(v, k):]
	switch v.DType {
	case dtype.Float32:
		binary.LittleEndian.PutUint32(b, math.Float32bits(float32(x)))
	case dtype.BFloat16:
		binary.LittleEndian.PutUint16(b, dtype.F32ToBF16(float32(x)))
	case dtype.Int32:
		binary.LittleEndian.PutUint32(b, uint32(int32(x)))
	case dtype.Bool:
		b[0] = 0
		if x != 0 {
			b[0] = 1
		}
	default:
		panic(fmt.Sprint("interp: set ", v.DType))
	}
}

var unaries = map[tensor.UnaryOp]func(float64) float64{
	tensor.OpNegative: func(x float64) float64 { return -x },
	tensor.OpAbs:      math.Abs,
	tensor.OpSquare:   func(x float64) float64 { return x * x },
	tensor.OpSqrt:     math.Sqrt,
	tensor.OpExp:      math.Exp,
	tensor.OpSin:      math.Sin,
	tensor.OpTanh:     math.Tanh,
	tensor.OpSigmoid:  func(x float64) float64 { return 1 / (1 + math.Exp(-x)) },
}

var binaries = map[tensor.BinaryOp]func(x, y float64) float64{
	tensor.OpAdd:      func(x, y float64) float64 { return x + y },
	tensor.OpSubtract: func(x, y float64) float64 { return x - y },
	tensor.OpMultiply: func(x, y float64) float64 { return x * y },
	tensor.OpDivide:   func(x, y float64) float64 { return x / y },
	tensor.OpMaximum:  math.Max,
	tensor.OpMinimum:  math.Min,
	tensor.OpLess: func(x, y float64) float64 {
		if x < y {
			return 1
		}
		return 0
	},
}

// interpretFused runs the ops of p one by one, through memory of their own.
func interpretFused(p tensor.Fused, in []tensor.View, o *tensor.View) error {
	values := append([]tensor.View(nil), in...)
	for _, s := range p.Steps {
		spec := tensor.Spec{Shape: o.Shape, DType: s.Out}
		v := tensor.RowMajorView(spec, tensor.Borrow(make([]byte, spec.Bytes()), "step"))
		var args []tensor.View
		for _, i := range s.In {
			args = append(args, values[i])
		}
		if err := interpret(s.Prim, args, []tensor.View{v}); err != nil {
			return err
		}
		values = append(values, v)
	}
	return interpret(tensor.Contiguous{}, values[len(values)-1:], []tensor.View{*o})
}

// interpret runs p. Reading and writing go index by index, so that overlapping
// memory has the effect that it would have in a kernel.
func interpret(p tensor.Primitive, in, out []tensor.View) error {
	o := &out[0]
	n := o.Shape.Size()
	each := func(f func(k int) float64) {
		for k := range n {
			set(o, k, f(k))
		}
	}
	switch p := p.(type) {
	case tensor.Contiguous, tensor.Copy, tensor.Cast, tensor.Reshape, tensor.Broadcast:
		if len(in[0].Shape) != len(o.Shape) && in[0].Shape.Size() != n {
			return fmt.Errorf("interp: %s of %v", p.Name(), in[0].Spec)
		}
		each(func(k int) float64 { return get(&in[0], k) })
	case tensor.Fused:
		return interpretFused(p, in, o)
	case tensor.Unary:
		f := unaries[p.Op]
		if f == nil {
			return tensor.ErrUnsupported
		}
		each(func(k int) float64 { return f(get(&in[0], k)) })
	case tensor.Binary:
		f := binaries[p.Op]
		if f == nil {
			return tensor.ErrUnsupported
		}
		each(func(k int) float64 { return f(get(&in[0], k), get(&in[1], k)) })
	case tensor.Select:
		each(func(k int) float64 {
			if get(&in[0], k) != 0 {
				return get(&in[1], k)
			}
			return get(&in[2], k)
		})
	case tensor.Const:
		b := make([]byte, 8)
		binary.LittleEndian.PutUint64(b, p.Bits)
		copy(o.HostBytes(), b[:p.DType.Size()])
	case tensor.Arange:
		each(func(k int) float64 { return p.Start.Value() + float64(k)*p.Step.Value() })
	case tensor.Reduce:
		return interpretReduce(p, &in[0], o)
	case tensor.MatMul:
		interpretMatMul(in, o)
	case tensor.Softmax:
		interpretSoftmax(&in[0], o)
	case tensor.Concatenate:
		interpretConcatenate(p.Axis, in, o)
	case tensor.Take:
		w := n / max(1, in[1].Shape.Size())
		each(func(k int) float64 { return get(&in[0], int(get(&in[1], k/w))*w+k%w) })
	case fast.CacheWrite:
		interpretCacheWrite(in, o)
	default:
		return tensor.ErrUnsupported
	}
	return nil
}

func interpretReduce(p tensor.Reduce, in, out *tensor.View) error {
	acc := make([]float64, out.Shape.Size())
	for k := range in.Shape.Size() {
		at, m, r := 0, 1, k
		for i := len(in.Shape) - 1; i >= 0; i-- {
			if !p.Axes.Has(i) {
				at += r % in.Shape[i] * m
			}
			m *= out.Shape[i]
			r /= in.Shape[i]
		}
		switch p.Op {
		case tensor.OpSum:
			acc[at] += get(in, k)
		case tensor.OpMax:
			acc[at] = math.Max(acc[at], get(in, k))
		default:
			return tensor.ErrUnsupported
		}
	}
	for k, x := range acc {
		set(out, k, x)
	}
	return nil
}

func interpretMatMul(in []tensor.View, o *tensor.View) {
	r := len(o.Shape)
	rows, cols, inner := o.Shape[r-2], o.Shape[r-1], in[0].Shape[r-1]
	for k := range o.Shape.Size() {
		b, i, j := k/(rows*cols), k/cols%rows, k%cols
		sum := 0.0
		for l := range inner {
			sum += get(&in[0], (b*rows+i)*inner+l) * get(&in[1], (b*inner+l)*cols+j)
		}
		set(o, k, sum)
	}
}

func interpretSoftmax(in, o *tensor.View) {
	w := o.Shape[len(o.Shape)-1]
	for k := range o.Shape.Size() {
		if k%w != 0 {
			continue
		}
		sum, e := 0.0, make([]float64, w)
		for i := range e {
			e[i] = math.Exp(get(in, k+i))
			sum += e[i]
		}
		for i := range e {
			set(o, k+i, e[i]/sum)
		}
	}
}

func interpretConcatenate(axis int, in []tensor.View, o *tensor.View) {
	inner := o.Shape[axis+1:].Size()
	at := 0
	for i := range in {
		d := in[i].Shape[axis]
		for k := range in[i].Shape.Size() {
			outer, j, r := k/(d*inner), k/inner%d, k%inner
			set(o, (outer*o.Shape[axis]+at+j)*inner+r, get(&in[i], k))
		}
		at += d
	}
}

func interpretCacheWrite(in []tensor.View, o *tensor.View) {
	for k := range o.Shape.Size() {
		set(o, k, get(&in[0], k))
	}
	s, l := o.Shape, in[1].Shape[2]
	for k := range in[1].Shape.Size() {
		bh, i, d := k/(l*s[3]), k/s[3]%l, k%s[3]
		if row := int(get(&in[2], bh/s[1])) + i; row < s[2] {
			set(o, (bh*s[2]+row)*s[3]+d, get(&in[1], k))
		}
	}
}
