package sample

import (
	"math"

	"github.com/mlxgo/mlx/internal/cpu/simd"
)

// ranking finds how far down the order of falling log-probability a filter
// keeps tokens, by histograms over the leading bits of the values: O(vocab),
// without a sort.
type ranking struct {
	mass  [1 << rankBits]float64
	group []int32 // tokens that share the leading bits under the threshold
}

const rankBits = 12

// rankLevels are the bit fields of a 32-bit key, from the leading ones on.
var rankLevels = [...]struct{ shift, width uint }{{20, 12}, {10, 10}, {0, 10}}

// order maps a float32 other than NaN to a key that sorts as the number does.
func order(f float32) uint32 {
	b := math.Float32bits(f + 0) // -0 becomes +0
	if b>>31 != 0 {
		return ^b
	}
	return b | 1<<31
}

// value is the inverse of order.
func value(key uint32) float32 {
	if key>>31 != 0 {
		return math.Float32frombits(key &^ (1 << 31))
	}
	return math.Float32frombits(^key)
}

// tieRule says which of several equal values counts as the larger one.
type tieRule bool

const (
	lowFirst  tieRule = false // the lower token
	highFirst tieRule = true  // the higher token
)

// keep sets to -Inf each value of row that has weights of at least limit before
// it in falling order. weight nil is 1 for each value. The first value, which
// must be above -Inf, always stays.
func (r *ranking) keep(row []float32, weight []float64, limit float64, ties tieRule) {
	limit = max(limit, math.SmallestNonzeroFloat64)
	key, above := r.threshold(row, weight, limit)
	border := value(key)
	equal, allowed := 0, 0
	for i, v := range row {
		if v < border {
			row[i] = negInf
			continue
		}
		if v == border {
			if above < limit {
				allowed++
				above += weightOf(weight, i)
			}
			equal++
		}
	}
	if allowed < equal {
		dropTies(row, border, equal-allowed, ties)
	}
}

// dropTies drops n of the values that equal border.
func dropTies(row []float32, border float32, n int, ties tieRule) {
	if ties == highFirst {
		for i := 0; n > 0; i++ {
			if row[i] == border {
				row[i] = negInf
				n--
			}
		}
		return
	}
	for i := len(row) - 1; n > 0; i-- {
		if row[i] == border {
			row[i] = negInf
			n--
		}
	}
}

// threshold returns the key of the last value in falling order with less than
// limit before it, and the weight of all values above that key. Values of -Inf
// do not take part.
func (r *ranking) threshold(row []float32, weight []float64, limit float64) (key uint32, above float64) {
	if cap(r.group) < len(row) {
		r.group = make([]int32, 0, len(row))
	}
	group := r.group[:0]
	for level, l := range rankLevels {
		mass := r.mass[:1<<l.width]
		clear(mass)
		low, high := len(mass)-1, 0 // buckets in use
		if level == 0 {
			low, high = r.leading(row, weight, limit)
		}
		for _, i := range group {
			b := int(order(row[i])>>l.shift) & (len(mass) - 1)
			mass[b] += weightOf(weight, int(i))
			low, high = min(low, b), max(high, b)
		}
		b := high
		for b > low && above+mass[b] < limit {
			above += mass[b]
			b--
		}
		key |= uint32(b) << l.shift
		if level == 0 {
			group = r.gather(row, key)
		} else {
			group = r.narrow(row, group, key, l.shift)
		}
	}
	return key, above
}

// nearTop is how far below the largest log-probability a first look goes: rarely
// does less than e^-nearTop of it count.
const nearTop = 10

// leading fills the histogram of the first level, down to the value that has limit
// before it, or with all values.
func (r *ranking) leading(row []float32, weight []float64, limit float64) (low, high int) {
	const shift = 32 - rankBits
	near := order(simd.K.Max(row)-nearTop) >> shift << shift
	low, high = r.count(row, weight, value(near))
	sum := 0.0
	for b := high; b >= low; b-- { // in threshold's order
		sum += r.mass[b]
	}
	if sum >= limit {
		return low, high
	}
	clear(r.mass[:])
	return r.count(row, weight, -math.MaxFloat32)
}

// count adds the values from least on to the histogram of the first level.
func (r *ranking) count(row []float32, weight []float64, least float32) (low, high int) {
	low = len(r.mass) - 1
	for i, v := range row {
		if v < least {
			continue
		}
		b := int(order(v) >> (32 - rankBits))
		r.mass[b] += weightOf(weight, i)
		low, high = min(low, b), max(high, b)
	}
	return low, high
}

// gather returns the tokens in the bucket of the first level that key starts.
func (r *ranking) gather(row []float32, key uint32) []int32 {
	out := r.group[:0]
	least := value(key)
	for i, v := range row {
		if v >= least && order(v)^key < 1<<(32-rankBits) && v != negInf {
			out = append(out, int32(i))
		}
	}
	return out
}

// narrow returns the members of group that share the bits of key above shift.
func (r *ranking) narrow(row []float32, group []int32, key uint32, shift uint) []int32 {
	out := group[:0]
	for _, i := range group {
		if order(row[i])>>shift == key>>shift {
			out = append(out, i)
		}
	}
	return out
}

func weightOf(weight []float64, i int) float64 {
	if weight == nil {
		return 1
	}
	return weight[i]
}
