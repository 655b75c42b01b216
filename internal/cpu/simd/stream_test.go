package simd

import (
	"bytes"
	"testing"
)

// TestStream: all lengths and offsets give a copy, and nothing else is written.
func TestStream(t *testing.T) {
	src := make([]byte, 4096+512)
	for i := range src {
		src[i] = byte(i*7 + i>>8)
	}
	for _, at := range []int{0, 1, 4, 32, 64} {
		for _, n := range []int{0, 1, 63, 64, 255, 256, 257, 511, 512, 1000, 4096} {
			dst := bytes.Repeat([]byte{0xee}, 4096+512)
			Stream(dst[at:], src[3:3+n], nil, nil)
			StreamEnd()
			if !bytes.Equal(dst[at:at+n], src[3:3+n]) {
				t.Fatalf("%d bytes at %d are not the source", n, at)
			}
			for i, b := range dst {
				if (i < at || i >= at+n) && b != 0xee {
					t.Fatalf("%d bytes at %d: byte %d was written", n, at, i)
				}
			}
		}
	}
}
