package cpu

import (
	"fmt"

	"github.com/mlxgo/mlx/internal/cpu/lapack"
	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/internal/tensor/linalg"
)

// bindLinalg is bind for mx.linalg. One matrix is one unit of work, computed in float64.
func bindLinalg(p tensor.Primitive, in, out []View) (task, error) {
	f := decompose(p)
	if f == nil {
		return task{}, tensor.ErrUnsupported
	}
	x := &in[0]
	m, n := lastTwo(x)
	count := 1
	for _, d := range x.Shape[:len(x.Shape)-2] {
		count *= d
	}
	cost := 20 * max(m, 1) * max(n, 1) * max(m, n, 8)
	return newTask(count, count*cost, func(s *scratch, c, nc int) {
		lo, hi := span(count, c, nc)
		for i := lo; i < hi; i++ {
			s.reset()
			f(job{s: s, in: in, out: out, i: i, count: count, m: m, n: n})
		}
	}), nil
}

// lastTwo are the rows and columns of a view's matrices.
func lastTwo(v *View) (m, n int) {
	k := len(v.Shape)
	return v.Shape[k-2], v.Shape[k-1]
}

// A job is matrix i of a batch, [m,n].
type job struct {
	s        *scratch
	in, out  []View
	i, count int
	m, n     int
}

func (j job) floats(n int) []float64 { return floats(j.s, n, 1<<17) }

// load is part i of input k, in float64.
func (j job) load(k int) []float64 {
	v := &j.in[k]
	n := v.Shape.Size() / j.count
	a := j.floats(n)
	if v.DType == dtype.Float64 {
		copy(a, at[float64](v, j.i*n, n))
		return a
	}
	for i, x := range at[float32](v, j.i*n, n) {
		a[i] = float64(x)
	}
	return a
}

// finite is load for what iterates, which would not end well with NaN or Inf.
func (j job) finite() []float64 {
	a := j.load(0)
	j.allFinite(lapack.Finite(a))
	return a
}

// allFinite fails if the matrix is not finite.
func (j job) allFinite(ok bool) {
	if !ok {
		failf("%s has NaN or Inf", j.which())
	}
}

// room is for part i of output k, which store puts there.
func (j job) room(k int) []float64 {
	return j.floats(j.out[k].Shape.Size() / j.count)
}

func (j job) store(k int, a []float64) {
	v := &j.out[k]
	if v.DType == dtype.Float64 {
		copy(at[float64](v, j.i*len(a), len(a)), a)
		return
	}
	y := at[float32](v, j.i*len(a), len(a))
	for i := range y {
		y[i] = float32(a[i])
	}
}

// mem is work space.
func (j job) mem() lapack.Memory {
	return lapack.Memory{
		Floats: j.floats,
		Ints:   func(n int) []int { return piece[int](j.s, n) },
	}
}

// which says which matrix is at fault.
func (j job) which() string {
	if j.count == 1 {
		return "the matrix"
	}
	return fmt.Sprintf("matrix %d of the batch", j.i)
}

// regular fails if a pivot is 0.
func (j job) regular(zero int) {
	if zero >= 0 {
		failf("%s is singular: pivot %d is 0", j.which(), zero+1)
	}
}

// converged fails if an iteration did not end.
func (j job) converged(ok bool) {
	if !ok {
		failf("the iteration for %s did not converge", j.which())
	}
}

// decompose is the kernel for one matrix; nil if p is none of mx.linalg's.
func decompose(p tensor.Primitive) func(j job) {
	switch p := p.(type) {
	case linalg.QR:
		return qrJob
	case linalg.SVD:
		return func(j job) { svdJob(p, j) }
	case linalg.Inverse:
		return func(j job) {
			a := j.load(0)
			j.regular(lapack.Inverse(a, j.n, j.mem()))
			j.store(0, a)
		}
	case linalg.TriangularInverse:
		return func(j job) {
			a := j.load(0)
			j.regular(lapack.TriangularInverse(a, j.n, p.Upper))
			j.store(0, a)
		}
	case linalg.PseudoInverse:
		return pinvJob
	case linalg.Cholesky:
		return func(j job) {
			a := j.load(0)
			lapack.Cholesky(a, j.n, p.Upper)
			j.store(0, a)
		}
	case linalg.Eig:
		return func(j job) { eigJob(p, j) }
	case linalg.Eigh:
		return func(j job) { eighJob(p, j) }
	case linalg.LU:
		return luJob
	case linalg.Solve:
		return func(j job) {
			a, b := j.load(0), j.load(1)
			_, k := lastTwo(&j.in[1])
			j.regular(lapack.Solve(a, b, j.n, k, j.mem()))
			j.store(0, b)
		}
	case linalg.SolveTriangular:
		return func(j job) {
			a, b := j.load(0), j.load(1)
			_, k := lastTwo(&j.in[1])
			j.regular(lapack.SolveTriangular(a, b, j.n, k, p.Upper))
			j.store(0, b)
		}
	case linalg.Determinant:
		return func(j job) {
			sign, logAbs, det := lapack.Determinant(j.load(0), j.n, j.mem())
			if !p.Log {
				j.store(0, []float64{det})
				return
			}
			j.store(0, []float64{sign})
			j.store(1, []float64{logAbs})
		}
	}
	return nil
}

