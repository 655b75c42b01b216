// Package linalg is mx.linalg. It works on the matrices of the last two axes; leading axes are
// a batch.
//
//	x := linalg.Solve(a, b)
//	u, s, vt := linalg.SVD(a)
//	n := linalg.Norm(x, linalg.Ord(1), mlx.Axis(-1))
//
// Decompositions take float32 and float64, compute in float64, and run on the CPU whatever the
// device: MLX asks for stream=mx.cpu. Signs and orders are those of LAPACK. A matrix that has no
// answer (a singular one for [Inv]; NaN for [SVD]) is an error of mlx.Eval.
//
// As in MLX, [SVD], [Eigh], [Eig] and [Norm] take complex64, too.
//
// MLX has gradients of [Norm], [Cross] and small determinants alone; here all have them. Where
// singular values or eigenvalues are equal, the vectors are a matter of choice: a function that
// depends on that choice has no gradient, and others have the right one. The gradient of
// [Cholesky], [Eigh] and [EighVals], which read one triangle, is the symmetric one.
package linalg

import (
	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/opt"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/internal/tensor/linalg"
)

// Option is [Ord], [OrdName], mlx.Axis, mlx.Axes, mlx.KeepDims or a stream.
type Option = opt.Linalg

// Ord is ord= as a number; math.Inf(1) is the maximum norm.
type Ord float64

// OrdName is ord= as a name: "fro" or "nuc".
type OrdName string

// ForLinalg makes it the argument ord=.
func (o Ord) ForLinalg(s *opt.Set) { s.SetOrd(float64(o)) }

// ForLinalg makes it the argument ord=.
func (o OrdName) ForLinalg(s *opt.Set) { s.SetOrd(string(o)) }

// one applies a primitive with one result.
func one(p tensor.Primitive, a *mlx.Array, opts []mlx.StreamOrDevice) *mlx.Array {
	return tensor.Apply1(p, tensor.OnlyStream(p.Name(), opts), a)
}

// several applies one with several.
func several(p tensor.Primitive, a *mlx.Array, opts []mlx.StreamOrDevice) []*mlx.Array {
	return tensor.Apply(p, tensor.OnlyStream(p.Name(), opts), a)
}

// Norm is mx.linalg.norm(a, ord, axis, keepdims): without an [Ord] the Euclidean norm of all
// elements, or along the axes given, which are one or two. Of a vector the orders are any
// numbers: 0 counts what is not 0, infinities are the largest and smallest size. Of a matrix they
// are "fro", the root of the sum of squares; "nuc", the sum of the singular values; 2 and -2, the
// largest and smallest of them; 1 and -1, the largest and smallest sum of a column; infinities,
// of a row. The norm is float32 for integers and complex numbers. At 0 its gradient is NaN.
func Norm(a *mlx.Array, opts ...Option) *mlx.Array {
	var set opt.Set
	for _, o := range opts {
		o.ForLinalg(&set)
	}
	s := tensor.OneStream("norm", &set)
	p := linalg.Norm{Ord: set.Ord, Keep: set.KeepDims}
	if set.HasAxes {
		p.Axes = append([]int{}, set.Axes...)
	}
	return p.Of(a, s)
}

// QR is mx.linalg.qr: a [M, N] = q [M, K] @ r [K, N] with orthonormal columns and an upper
// triangle, K = min(M, N). It has a gradient where the first K columns are independent.
func QR(a *mlx.Array, opts ...mlx.StreamOrDevice) (q, r *mlx.Array) {
	out := several(linalg.QR{}, a, opts)
	return out[0], out[1]
}

// SVD is mx.linalg.svd: a [M, N] = u[:, :K] @ diag(s) @ vt[:K], where u is [M, M], s is [K] and
// descends, vt is [N, N], K = min(M, N). Of complex64 vt is the conjugate transpose of v, and s is
// float32.
func SVD(a *mlx.Array, opts ...mlx.StreamOrDevice) (u, s, vt *mlx.Array) {
	out := several(linalg.SVD{Vectors: true}, a, opts)
	return out[0], out[1], out[2]
}

// SVDVals is mx.linalg.svd(a, compute_uv=False): the singular values.
func SVDVals(a *mlx.Array, opts ...mlx.StreamOrDevice) *mlx.Array { return one(linalg.SVD{}, a, opts) }

// Inv is mx.linalg.inv, of square matrices.
func Inv(a *mlx.Array, opts ...mlx.StreamOrDevice) *mlx.Array { return one(linalg.Inverse{}, a, opts) }

// TriInv is mx.linalg.tri_inv: the inverse of the upper or lower triangle.
func TriInv(a *mlx.Array, upper bool, opts ...mlx.StreamOrDevice) *mlx.Array {
	return one(linalg.TriangularInverse{Upper: upper}, a, opts)
}

// Cholesky is mx.linalg.cholesky: l with a = l @ l.T, or u with a = u.T @ u if upper, of
// symmetric positive definite matrices; it reads that triangle of a. As in MLX the factor of
// another matrix is no error and means nothing.
func Cholesky(a *mlx.Array, upper bool, opts ...mlx.StreamOrDevice) *mlx.Array {
	return one(linalg.Cholesky{Upper: upper}, a, opts)
}

