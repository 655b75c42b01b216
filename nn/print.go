package nn

import (
	"fmt"
	"math"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/tree"
)

// Describer is _extra_repr of nn.Module: a module of yours that has it tells [Sprint]
// what stands in its parentheses.
type Describer interface {
	Describe() string
}

// Sprint is str(model): the tree of modules as MLX prints it. The layers of this
// package are Stringers by it.
//
//	MLP(
//	  (linear1): Linear(input_dims=2, output_dims=64, bias=True)
//	  (linear2): Linear(input_dims=64, output_dims=2, bias=True)
//	)
//
// Modules are pointers to structs, functions as layers, and what else has Forward. A
// [Func] has the name of its function; one without a name is Func().
func Sprint(model any) string {
	v := reflect.ValueOf(model)
	if !v.IsValid() {
		return "None"
	}
	if c, ok := model.(*checkpoint); ok {
		return Sprint(c.Layer)
	}
	var b strings.Builder
	b.WriteString(nameOf(v) + "(" + described(model))
	children := 0
	tree.Walk(model, func(p tree.Place) bool {
		m, ok := moduleAt(p.Value)
		if ok {
			children++
			b.WriteString("\n  (" + p.Path + "): " + strings.ReplaceAll(Sprint(m), "\n", "\n  "))
		}
		return !ok && !isFunc(p.Value)
	})
	if children > 0 {
		b.WriteByte('\n')
	}
	b.WriteByte(')')
	return b.String()
}

func isFunc(v reflect.Value) bool { return v.Kind() == reflect.Func }

// moduleAt is the module that a place holds; ok is false for arrays, for lists and
// maps of modules, and for what is no part of a model.
func moduleAt(v reflect.Value) (m any, ok bool) {
	for v.Kind() == reflect.Interface && !v.IsNil() {
		v = v.Elem()
	}
	switch v.Kind() {
	case reflect.Pointer:
		t := v.Type()
		if v.IsNil() || t == reflect.TypeFor[*mlx.Array]() || t.Elem().Kind() != reflect.Struct {
			return nil, false
		}
		_, layer := v.Interface().(Layer)
		return v.Interface(), layer || tree.Holds(t)
	case reflect.Func:
		f, layer := v.Interface().(Layer)
		return f, layer && !v.IsNil()
	case reflect.Struct:
		if v.CanAddr() {
			if l, layer := v.Addr().Interface().(Layer); layer {
				return l, true
			}
		}
		l, layer := v.Interface().(Layer)
		return l, layer
	}
	return nil, false
}

// nameOf is the name of a module's class.
func nameOf(v reflect.Value) string {
	if isFunc(v) {
		return funcName(v)
	}
	t := v.Type()
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	name, _, _ := strings.Cut(t.Name(), "[") // without type arguments
	switch l := v.Interface().(type) {       // one type for several classes
	case *Dropout:
		if l.Channels > 0 {
			name += strconv.Itoa(l.Channels) + "d"
		}
	case *Conv:
		name += strconv.Itoa(l.Weight.NDim()-2) + "d"
	case *ConvTranspose:
		name += strconv.Itoa(l.Weight.NDim()-2) + "d"
	case *Pool:
		name = map[bool]string{false: "MaxPool", true: "AvgPool"}[l.Average] + strconv.Itoa(len(l.Kernel)) + "d"
	}
	return name
}

// funcName is the name of a function without its package; of a literal it is Func.
func funcName(v reflect.Value) string {
	full := runtime.FuncForPC(v.Pointer()).Name()
	_, name, _ := strings.Cut(full[strings.LastIndexByte(full, '/')+1:], ".")
	if name == "" || strings.Contains(name, ".func") {
		return "Func"
	}
	return name[strings.LastIndexByte(name, '.')+1:]
}

