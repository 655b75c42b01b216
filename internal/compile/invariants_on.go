//go:build invariants

package compile

// invariants verifies the graph after each pass outside of tests as well.
const invariants = true