func qrJob(j job) {
	q, r := j.room(0), j.room(1)
	lapack.QR(q, r, j.load(0), j.m, j.n, j.mem())
	j.store(0, q)
	j.store(1, r)
}

// complexes is load of the complex input; finiteComplexes is finite.
func (j job) complexes() []complex128 {
	a := make([]complex128, j.m*j.n)
	for i, z := range at[complex64](&j.in[0], j.i*len(a), len(a)) {
		a[i] = complex128(z)
	}
	return a
}

func (j job) finiteComplexes() []complex128 {
	a := j.complexes()
	j.allFinite(lapack.Finite(a))
	return a
}

func (j job) storeComplex(k int, a []complex128) {
	y := at[complex64](&j.out[k], j.i*len(a), len(a))
	for i := range y {
		y[i] = complex64(a[i])
	}
}

// roomComplex is room for complex numbers.
func (j job) roomComplex(k int) []complex128 {
	return make([]complex128, j.out[k].Shape.Size()/j.count)
}

func eighJob(p linalg.Eigh, j job) {
	if j.in[0].DType == dtype.Complex64 {
		eigh(p, j, j.complexes(), lapack.Hermitian, j.storeComplex)
		return
	}
	eigh(p, j, j.load(0), lapack.Eigh, j.store)
}

// eigh looks at one triangle; the other may be anything.
func eigh[T float64 | complex128](p linalg.Eigh, j job, a []T,
	run func(w []float64, a []T, n int, upper, vectors bool, mem lapack.Memory) bool, store func(k int, a []T)) {
	w := j.room(0)
	lapack.ClearTriangle(a, j.n, !p.Upper)
	j.allFinite(lapack.Finite(a))
	j.converged(run(w, a, j.n, p.Upper, p.Vectors, j.mem()))
	j.store(0, w)
	if p.Vectors {
		store(1, a)
	}
}

func svdJob(p linalg.SVD, j job) {
	if j.in[0].DType == dtype.Complex64 {
		svd(p, j, j.finiteComplexes(), lapack.ComplexSVD, j.roomComplex, j.storeComplex)
		return
	}
	svd(p, j, j.finite(), lapack.SVD, j.room, j.store)
}

func svd[T float64 | complex128](p linalg.SVD, j job, a []T,
	run func(u []T, s []float64, vt, a []T, m, n int, mem lapack.Memory) bool, room func(k int) []T, store func(k int, a []T)) {
	if !p.Vectors {
		s := j.room(0)
		j.converged(run(nil, s, nil, a, j.m, j.n, j.mem()))
		j.store(0, s)
		return
	}
	u, s, vt := room(0), j.room(1), room(2)
	j.converged(run(u, s, vt, a, j.m, j.n, j.mem()))
	store(0, u)
	j.store(1, s)
	store(2, vt)
}

// pinvJob: MLX's cutoff is 10 max(m, n) roundings of the input's dtype.
func pinvJob(j job) {
	a, p := j.finite(), j.room(0)
	eps := 0x1p-23
	if j.in[0].DType == dtype.Float64 {
		eps = 0x1p-52
	}
	j.converged(lapack.PseudoInverse(p, a, j.m, j.n, 10*float64(max(j.m, j.n))*eps, j.mem()))
	j.store(0, p)
}

func complexEigJob(p linalg.Eig, j job) {
	w := make([]complex128, j.n)
	var v []complex128
	if p.Vectors {
		v = make([]complex128, j.n*j.n)
	}
	j.converged(lapack.ComplexEig(w, v, j.finiteComplexes(), j.n))
	j.storeComplex(0, w)
	if p.Vectors {
		j.storeComplex(1, v)
	}
}

func eigJob(p linalg.Eig, j job) {
	if j.in[0].DType == dtype.Complex64 {
		complexEigJob(p, j)
		return
	}
	a, n := j.finite(), j.n
	put := func(k, i int, v complex128) { at[complex64](&j.out[k], i, 1)[0] = complex64(v) }
	var vector func(i, l int, v complex128)
	if p.Vectors {
		vector = func(i, l int, v complex128) { put(1, j.i*n*n+i*n+l, v) }
	}
	j.converged(lapack.Eig(a, n, func(l int, v complex128) { put(0, j.i*n+l, v) }, vector, j.mem()))
}

func luJob(j job) {
	a := j.load(0)
	k := min(j.m, j.n)
	pivot := piece[int](j.s, k)
	lapack.LU(a, pivot, j.m, j.n)
	j.store(0, a)
	order := piece[int](j.s, j.m) // order[i] is the input's row that became row i
	for i := range order {
		order[i] = i
	}
	pivots := at[uint32](&j.out[1], j.i*k, k)
	for i, p := range pivot {
		pivots[i] = uint32(p)
		order[i], order[p] = order[p], order[i]
	}
	rows := at[uint32](&j.out[2], j.i*j.m, j.m)
	for i, r := range order {
		rows[r] = uint32(i)
	}
}
