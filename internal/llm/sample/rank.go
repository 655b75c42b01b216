package sample

import "math"

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

// tieRule says which of several equal values counts as the larger one.
type tieRule bool

const (
	lowFirst  tieRule = false // the lower token
	highFirst tieRule = true  // the higher token
)

// keep sets to -Inf each value of row that has weights of at least limit before
// it in falling order. weight nil is 1 for each value. The first value always
// stays.
func (r *ranking) keep(row []float32, weight []float64, limit float64, ties tieRule) {
	limit = max(limit, math.SmallestNonzeroFloat64)
	key, above := r.threshold(row, weight, limit)
	equal := 0
	allowed := 0
	for i, v := range row {
		k := order(v)
		if k < key {
			row[i] = negInf
			continue
		}
		if k == key {
			if above < limit {
				allowed++
				above += weightOf(weight, i)
			}
			equal++
		}
	}
	if allowed < equal {
		dropTies(row, key, equal-allowed, ties)
	}
}

// dropTies drops n of the values with the given key.
func dropTies(row []float32, key uint32, n int, ties tieRule) {
	if ties == highFirst {
		for i := 0; n > 0; i++ {
			if order(row[i]) == key {
				row[i] = negInf
				n--
			}
		}
		return
	}
	for i := len(row) - 1; n > 0; i-- {
		if order(row[i]) == key {
			row[i] = negInf
			n--
		}
	}
}

// threshold returns the key of the last value in falling order with less than
// limit before it, and the weight of all values above that key.
func (r *ranking) threshold(row []float32, weight []float64, limit float64) (key uint32, above float64) {
	if cap(r.group) < len(row) {
		r.group = make([]int32, 0, len(row))
	}
	group := r.group[:0]
	for level, l := range rankLevels {
		mass := r.mass[:1<<l.width]
		clear(mass)
		low, high := len(mass)-1, 0 // buckets in use
		add := func(i int) {
			b := int(order(row[i])>>l.shift) & (len(mass) - 1)
			mass[b] += weightOf(weight, i)
			low, high = min(low, b), max(high, b)
		}
		if level == 0 {
			for i := range row {
				add(i)
			}
		} else {
			for _, i := range group {
				add(int(i))
			}
		}
		b := high
		for b > low && above+mass[b] < limit {
			above += mass[b]
			b--
		}
		key = key | uint32(b)<<l.shift
		group = r.narrow(row, group, level, key)
	}
	return key, above
}

// narrow returns the members of group (of the whole row at level 0) that share
// the bits of key down to the level.
func (r *ranking) narrow(row []float32, group []int32, level int, key uint32) []int32 {
	shift := rankLevels[level].shift
	out := r.group[:0]
	if level == 0 {
		for i, v := range row {
			if order(v)>>shift == key>>shift {
				out = append(out, int32(i))
			}
		}
		return out
	}
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
