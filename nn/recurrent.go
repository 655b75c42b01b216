package nn

import (
	"math"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/random"
)

// Inputs of recurrent layers are [..., T, in]: the last axis but one is time.

// recurrentWeights draws from ±1/sqrt(hidden).
func recurrentWeights(hidden int) func(shape ...int) *mlx.Array {
	k := 1 / math.Sqrt(float64(hidden))
	return func(shape ...int) *mlx.Array { return random.Uniform(-k, k, shape) }
}

func wantsBias(opts []LinearOption) bool {
	s := settings{bias: true}
	for _, o := range opts {
		o.linear(&s)
	}
	return s.bias
}

// times gives the parts of x at each time, without the axis.
func times(x *mlx.Array) mlx.Arrays { return mlx.Unstack(x, mlx.Axis(-2)) }

// RNN is nn.RNN, with tanh unless Nonlinearity is set.
type RNN struct {
	Wxh          *mlx.Array `mlx:"Wxh"` // [hidden, in]
	Whh          *mlx.Array `mlx:"Whh"` // [hidden, hidden]
	Bias         *mlx.Array // [hidden] or nil
	Nonlinearity Func       `mlx:"-"`
}

// NewRNN is nn.RNN(in, hidden).
func NewRNN(in, hidden int, opts ...LinearOption) *RNN {
	w := recurrentWeights(hidden)
	r := &RNN{Wxh: w(hidden, in), Whh: w(hidden, hidden)}
	if wantsBias(opts) {
		r.Bias = w(hidden)
	}
	return r
}

// Step is rnn(x, hidden): all hidden states [..., T, hidden]; hidden may be nil.
func (r *RNN) Step(x, hidden *mlx.Array) *mlx.Array {
	f := r.Nonlinearity
	if f == nil {
		f = mlxTanh
	}
	var all mlx.Arrays
	for _, now := range times(addBias(x.MatMul(r.Wxh.T()), r.Bias)) {
		if hidden != nil {
			now = now.Add(hidden.MatMul(r.Whh.T()))
		}
		hidden = f(now)
		all = append(all, hidden)
	}
	return mlx.Stack(all, mlx.Axis(-2))
}

func mlxTanh(x *mlx.Array) *mlx.Array { return mlx.Tanh(x) }

// Forward is Step from zeros.
func (r *RNN) Forward(x *mlx.Array) *mlx.Array { return r.Step(x, nil) }

// GRU is nn.GRU; gates are in the order reset, update, new.
type GRU struct {
	Wx  *mlx.Array `mlx:"Wx"` // [3*hidden, in]
	Wh  *mlx.Array `mlx:"Wh"` // [3*hidden, hidden]
	B   *mlx.Array // [3*hidden] or nil
	Bhn *mlx.Array // [hidden] or nil: of the new gate's hidden part
}

// NewGRU is nn.GRU(in, hidden).
func NewGRU(in, hidden int, opts ...LinearOption) *GRU {
	w := recurrentWeights(hidden)
	g := &GRU{Wx: w(3*hidden, in), Wh: w(3*hidden, hidden)}
	if wantsBias(opts) {
		g.B, g.Bhn = w(3*hidden), w(hidden)
	}
	return g
}

// Step is gru(x, hidden): all hidden states [..., T, hidden]; hidden may be nil.
func (g *GRU) Step(x, hidden *mlx.Array) *mlx.Array {
	h := g.Wh.Dim(1)
	parts := func(a *mlx.Array) (rz, n *mlx.Array) {
		p := mlx.Split(a, []int{2 * h}, mlx.Axis(-1))
		return p[0], p[1]
	}
	var all mlx.Arrays
	for _, now := range times(addBias(x.MatMul(g.Wx.T()), g.B)) {
		rz, n := parts(now)
		hn := g.Bhn // that of a hidden state of zeros
		if hidden != nil {
			var hrz *mlx.Array
			hrz, hn = parts(hidden.MatMul(g.Wh.T()))
			rz, hn = rz.Add(hrz), addBias(hn, g.Bhn)
		}
		gates := mlx.Split(mlx.Sigmoid(rz), 2, mlx.Axis(-1))
		reset, update := gates[0], gates[1]
		if hn != nil {
			n = n.Add(reset.Mul(hn))
		}
		now = mlx.Subtract(1, update).Mul(mlx.Tanh(n))
		if hidden != nil {
			now = now.Add(update.Mul(hidden))
		}
		hidden = now
		all = append(all, hidden)
	}
	return mlx.Stack(all, mlx.Axis(-2))
}

// Forward is Step from zeros.
func (g *GRU) Forward(x *mlx.Array) *mlx.Array { return g.Step(x, nil) }

// LSTM is nn.LSTM; gates are in the order input, forget, cell, output.
type LSTM struct {
	Wx   *mlx.Array `mlx:"Wx"` // [4*hidden, in]
	Wh   *mlx.Array `mlx:"Wh"` // [4*hidden, hidden]
	Bias *mlx.Array // [4*hidden] or nil
}

// NewLSTM is nn.LSTM(in, hidden).
func NewLSTM(in, hidden int, opts ...LinearOption) *LSTM {
	w := recurrentWeights(hidden)
	l := &LSTM{Wx: w(4*hidden, in), Wh: w(4*hidden, hidden)}
	if wantsBias(opts) {
		l.Bias = w(4 * hidden)
	}
	return l
}

// Step is lstm(x, hidden, cell): all hidden states and cells [..., T, hidden]; hidden
// and cell may be nil.
func (l *LSTM) Step(x, hidden, cell *mlx.Array) (h, c *mlx.Array) {
	var hs, cs mlx.Arrays
	for _, now := range times(addBias(x.MatMul(l.Wx.T()), l.Bias)) {
		if hidden != nil {
			now = now.Add(hidden.MatMul(l.Wh.T()))
		}
		g := mlx.Split(now, 4, mlx.Axis(-1))
		next := mlx.Sigmoid(g[0]).Mul(mlx.Tanh(g[2]))
		if cell != nil {
			next = mlx.Sigmoid(g[1]).Mul(cell).Add(next)
		}
		cell = next
		hidden = mlx.Sigmoid(g[3]).Mul(mlx.Tanh(cell))
		hs, cs = append(hs, hidden), append(cs, cell)
	}
	return mlx.Stack(hs, mlx.Axis(-2)), mlx.Stack(cs, mlx.Axis(-2))
}

// Forward is the hidden states of Step from zeros.
func (l *LSTM) Forward(x *mlx.Array) *mlx.Array {
	h, _ := l.Step(x, nil, nil)
	return h
}
