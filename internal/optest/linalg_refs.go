package optest

import (
	"math"
	"math/cmplx"
	"slices"

	"github.com/mlxgo/mlx"
)

// References of mx.linalg: text-book ways in float64, one matrix at a time.

// A mat is a matrix by rows.
type mat [][]float64

func newMat(m, n int) mat {
	a := make(mat, m)
	for i := range a {
		a[i] = make([]float64, n)
	}
	return a
}

// mats are the matrices of an array; matsOf makes an array of batch and dtype of like of them.
func mats(a *mlx.Array) (out []mat) {
	m, n := a.Dim(-2), a.Dim(-1)
	v := floats(a)
	for len(v) > 0 {
		x := newMat(m, n)
		for i := range x {
			copy(x[i], v[:n])
			v = v[n:]
		}
		out = append(out, x)
	}
	return out
}

func matsOf(like *mlx.Array, all ...mat) *mlx.Array {
	var v []float64
	for _, x := range all {
		for _, row := range x {
			v = append(v, row...)
		}
	}
	sh := like.Shape()[:like.NDim()-2]
	return mlx.FromSlice(v).AsType(like.DType()).Reshape(append(sh, len(all[0]), len(all[0][0]))...)
}

// matrixWise is a Want by f, for each matrix of the first input.
func matrixWise(f func(a mat) []mat) func([]*mlx.Array) []*mlx.Array {
	return func(in []*mlx.Array) []*mlx.Array {
		var parts [][]mat
		for _, a := range mats(in[0]) {
			for i, y := range f(a) {
				if i == len(parts) {
					parts = append(parts, nil)
				}
				parts[i] = append(parts[i], y)
			}
		}
		out := make([]*mlx.Array, len(parts))
		for i, p := range parts {
			out[i] = matsOf(in[0], p...)
		}
		return out
	}
}

// vectorsOf is matrices of one row without that axis.
func vectorsOf(a *mlx.Array) *mlx.Array { return a.Squeeze(-2) }

func (a mat) t() mat {
	y := newMat(len(a[0]), len(a))
	for i, row := range a {
		for j, v := range row {
			y[j][i] = v
		}
	}
	return y
}

func (a mat) mul(b mat) mat {
	y := newMat(len(a), len(b[0]))
	for i := range y {
		for j := range y[i] {
			for k, v := range a[i] {
				y[i][j] += v * b[k][j]
			}
		}
	}
	return y
}

func identity(n int) mat {
	y := newMat(n, n)
	for i := range y {
		y[i][i] = 1
	}
	return y
}

func (a mat) plus(s float64, b mat) mat {
	y := newMat(len(a), len(a[0]))
	for i := range y {
		for j := range y[i] {
			y[i][j] = a[i][j] + s*b[i][j]
		}
	}
	return y
}

// inverse is by Gauss and Jordan.
func (a mat) inverse() mat {
	n := len(a)
	x, y := a.plus(0, a), identity(n)
	for k := range n {
		p := k
		for i := k; i < n; i++ {
			if math.Abs(x[i][k]) > math.Abs(x[p][k]) {
				p = i
			}
		}
		x[k], x[p], y[k], y[p] = x[p], x[k], y[p], y[k]
		d := x[k][k]
		for j := range n {
			x[k][j] /= d
			y[k][j] /= d
		}
		for i := range n {
			if f := x[i][k]; i != k {
				for j := range n {
					x[i][j] -= f * x[k][j]
					y[i][j] -= f * y[k][j]
				}
			}
		}
	}
	return y
}

