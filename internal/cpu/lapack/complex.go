package lapack

import (
	"math"
	"math/cmplx"
)

// Complex matrices are decomposed as real ones of twice the size: x + iy is [[x, -y], [y, x]],
// which has each value twice, and vectors (re, im) of which i times a vector is another.

// realOf is that matrix of a [m,n].
func realOf(a []complex128, m, n int, mem Memory) []float64 {
	y := mem.Floats(4 * m * n)
	for i := range m {
		for j := range n {
			re, im := real(a[i*n+j]), imag(a[i*n+j])
			y[i*2*n+j], y[i*2*n+n+j] = re, -im
			y[(m+i)*2*n+j], y[(m+i)*2*n+n+j] = im, re
		}
	}
	return y
}

// column is column j of a real matrix [2n, width] as n complex numbers.
func column(a []float64, n, width, j int) []complex128 {
	z := make([]complex128, n)
	for i := range z {
		z[i] = complex(a[i*width+j], a[(n+i)*width+j])
	}
	return z
}

// A frame is orthonormal vectors; those of mates, if there are any, go with them.
type frame struct{ vectors, mates [][]complex128 }

// add takes what is new of v, one of the 2n vectors of a real basis, into the frame, and of its
// mate. A direction that is not in the frame has 1/sqrt(n) at least of one of them: less is left
// for that one, or is rounding.
func (f *frame) add(v, mate []complex128) {
	for range 2 {
		for k, b := range f.vectors {
			var d complex128
			for i := range b {
				d += cmplx.Conj(b[i]) * v[i]
			}
			for i := range b {
				v[i] -= d * b[i]
			}
			for i := range mate {
				mate[i] -= d * f.mates[k][i]
			}
		}
	}
	size := 0.0
	for _, z := range v {
		size += real(z)*real(z) + imag(z)*imag(z)
	}
	if 4*size*float64(len(v)) < 1 {
		return
	}
	r := complex(1/math.Sqrt(size), 0)
	for i := range v {
		v[i] *= r
	}
	for i := range mate {
		mate[i] *= r
	}
	f.vectors = append(f.vectors, v)
	if mate != nil {
		f.mates = append(f.mates, mate)
	}
}

// fill adds columns of a real matrix [2n, 2n] from the first on until there are n.
func (f *frame) fill(a []float64, n, first int) {
	for j := first; j < 2*n && len(f.vectors) < n; j++ {
		f.add(column(a, n, 2*n, j), nil)
	}
}

// Hermitian is Eigh of a complex matrix: the values, and the vectors to a as columns if vectors.
func Hermitian(w []float64, a []complex128, n int, upper, vectors bool, mem Memory) (ok bool) {
	for i := range n {
		a[i*n+i] = complex(real(a[i*n+i]), 0)
		for j := range i {
			if upper {
				a[i*n+j] = cmplx.Conj(a[j*n+i])
			} else {
				a[j*n+i] = cmplx.Conj(a[i*n+j])
			}
		}
	}
	twice, v := mem.Floats(2*n), realOf(a, n, n, mem)
	if !Eigh(twice, v, 2*n, upper, vectors, mem) {
		return false
	}
	for i := range w {
		w[i] = (twice[2*i] + twice[2*i+1]) / 2
	}
	if vectors {
		var f frame
		f.fill(v, n, 0)
		for j, z := range f.vectors {
			for i := range z {
				a[i*n+j] = z[i]
			}
		}
	}
	return true
}

// ComplexSVD is SVD of a complex matrix; vt is the conjugate transpose of v.
func ComplexSVD(u []complex128, s []float64, vt, a []complex128, m, n int, mem Memory) (ok bool) {
	k := min(m, n)
	x, twice := realOf(a, m, n, mem), mem.Floats(2*k)
	if u == nil {
		ok = SVD(nil, twice, nil, x, 2*m, 2*n, mem)
		for i := range s {
			s[i] = (twice[2*i] + twice[2*i+1]) / 2
		}
		return ok
	}
	ru, rvt := mem.Floats(4*m*m), mem.Floats(4*n*n)
	if !SVD(ru, twice, rvt, x, 2*m, 2*n, mem) {
		return false
	}
	for i := range s {
		s[i] = (twice[2*i] + twice[2*i+1]) / 2
	}
	rv := mem.Floats(4 * n * n)
	for i := range 2 * n {
		for j := range 2 * n {
			rv[i*2*n+j] = rvt[j*2*n+i]
		}
	}
	pairs := frame{}
	j := 0
	for ; j < 2*k && twice[j] > 1e-9*twice[0]; j++ { // below, a vector does not tell its mate
		pairs.add(column(rv, n, 2*n, j), column(ru, m, 2*m, j))
	}
	left, right := frame{vectors: pairs.mates}, frame{vectors: pairs.vectors}
	left.fill(ru, m, j)
	right.fill(rv, n, j)
	for j, z := range left.vectors {
		for i := range z {
			u[i*m+j] = z[i]
		}
	}
	for i, z := range right.vectors {
		for j := range z {
			vt[i*n+j] = cmplx.Conj(z[j])
		}
	}
	return true
}
