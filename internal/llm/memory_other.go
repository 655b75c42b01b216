//go:build !linux

package llm

import "github.com/mlxgo/mlx/internal/tensor"

// availableMemory is the machine's memory: these systems do not tell what is free
// without cgo. 0 when it is not known.
func availableMemory() int64 { return tensor.MemorySize() }
