package compile

import (
	"math"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// scale turns divisions by a constant power of two into products with its inverse,
// which is the same number for every dividend and cheaper.
func scale(g *Graph) error {
	def := map[int]Node{}
	nodes := make([]Node, 0, len(g.Nodes))
	for _, n := range g.Nodes {
		if n.Prim == (tensor.Binary{Op: tensor.OpDivide}) {
			if add, inverse, ok := g.inverse(def, n.In[1]); ok {
				nodes = append(nodes, add...)
				n = Node{Prim: tensor.Binary{Op: tensor.OpMultiply}, In: []int{n.In[0], inverse}, Out: n.Out}
			}
		}
		for _, id := range n.Out {
			def[id] = n
		}
		nodes = append(nodes, n)
	}
	g.Nodes = nodes
	return nil
}

// inverse gives nodes that make 1/value where value is a constant power of two, or one
// that is repeated.
func (g *Graph) inverse(def map[int]Node, value int) (add []Node, inverse int, ok bool) {
	n := def[value]
	var repeat *Node
	if b, is := n.Prim.(tensor.Broadcast); is {
		repeat = &Node{Prim: b}
		n = def[n.In[0]]
	}
	c, is := n.Prim.(tensor.Const)
	if !is {
		return nil, 0, false
	}
	inv, ok := invertConst(c)
	if !ok {
		return nil, 0, false
	}
	inverse = g.value(tensor.Spec{DType: inv.DType})
	add = []Node{{Prim: inv, Out: []int{inverse}}}
	if repeat != nil {
		repeat.In = []int{inverse}
		inverse = g.value(g.Values[value].Spec)
		repeat.Out = []int{inverse}
		add = append(add, *repeat)
	}
	return add, inverse, true
}

// invertConst is 1/c if c is a power of two not far from 1, so that the inverse is exact.
func invertConst(c tensor.Const) (tensor.Const, bool) {
	switch c.DType {
	case dtype.Float32:
		f, ok := invertPower(float64(math.Float32frombits(uint32(c.Bits))))
		return tensor.Const{DType: c.DType, Bits: uint64(math.Float32bits(float32(f)))}, ok
	case dtype.Float64:
		f, ok := invertPower(math.Float64frombits(c.Bits))
		return tensor.Const{DType: c.DType, Bits: math.Float64bits(f)}, ok
	case dtype.Float16:
		f, ok := invertPower(float64(dtype.F16ToF32(uint16(c.Bits))))
		return tensor.Const{DType: c.DType, Bits: uint64(dtype.F32ToF16(float32(f)))}, ok
	case dtype.BFloat16:
		f, ok := invertPower(float64(dtype.BF16ToF32(uint16(c.Bits))))
		return tensor.Const{DType: c.DType, Bits: uint64(dtype.F32ToBF16(float32(f)))}, ok
	}
	return tensor.Const{}, false
}

func invertPower(f float64) (float64, bool) {
	mantissa, exponent := math.Frexp(f)
	return 1 / f, math.Abs(mantissa) == 0.5 && exponent > -10 && exponent < 12
}
