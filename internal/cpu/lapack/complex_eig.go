package lapack

import (
	"math"
	"math/cmplx"
)

// ComplexEig gives the eigenvalues of a complex matrix a to w, in the order of its Schur form,
// and its unit eigenvectors to v as columns, the largest element real; v may be nil. a is lost.
// It is the QR algorithm with Wilkinson's shifts, as in Golub and Van Loan, Matrix Computations.
func ComplexEig(w, v, a []complex128, n int) (ok bool) {
	z := v
	if z != nil {
		clear(z)
		for i := range n {
			z[i*n+i] = 1
		}
	}
	s := schur{t: a, z: z, n: n}
	s.hessenberg()
	if !s.iterate() {
		return false
	}
	for i := range n {
		w[i] = a[i*n+i]
	}
	if v != nil {
		s.vectors()
	}
	return true
}

// A schur is on its way to the triangle t, with z @ t @ z^H the matrix; z may be nil.
type schur struct {
	t, z []complex128
	n    int
}

// hessenberg makes t 0 below the first diagonal under the main one, by Householder's
// reflections.
func (s *schur) hessenberg() {
	n := s.n
	v := make([]complex128, n)
	for k := range max(n-2, 0) {
		size := 0.0
		for i := k + 1; i < n; i++ {
			v[i] = s.t[i*n+k]
			size = math.Hypot(size, cmplx.Abs(v[i]))
		}
		if size == 0 {
			continue
		}
		v[k+1] += cmplx.Rect(size, cmplx.Phase(v[k+1]))
		length := 0.0
		for i := k + 1; i < n; i++ {
			length = math.Hypot(length, cmplx.Abs(v[i]))
		}
		for i := k + 1; i < n; i++ {
			v[i] /= complex(length, 0)
		}
		for j := range n { // t - 2 v (v^H t)
			var d complex128
			for i := k + 1; i < n; i++ {
				d += cmplx.Conj(v[i]) * s.t[i*n+j]
			}
			for i := k + 1; i < n; i++ {
				s.t[i*n+j] -= 2 * d * v[i]
			}
		}
		s.right(s.t, v, k+1)
		if s.z != nil {
			s.right(s.z, v, k+1)
		}
		for i := k + 2; i < n; i++ {
			s.t[i*n+k] = 0
		}
	}
}

// right is a - 2 (a v) v^H for v from element k on.
func (s *schur) right(a, v []complex128, k int) {
	for i := range s.n {
		row := a[i*s.n : (i+1)*s.n]
		var d complex128
		for j := k; j < s.n; j++ {
			d += row[j] * v[j]
		}
		for j := k; j < s.n; j++ {
			row[j] -= 2 * d * cmplx.Conj(v[j])
		}
	}
}

// iterate makes t a triangle.
func (s *schur) iterate() bool {
	n, t := s.n, s.t
	for hi, tries := n-1, 0; hi > 0; {
		lo := hi
		for ; lo > 0; lo-- {
			beside := cmplx.Abs(t[lo*n+lo]) + cmplx.Abs(t[(lo-1)*n+lo-1])
			if cmplx.Abs(t[lo*n+lo-1]) <= 0x1p-52*beside {
				t[lo*n+lo-1] = 0
				break
			}
		}
		if lo == hi {
			hi, tries = hi-1, 0
			continue
		}
		if tries++; tries > 30*10 {
			return false
		}
		s.step(lo, hi, s.shift(hi, tries))
	}
	return true
}

// shift is the eigenvalue of the last two rows that is nearer to the last element; now and then
// another, in case that goes around in circles.
func (s *schur) shift(hi, tries int) complex128 {
	n, t := s.n, s.t
	a, b, c, d := t[(hi-1)*n+hi-1], t[(hi-1)*n+hi], t[hi*n+hi-1], t[hi*n+hi]
	if tries%10 == 0 {
		return d + complex(0.75*cmplx.Abs(c), 0)
	}
	half := (a - d) / 2
	root := cmplx.Sqrt(half*half + b*c)
	if real(half)*real(root)+imag(half)*imag(root) < 0 {
		root = -root
	}
	if half+root == 0 {
		return d
	}
	return d - b*c/(half+root)
}

