package tune

// Twister is numpy's legacy generator, np.random.seed(seed): MT19937 of Matsumoto and
// Nishimura. mlx-lm orders its batches with it.
type Twister struct {
	state [twisterN]uint32
	at    int
}

const (
	twisterN = 624
	twisterM = 397
)

// NewTwister is the generator after np.random.seed(seed).
func NewTwister(seed uint32) *Twister {
	t := &Twister{at: twisterN}
	t.state[0] = seed
	for i := 1; i < twisterN; i++ {
		p := t.state[i-1]
		t.state[i] = 1812433253*(p^p>>30) + uint32(i)
	}
	return t
}

// next is 32 bits.
func (t *Twister) next() uint32 {
	if t.at == twisterN {
		for i := range twisterN {
			y := t.state[i]&(1<<31) | t.state[(i+1)%twisterN]&(1<<31-1)
			v := t.state[(i+twisterM)%twisterN] ^ y>>1
			if y&1 != 0 {
				v ^= 0x9908b0df
			}
			t.state[i] = v
		}
		t.at = 0
	}
	y := t.state[t.at]
	t.at++
	y ^= y >> 11
	y ^= y << 7 & 0x9d2c5680
	y ^= y << 15 & 0xefc60000
	return y ^ y>>18
}

// upTo is a number from 0 to limit, by rejection under the smallest mask.
func (t *Twister) upTo(limit uint32) uint32 {
	mask := limit
	for s := 1; s < 32; s *= 2 {
		mask |= mask >> s
	}
	for {
		if v := t.next() & mask; v <= limit {
			return v
		}
	}
}

// Epoch is np.random.permutation(n). As in mlx-lm, training and validation draw from one
// stream.
func (t *Twister) Epoch(n int, _ bool) []int {
	p := make([]int, n)
	for i := range p {
		p[i] = i
	}
	for i := n - 1; i > 0; i-- {
		j := t.upTo(uint32(i))
		p[i], p[j] = p[j], p[i]
	}
	return p
}