// lu is rows, l, u and the exchanges by elimination with the largest pivot.
func (a mat) lu() (rows []int, l, u mat, pivots []int) {
	m, n := len(a), len(a[0])
	k := min(m, n)
	x, order := a.plus(0, a), make([]int, m)
	for i := range order {
		order[i] = i
	}
	for c := range k {
		p := c
		for i := c; i < m; i++ {
			if math.Abs(x[i][c]) > math.Abs(x[p][c]) {
				p = i
			}
		}
		pivots = append(pivots, p)
		x[c], x[p], order[c], order[p] = x[p], x[c], order[p], order[c]
		for i := c + 1; i < m; i++ {
			x[i][c] /= x[c][c]
			for j := c + 1; j < n; j++ {
				x[i][j] -= x[i][c] * x[c][j]
			}
		}
	}
	l, u, rows = newMat(m, k), newMat(k, n), make([]int, m)
	for i := range m {
		rows[order[i]] = i
		copy(l[i], x[i][:min(i, k)])
		if i < k {
			l[i][i] = 1
			copy(u[i][i:], x[i][i:])
		}
	}
	return rows, l, u, pivots
}

// det is by the first row.
func (a mat) det() float64 {
	if len(a) == 1 {
		return a[0][0]
	}
	sum, sign := 0.0, 1.0
	for j, v := range a[0] {
		minor := newMat(len(a)-1, 0)
		for i := range minor {
			minor[i] = slices.Delete(slices.Clone(a[i+1]), j, j+1)
		}
		sum += sign * v * minor.det()
		sign = -sign
	}
	return sum
}

// cholesky is the lower factor.
func (a mat) cholesky() mat {
	l := newMat(len(a), len(a))
	for i := range a {
		for j := range i + 1 {
			v := a[i][j]
			for k := range j {
				v -= l[i][k] * l[j][k]
			}
			if i == j {
				l[i][j] = math.Sqrt(v)
			} else {
				l[i][j] = v / l[j][j]
			}
		}
	}
	return l
}

// qr is by Gram and Schmidt, the diagonal of r positive.
func (a mat) qr() (q, r mat) {
	m, n := len(a), len(a[0])
	k := min(m, n)
	at := a.t()
	var cols mat
	for j := range k {
		v := slices.Clone(at[j])
		for range 2 {
			for _, c := range cols {
				d := inner(c, v)
				for i := range v {
					v[i] -= d * c[i]
				}
			}
		}
		cols = append(cols, scaled(v))
	}
	q = cols.t()
	r = cols.mul(a)
	for i := range r {
		clear(r[i][:i])
	}
	return q, r
}

func inner(a, b []float64) (s float64) {
	for i := range a {
		s += a[i] * b[i]
	}
	return s
}

// scaled is v with length 1.
func scaled(v []float64) []float64 {
	n := math.Sqrt(inner(v, v))
	for i := range v {
		v[i] /= n
	}
	return v
}

// positive turns each column so that its first element is.
func (a mat) positive() mat {
	y := a.plus(0, a)
	for j := range y[0] {
		if y[0][j] < 0 {
			for i := range y {
				y[i][j] = -y[i][j]
			}
		}
	}
	return y
}

// eigh is by Jacobi's rotations: ascending values, and vectors as columns that start positive.
func (a mat) eigh() (w []float64, v mat) {
	n := len(a)
	x, v := a.plus(0, a), identity(n)
	for range 30 {
		for p := range n {
			for q := p + 1; q < n; q++ {
				if x[p][q] == 0 {
					continue
				}
				th := math.Atan2(2*x[p][q], x[q][q]-x[p][p]) / 2
				r := identity(n)
				r[p][p], r[q][q], r[p][q], r[q][p] = math.Cos(th), math.Cos(th), math.Sin(th), -math.Sin(th)
				x, v = r.t().mul(x).mul(r), v.mul(r)
			}
		}
	}
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return int(math.Copysign(1, x[i][i]-x[j][j])) })
	vt, sorted := v.t(), mat{}
	for _, i := range order {
		w, sorted = append(w, x[i][i]), append(sorted, vt[i])
	}
	return w, sorted.t().positive()
}