// step is one QR step with a shift on rows and columns lo to hi, by Givens' rotations.
func (s *schur) step(lo, hi int, shift complex128) {
	n, t := s.n, s.t
	cs, sn := make([]float64, hi), make([]complex128, hi)
	for i := lo; i <= hi; i++ {
		t[i*n+i] -= shift
	}
	for k := lo; k < hi; k++ {
		x, y := t[k*n+k], t[(k+1)*n+k]
		r := math.Hypot(cmplx.Abs(x), cmplx.Abs(y))
		switch {
		case r == 0:
			cs[k], sn[k] = 1, 0
		case x == 0:
			cs[k], sn[k] = 0, cmplx.Conj(y)/complex(r, 0)
		default:
			cs[k] = cmplx.Abs(x) / r
			sn[k] = x / complex(cmplx.Abs(x), 0) * cmplx.Conj(y) / complex(r, 0)
		}
		c := complex(cs[k], 0)
		for j := k; j < n; j++ {
			p, q := t[k*n+j], t[(k+1)*n+j]
			t[k*n+j], t[(k+1)*n+j] = c*p+sn[k]*q, c*q-cmplx.Conj(sn[k])*p
		}
		t[(k+1)*n+k] = 0
	}
	for k := lo; k < hi; k++ {
		s.columns(t, k, min(k+2, hi+1), cs[k], sn[k])
		if s.z != nil {
			s.columns(s.z, k, n, cs[k], sn[k])
		}
	}
	for i := lo; i <= hi; i++ {
		t[i*n+i] += shift
	}
}

// columns turns columns k and k+1 of the first rows back.
func (s *schur) columns(a []complex128, k, rows int, cs float64, sn complex128) {
	c := complex(cs, 0)
	for i := range rows {
		p, q := a[i*s.n+k], a[i*s.n+k+1]
		a[i*s.n+k], a[i*s.n+k+1] = c*p+cmplx.Conj(sn)*q, c*q-sn*p
	}
}

// vectors replaces z by the eigenvectors, those of the triangle by substitution.
func (s *schur) vectors() {
	n, t := s.n, s.t
	top := 0.0
	for _, x := range t {
		top = max(top, cmplx.Abs(x))
	}
	small := complex(max(top*0x1p-52, 0x1p-1000), 0)
	x, y := make([]complex128, n), make([]complex128, n*n)
	for k := range n {
		x[k] = 1
		for i := k - 1; i >= 0; i-- {
			var sum complex128
			for j := i + 1; j <= k; j++ {
				sum += t[i*n+j] * x[j]
			}
			d := t[k*n+k] - t[i*n+i]
			if cmplx.Abs(d) < real(small) {
				d = small
			}
			x[i] = sum / d
			if cmplx.Abs(x[i]) > 0x1p500 { // of nearly dependent vectors: the next may be Inf
				for j := i; j <= k; j++ {
					x[j] *= 0x1p-500
				}
			}
		}
		s.unit(y, x[:k+1], k)
	}
	copy(s.z, y)
}

// unit puts z @ x into column k of y with length 1.
func (s *schur) unit(y, x []complex128, k int) {
	n := s.n
	most := 0.0
	for _, v := range x { // of nearly dependent vectors they are huge
		most = max(most, cmplx.Abs(v))
	}
	size, at := 0.0, 0
	for i := range n {
		var sum complex128
		for j, v := range x {
			sum += s.z[i*n+j] * (v / complex(most, 0))
		}
		y[i*n+k] = sum
		size = math.Hypot(size, cmplx.Abs(sum))
		if cmplx.Abs(sum) > cmplx.Abs(y[at*n+k]) {
			at = i
		}
	}
	turn := cmplx.Conj(y[at*n+k]) / complex(cmplx.Abs(y[at*n+k])*size, 0)
	for i := range n {
		y[i*n+k] *= turn
	}
	y[at*n+k] = complex(real(y[at*n+k]), 0)
}
