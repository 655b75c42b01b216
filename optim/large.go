package optim

import (
	"math"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/tensor"
)

type muon struct{ options }

// Muon is optim.Muon(lr), momentum 0.95, weight decay 0.01, Nesterov, 5 steps: the
// momentum of a matrix is made nearly orthogonal by a Newton-Schulz iteration. Arrays
// of more axes are matrices of their first one; of fewer, plain momentum.
func Muon[R Rate](lr R, opts ...MuonOption) *Optimizer {
	o := options{momentum: 0.95, decay: 0.01, nesterov: true, steps: 5}
	for _, f := range opts {
		f.muon(&o)
	}
	return New(lr, muon{o})
}

func (muon) Init(p *mlx.Array) state { return state{"v": zeros(p)} }

func (r muon) Apply(g, p, lr, _ *mlx.Array, s state) *mlx.Array {
	if r.decay != 0 {
		g = g.Add(p.Mul(r.decay))
	}
	v := mean(r.momentum, s["v"], g)
	s["v"] = v
	update := v
	if r.nesterov {
		update = g.Mul(1 - r.momentum).Add(v.Mul(r.momentum))
	}
	if p.NDim() >= 2 {
		shape := update.Shape()
		update = r.orthogonal(update.Reshape(shape[0], -1))
		rows, cols := update.Dims2()
		update = update.Reshape(shape...)
		lr = lr.Mul(math.Sqrt(max(1, float64(rows)/float64(cols))))
	}
	return p.Sub(lr.Mul(update))
}

// orthogonal is the Newton-Schulz iteration of fifth order on a matrix.
func (r muon) orthogonal(x *mlx.Array) *mlx.Array {
	const a, b, c = 3.4445, -4.7750, 2.0315
	tall := x.Dim(0) > x.Dim(1)
	if tall {
		x = x.T()
	}
	x = x.Div(mlx.Sqrt(mlx.Sum(mlx.Square(x))).Add(1e-7))
	for range r.steps {
		xx := x.MatMul(x.T())
		y := xx.Mul(b).Add(xx.MatMul(xx).Mul(c))
		x = x.Mul(a).Add(y.MatMul(x))
	}
	if tall {
		x = x.T()
	}
	return x
}

// AdafactorConfig has the keywords of optim.Adafactor; zero fields are MLX's defaults.
type AdafactorConfig struct {
	LearningRate       Schedule   // nil: relative to the step
	Eps                [2]float64 // 1e-30 and 1e-3
	ClipThreshold      float64    // 1
	DecayRate          float64    // -0.8
	Beta1, WeightDecay float64
	NoScaleParameter   bool // scale_parameter=False
	NoRelativeStep     bool // relative_step=False
	WarmupInit         bool
}

// Adafactor is optim.Adafactor(...): second moments of matrices are kept by row and
// column.
func Adafactor(c AdafactorConfig) *Optimizer {
	if c.Eps == [2]float64{} {
		c.Eps = [2]float64{1e-30, 1e-3}
	}
	if c.ClipThreshold == 0 {
		c.ClipThreshold = 1
	}
	if c.DecayRate == 0 {
		c.DecayRate = -0.8
	}
	if c.NoRelativeStep && c.LearningRate == nil {
		tensor.Throw("optim.Adafactor", nil, "NoRelativeStep needs a LearningRate")
	}
	lr := c.LearningRate
	if lr == nil {
		lr = Constant(0)
	}
	return New(lr, adafactor{c})
}

type adafactor struct{ AdafactorConfig }

func (r adafactor) Init(p *mlx.Array) state {
	s := state{}
	if sh := p.Shape(); len(sh) >= 2 {
		n := len(sh)
		col := append(append(mlx.Shape{}, sh[:n-2]...), sh[n-1])
		s["exp_avg_sq_row"] = mlx.Zeros(sh[:n-1], p.DType())
		s["exp_avg_sq_col"] = mlx.Zeros(col, p.DType())
	} else {
		s["exp_avg_sq"] = zeros(p)
	}
	if r.Beta1 != 0 {
		s["exp_avg"] = zeros(p)
	}
	return s
}

func rms(x *mlx.Array) *mlx.Array { return mlx.Sqrt(mlx.Mean(mlx.Square(x))) }

// rate is the learning rate of a parameter.
func (r adafactor) rate(p, lr, step *mlx.Array) *mlx.Array {
	if !r.NoRelativeStep {
		low := mlx.NewArray(float32(1e-2))
		if r.WarmupInit {
			low = step.Mul(1e-6)
		}
		lr = mlx.Minimum(low, mlx.Rsqrt(step))
	}
	lr = lr.AsType(p.DType())
	if r.NoScaleParameter {
		return lr
	}
	return mlx.Maximum(r.Eps[1], rms(p)).Mul(lr)
}

func (r adafactor) Apply(g, p, lr, step *mlx.Array, s state) *mlx.Array {
	lr = r.rate(p, lr, step)
	beta2 := mlx.Subtract(1, step.Pow(r.DecayRate)).AsType(g.DType())
	running := func(name string, now *mlx.Array) *mlx.Array {
		s[name] = beta2.Mul(s[name]).Add(mlx.Subtract(1, beta2).Mul(now))
		return s[name]
	}
	square := mlx.Square(g).Add(r.Eps[0])
	var update *mlx.Array
	if g.NDim() >= 2 {
		row := running("exp_avg_sq_row", mlx.Mean(square, mlx.Axis(-1)))
		col := running("exp_avg_sq_col", mlx.Mean(square, mlx.Axis(-2)))
		row = mlx.Rsqrt(row.Div(mlx.Mean(row, mlx.Axis(-1), mlx.KeepDims(true))))
		update = row.ExpandDims(-1).MatMul(mlx.Rsqrt(col).ExpandDims(-2)).Mul(g)
	} else {
		update = mlx.Rsqrt(running("exp_avg_sq", square)).Mul(g)
	}
	update = update.Div(mlx.Maximum(1, rms(update).Div(r.ClipThreshold)))
	update = lr.Mul(update)
	if r.Beta1 != 0 {
		update = mean(r.Beta1, s["exp_avg"], update)
		s["exp_avg"] = update
	}
	if r.WeightDecay != 0 {
		p = p.Add(p.Mul(lr.Mul(-r.WeightDecay)))
	}
	return p.Sub(update)
}
