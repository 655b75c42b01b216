// Package threefry is MLX's pseudo random number generator on host values:
// Threefry-2x32 with 20 rounds, keys that split, MLX's layout of many words,
// and the sequence of keys behind a global seed. All results equal MLX's bit
// for bit.
//
// Main types: [Key], an immutable 64-bit key, and [Generator], the sequence of
// keys that a seed starts.
//
// The package does not make distributions other than the uniform one, does not
// know arrays, and reads no clock: whoever wants an unseeded generator picks
// the seed.
//
// Threefry is described in Salmon, Moraes, Dror, Shaw: Parallel Random Numbers:
// As Easy as 1, 2, 3 (SC 2011).
package threefry

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

// parity is the constant that Threefry folds into the third word of the key
// schedule.
const parity = 0x1BD11BDA

// below1 is the largest float32 below 1.
const below1 = float32(1) - 1.0/(1<<24)

// Key is the key of one random draw. MLX shows it as a uint32 array of shape
// [2] with the same two words.
type Key [2]uint32

// NewKey returns the key of a seed: its high word, then its low word.
func NewKey(seed uint64) Key {
	return Key{uint32(seed >> 32), uint32(seed)}
}

// Split returns two keys whose draws are independent of each other and of k's
// other uses, as mx.random.split(k) does.
func (k Key) Split() (Key, Key) {
	// Four words, so two blocks with counters (0, 2) and (1, 3).
	a0, b0 := Block(k, 0, 2)
	a1, b1 := Block(k, 1, 3)
	return Key{a0, a1}, Key{b0, b1}
}

// SplitN returns n keys, as mx.random.split(k, n) does: row i of the n*2 words
// that [Bits] makes. n must not be negative; n = 0 gives an empty slice.
func (k Key) SplitN(n int) []Key {
	words := make([]uint32, 2*n)
	Bits(k, words)
	keys := make([]Key, n)
	for i := range keys {
		keys[i] = Key{words[2*i], words[2*i+1]}
	}
	return keys
}

// Block encrypts the counter (c0, c1) with key: Threefry-2x32, 20 rounds.
func Block(key Key, c0, c1 uint32) (uint32, uint32) {
	k0, k1 := key[0], key[1]
	k2 := k0 ^ k1 ^ parity
	x, y := c0+k0, c1+k1
	x, y = roundsA(x, y)
	x, y = x+k1, y+k2+1
	x, y = roundsB(x, y)
	x, y = x+k2, y+k0+2
	x, y = roundsA(x, y)
	x, y = x+k0, y+k1+3
	x, y = roundsB(x, y)
	x, y = x+k1, y+k2+4
	x, y = roundsA(x, y)
	return x + k2, y + k0 + 5
}

// roundsA is four rounds with the first set of rotations.
func roundsA(x, y uint32) (uint32, uint32) {
	x += y
	y = bits.RotateLeft32(y, 13) ^ x
	x += y
	y = bits.RotateLeft32(y, 15) ^ x
	x += y
	y = bits.RotateLeft32(y, 26) ^ x
	x += y
	y = bits.RotateLeft32(y, 6) ^ x
	return x, y
}

// roundsB is four rounds with the second set of rotations.
func roundsB(x, y uint32) (uint32, uint32) {
	x += y
	y = bits.RotateLeft32(y, 17) ^ x
	x += y
	y = bits.RotateLeft32(y, 29) ^ x
	x += y
	y = bits.RotateLeft32(y, 16) ^ x
	x += y
	y = bits.RotateLeft32(y, 24) ^ x
	return x, y
}

// Bits fills dst with the len(dst) words of mx.random.bits(width=4).
//
// Of n words the first ceil(n/2) are first outputs and the last floor(n/2) are
// second outputs: with half = n/2 and odd = n%2, counter (i, half+odd+i) gives
// words i and half+odd+i, and for odd n counter (half, 0) gives word half.
func Bits(key Key, dst []uint32) {
	FillBlocks(key, dst, 0, NumBlocks(len(dst)))
}

// NumBlocks is the number of Threefry blocks behind an n-word result.
func NumBlocks(n int) int { return n/2 + n%2 }

