package nn

import (
	"math"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/opt"
	"github.com/mlxgo/mlx/internal/quant"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/random"
)

// QuantizeInput is quantize_input= of [Quantize]: linear layers become [QQLinear], which
// quantize their input too, in mode "nvfp4" or "mxfp8".
type QuantizeInput bool

// ForQuantize makes it the argument quantize_input=.
func (q QuantizeInput) ForQuantize(s *opt.Set) { s.QuantizeInput = bool(q) }

// QQLinear is nn.QQLinear: a product of an input and a weight that are both quantized, by
// [mlx.QQMM]. Training, the weight is floating, is rounded in each pass and gets the
// gradient of the product without rounding; [SetTraining] packs and unpacks it.
type QQLinear struct {
	Weight   *mlx.Array // [out, in]; packed when Scales is there
	Scales   *mlx.Array `mlx:",frozen"` // nil while the weight is floating
	Scheme   mlx.Scheme `mlx:"-"`
	Training bool
}

// NewQQLinear is nn.QQLinear(in, out, ...), with a floating weight, uniform in
// ±1/sqrt(in). It panics with *mlx.Error if the scheme's mode is not "nvfp4" or "mxfp8",
// or its group size does not divide in.
func NewQQLinear(in, out int, s mlx.Scheme) *QQLinear {
	k := 1 / math.Sqrt(float64(in))
	return newQQLinear(random.Uniform(-k, k, mlx.Shape{out, in}), s)
}

func newQQLinear(weight *mlx.Array, s mlx.Scheme) *QQLinear {
	const op = "nn.QQLinear"
	s, err := s.Resolve()
	if err != nil {
		tensor.Throw(op, nil, "%v", err)
	}
	if s.Mode != quant.NVFP4 && s.Mode != quant.MXFP8 {
		tensor.Throw(op, nil, "mode %s; only nvfp4 and mxfp8 quantize both sides", s.Mode)
	}
	if in := weight.Dim(1); in%s.GroupSize != 0 {
		tensor.Throw(op, nil, "groups of %d do not divide an input of %d", s.GroupSize, in)
	}
	return &QQLinear{Weight: weight, Scheme: s}
}

// quantizedInput is l with quantized input.
func quantizedInput(l Quantizable, s mlx.Scheme) Layer {
	linear, ok := l.(*Linear)
	if !ok || linear.Bias != nil {
		tensor.Throw("nn.QQLinear", nil, "only a Linear without bias can quantize its input; leave others out by a Predicate")
	}
	q := newQQLinear(linear.Weight, s)
	q.setTraining(false)
	return q
}

// dims are the sizes of input and output.
func (l *QQLinear) dims() (in, out int) {
	out, in = l.Weight.Dims2()
	if l.Scales != nil {
		in = l.Scales.Dim(1) * l.Scheme.GroupSize
	}
	return in, out
}

func (l *QQLinear) setTraining(training bool) {
	l.Training = training
	switch {
	case training && l.Scales != nil:
		l.Weight = mlx.Dequantize(l.quantized(), mlx.Float32)
		l.Scales = nil
	case !training && l.Scales == nil:
		q := mlx.Quantize(l.Weight, l.Scheme)
		l.Weight, l.Scales = q.Weight, q.Scales
	}
}

func (l *QQLinear) quantized() mlx.Quantized {
	return mlx.Quantized{Weight: l.Weight, Scales: l.Scales, Scheme: l.Scheme}
}

// Forward is [..., in] to [..., out].
func (l *QQLinear) Forward(x *mlx.Array) *mlx.Array {
	if l.Scales != nil {
		return mlx.QQMM(x, l.quantized())
	}
	const op = "nn.QQLinear"
	rounded := func(a *mlx.Array) *mlx.Array { return quant.RoundedOf(op, a, l.Scheme, mlx.Stream{}) }
	return rounded(x).MatMul(rounded(l.Weight).T()).AsType(x.DType())
}
