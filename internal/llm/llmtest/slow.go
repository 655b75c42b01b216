//go:build !race

package llmtest

// Race says that the race detector slows everything down.
const Race = false
