package cpu

// The passes: of the numbers p, p+m, p+2m, ... of x, each s elements, the transform of radix
// numbers times the factors of p becomes the numbers radix*p, radix*p+1, ... of y.

// lanesAt is s elements from number i on.
func lanesAt(x []float64, i, s int) []float64 { return x[i*s:][:s:s] }

func (t *fftPass) two(yr, yi, xr, xi []float64, s int) {
	for p := range t.m {
		wr, wi := t.w[2*p], t.w[2*p+1]
		a0r, a0i := lanesAt(xr, p, s), lanesAt(xi, p, s)
		a1r, a1i := lanesAt(xr, p+t.m, s), lanesAt(xi, p+t.m, s)
		y0r, y0i := lanesAt(yr, 2*p, s), lanesAt(yi, 2*p, s)
		y1r, y1i := lanesAt(yr, 2*p+1, s), lanesAt(yi, 2*p+1, s)
		for q := range a0r {
			dr, di := a0r[q]-a1r[q], a0i[q]-a1i[q]
			y0r[q], y0i[q] = a0r[q]+a1r[q], a0i[q]+a1i[q]
			y1r[q], y1i[q] = dr*wr-di*wi, dr*wi+di*wr
		}
	}
}

func (t *fftPass) four(yr, yi, xr, xi []float64, s int) {
	if s == 1 {
		t.fourFirst(yr, yi, xr, xi)
		return
	}
	m := t.m
	for p := range m {
		w := t.w[6*p:][:6]
		w1r, w1i, w2r, w2i, w3r, w3i := w[0], w[1], w[2], w[3], w[4], w[5]
		a0r, a0i := lanesAt(xr, p, s), lanesAt(xi, p, s)
		a1r, a1i := lanesAt(xr, p+m, s), lanesAt(xi, p+m, s)
		a2r, a2i := lanesAt(xr, p+2*m, s), lanesAt(xi, p+2*m, s)
		a3r, a3i := lanesAt(xr, p+3*m, s), lanesAt(xi, p+3*m, s)
		y0r, y0i := lanesAt(yr, 4*p, s), lanesAt(yi, 4*p, s)
		y1r, y1i := lanesAt(yr, 4*p+1, s), lanesAt(yi, 4*p+1, s)
		y2r, y2i := lanesAt(yr, 4*p+2, s), lanesAt(yi, 4*p+2, s)
		y3r, y3i := lanesAt(yr, 4*p+3, s), lanesAt(yi, 4*p+3, s)
		for q := range s {
			b0r, b0i := a0r[q]+a2r[q], a0i[q]+a2i[q]
			b1r, b1i := a0r[q]-a2r[q], a0i[q]-a2i[q]
			b2r, b2i := a1r[q]+a3r[q], a1i[q]+a3i[q]
			b3r, b3i := a1i[q]-a3i[q], a3r[q]-a1r[q] // times -i
			y0r[q], y0i[q] = b0r+b2r, b0i+b2i
			cr, ci := b1r+b3r, b1i+b3i
			y1r[q], y1i[q] = cr*w1r-ci*w1i, cr*w1i+ci*w1r
			cr, ci = b0r-b2r, b0i-b2i
			y2r[q], y2i[q] = cr*w2r-ci*w2i, cr*w2i+ci*w2r
			cr, ci = b1r-b3r, b1i-b3i
			y3r[q], y3i[q] = cr*w3r-ci*w3i, cr*w3i+ci*w3r
		}
	}
}

// fourFirst is four for one lane, whose numbers are elements.
func (t *fftPass) fourFirst(yr, yi, xr, xi []float64) {
	m := t.m
	a0r, a1r, a2r, a3r := xr[:m:m], xr[m:][:m:m], xr[2*m:][:m:m], xr[3*m:][:m:m]
	a0i, a1i, a2i, a3i := xi[:m:m], xi[m:][:m:m], xi[2*m:][:m:m], xi[3*m:][:m:m]
	for p := range m {
		w, vr, vi := t.w[6*p:][:6], yr[4*p:][:4], yi[4*p:][:4]
		b0r, b0i := a0r[p]+a2r[p], a0i[p]+a2i[p]
		b1r, b1i := a0r[p]-a2r[p], a0i[p]-a2i[p]
		b2r, b2i := a1r[p]+a3r[p], a1i[p]+a3i[p]
		b3r, b3i := a1i[p]-a3i[p], a3r[p]-a1r[p]
		vr[0], vi[0] = b0r+b2r, b0i+b2i
		cr, ci := b1r+b3r, b1i+b3i
		vr[1], vi[1] = cr*w[0]-ci*w[1], cr*w[1]+ci*w[0]
		cr, ci = b0r-b2r, b0i-b2i
		vr[2], vi[2] = cr*w[2]-ci*w[3], cr*w[3]+ci*w[2]
		cr, ci = b1r-b3r, b1i-b3i
		vr[3], vi[3] = cr*w[4]-ci*w[5], cr*w[5]+ci*w[4]
	}
}

