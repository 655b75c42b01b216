package tune

import (
	"slices"
	"testing"
)

// TestTwister compares with numpy: np.random.seed(0); np.random.permutation(10), and the
// first word of np.random.seed(5489) of the generator's authors.
func TestTwister(t *testing.T) {
	if got, want := NewTwister(0).Epoch(10, false), []int{2, 8, 4, 9, 1, 6, 7, 3, 0, 5}; !slices.Equal(got, want) {
		t.Errorf("permutation %v, want %v", got, want)
	}
	if got := NewTwister(5489).next(); got != 3499211612 {
		t.Errorf("first word %d, want 3499211612", got)
	}
}
