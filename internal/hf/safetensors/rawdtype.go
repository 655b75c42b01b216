package safetensors

import (
	"fmt"

	"github.com/mlxgo/mlx/internal/dtype"
)

// raw are the element types of the format that are read. The first name of a
// dtype is the one written for it. The fp8 types are codes in a byte, as MLX
// has them; C64 is MLX's extension.
var raw = []struct {
	name  string
	dtype dtype.DType
}{
	{"BOOL", dtype.Bool},
	{"U8", dtype.Uint8},
	{"U16", dtype.Uint16},
	{"U32", dtype.Uint32},
	{"U64", dtype.Uint64},
	{"I8", dtype.Int8},
	{"I16", dtype.Int16},
	{"I32", dtype.Int32},
	{"I64", dtype.Int64},
	{"F16", dtype.Float16},
	{"BF16", dtype.BFloat16},
	{"F32", dtype.Float32},
	{"F64", dtype.Float64},
	{"C64", dtype.Complex64},
	{"F8_E4M3", dtype.Uint8},
	{"F8_E5M2", dtype.Uint8},
	{"F8_E8M0", dtype.Uint8},
}

func parseRaw(name string) (dtype.DType, error) {
	for _, r := range raw {
		if r.name == name {
			return r.dtype, nil
		}
	}
	switch name {
	case "F4", "F6_E2M3", "F6_E3M2":
		return 0, fmt.Errorf("element type %s, smaller than a byte, is not supported", name)
	}
	return 0, fmt.Errorf("unknown element type %q", clip(name))
}

// RawDType is the name that d is written under, "" if it cannot be written.
func RawDType(d dtype.DType) string {
	for _, r := range raw {
		if r.dtype == d {
			return r.name
		}
	}
	return ""
}

// rawName is RawDType, or an error.
func rawName(d dtype.DType) (string, error) {
	if name := RawDType(d); name != "" {
		return name, nil
	}
	return "", fmt.Errorf("%v cannot be written", d)
}