// FillBlocks computes blocks lo..hi-1 of the len(dst)-word result of [Bits] and
// stores their words where they belong in dst, which is the whole result.
// Ranges that cover 0..[NumBlocks](len(dst)) without overlap may run in
// parallel, and none computes a block twice. It panics if the range is not
// within the blocks.
func FillBlocks(key Key, dst []uint32, lo, hi int) {
	n := len(dst)
	blocks, half := NumBlocks(n), n/2
	if lo < 0 || lo > hi || hi > blocks {
		panic(fmt.Sprintf("threefry: blocks %d..%d of a result with %d blocks", lo, hi, blocks))
	}
	first, second := dst[:blocks], dst[blocks:]
	for i := lo; i < min(hi, half); i++ {
		first[i], second[i] = Block(key, uint32(i), uint32(blocks+i))
	}
	if n%2 == 1 && lo <= half && half < hi {
		first[half], _ = Block(key, uint32(half), 0)
	}
}

// FillRange stores words lo..hi-1 of the nWords-word result of [Bits] in
// dst[0:hi-lo], without computing the rest. Each word costs one block;
// [FillBlocks] costs half of that where the whole result is wanted. It panics
// if the range is not within the result or dst is too short.
func FillRange(key Key, nWords int, dst []uint32, lo, hi int) {
	if lo < 0 || lo > hi || hi > nWords || len(dst) < hi-lo {
		panic(fmt.Sprintf("threefry: words %d..%d of %d into %d words", lo, hi, nWords, len(dst)))
	}
	for i := lo; i < hi; i++ {
		dst[i-lo] = word(key, nWords, i)
	}
}

// word is word i of the n-word result.
func word(key Key, n, i int) uint32 {
	half, blocks := n/2, NumBlocks(n)
	switch {
	case i < half:
		w, _ := Block(key, uint32(i), uint32(blocks+i))
		return w
	case i < blocks: // the middle word of an odd n
		w, _ := Block(key, uint32(i), 0)
		return w
	default:
		_, w := Block(key, uint32(i-blocks), uint32(i))
		return w
	}
}

// FillBytes fills dst with the bytes of mx.random.bits for any width (1, 2 or
// 4) whose elements take len(dst) bytes in all: the words of [Bits] for
// ceil(len(dst)/4) words, little endian, cut to the length.
func FillBytes(key Key, dst []byte) {
	n := (len(dst) + 3) / 4
	half, blocks := n/2, NumBlocks(n)
	for i := range half {
		a, b := Block(key, uint32(i), uint32(blocks+i))
		binary.LittleEndian.PutUint32(dst[4*i:], a)
		putCut(dst[4*(blocks+i):], b)
	}
	if n%2 == 1 {
		a, _ := Block(key, uint32(half), 0)
		putCut(dst[4*half:], a)
	}
}

// putCut writes w little endian into dst, or the first bytes of it if dst is
// shorter than 4.
func putCut(dst []byte, w uint32) {
	if len(dst) >= 4 {
		binary.LittleEndian.PutUint32(dst, w)
		return
	}
	for i := range dst {
		dst[i] = byte(w >> (8 * i))
	}
}

// Uniform32 turns 32 random bits into a float32 in [0, 1):
// min(float32(bits) / float32(2^32-1), the largest float32 below 1), all in
// float32, so the divisor rounds to 2^32.
func Uniform32(bits uint32) float32 {
	return min(float32(bits)/(1<<32), below1)
}

// Generator is the sequence of keys that mx.random.seed(s) starts and every
// draw without a key of its own takes one key from. The zero Generator is the
// one of seed 0. It has no lock: one goroutine owns it.
type Generator struct {
	state Key
}

// NewGenerator returns the generator of seed.
func NewGenerator(seed uint64) *Generator {
	return &Generator{state: NewKey(seed)}
}

// Seed restarts the sequence from seed.
func (g *Generator) Seed(seed uint64) { g.state = NewKey(seed) }

// State returns the key that the next split starts from (mx.random.state).
func (g *Generator) State() Key { return g.state }

// SetState makes the sequence go on from k.
func (g *Generator) SetState(k Key) { g.state = k }

// Next splits the state, keeps the first half as the new state and returns the
// second as the key of one draw.
func (g *Generator) Next() Key {
	var key Key
	g.state, key = g.state.Split()
	return key
}
