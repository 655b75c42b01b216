package mlx

import (
	_ "github.com/mlxgo/mlx/internal/cpu"   // runs every array on the CPU
	_ "github.com/mlxgo/mlx/internal/metal" // and on Apple's GPUs
)
