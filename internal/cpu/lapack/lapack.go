// Package lapack decomposes one matrix at a time: row-major float64, by Gonum's
// translation of LAPACK, so signs and orders are LAPACK's. Empty matrices are fine. Results
// do not depend on the number of threads.
package lapack

import (
	"math"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/lapack"
	"gonum.org/v1/gonum/lapack/gonum"
)

var impl gonum.Implementation

// Memory gives uninitialized work space, which is valid until the caller's end of work.
type Memory struct {
	Floats func(n int) []float64
	Ints   func(n int) []int
}

// work asks f for the size of its work space and calls it again with that much.
func (m Memory) work(f func(work []float64, size int)) {
	var best [1]float64
	f(best[:], -1)
	n := int(best[0])
	f(m.Floats(n), n)
}

func uplo(upper bool) blas.Uplo {
	if upper {
		return blas.Upper
	}
	return blas.Lower
}

// eye makes a the identity.
func eye(a []float64, n int) {
	clear(a[:n*n])
	for i := range n {
		a[i*n+i] = 1
	}
}

// ClearTriangle puts zeros above the diagonal, or below it.
func ClearTriangle[T float64 | complex128](a []T, n int, above bool) {
	for i := range n {
		if above {
			clear(a[i*n+i+1 : (i+1)*n])
		} else {
			clear(a[i*n : i*n+i])
		}
	}
}

// Finite reports whether a has neither NaN nor Inf.
func Finite[T float64 | complex128](a []T) bool {
	for _, v := range a {
		if v-v != 0 {
			return false
		}
	}
	return true
}

// QR makes a [m,n] = q [m,k] @ r [k,n], k = min(m, n). a is lost.
func QR(q, r, a []float64, m, n int, mem Memory) {
	k := min(m, n)
	if k == 0 {
		return
	}
	tau := mem.Floats(k)
	mem.work(func(w []float64, size int) { impl.Dgeqrf(m, n, a, n, tau, w, size) })
	for i := range k {
		clear(r[i*n : i*n+i])
		copy(r[i*n+i:(i+1)*n], a[i*n+i:(i+1)*n])
	}
	for i := range m {
		copy(q[i*k:(i+1)*k], a[i*n:i*n+k])
	}
	mem.work(func(w []float64, size int) { impl.Dorgqr(m, k, k, q, k, tau, w, size) })
}

// SVD makes a [m,n] = u [m,m] @ diag(s) @ vt [n,n], s descending; u and vt may both be
// nil. a is lost. ok is false if the iteration did not converge.
func SVD(u, s, vt, a []float64, m, n int, mem Memory) (ok bool) {
	if m == 0 || n == 0 {
		if u != nil || vt != nil {
			eye(u, m)
			eye(vt, n)
		}
		return true
	}
	job := lapack.SVDNone
	if u != nil {
		job = lapack.SVDAll
	}
	mem.work(func(w []float64, size int) { ok = impl.Dgesvd(job, job, m, n, a, n, s, u, m, vt, n, w, size) })
	return ok
}

// PseudoInverse makes p [n,m] the Moore-Penrose inverse of a [m,n]; singular values up to
// cutoff times the largest count as 0. a is lost.
func PseudoInverse(p, a []float64, m, n int, cutoff float64, mem Memory) (ok bool) {
	k := min(m, n)
	clear(p[:m*n])
	if k == 0 {
		return true
	}
	const thin = lapack.SVDStore // the first k vectors alone
	u, s, vt := mem.Floats(m*k), mem.Floats(k), mem.Floats(k*n)
	mem.work(func(w []float64, size int) { ok = impl.Dgesvd(thin, thin, m, n, a, n, s, u, k, vt, n, w, size) })
	if !ok {
		return false
	}
	for l := range k {
		if !(s[l] > cutoff*s[0]) {
			break
		}
		for i := range n {
			f := vt[l*n+i] / s[l]
			for j := range m {
				p[i*m+j] += f * u[j*k+l]
			}
		}
	}
	return true
}

// Eigh makes w the eigenvalues, ascending, of the symmetric matrix of which one triangle of
// a is read, and a its eigenvectors as columns if vectors; else a is lost.
func Eigh(w, a []float64, n int, upper, vectors bool, mem Memory) (ok bool) {
	if n == 0 {
		return true
	}
	job := lapack.EVNone
	if vectors {
		job = lapack.EVCompute
	}
	mem.work(func(work []float64, size int) { ok = impl.Dsyev(job, uplo(upper), n, a, n, w, work, size) })
	return ok
}

