package cpu

// Loops of reductions over slices.

func identityOf[T any](v T) T { return v }

func normal(v uint8) uint8 { return bit(v != 0) }

func sumFold[T, A, R number](prod bool) fold[T, A, R] {
	f := fold[T, A, R]{block: sumBlock[T, A], row: sumRow[T, A], merge: func(a, b A) A { return a + b }, done: func(a A) R { return R(a) }, store: convert[R, A]}
	if prod {
		f.first, f.block, f.row, f.merge = 1, prodBlock[T, A], prodRow[T, A], func(a, b A) A { return a * b }
	}
	return f
}

// boolFold makes bools 0 or 1 before f sees them.
func boolFold[A, R any](f fold[uint8, A, R]) fold[uint8, A, R] {
	block, row := f.block, f.row
	f.block = func(acc A, x []uint8) A {
		var buf [foldBlock]uint8
		toBool(buf[:len(x)], x)
		return block(acc, buf[:len(x)])
	}
	f.row = func(acc []A, x []uint8) {
		var buf [foldTile]uint8
		toBool(buf[:len(x)], x)
		row(acc, buf[:len(x)])
	}
	return f
}

func sumBlock[T, A number](acc A, x []T) A {
	var s A
	for _, v := range x {
		s += A(v)
	}
	return acc + s
}

func sumRow[T, A number](acc []A, x []T) {
	x = x[:len(acc)]
	for i, v := range x {
		acc[i] += A(v)
	}
}

func prodBlock[T, A number](acc A, x []T) A {
	for _, v := range x {
		acc *= A(v)
	}
	return acc
}

func prodRow[T, A number](acc []A, x []T) {
	x = x[:len(acc)]
	for i, v := range x {
		acc[i] *= A(v)
	}
}

func extremeFold[T number](lowest, highest T, small bool) fold[T, T, T] {
	if small {
		return fold[T, T, T]{first: highest, block: minBlock[T], row: minRow[T], merge: func(a, b T) T { return min(a, b) }, done: identityOf[T], store: identity[T]}
	}
	return fold[T, T, T]{first: lowest, block: maxBlock[T], row: maxRow[T], merge: func(a, b T) T { return max(a, b) }, done: identityOf[T], store: identity[T]}
}

func maxBlock[T number](acc T, x []T) T {
	for _, v := range x {
		acc = max(acc, v)
	}
	return acc
}

func minBlock[T number](acc T, x []T) T {
	for _, v := range x {
		acc = min(acc, v)
	}
	return acc
}

func maxRow[T number](acc, x []T) { maximum(acc, acc, x) }
func minRow[T number](acc, x []T) { minimum(acc, acc, x) }

func blockAny(acc uint8, x []uint8) uint8 {
	for _, v := range x {
		acc |= v
	}
	return bit(acc != 0)
}

func blockAll(acc uint8, x []uint8) uint8 {
	for _, v := range x {
		acc &= bit(v != 0)
	}
	return acc
}

func rowAny(acc, x []uint8) { logicalOr(acc, acc, x) }
func rowAll(acc, x []uint8) { logicalAnd(acc, acc, x) }

func sumComplex(acc complex128, x []complex64) complex128 {
	for _, v := range x {
		acc += complex128(v)
	}
	return acc
}

func addComplex(acc []complex128, x []complex64) {
	for i, v := range x {
		acc[i] += complex128(v)
	}
}

func prodComplex(acc complex128, x []complex64) complex128 {
	for _, v := range x {
		acc *= complex128(v)
	}
	return acc
}

func mulComplex(acc []complex128, x []complex64) {
	for i, v := range x {
		acc[i] *= complex128(v)
	}
}

func maxBlockComplex(acc complex64, x []complex64) complex64 {
	for _, v := range x {
		acc = maxComplex(acc, v)
	}
	return acc
}

func minBlockComplex(acc complex64, x []complex64) complex64 {
	for _, v := range x {
		acc = minComplex(acc, v)
	}
	return acc
}

func maxRowComplex(acc, x []complex64) {
	for i, v := range x {
		acc[i] = maxComplex(acc[i], v)
	}
}

func minRowComplex(acc, x []complex64) {
	for i, v := range x {
		acc[i] = minComplex(acc[i], v)
	}
}
