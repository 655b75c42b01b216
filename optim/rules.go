package optim

import (
	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/tensor"
)

type state = map[string]*mlx.Array

func zeros(p *mlx.Array) *mlx.Array { return tensor.ZerosLike(p, mlx.Stream{}) }

// mean is the running mean beta*old + (1-beta)*new.
func mean(beta float64, old, now *mlx.Array) *mlx.Array {
	return old.Mul(beta).Add(now.Mul(1 - beta))
}

// unknown refuses options that a rule has not, though its family takes them.
func unknown(rule, option string, given bool) {
	if given {
		tensor.Throw("optim."+rule, nil, "there is no option %s", option)
	}
}

type sgd struct{ options }

// SGD is optim.SGD(lr): v = momentum*v + (1-dampening)*g; p - lr*v.
func SGD[R Rate](lr R, opts ...SGDOption) *Optimizer {
	var o options
	for _, f := range opts {
		f.sgd(&o)
	}
	if o.nesterov && (o.momentum <= 0 || o.dampening != 0) {
		tensor.Throw("optim.SGD", nil, "Nesterov needs Momentum and no Dampening")
	}
	return New(lr, sgd{o})
}

func (r sgd) Init(p *mlx.Array) state {
	if r.momentum <= 0 {
		return state{}
	}
	return state{"v": zeros(p)}
}

func (r sgd) Apply(g, p, lr, _ *mlx.Array, s state) *mlx.Array {
	if r.decay != 0 {
		g = g.Add(p.Mul(r.decay))
	}
	if r.momentum <= 0 {
		return p.Sub(lr.Mul(g))
	}
	v := s["v"].Mul(r.momentum)
	if r.dampening > 0 {
		v = v.Add(g.Mul(1 - r.dampening))
	} else {
		v = v.Add(g)
	}
	s["v"] = v
	if r.nesterov {
		v = g.Add(v.Mul(r.momentum))
	}
	return p.Sub(lr.Mul(v))
}

func rmsOptions(alpha, eps float64, opts []RMSOption) options {
	o := options{alpha: alpha, eps: eps}
	for _, f := range opts {
		f.rms(&o)
	}
	return o
}

type rmsProp struct{ options }

// RMSProp is optim.RMSprop(lr), alpha 0.99, eps 1e-8: v is the running mean of g*g;
// p - lr*g/(sqrt(v)+eps).
func RMSProp[R Rate](lr R, opts ...RMSOption) *Optimizer {
	return New(lr, rmsProp{rmsOptions(0.99, 1e-8, opts)})
}

func (rmsProp) Init(p *mlx.Array) state { return state{"v": zeros(p)} }

func (r rmsProp) Apply(g, p, lr, _ *mlx.Array, s state) *mlx.Array {
	s["v"] = mean(r.alpha, s["v"], mlx.Square(g))
	return p.Sub(lr.Mul(g).Div(mlx.Sqrt(s["v"]).Add(r.eps)))
}

type adagrad struct{ options }

// Adagrad is optim.Adagrad(lr), eps 1e-8: v is the sum of g*g; p - lr*g/(sqrt(v)+eps).
func Adagrad[R Rate](lr R, opts ...RMSOption) *Optimizer {
	for _, f := range opts {
		_, ok := f.(Eps)
		unknown("Adagrad", "Alpha or Rho", !ok)
	}
	return New(lr, adagrad{rmsOptions(0, 1e-8, opts)})
}

func (adagrad) Init(p *mlx.Array) state { return state{"v": zeros(p)} }

func (r adagrad) Apply(g, p, lr, _ *mlx.Array, s state) *mlx.Array {
	s["v"] = s["v"].Add(mlx.Square(g))
	return p.Sub(lr.Mul(g).Div(mlx.Sqrt(s["v"]).Add(r.eps)))
}

type adaDelta struct{ options }

// AdaDelta is optim.AdaDelta(lr), rho 0.9, eps 1e-6: d = sqrt(u+eps)/sqrt(v+eps)*g with
// the running means v of g*g and u of d*d; p - lr*d.
func AdaDelta[R Rate](lr R, opts ...RMSOption) *Optimizer {
	return New(lr, adaDelta{rmsOptions(0.9, 1e-6, opts)})
}

func (adaDelta) Init(p *mlx.Array) state { return state{"v": zeros(p), "u": zeros(p)} }

