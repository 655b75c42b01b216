// Package linalg declares mx.linalg's primitives and what is made of them. Each works on
// the matrices of the last two axes; leading axes are a batch. The public package mlx/linalg
// adds keywords.
package linalg

import (
	"errors"
	"fmt"
	"slices"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

type (
	// Array, Spec, Shape and Stream are the graph's.
	Array  = tensor.Array
	Spec   = tensor.Spec
	Shape  = tensor.Shape
	Stream = tensor.Stream
)

// The primitives. M, N are the rows and columns of the input, K the smaller of them.
type (
	// QR is q [M,K] with orthonormal columns and r [K,N], upper triangular.
	QR struct{}
	// SVD is u [M,M], s [K] and vt [N,N], or s alone; also of complex matrices.
	SVD struct{ Vectors bool }
	// Inverse is the inverse.
	Inverse struct{}
	// TriangularInverse is the inverse of a triangle; the other one is not read, and 0.
	TriangularInverse struct{ Upper bool }
	// PseudoInverse is the Moore-Penrose inverse [N,M].
	PseudoInverse struct{}
	// Cholesky is the triangle whose product with its transpose is the input, of which
	// the same triangle is read.
	Cholesky struct{ Upper bool }
	// Eig is the eigenvalues [N] and vectors, as columns, or the values alone, complex64; also of
	// complex matrices.
	Eig struct{ Vectors bool }
	// Eigh is the same of a symmetric or Hermitian matrix, of which one triangle is read: real
	// values, which ascend.
	Eigh struct{ Upper, Vectors bool }
	// LU is both factors in one [M,N], the pivots uint32 [K], and rows uint32 [M]: row i of
	// the input is row rows[i] of L @ U.
	LU struct{}
	// Solve is x with a @ x = b, where b is [N,K] and has the batch of a.
	Solve struct{}
	// SolveTriangular is the same where one triangle of a counts.
	SolveTriangular struct{ Upper bool }
	// Determinant is itself or, as it is often too large for its dtype, its sign and the
	// logarithm of its size.
	Determinant struct{ Log bool }
)

// Name is the op's name.
func (QR) Name() string                { return "qr" }
func (SVD) Name() string               { return "svd" }
func (Inverse) Name() string           { return "inv" }
func (TriangularInverse) Name() string { return "tri_inv" }
func (PseudoInverse) Name() string     { return "pinv" }
func (Cholesky) Name() string          { return "cholesky" }
func (LU) Name() string                { return "lu" }
func (Solve) Name() string             { return "solve" }
func (SolveTriangular) Name() string   { return "solve_triangular" }

// Name is the op's name.
func (p Determinant) Name() string {
	if p.Log {
		return "slogdet"
	}
	return "det"
}

// Name is the op's name.
func (p Eig) Name() string {
	if p.Vectors {
		return "eig"
	}
	return "eigvals"
}

// Name is the op's name.
func (p Eigh) Name() string {
	if p.Vectors {
		return "eigh"
	}
	return "eigvalsh"
}

// MayFail: a matrix may be singular, not finite, or its iteration may not end.
func (SVD) MayFail() bool               { return true }
func (Inverse) MayFail() bool           { return true }
func (TriangularInverse) MayFail() bool { return true }
func (PseudoInverse) MayFail() bool     { return true }
func (Eig) MayFail() bool               { return true }
func (Eigh) MayFail() bool              { return true }
func (Solve) MayFail() bool             { return true }
func (SolveTriangular) MayFail() bool   { return true }

// matrix takes the shape of a real input apart.
func matrix(in Spec) (batch Shape, m, n int, err error) {
	if in.DType != dtype.Float32 && in.DType != dtype.Float64 {
		return nil, 0, 0, fmt.Errorf("is defined for float32 and float64, not %v; convert with AsType", in.DType)
	}
	return axes(in)
}

// complexMatrix is matrix of an input that may be complex, and the dtype of its values.
func complexMatrix(in Spec) (batch Shape, m, n int, values tensor.DType, err error) {
	if in.DType == dtype.Complex64 {
		batch, m, n, err = axes(in)
		return batch, m, n, dtype.Float32, err
	}
	if in.DType != dtype.Float32 && in.DType != dtype.Float64 {
		return nil, 0, 0, 0, fmt.Errorf("is defined for float32, float64 and complex64, not %v; convert with AsType", in.DType)
	}
	batch, m, n, err = axes(in)
	return batch, m, n, in.DType, err
}

func axes(in Spec) (batch Shape, m, n int, err error) {
	k := len(in.Shape) - 2
	if k < 0 {
		return nil, 0, 0, fmt.Errorf("needs a matrix: 2 axes or more, not %d", k+2)
	}
	return in.Shape[:k:k], in.Shape[k], in.Shape[k+1], nil
}

// square is matrix where M = N.
func square(in Spec) (batch Shape, n int, err error) {
	batch, m, n, err := matrix(in)
	if err == nil {
		err = sameSides(m, n)
	}
	return batch, n, err
}

func sameSides(m, n int) error {
	if m != n {
		return fmt.Errorf("is defined for square matrices, not %d by %d", m, n)
	}
	return nil
}

// of is the batch with more axes.
func of(batch Shape, d tensor.DType, axes ...int) Spec {
	return Spec{Shape: slices.Concat(batch, axes), DType: d}
}

// Infer gives q and r.
func (QR) Infer(in []Spec) ([]Spec, error) {
	b, m, n, err := matrix(in[0])
	d, k := in[0].DType, min(m, n)
	return []Spec{of(b, d, m, k), of(b, d, k, n)}, err
}

// Infer gives u, s, vt or s.
func (p SVD) Infer(in []Spec) ([]Spec, error) {
	b, m, n, values, err := complexMatrix(in[0])
	d := in[0].DType
	s := of(b, values, min(m, n))
	if !p.Vectors {
		return []Spec{s}, err
	}
	return []Spec{of(b, d, m, m), s, of(b, d, n, n)}, err
}

// sameSquare is the answer of a primitive that makes a matrix of its size.
func sameSquare(in []Spec) ([]Spec, error) {
	_, _, err := square(in[0])
	return in[:1], err
}

// Infer keeps the spec.
func (Inverse) Infer(in []Spec) ([]Spec, error) { return sameSquare(in) }

// Infer keeps the spec.
func (TriangularInverse) Infer(in []Spec) ([]Spec, error) { return sameSquare(in) }

// Infer keeps the spec.
func (Cholesky) Infer(in []Spec) ([]Spec, error) { return sameSquare(in) }

// Infer turns the shape around.
func (PseudoInverse) Infer(in []Spec) ([]Spec, error) {
	b, m, n, err := matrix(in[0])
	return []Spec{of(b, in[0].DType, n, m)}, err
}

// Infer gives values and vectors.
func (p Eig) Infer(in []Spec) ([]Spec, error) {
	b, m, n, _, err := complexMatrix(in[0])
	return eigen(b, m, n, dtype.Complex64, dtype.Complex64, p.Vectors, err)
}

// Infer gives values and vectors.
func (p Eigh) Infer(in []Spec) ([]Spec, error) {
	b, m, n, values, err := complexMatrix(in[0])
	return eigen(b, m, n, values, in[0].DType, p.Vectors, err)
}

func eigen(b Shape, m, n int, values, d tensor.DType, vectors bool, err error) ([]Spec, error) {
	if err == nil {
		err = sameSides(m, n)
	}
	if vectors {
		return []Spec{of(b, values, n), of(b, d, n, n)}, err
	}
	return []Spec{of(b, values, n)}, err
}

// Infer gives factors, pivots and rows.
func (LU) Infer(in []Spec) ([]Spec, error) {
	b, m, n, err := matrix(in[0])
	return []Spec{in[0], of(b, dtype.Uint32, min(m, n)), of(b, dtype.Uint32, m)}, err
}

// Infer gives x.
func (Solve) Infer(in []Spec) ([]Spec, error) { return solution(in) }

// Infer gives x.
func (SolveTriangular) Infer(in []Spec) ([]Spec, error) { return solution(in) }

func solution(in []Spec) ([]Spec, error) {
	batch, n, err := square(in[0])
	if err != nil {
		return nil, err
	}
	b, m, _, err := matrix(in[1])
	if err == nil && (m != n || !slices.Equal(b, batch) || in[0].DType != in[1].DType) {
		err = errors.New("batch, dtype or number of rows differ")
	}
	return in[1:2], err
}

// Infer gives the determinant, or sign and logarithm.
func (p Determinant) Infer(in []Spec) ([]Spec, error) {
	b, _, err := square(in[0])
	one := of(b, in[0].DType)
	if p.Log {
		return []Spec{one, one}, err
	}
	return []Spec{one}, err
}
