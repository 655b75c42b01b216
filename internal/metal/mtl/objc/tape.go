//go:build (darwin && cgo) || linux

package objc

import "encoding/binary"

// A Tape is a list of commands for [Encode], in words, so that a batch crosses into C at
// once. The bytes of arguments lie on it, so that C sees no other memory of Go's. Objects
// are their addresses. encode_darwin.c reads it:
//
//	run      1, pipeline, number of arguments, number of lengths, grid (3), group (3),
//	         arguments, lengths of threadgroup memory
//	barrier  2
//	nothing  0
//	buffer   1, buffer, offset
//	bytes    2, length, words
type Tape struct{ words []uint64 }

const (
	opRun     = 1
	opBarrier = 2

	argNone   = 0
	argBuffer = 1
	argBytes  = 2
)

// Words is what is on the tape.
func (t *Tape) Words() []uint64 { return t.words }

// Empty says whether nothing is on the tape.
func (t *Tape) Empty() bool { return len(t.words) == 0 }

// Reset empties the tape.
func (t *Tape) Reset() { t.words = t.words[:0] }

// Run adds a dispatch, which the given numbers of arguments and lengths must follow.
func (t *Tape) Run(pipeline Object, args, lengths int, grid, group [3]int) {
	t.put(opRun, address(pipeline), uint64(args), uint64(lengths))
	for _, n := range [...]int{grid[0], grid[1], grid[2], group[0], group[1], group[2]} {
		t.put(uint64(n))
	}
}

// Barrier adds a barrier.
func (t *Tape) Barrier() { t.put(opBarrier) }

// None adds an argument that binds nothing.
func (t *Tape) None() { t.put(argNone) }

// Buffer adds an argument.
func (t *Tape) Buffer(buffer Object, offset int) {
	t.put(argBuffer, address(buffer), uint64(offset))
}

// Bytes adds an argument.
func (t *Tape) Bytes(b []byte) {
	t.put(argBytes, uint64(len(b)))
	for ; len(b) >= 8; b = b[8:] {
		t.put(binary.NativeEndian.Uint64(b))
	}
	if len(b) > 0 {
		var last [8]byte
		copy(last[:], b)
		t.put(binary.NativeEndian.Uint64(last[:]))
	}
}

// Length adds the length of threadgroup memory.
func (t *Tape) Length(n int) { t.put(uint64(n)) }

func (t *Tape) put(words ...uint64) { t.words = append(t.words, words...) }

func address(o Object) uint64 { return uint64(uintptr(o.Ptr())) }
