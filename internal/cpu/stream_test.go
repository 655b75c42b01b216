package cpu

import "testing"

// TestStreamed: results that are written past the caches are the same.
func TestStreamed(t *testing.T) {
	usual := streamMin
	defer func() { streamMin = usual }()
	streamMin = func() int { return 0 }
	t.Run("unary", TestUnary)
	t.Run("binary", TestBinary)
	t.Run("select", TestSelectAndSwiGLU)
	t.Run("cast", TestCast)
}
