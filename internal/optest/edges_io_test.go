package optest

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/tensor"
)

// text is a recorded string: its bytes.
func text(s string) []*mlx.Array { return as(mlx.FromSlice([]byte(s))) }

// ioFolder calls f with a folder that is removed afterwards; what f returns is
// evaluated before. Errors of files become those of rows.
func ioFolder(f func(dir string) ([]*mlx.Array, error)) func() []*mlx.Array {
	return func() []*mlx.Array {
		dir, err := os.MkdirTemp("", "mlx-edges")
		var out []*mlx.Array
		if err == nil {
			defer os.RemoveAll(dir)
			out, err = f(dir)
		}
		if err == nil {
			err = mlx.Eval(out)
		}
		if err != nil {
			tensor.Throw("io", nil, "%v", err)
		}
		return out
	}
}

// loading is a row of a call of load on a file with these bytes; nil for none.
func loading(name string, content []byte) func() []*mlx.Array {
	return ioFolder(func(dir string) ([]*mlx.Array, error) {
		path := filepath.Join(dir, name)
		if content != nil {
			if err := os.WriteFile(path, content, 0o644); err != nil {
				return nil, err
			}
		}
		if filepath.Ext(name) == ".npy" {
			a, err := mlx.Load(path)
			return as(a), err
		}
		_, _, err := mlx.LoadAll(path)
		return nil, err
	})
}

// npyBytes is the hexadecimal text of a saved array.
func npyBytes(a func() *mlx.Array) func() []*mlx.Array {
	return ioFolder(func(dir string) ([]*mlx.Array, error) {
		path := filepath.Join(dir, "t.npy")
		if err := mlx.Save(path, a()); err != nil {
			return nil, err
		}
		b, err := os.ReadFile(path)
		return text(fmt.Sprintf("%x", b)), err
	})
}

// saved is a row of arrays that are saved and loaded again.
func saved(arrays func() map[string]*mlx.Array, meta map[string]string, f func(path string, a map[string]*mlx.Array, meta map[string]any) ([]*mlx.Array, error)) func() []*mlx.Array {
	return ioFolder(func(dir string) ([]*mlx.Array, error) {
		path := filepath.Join(dir, "t.safetensors")
		if err := mlx.SaveSafetensors(path, arrays(), meta); err != nil {
			return nil, err
		}
		a, m, err := mlx.LoadAll(path)
		if err != nil {
			return nil, err
		}
		return f(path, a, m)
	})
}

// headerOf is the JSON header of a safetensors file with the keys in order.
func headerOf(path string, _ map[string]*mlx.Array, _ map[string]any) ([]*mlx.Array, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var v any
	d := json.NewDecoder(bytes.NewReader(b[8 : 8+binary.LittleEndian.Uint64(b)]))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	out, err := json.Marshal(v)
	return text(string(out)), err
}

func oneArray(make func() *mlx.Array) func() map[string]*mlx.Array {
	return func() map[string]*mlx.Array { return map[string]*mlx.Array{"a": make()} }
}

var ioEdges = func() map[string]func() []*mlx.Array {
	six := func() *mlx.Array { return mlx.Arange(6).AsType(mlx.Int16).Reshape(2, 3) }
	bf16 := func() *mlx.Array { return arr([]float64{2.5}, mlx.BFloat16) }
	pair := func() map[string]*mlx.Array {
		return map[string]*mlx.Array{"b": arr([]int{1}), "a": arr([]float64{2}, mlx.BFloat16)}
	}
	mlxFormat := map[string]string{"format": "mlx"}
	return map[string]func() []*mlx.Array{
		"io/load_missing":           loading("no_such_file.safetensors", nil),
		"io/load_missing_npy":       loading("no_such_file.npy", nil),
		"io/load_unknown_extension": loading("no_such_file.bin", nil),
		"io/load_no_extension":      loading("no_such_file", nil),
		"io/load_not_safetensors":   loading("bad.safetensors", []byte("hello world hello world")),
		"io/load_empty_file":        loading("empty.safetensors", []byte{}),

		"io/npy_bytes":              npyBytes(six),
		"io/npy_bytes_of_transpose": npyBytes(func() *mlx.Array { return six().T() }),
		"io/npy_0d":                 npyBytes(func() *mlx.Array { return arr(2.5) }),
		"io/npy_bf16_bytes":         npyBytes(bf16),
		"io/npy_bf16_load_back": ioFolder(func(dir string) ([]*mlx.Array, error) {
			path := filepath.Join(dir, "t.npy")
			if err := mlx.Save(path, bf16()); err != nil {
				return nil, err
			}
			a, err := mlx.Load(path)
			return as(a), err
		}),
		"io/save_adds_extension": ioFolder(func(dir string) ([]*mlx.Array, error) {
			err := mlx.Save(filepath.Join(dir, "t6"), f(2.5))
			_, missing := os.Stat(filepath.Join(dir, "t6.npy"))
			return as(arr(missing == nil)), err
		}),

		"io/save_safetensors_returns_sorted": saved(pair, mlxFormat, headerOf),
		"io/save_safetensors_empty_array": saved(oneArray(func() *mlx.Array { return zeros(0, 3) }), nil, func(_ string, a map[string]*mlx.Array, _ map[string]any) ([]*mlx.Array, error) {
			return as(arr([]int(a["a"].Shape()))), nil
		}),
		"io/save_safetensors_0d": saved(oneArray(func() *mlx.Array { return arr(5) }), nil, func(_ string, a map[string]*mlx.Array, _ map[string]any) ([]*mlx.Array, error) {
			return as(a["a"]), nil
		}),
		"io/save_safetensors_float64": saved(oneArray(func() *mlx.Array { return arr([]float64{0.1}, mlx.Float64) }), nil, headerOf),
		"io/metadata_returned": saved(pair, mlxFormat, func(_ string, _ map[string]*mlx.Array, meta map[string]any) ([]*mlx.Array, error) {
			if len(meta) != 1 {
				return nil, fmt.Errorf("metadata %v", meta)
			}
			return text(fmt.Sprintf("{'format': '%v'}", meta["format"])), nil
		}),
	}
}()