// Eig gives the eigenvalues of a to value, and to vector, if it is not nil, element i of the
// unit eigenvector of value j. a is lost. As MLX does, it looks at the left eigenvectors of
// the transposed matrix, which decides the order of the values.
func Eig(a []float64, n int, value func(j int, v complex128), vector func(i, j int, v complex128), mem Memory) (ok bool) {
	if n == 0 {
		return true
	}
	for i := range n {
		for j := range i {
			a[i*n+j], a[j*n+i] = a[j*n+i], a[i*n+j]
		}
	}
	re, im := mem.Floats(n), mem.Floats(n)
	job, vl, ld := lapack.LeftEVNone, []float64(nil), 1
	if vector != nil {
		job, vl, ld = lapack.LeftEVCompute, mem.Floats(n*n), n
	}
	var first int
	mem.work(func(w []float64, size int) {
		first = impl.Dgeev(job, lapack.RightEVNone, n, a, n, re, im, vl, ld, nil, 1, w, size)
	})
	for j := range n {
		value(j, complex(re[j], im[j]))
	}
	if vector != nil {
		pairs(vl, im, n, vector)
	}
	return first == 0
}

// pairs reads eigenvectors: a real one is a column, a conjugate pair is two, real part and
// imaginary part. Those of the transposed matrix are conjugate.
func pairs(v, im []float64, n int, vector func(i, j int, v complex128)) {
	for j := 0; j < n; j++ {
		if im[j] == 0 {
			for i := range n {
				vector(i, j, complex(v[i*n+j], 0))
			}
			continue
		}
		for i := range n {
			x, y := v[i*n+j], v[i*n+j+1]
			vector(i, j, complex(x, -y))
			vector(i, j+1, complex(x, y))
		}
		j++
	}
}

// LU makes a [m,n] the factors of its rows in another order: U, and L below its diagonal of
// ones. Row i was exchanged with row pivot[i], for each i below min(m, n) in turn.
func LU(a []float64, pivot []int, m, n int) {
	if m > 0 && n > 0 {
		impl.Dgetrf(m, n, a, n, pivot)
	}
}

// zeroAt is the first zero of the diagonal, -1 if there is none.
func zeroAt(a []float64, n int) int {
	for i := range n {
		if a[i*n+i] == 0 {
			return i
		}
	}
	return -1
}

// Inverse inverts a. zero is the first pivot that is 0, which makes the matrix singular and
// a lost; -1 if there is none.
func Inverse(a []float64, n int, mem Memory) (zero int) {
	if n == 0 {
		return -1
	}
	pivot := mem.Ints(n)
	impl.Dgetrf(n, n, a, n, pivot)
	if zero = zeroAt(a, n); zero < 0 {
		mem.work(func(w []float64, size int) { impl.Dgetri(n, a, n, pivot, w, size) })
	}
	return zero
}

// TriangularInverse inverts a triangle of a and clears the other; zero is as for Inverse.
func TriangularInverse(a []float64, n int, upper bool) (zero int) {
	if n == 0 {
		return -1
	}
	ClearTriangle(a, n, !upper)
	if zero = zeroAt(a, n); zero < 0 {
		impl.Dtrtri(uplo(upper), blas.NonUnit, n, a, n)
	}
	return zero
}

// Cholesky makes a the triangle L with a = L @ L^T, or U with a = U^T @ U. It reads that
// triangle of a alone. Where a is not positive definite the factor ends, as LAPACK's does.
func Cholesky(a []float64, n int, upper bool) {
	if n == 0 {
		return
	}
	impl.Dpotrf(uplo(upper), n, a, n)
	ClearTriangle(a, n, !upper)
}

// Solve makes b [n,k] the x with a @ x = b. a is lost; zero is as for Inverse.
func Solve(a, b []float64, n, k int, mem Memory) (zero int) {
	if n == 0 || k == 0 {
		return -1
	}
	pivot := mem.Ints(n)
	impl.Dgetrf(n, n, a, n, pivot)
	if zero = zeroAt(a, n); zero < 0 {
		impl.Dgetrs(blas.NoTrans, n, k, a, n, pivot, b, k)
	}
	return zero
}

// SolveTriangular is Solve where one triangle of a counts.
func SolveTriangular(a, b []float64, n, k int, upper bool) (zero int) {
	if n == 0 || k == 0 {
		return -1
	}
	if zero = zeroAt(a, n); zero < 0 {
		impl.Dtrtrs(uplo(upper), blas.NoTrans, blas.NonUnit, n, k, a, n, b, k)
	}
	return zero
}

// Determinant is that of a, as its sign, which is 0 of a singular matrix, and the logarithm of
// its size. a is lost.
func Determinant(a []float64, n int, mem Memory) (sign, logAbs, det float64) {
	sign, det = 1, 1
	if n == 0 {
		return sign, logAbs, det
	}
	pivot := mem.Ints(n)
	impl.Dgetrf(n, n, a, n, pivot)
	for i := range n {
		v := a[i*n+i]
		if pivot[i] != i {
			sign, det = -sign, -det
		}
		switch {
		case v < 0:
			sign = -sign
		case v == 0:
			return 0, math.Inf(-1), 0
		case v != v:
			return v, v, v
		}
		logAbs += math.Log(math.Abs(v))
		det *= v
	}
	return sign, logAbs, det
}
