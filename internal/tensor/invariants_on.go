//go:build invariants

package tensor

// invariants poisons freed memory and checks every view that reaches a kernel.
const invariants = true
