//go:build race

package tensor

// raceEnabled puts all buffers on the Go heap, where the race detector sees them, unless a
// GPU shares the memory.
const raceEnabled = true
