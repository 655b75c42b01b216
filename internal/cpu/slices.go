package cpu

// Loops over slices of any number type; lengths are equal.

type number interface{ integer | float }

func add[T number](y, a, b []T) {
	a, b = a[:len(y)], b[:len(y)]
	for i, v := range a {
		y[i] = v + b[i]
	}
}

func subtract[T number](y, a, b []T) {
	a, b = a[:len(y)], b[:len(y)]
	for i, v := range a {
		y[i] = v - b[i]
	}
}

func multiply[T number](y, a, b []T) {
	a, b = a[:len(y)], b[:len(y)]
	for i, v := range a {
		y[i] = v * b[i]
	}
}

func divide[T float](y, a, b []T) {
	a, b = a[:len(y)], b[:len(y)]
	for i, v := range a {
		y[i] = v / b[i]
	}
}

// maximum and minimum of floats are NaN if either side is.
func maximum[T number](y, a, b []T) {
	a, b = a[:len(y)], b[:len(y)]
	for i, v := range a {
		y[i] = max(v, b[i])
	}
}

func minimum[T number](y, a, b []T) {
	a, b = a[:len(y)], b[:len(y)]
	for i, v := range a {
		y[i] = min(v, b[i])
	}
}

func equal[T number](y []uint8, a, b []T) {
	a, b = a[:len(y)], b[:len(y)]
	for i, v := range a {
		y[i] = bit(v == b[i])
	}
}

func notEqual[T number](y []uint8, a, b []T) {
	a, b = a[:len(y)], b[:len(y)]
	for i, v := range a {
		y[i] = bit(v != b[i])
	}
}

func less[T number](y []uint8, a, b []T) {
	a, b = a[:len(y)], b[:len(y)]
	for i, v := range a {
		y[i] = bit(v < b[i])
	}
}

func lessEqual[T number](y []uint8, a, b []T) {
	a, b = a[:len(y)], b[:len(y)]
	for i, v := range a {
		y[i] = bit(v <= b[i])
	}
}

func greater[T number](y []uint8, a, b []T) {
	a, b = a[:len(y)], b[:len(y)]
	for i, v := range a {
		y[i] = bit(v > b[i])
	}
}

func greaterEqual[T number](y []uint8, a, b []T) {
	a, b = a[:len(y)], b[:len(y)]
	for i, v := range a {
		y[i] = bit(v >= b[i])
	}
}

func logicalAnd[T number](y []uint8, a, b []T) {
	a, b = a[:len(y)], b[:len(y)]
	for i, v := range a {
		y[i] = bit(v != 0 && b[i] != 0)
	}
}

func logicalOr[T number](y []uint8, a, b []T) {
	a, b = a[:len(y)], b[:len(y)]
	for i, v := range a {
		y[i] = bit(v != 0 || b[i] != 0)
	}
}

func logicalXor[T number](y []uint8, a, b []T) {
	a, b = a[:len(y)], b[:len(y)]
	for i, v := range a {
		y[i] = bit((v != 0) != (b[i] != 0))
	}
}

func logicalNot[T number](y []uint8, x []T) {
	x = x[:len(y)]
	for i, v := range x {
		y[i] = bit(v == 0)
	}
}

func isNaN[T number](y []uint8, x []T) {
	x = x[:len(y)]
	for i, v := range x {
		y[i] = bit(v != v)
	}
}

func negative[T number](y, x []T) {
	x = x[:len(y)]
	for i, v := range x {
		y[i] = -v
	}
}

func squareOf[T number](y, x []T) {
	x = x[:len(y)]
	for i, v := range x {
		y[i] = v * v
	}
}

func identity[T any](y, x []T) { copy(y, x) }

func absInt[T integer](y, x []T) {
	x = x[:len(y)]
	for i, v := range x {
		if v < 0 {
			v = -v
		}
		y[i] = v
	}
}

func signInt[T integer](y, x []T) {
	x = x[:len(y)]
	for i, v := range x {
		var s T
		if v > 0 {
			s = 1
		} else if v < 0 {
			s--
		}
		y[i] = s
	}
}

// powerInt wraps; a negative exponent gives 0, as in MLX.
func powerInt[T integer](y, a, b []T) {
	a, b = a[:len(y)], b[:len(y)]
	for i, v := range a {
		e := b[i]
		if e < 0 {
			y[i] = 0
			continue
		}
		r := T(1)
		for ; e > 0; e >>= 1 {
			if e&1 != 0 {
				r *= v
			}
			v *= v
		}
		y[i] = r
	}
}

// powerBool is a or not b.
func powerBool(y, a, b []uint8) {
	a, b = a[:len(y)], b[:len(y)]
	for i, v := range a {
		y[i] = bit(v != 0 || b[i] == 0)
	}
}