// described is what MLX prints in the parentheses of a module.
func described(model any) string {
	switch l := model.(type) {
	case *Linear:
		return linearText(l.Weight.Dim(1), l.Weight.Dim(0), l.Bias)
	case *Bilinear:
		out, in2, in1 := l.Weight.Dims3()
		return fmt.Sprintf("input1_dims=%d, input2_dims=%d, output_dims=%d, bias=%s", in1, in2, out, python(l.Bias != nil))
	case *QQLinear:
		in, out := l.dims()
		return fmt.Sprintf("input_dims=%d, output_dims=%d, group_size=%d, bits=%d, mode=%s", in, out, l.Scheme.GroupSize, l.Scheme.Bits, l.Scheme.Mode)
	case *QuantizedLinear:
		return linearText(unpacked(l.Weight, l.Scheme), l.Weight.Dim(0), l.Bias) + ", " + schemeText(l.Scheme)
	case *Embedding:
		return fmt.Sprintf("%d, %d", l.Weight.Dim(0), l.Weight.Dim(1))
	case *QuantizedEmbedding:
		return fmt.Sprintf("%d, %d, %s", l.Weight.Dim(0), unpacked(l.Weight, l.Scheme), schemeText(l.Scheme))
	case *LayerNorm:
		return normText(l.Dims, l.Weight, l.Eps) + ", affine=" + python(l.Weight != nil)
	case *RMSNorm:
		return normText(0, l.Weight, l.Eps)
	case *GroupNorm:
		return fmt.Sprintf("%d, %s, affine=%s, pytorch_compatible=%s", l.Groups, normText(l.Dims, nil, l.Eps), python(l.Weight != nil), python(l.Contiguous))
	case *InstanceNorm:
		return normText(l.Dims, l.Weight, l.Eps) + ", affine=" + python(l.Weight != nil)
	case *BatchNorm:
		features := l.Weight
		if features == nil {
			features = l.RunningMean
		}
		return fmt.Sprintf("%s, momentum=%s, affine=%s, track_running_stats=%s", normText(0, features, l.Eps), pythonFloat(l.Momentum),
			python(l.Weight != nil), python(l.RunningMean != nil))
	case *Dropout:
		return "p=" + pythonFloat(1-(1-l.P)) // MLX keeps 1-p
	case *Conv, *ConvTranspose:
		return convText(l)
	case *Pool:
		n := len(l.Kernel)
		stride := axisValues("nn.pool", "the stride", l.Stride, l.Kernel, n)
		padding := axisValues("nn.pool", "the padding", l.Padding, make([]int, n), n)
		return fmt.Sprintf("kernel_size=%v, stride=%v, padding=%v", mlx.Shape(l.Kernel), mlx.Shape(stride), mlx.Shape(padding))
	case *Upsample:
		return upsampleText(l)
	case *RoPE:
		return fmt.Sprintf("%d, traditional=%s", l.Dims, python(l.Traditional))
	case *RNN:
		name := "tanh"
		if l.Nonlinearity != nil {
			name = funcName(reflect.ValueOf(l.Nonlinearity))
		}
		return recurrentText(l.Wxh, 1, "nonlinearity="+name+", ", l.Bias)
	case *GRU:
		return recurrentText(l.Wx, 3, "", l.B)
	case *LSTM:
		return recurrentText(l.Wx, 4, "", l.Bias)
	case Describer:
		return l.Describe()
	}
	return ""
}

func linearText(in, out int, bias *mlx.Array) string {
	return fmt.Sprintf("input_dims=%d, output_dims=%d, bias=%s", in, out, python(bias != nil))
}

// convText is that of a convolution. MLX's has tuples from two axes on, but one number as
// the dilation, and no groups for three axes.
func convText(l any) string {
	var w, bias *mlx.Array
	var stride, padding, dilation []int
	inner, more := 1, ""
	switch c := l.(type) {
	case *Conv:
		w, bias, stride, padding, dilation, inner = c.Weight, c.Bias, c.Stride, c.Padding, c.Dilation, max(c.Groups, 1)
		if w.NDim() < 5 {
			more = fmt.Sprintf("groups=%d, ", inner)
		}
	case *ConvTranspose:
		w, bias, stride, padding, dilation = c.Weight, c.Bias, c.Stride, c.Padding, c.Dilation
		more = "output_padding=" + sizes(c.OutputPadding, 0, w.NDim()-2) + ", "
	}
	n := w.NDim() - 2
	kernel := w.Shape()[1 : n+1]
	same := "1"
	if len(dilation) > 0 {
		same = sizes(dilation, 1, n)
		if slices.Max(dilation) == slices.Min(dilation) {
			same = strconv.Itoa(dilation[0])
		}
	}
	return fmt.Sprintf("%d, %d, kernel_size=%s, stride=%s, padding=%s, dilation=%s, %sbias=%s", w.Dim(-1)*inner, w.Dim(0),
		sizes(kernel, 0, n), sizes(stride, 1, n), sizes(padding, 0, n), same, more, python(bias != nil))
}

