//go:build !(linux && metalemu)

package examples

import "github.com/mlxgo/mlx"

const (
	buildTags = ""
	metalEnv  = "MLX_DEVICE="
)

// hasMetal reports whether programs run on a Mac's GPU.
func hasMetal() bool { return mlx.IsAvailable(mlx.GPU) }
