package nn

import (
	"math"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/linalg"
	"github.com/mlxgo/mlx/random"
)

// Init makes a new array of the shape and dtype of its argument:
//
//	l.Weight = nn.InitHeUniform(1, false)(l.Weight)
//
// Random ones draw from package random's generator.
type Init func(like *mlx.Array) *mlx.Array

// InitConstant is nn.init.constant(v).
func InitConstant(v float64) Init {
	return func(like *mlx.Array) *mlx.Array { return mlx.Full(like.Shape(), v, like.DType()) }
}

// InitNormal is nn.init.normal(mean, std).
func InitNormal(mean, std float64) Init {
	return func(like *mlx.Array) *mlx.Array {
		return random.Normal(like.Shape(), like.DType(), random.Loc(mean), random.Scale(std))
	}
}

// InitUniform is nn.init.uniform(low, high).
func InitUniform(low, high float64) Init {
	return func(like *mlx.Array) *mlx.Array { return random.Uniform(low, high, like.Shape(), like.DType()) }
}

// InitIdentity is nn.init.identity(), of square matrices.
func InitIdentity() Init {
	return func(like *mlx.Array) *mlx.Array {
		if s := like.Shape(); len(s) != 2 || s[0] != s[1] {
			tensor.Throw("nn.init.identity", []mlx.Spec{tensor.SpecOf(like)}, "shape %v is not that of a square matrix", s)
		}
		return mlx.Eye(like.Dim(0), like.Dim(0), 0, like.DType())
	}
}

// fans are the number of inputs and of outputs of a weight [out, middle..., in].
func fans(like *mlx.Array) (in, out float64) {
	s := like.Shape()
	if len(s) < 2 {
		tensor.Throw("nn.init", []mlx.Spec{tensor.SpecOf(like)}, "needs at least two axes")
	}
	middle := s[1 : len(s)-1].Size()
	return float64(s[len(s)-1] * middle), float64(s[0] * middle)
}

// InitGlorotNormal is nn.init.glorot_normal: deviation gain*sqrt(2/(in+out)); MLX's
// default gain is 1.
func InitGlorotNormal(gain float64) Init {
	return func(like *mlx.Array) *mlx.Array {
		in, out := fans(like)
		return InitNormal(0, gain*math.Sqrt(2/(in+out)))(like)
	}
}

// InitGlorotUniform is nn.init.glorot_uniform: within ±gain*sqrt(6/(in+out)).
func InitGlorotUniform(gain float64) Init {
	return func(like *mlx.Array) *mlx.Array {
		in, out := fans(like)
		k := gain * math.Sqrt(6/(in+out))
		return InitUniform(-k, k)(like)
	}
}

func fan(like *mlx.Array, fanOut bool) float64 {
	in, out := fans(like)
	if fanOut {
		return out
	}
	return in
}

// InitHeNormal is nn.init.he_normal: deviation gain/sqrt(fan), by fan_in unless fanOut.
func InitHeNormal(gain float64, fanOut bool) Init {
	return func(like *mlx.Array) *mlx.Array { return InitNormal(0, gain/math.Sqrt(fan(like, fanOut)))(like) }
}

// InitHeUniform is nn.init.he_uniform: within ±gain*sqrt(3/fan).
func InitHeUniform(gain float64, fanOut bool) Init {
	return func(like *mlx.Array) *mlx.Array {
		k := gain * math.Sqrt(3/fan(like, fanOut))
		return InitUniform(-k, k)(like)
	}
}

// InitSparse is nn.init.sparse: normal, and in each row this part of the elements is 0.
func InitSparse(sparsity, mean, std float64) Init {
	return func(like *mlx.Array) *mlx.Array {
		s := like.Shape()
		if len(s) != 2 {
			tensor.Throw("nn.init.sparse", []mlx.Spec{tensor.SpecOf(like)}, "needs a matrix")
		}
		zeros := int(math.Ceil(sparsity * float64(s[1])))
		order := mlx.ArgSort(random.Uniform(0, 1, s), mlx.Axis(1))
		a := random.Normal(s, random.Loc(mean), random.Scale(std)).AsType(like.DType())
		at := mlx.Split(order, []int{zeros}, mlx.Axis(1))[0]
		return mlx.PutAlongAxis(a, at, mlx.Zeros(mlx.Shape{1, 1}, like.DType()), 1)
	}
}

// InitOrthogonal is nn.init.orthogonal: a matrix with orthonormal rows or columns times
// gain, from the QR decomposition of a normal one.
func InitOrthogonal(gain float64) Init {
	return func(like *mlx.Array) *mlx.Array {
		s := like.Shape()
		if len(s) != 2 {
			tensor.Throw("nn.init.orthogonal", []mlx.Spec{tensor.SpecOf(like)}, "needs a matrix")
		}
		n := max(s[0], s[1])
		q, r := linalg.QR(random.Normal(mlx.Shape{n, n}))
		q = q.Mul(mlx.Sign(mlx.Diagonal(r, 0, 0, 1))) // one of many q: that of a positive diagonal
		return q.Index(mlx.To(s[0]), mlx.To(s[1])).Mul(gain).AsType(like.DType())
	}
}
