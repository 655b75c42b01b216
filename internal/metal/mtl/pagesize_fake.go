//go:build linux

package mtl

import "github.com/mlxgo/mlx/internal/metal/mtl/objcfake"

func systemPageSize() int { return objcfake.PageSize }