func (r adaDelta) Apply(g, p, lr, _ *mlx.Array, s state) *mlx.Array {
	s["v"] = mean(r.alpha, s["v"], mlx.Square(g))
	d := mlx.Sqrt(s["u"].Add(r.eps)).Div(mlx.Sqrt(s["v"].Add(r.eps))).Mul(g)
	s["u"] = mean(r.alpha, s["u"], mlx.Square(d))
	return p.Sub(lr.Mul(d))
}

func adamOptions(o options, opts []AdamOption) options {
	for _, f := range opts {
		f.adam(&o)
	}
	return o
}

type adam struct{ options }

// Adam is optim.Adam(lr), betas 0.9 and 0.999, eps 1e-8; without bias correction unless
// asked for, as in MLX: m and v are the running means of g and g*g;
// p - lr*m/(sqrt(v)+eps).
func Adam[R Rate](lr R, opts ...AdamOption) *Optimizer {
	o := adamOptions(options{betas: [2]float64{0.9, 0.999}, eps: 1e-8}, opts)
	unknown("Adam", "WeightDecay; AdamW has it", o.decay != 0)
	return New(lr, adam{o})
}

// AdamW is optim.AdamW(lr), weight decay 0.01: Adam of p*(1 - lr*decay).
func AdamW[R Rate](lr R, opts ...AdamOption) *Optimizer {
	return New(lr, adam{adamOptions(options{betas: [2]float64{0.9, 0.999}, eps: 1e-8, decay: 0.01}, opts)})
}

func (adam) Init(p *mlx.Array) state { return state{"m": zeros(p), "v": zeros(p)} }

func (r adam) Apply(g, p, lr, step *mlx.Array, s state) *mlx.Array {
	if r.decay != 0 {
		p = p.Mul(mlx.Subtract(1, lr.Mul(r.decay)))
	}
	m, v := mean(r.betas[0], s["m"], g), mean(r.betas[1], s["v"], mlx.Square(g))
	s["m"], s["v"] = m, v
	if !r.correct {
		return p.Sub(lr.Mul(m).Div(mlx.Sqrt(v).Add(r.eps)))
	}
	c1 := lr.Div(mlx.Subtract(1, mlx.Power(r.betas[0], step))).AsType(g.DType())
	c2 := mlx.Rsqrt(mlx.Subtract(1, mlx.Power(r.betas[1], step))).AsType(g.DType())
	return p.Sub(c1.Mul(m).Div(mlx.Sqrt(v).Mul(c2).Add(r.eps)))
}

type adamax struct{ options }

// Adamax is optim.Adamax(lr), betas 0.9 and 0.999, eps 1e-8: v = max(beta2*v, |g|);
// p - lr*m/(v+eps).
func Adamax[R Rate](lr R, opts ...AdamOption) *Optimizer {
	o := adamOptions(options{betas: [2]float64{0.9, 0.999}, eps: 1e-8}, opts)
	unknown("Adamax", "WeightDecay or BiasCorrection", o.decay != 0 || o.correct)
	return New(lr, adamax{o})
}

func (adamax) Init(p *mlx.Array) state { return state{"m": zeros(p), "v": zeros(p)} }

func (r adamax) Apply(g, p, lr, _ *mlx.Array, s state) *mlx.Array {
	s["m"] = mean(r.betas[0], s["m"], g)
	s["v"] = mlx.Maximum(s["v"].Mul(r.betas[1]), mlx.Abs(g))
	return p.Sub(lr.Mul(s["m"]).Div(s["v"].Add(r.eps)))
}

type lion struct{ options }

// Lion is optim.Lion(lr), betas 0.9 and 0.99: p*(1 - lr*decay) - lr*sign(c), where c and
// the state m are running means of g with the one and the other beta.
func Lion[R Rate](lr R, opts ...AdamOption) *Optimizer {
	o := adamOptions(options{betas: [2]float64{0.9, 0.99}}, opts)
	unknown("Lion", "Eps or BiasCorrection", o.eps != 0 || o.correct)
	return New(lr, lion{o})
}

func (lion) Init(p *mlx.Array) state { return state{"m": zeros(p)} }

func (r lion) Apply(g, p, lr, _ *mlx.Array, s state) *mlx.Array {
	c := mean(r.betas[0], s["m"], g)
	s["m"] = mean(r.betas[1], s["m"], g)
	if r.decay > 0 {
		p = p.Mul(mlx.Subtract(1, lr.Mul(r.decay)))
	}
	return p.Sub(lr.Mul(mlx.Sign(c)))
}