// svd is by the eigenvalues of a^T a: k values, descending, and k columns of u and v, those
// of u starting positive.
func (a mat) svd() (u mat, s []float64, v mat) {
	if len(a) < len(a[0]) {
		v, s, u = a.t().svd()
		up := u.positive()
		for j := range s {
			if up[0][j] != u[0][j] {
				for i := range v {
					v[i][j] = -v[i][j]
				}
			}
		}
		return up, s, v
	}
	w, x := a.t().mul(a).eigh()
	xt := x.t()
	var us, vs mat
	for k := len(w) - 1; k >= 0; k-- {
		s = append(s, math.Sqrt(w[k]))
		col := scaled(a.mul(mat{xt[k]}.t()).t()[0])
		if col[0] < 0 {
			for i := range col {
				col[i] = -col[i]
			}
			for i := range xt[k] {
				xt[k][i] = -xt[k][i]
			}
		}
		us, vs = append(us, col), append(vs, xt[k])
	}
	return us.t(), s, vs.t()
}

// A cmat is a complex matrix.
type cmat [][]complex128

// cmats are the matrices of a real or complex array.
func cmats(a *mlx.Array) (out []cmat) {
	m, n := a.Dim(-2), a.Dim(-1)
	var v []complex128
	if a.DType() == mlx.Complex64 {
		for _, z := range mlx.ToSlice[complex64](a) {
			v = append(v, complex128(z))
		}
	} else {
		for _, x := range floats(a) {
			v = append(v, complex(x, 0))
		}
	}
	for len(v) > 0 {
		x := make(cmat, m)
		for i := range x {
			x[i], v = v[:n:n], v[n:]
		}
		out = append(out, x)
	}
	return out
}

// eigenvalues are the roots of the characteristic polynomial, by Leverrier and Weierstrass.
func (a cmat) eigenvalues() []complex128 {
	n := len(a)
	m, c := make(cmat, n), []complex128{1} // c[k] belongs to x^(n-k)
	for i := range m {
		m[i] = make([]complex128, n)
		m[i][i] = 1
	}
	for k := 1; k <= n; k++ {
		am := make(cmat, n)
		tr := complex128(0)
		for i := range n {
			am[i] = make([]complex128, n)
			for j := range n {
				for l := range n {
					am[i][j] += a[i][l] * m[l][j]
				}
			}
			tr += am[i][i]
		}
		c = append(c, -tr/complex(float64(k), 0))
		for i := range n {
			am[i][i] += c[k]
		}
		m = am
	}
	z := make([]complex128, n)
	for i := range z {
		z[i] = cmplx.Pow(0.4+0.9i, complex(float64(i), 0)) * complex(1+cmplx.Abs(c[1]), 0)
	}
	for range 500 {
		for i := range z {
			p, d := complex128(0), complex128(1)
			for _, v := range c {
				p = p*z[i] + v
			}
			for j := range z {
				if j != i {
					d *= z[i] - z[j]
				}
			}
			z[i] -= p / d
		}
	}
	return z
}

// twice is the real matrix [[x, -y], [y, x]] of x + iy: it has each value of that twice.
func (a cmat) twice() mat {
	m, n := len(a), len(a[0])
	y := newMat(2*m, 2*n)
	for i, row := range a {
		for j, z := range row {
			y[i][j], y[i][n+j], y[m+i][j], y[m+i][n+j] = real(z), -imag(z), imag(z), real(z)
		}
	}
	return y
}

// once is real and imaginary part of the matrix that y is twice of.
func (y mat) once() (re, im mat) {
	m, n := len(y)/2, len(y[0])/2
	re, im = newMat(m, n), newMat(m, n)
	for i := range m {
		copy(re[i], y[i][:n])
		copy(im[i], y[m+i][:n])
	}
	return re, im
}

// firstColumns is a's first two columns times those of b, transposed.
func firstColumns(a, b mat) mat {
	two := func(x mat) mat {
		t := x.t()
		return t[:2].t()
	}
	return two(a).mul(two(b).t())
}