func (t *fftPass) three(yr, yi, xr, xi []float64, s int) {
	m, sin := t.m, t.root[3]
	for p := range m {
		w := t.w[4*p:][:4]
		w1r, w1i, w2r, w2i := w[0], w[1], w[2], w[3]
		a0r, a0i := lanesAt(xr, p, s), lanesAt(xi, p, s)
		a1r, a1i := lanesAt(xr, p+m, s), lanesAt(xi, p+m, s)
		a2r, a2i := lanesAt(xr, p+2*m, s), lanesAt(xi, p+2*m, s)
		y0r, y0i := lanesAt(yr, 3*p, s), lanesAt(yi, 3*p, s)
		y1r, y1i := lanesAt(yr, 3*p+1, s), lanesAt(yi, 3*p+1, s)
		y2r, y2i := lanesAt(yr, 3*p+2, s), lanesAt(yi, 3*p+2, s)
		for q := range s {
			br, bi := a1r[q]+a2r[q], a1i[q]+a2i[q]
			er, ei := sin*(a1i[q]-a2i[q]), sin*(a2r[q]-a1r[q]) // times -i
			dr, di := a0r[q]-br/2, a0i[q]-bi/2
			y0r[q], y0i[q] = a0r[q]+br, a0i[q]+bi
			cr, ci := dr+er, di+ei
			y1r[q], y1i[q] = cr*w1r-ci*w1i, cr*w1i+ci*w1r
			cr, ci = dr-er, di-ei
			y2r[q], y2i[q] = cr*w2r-ci*w2i, cr*w2i+ci*w2r
		}
	}
}

func (t *fftPass) five(yr, yi, xr, xi []float64, s int) {
	m, c1, s1, c2, s2 := t.m, t.root[2], t.root[3], t.root[4], t.root[5]
	for p := range m {
		w := t.w[8*p:][:8]
		w1r, w1i, w2r, w2i, w3r, w3i, w4r, w4i := w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7]
		a0r, a0i := lanesAt(xr, p, s), lanesAt(xi, p, s)
		a1r, a1i := lanesAt(xr, p+m, s), lanesAt(xi, p+m, s)
		a2r, a2i := lanesAt(xr, p+2*m, s), lanesAt(xi, p+2*m, s)
		a3r, a3i := lanesAt(xr, p+3*m, s), lanesAt(xi, p+3*m, s)
		a4r, a4i := lanesAt(xr, p+4*m, s), lanesAt(xi, p+4*m, s)
		y0r, y0i := lanesAt(yr, 5*p, s), lanesAt(yi, 5*p, s)
		y1r, y1i := lanesAt(yr, 5*p+1, s), lanesAt(yi, 5*p+1, s)
		y2r, y2i := lanesAt(yr, 5*p+2, s), lanesAt(yi, 5*p+2, s)
		y3r, y3i := lanesAt(yr, 5*p+3, s), lanesAt(yi, 5*p+3, s)
		y4r, y4i := lanesAt(yr, 5*p+4, s), lanesAt(yi, 5*p+4, s)
		for q := range s {
			br, bi, ur, ui := a1r[q]+a4r[q], a1i[q]+a4i[q], a1r[q]-a4r[q], a1i[q]-a4i[q]
			er, ei, vr, vi := a2r[q]+a3r[q], a2i[q]+a3i[q], a2r[q]-a3r[q], a2i[q]-a3i[q]
			y0r[q], y0i[q] = a0r[q]+br+er, a0i[q]+bi+ei
			dr, di := a0r[q]+c1*br+c2*er, a0i[q]+c1*bi+c2*ei
			gr, gi := s1*ui+s2*vi, -s1*ur-s2*vr // times -i
			cr, ci := dr+gr, di+gi
			y1r[q], y1i[q] = cr*w1r-ci*w1i, cr*w1i+ci*w1r
			cr, ci = dr-gr, di-gi
			y4r[q], y4i[q] = cr*w4r-ci*w4i, cr*w4i+ci*w4r
			dr, di = a0r[q]+c2*br+c1*er, a0i[q]+c2*bi+c1*ei
			gr, gi = s2*ui-s1*vi, s1*vr-s2*ur
			cr, ci = dr+gr, di+gi
			y2r[q], y2i[q] = cr*w2r-ci*w2i, cr*w2i+ci*w2r
			cr, ci = dr-gr, di-gi
			y3r[q], y3i[q] = cr*w3r-ci*w3i, cr*w3i+ci*w3r
		}
	}
}

// odd is any odd radix: numbers k and radix-k share their sums and differences.
func (t *fftPass) odd(yr, yi, xr, xi []float64, s int) {
	var br, bi, ur, ui [maxFFTRadix/2 + 1]float64
	m, r, pairs := t.m, t.radix, t.radix/2
	for p := range m {
		w := t.w[2*p*(r-1):][:2*(r-1)]
		for q := range s {
			a0r, a0i := xr[p*s+q], xi[p*s+q]
			zr, zi := a0r, a0i
			for j := 1; j <= pairs; j++ {
				f, l := (p+j*m)*s+q, (p+(r-j)*m)*s+q
				br[j], bi[j], ur[j], ui[j] = xr[f]+xr[l], xi[f]+xi[l], xr[f]-xr[l], xi[f]-xi[l]
				zr, zi = zr+br[j], zi+bi[j]
			}
			y := r*p*s + q
			yr[y], yi[y] = zr, zi
			for k := 1; k <= pairs; k++ {
				dr, di, gr, gi := a0r, a0i, 0.0, 0.0
				at := 0
				for j := 1; j <= pairs; j++ {
					if at += k; at >= r {
						at -= r
					}
					cos, sin := t.root[2*at], t.root[2*at+1]
					dr, di = dr+cos*br[j], di+cos*bi[j]
					gr, gi = gr+sin*ui[j], gi-sin*ur[j]
				}
				wr, wi, cr, ci := w[2*k-2], w[2*k-1], dr+gr, di+gi
				yr[y+k*s], yi[y+k*s] = cr*wr-ci*wi, cr*wi+ci*wr
				wr, wi, cr, ci = w[2*(r-k)-2], w[2*(r-k)-1], dr-gr, di-gi
				yr[y+(r-k)*s], yi[y+(r-k)*s] = cr*wr-ci*wi, cr*wi+ci*wr
			}
		}
	}
}
