package calibrate

import (
	"fmt"
	"math"
	"runtime"
	"sync"
)

// matrix is a square one, row-major.
type matrix struct {
	n int
	v []float64
}

func newMatrix(n int) *matrix { return &matrix{n, make([]float64, n*n)} }

func (m *matrix) row(i int) []float64 { return m.v[i*m.n : (i+1)*m.n] }

// choleskyBlock is how many columns are made at a time.
const choleskyBlock = 64

// cholesky overwrites the lower triangle of a symmetric matrix A with L, A = L L^T. It is
// an error if A is not positive definite.
func (m *matrix) cholesky() error {
	for from := 0; from < m.n; from += choleskyBlock {
		to := min(from+choleskyBlock, m.n)
		for i := from; i < to; i++ {
			m.rowOfL(i, from, i)
			d := m.row(i)[i] - dot(m.row(i)[:i], m.row(i)[:i])
			if !(d > 0) {
				return fmt.Errorf("the matrix is not positive definite at row %d of %d: %g", i, m.n, d)
			}
			m.row(i)[i] = math.Sqrt(d)
		}
		parallel(m.n-to, func(a, b int) {
			for i := to + a; i < to+b; i++ {
				m.rowOfL(i, from, to)
			}
		})
	}
	return nil
}

// rowOfL makes L[i, from:to], to <= i.
func (m *matrix) rowOfL(i, from, to int) {
	row := m.row(i)
	for j := from; j < to; j++ {
		other := m.row(j)
		row[j] = (row[j] - dot(row[:j], other[:j])) / other[j]
	}
}

// invertLower is the inverse of a lower triangular matrix; what is above the diagonal is
// not read.
func (m *matrix) invertLower() *matrix {
	out := newMatrix(m.n)
	parallel((m.n+choleskyBlock-1)/choleskyBlock, func(a, b int) {
		for c := a; c < b; c++ { // columns do not depend on each other
			m.invertColumns(out, c*choleskyBlock, min((c+1)*choleskyBlock, m.n))
		}
	})
	return out
}

func (m *matrix) invertColumns(out *matrix, from, to int) {
	for i := from; i < m.n; i++ {
		l, x := m.row(i), out.row(i)[from:to]
		if i < to {
			x[i-from] = 1
		}
		for k := from; k < i; k++ {
			axpy(x, -l[k], out.row(k)[from:to])
		}
		for j := range x {
			x[j] /= l[i]
		}
	}
}

// inverseFactor is the upper triangular U with A^-1 = U^T U, by which the error of one
// column is best made good by the columns after it. A is overwritten.
func inverseFactor(a *matrix) (*matrix, error) {
	a.reverse() // with rows and columns in reverse order the factor comes out upper
	if err := a.cholesky(); err != nil {
		return nil, err
	}
	u := a.invertLower()
	u.reverse()
	return u, nil
}

// reverse turns the order of rows and columns round.
func (m *matrix) reverse() {
	for i, j := 0, len(m.v)-1; i < j; i, j = i+1, j-1 {
		m.v[i], m.v[j] = m.v[j], m.v[i]
	}
}

func dot(a, b []float64) float64 {
	var s0, s1, s2, s3 float64
	b = b[:len(a)]
	i := 0
	for ; i+4 <= len(a); i += 4 {
		s0 += a[i] * b[i]
		s1 += a[i+1] * b[i+1]
		s2 += a[i+2] * b[i+2]
		s3 += a[i+3] * b[i+3]
	}
	for ; i < len(a); i++ {
		s0 += a[i] * b[i]
	}
	return s0 + s1 + s2 + s3
}

func axpy(y []float64, a float64, x []float64) {
	if a == 0 {
		return
	}
	x = x[:len(y)]
	for i, v := range x {
		y[i] += a * v
	}
}

// parallel calls f for parts of n on all cores. Parts do not depend on each other, so
// results do not depend on their number.
func parallel(n int, f func(a, b int)) {
	workers := min(runtime.GOMAXPROCS(0), n)
	var wait sync.WaitGroup
	for i := range workers {
		wait.Go(func() { f(i*n/workers, (i+1)*n/workers) })
	}
	wait.Wait()
}