// CholeskyInv is mx.linalg.cholesky_inv: the inverse of the matrix whose factor is a.
func CholeskyInv(a *mlx.Array, upper bool, opts ...mlx.StreamOrDevice) *mlx.Array {
	return linalg.CholeskyInvOf(a, upper, tensor.OnlyStream("cholesky_inv", opts))
}

// PInv is mx.linalg.pinv: the pseudo-inverse [N, M] of a [M, N]. Singular values of at most
// 10 * max(M, N) * eps of the largest are 0. It has a gradient where a small change keeps the rank.
func PInv(a *mlx.Array, opts ...mlx.StreamOrDevice) *mlx.Array {
	return one(linalg.PseudoInverse{}, a, opts)
}

// Cross is mx.linalg.cross: the product of vectors of 3 elements, or 2 with the third 0, along
// the last axis unless one is given. The other axes broadcast.
func Cross(a, b *mlx.Array, opts ...mlx.AxisOption) *mlx.Array {
	var set opt.Set
	for _, o := range opts {
		o.ForAxis(&set)
	}
	s, axis := tensor.OneStream("cross", &set), -1
	if set.HasAxes {
		if len(set.Axes) != 1 {
			tensor.Throw("cross", nil, "takes one axis, not %d", len(set.Axes))
		}
		axis = set.Axes[0]
	}
	return linalg.CrossOf(a, b, axis, s)
}

// Eig is mx.linalg.eig: eigenvalues [N] and, as columns, unit eigenvectors [N, N] of a square
// matrix, complex64.
func Eig(a *mlx.Array, opts ...mlx.StreamOrDevice) (values, vectors *mlx.Array) {
	out := several(linalg.Eig{Vectors: true}, a, opts)
	return out[0], out[1]
}

// EigVals is mx.linalg.eigvals: the eigenvalues [N], complex64.
func EigVals(a *mlx.Array, opts ...mlx.StreamOrDevice) *mlx.Array { return one(linalg.Eig{}, a, opts) }

// Eigh is mx.linalg.eigh: the ascending eigenvalues [N] and, as columns, the eigenvectors [N, N]
// of a symmetric or, in complex64, Hermitian matrix, of which it reads the upper or the lower
// triangle: MLX's UPLO, "L" by default. Values are real.
func Eigh(a *mlx.Array, upper bool, opts ...mlx.StreamOrDevice) (values, vectors *mlx.Array) {
	out := several(linalg.Eigh{Upper: upper, Vectors: true}, a, opts)
	return out[0], out[1]
}

// EighVals is mx.linalg.eigvalsh: the values of [Eigh].
func EighVals(a *mlx.Array, upper bool, opts ...mlx.StreamOrDevice) *mlx.Array {
	return one(linalg.Eigh{Upper: upper}, a, opts)
}

// LU is mx.linalg.lu of a [M, N]: l [M, K] with a diagonal of ones, u [K, N], and the rows p,
// uint32 [M]: row i of a is row p[i] of l @ u.
func LU(a *mlx.Array, opts ...mlx.StreamOrDevice) (p, l, u *mlx.Array) {
	return linalg.LUOf(a, tensor.OnlyStream("lu", opts))
}

// LUFactor is mx.linalg.lu_factor: u and, below the diagonal, l in one matrix; and the row with
// which each row was exchanged in turn, uint32 [K].
func LUFactor(a *mlx.Array, opts ...mlx.StreamOrDevice) (lu, pivots *mlx.Array) {
	out := several(linalg.LU{}, a, opts)
	return out[0], out[1]
}

// Solve is mx.linalg.solve: x with a @ x = b, for a [N, N] and b [N, K] or, with one axis, [N].
// Batches broadcast.
func Solve(a, b *mlx.Array, opts ...mlx.StreamOrDevice) *mlx.Array {
	return linalg.SolveOf(a, b, tensor.OnlyStream("solve", opts))
}

// SolveTriangular is mx.linalg.solve_triangular: the same where the upper or lower triangle of a
// counts.
func SolveTriangular(a, b *mlx.Array, upper bool, opts ...mlx.StreamOrDevice) *mlx.Array {
	return linalg.SolveTriangularOf(a, b, upper, tensor.OnlyStream("solve_triangular", opts))
}

// Det is mx.linalg.det. Integers give float32. Of more than 3 rows a singular matrix has no
// gradient: Eval says so.
func Det(a *mlx.Array, opts ...mlx.StreamOrDevice) *mlx.Array {
	return linalg.DetOf(a, tensor.OnlyStream("det", opts))
}

// SLogDet is mx.linalg.slogdet: the sign of the determinant, 0 of a singular matrix, and the
// logarithm of its size.
func SLogDet(a *mlx.Array, opts ...mlx.StreamOrDevice) (sign, logAbs *mlx.Array) {
	return linalg.SLogDetOf(a, tensor.OnlyStream("slogdet", opts))
}
