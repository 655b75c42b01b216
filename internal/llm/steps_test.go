package llm

import "testing"

// TestPass: every token runs once, no pass is longer than the chunk, few lengths
// occur, and padding is less than half of a prompt but for short ends.
func TestPass(t *testing.T) {
	for _, chunk := range []int{1, 2, 3, 15, 16, 17, 64, 100, 256, 512, 2048, 1 << 40} {
		lengths := map[int]bool{}
		for n := 1; n <= 5000; n++ {
			ran := 0
			for left := n; left > 0; {
				take, length := pass(left, chunk)
				if take < 1 || take > left || take > chunk || length < take || length > chunk && length > 16 {
					t.Fatalf("pass(%d, %d) = %d, %d", left, chunk, take, length)
				}
				lengths[length] = true
				left -= take
				ran += length
			}
			if pad := ran - n; pad > n/3+32 {
				t.Fatalf("%d tokens in chunks of %d: %d are padding", n, chunk, pad)
			}
		}
		if len(lengths) > 7 {
			t.Errorf("chunk %d: %d lengths", chunk, len(lengths))
		}
	}
}