// sizes are values for n axes: a number for one axis, a tuple for more.
func sizes(v []int, otherwise, n int) string {
	if len(v) == 0 {
		v = []int{otherwise}
	}
	if len(v) == 1 {
		v = slices.Repeat(v, n)
	}
	if n == 1 {
		return strconv.Itoa(v[0])
	}
	return mlx.Shape(v).String()
}

func upsampleText(u *Upsample) string {
	scale := ""
	for i, x := range u.Scale {
		if i > 0 {
			scale += ", "
		}
		scale += pythonFloat(x)
	}
	if len(u.Scale) > 1 {
		scale = "(" + scale + ")"
	}
	mode := u.Mode
	if mode == "" {
		mode = "nearest"
	}
	return fmt.Sprintf("scale_factor=%s, mode='%s', align_corners=%s", scale, mode, python(u.AlignCorners))
}

func recurrentText(w *mlx.Array, gates int, more string, bias *mlx.Array) string {
	return fmt.Sprintf("input_dims=%d, hidden_size=%d, %sbias=%s", w.Dim(1), w.Dim(0)/gates, more, python(bias != nil))
}

func normText(dims int, weight *mlx.Array, eps float64) string {
	if weight != nil {
		dims = weight.Dim(0)
	}
	return strconv.Itoa(dims) + ", eps=" + pythonFloat(eps)
}

func schemeText(s mlx.Scheme) string {
	if full, err := s.Resolve(); err == nil {
		s = full
	}
	return fmt.Sprintf("group_size=%d, bits=%d, mode=%s", s.GroupSize, s.Bits, s.Mode)
}

// unpacked is the number of elements in a row of packed words.
func unpacked(packed *mlx.Array, s mlx.Scheme) int {
	full, err := s.Resolve()
	if err != nil {
		return 0
	}
	return packed.Dim(-1) * 32 / full.Bits
}

func python(b bool) string {
	if b {
		return "True"
	}
	return "False"
}

// pythonFloat is repr of a Python float.
func pythonFloat(x float64) string {
	if a := math.Abs(x); a != 0 && (a < 1e-4 || a >= 1e16) || math.IsNaN(x) {
		return strings.ToLower(strconv.FormatFloat(x, 'e', -1, 64))
	}
	s := strconv.FormatFloat(x, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// The layers print as MLX prints them.

func (f Func) String() string                          { return Sprint(f) }
func (i Identity) String() string                      { return Sprint(i) }
func (l *Sequential) String() string                   { return Sprint(l) }
func (l *Linear) String() string                       { return Sprint(l) }
func (l *QuantizedLinear) String() string              { return Sprint(l) }
func (l *QQLinear) String() string                     { return Sprint(l) }
func (l *Embedding) String() string                    { return Sprint(l) }
func (l *QuantizedEmbedding) String() string           { return Sprint(l) }
func (l *LayerNorm) String() string                    { return Sprint(l) }
func (l *RMSNorm) String() string                      { return Sprint(l) }
func (l *GroupNorm) String() string                    { return Sprint(l) }
func (l *InstanceNorm) String() string                 { return Sprint(l) }
func (l *BatchNorm) String() string                    { return Sprint(l) }
func (l *Conv) String() string                         { return Sprint(l) }
func (l *ConvTranspose) String() string                { return Sprint(l) }
func (l *Pool) String() string                         { return Sprint(l) }
func (l *Upsample) String() string                     { return Sprint(l) }
func (l *Bilinear) String() string                     { return Sprint(l) }
func (l *Dropout) String() string                      { return Sprint(l) }
func (l *PReLU) String() string                        { return Sprint(l) }
func (l *RoPE) String() string                         { return Sprint(l) }
func (l *SinusoidalPositionalEncoding) String() string { return Sprint(l) }
func (l *RNN) String() string                          { return Sprint(l) }
func (l *GRU) String() string                          { return Sprint(l) }
func (l *LSTM) String() string                         { return Sprint(l) }
func (l *MultiHeadAttention) String() string           { return Sprint(l) }
func (l *Transformer) String() string                  { return Sprint(l) }
func (l *TransformerEncoder) String() string           { return Sprint(l) }
func (l *TransformerEncoderLayer) String() string      { return Sprint(l) }
func (l *TransformerDecoder) String() string           { return Sprint(l) }
func (l *TransformerDecoderLayer) String() string      { return Sprint(l) }
func (c *checkpoint) String() string                   { return Sprint(c) }
