package mlx_test

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
)

var everyDType = []mlx.DType{mlx.Bool, mlx.Uint8, mlx.Uint16, mlx.Uint32, mlx.Uint64, mlx.Int8, mlx.Int16, mlx.Int32, mlx.Int64,
	mlx.Float16, mlx.BFloat16, mlx.Float32, mlx.Float64, mlx.Complex64}

// equalArrays compares specs and bits.
func equalArrays(t *testing.T, what string, got, want *mlx.Array) {
	t.Helper()
	if got.DType() != want.DType() || !slices.Equal(got.Shape(), want.Shape()) || !bytes.Equal(got.Bytes(), want.Bytes()) {
		t.Errorf("%s: %v%v %x, want %v%v %x", what, got.DType(), got.Shape(), got.Bytes(), want.DType(), want.Shape(), want.Bytes())
	}
}

// views are arrays of a dtype in several shapes and layouts.
func views(d mlx.DType) map[string]*mlx.Array {
	x := mlx.Arange(24).AsType(d).Reshape(2, 3, 4)
	return map[string]*mlx.Array{
		"plain": x, "columns": x.T(), "swapped": x.SwapAxes(0, 1), "scalar": mlx.NewArray(1).AsType(d), "vector": mlx.Arange(5).AsType(d),
		"empty": mlx.Zeros(mlx.Shape{0, 3}, d), "repeated": mlx.NewArray(1).AsType(d).BroadcastTo(2, 3), "reversed": mlx.Flip(x),
		"deep": x.Reshape(1, 2, 1, 3, 1, 2, 2, 1),
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	for _, d := range everyDType {
		all := views(d)
		for name, a := range all {
			path := filepath.Join(dir, "a.npy")
			if err := mlx.Save(path, a); err != nil {
				t.Fatal(err)
			}
			back, err := mlx.Load(path)
			if err != nil {
				t.Fatal(err)
			}
			equalArrays(t, d.String()+" npy "+name, back, a)
			equalArrays(t, d.String()+" npy computed "+name, back.Eq(back), a.Eq(a))
			var b bytes.Buffer
			if err := mlx.WriteNPY(&b, a); err != nil {
				t.Fatal(err)
			}
			b.WriteString("more")
			if back, err = mlx.ReadNPY(&b); err != nil || b.String() != "more" {
				t.Fatalf("%v, %q is left", err, b.String())
			}
			equalArrays(t, d.String()+" stream "+name, back, a)
		}
		same := func(what string, got map[string]*mlx.Array, err error) {
			t.Helper()
			if err != nil || len(got) != len(all) {
				t.Fatalf("%v %s: %d arrays, %v", d, what, len(got), err)
			}
			for name, a := range all {
				equalArrays(t, d.String()+" "+what+" "+name, got[name], a)
			}
		}
		for what, save := range map[string]func(string, map[string]*mlx.Array) error{"savez": mlx.SaveZ, "savez_compressed": mlx.SaveZCompressed} {
			if err := save(filepath.Join(dir, what), all); err != nil {
				t.Fatal(err)
			}
			got, meta, err := mlx.LoadAll(filepath.Join(dir, what+".npz"))
			same(what, got, err)
			if meta != nil {
				t.Errorf("metadata %v", meta)
			}
		}
		if d == mlx.Float64 {
			continue
		}
		if err := mlx.SaveSafetensors(filepath.Join(dir, "x"), all, map[string]string{"a": "b"}); err != nil {
			t.Fatal(err)
		}
		got, meta, err := mlx.LoadAll(filepath.Join(dir, "x.safetensors"))
		same("safetensors", got, err)
		if len(meta) != 1 || meta["a"] != "b" {
			t.Errorf("metadata %v", meta)
		}
		var b bytes.Buffer
		if err := mlx.WriteSafetensors(&b, all, nil); err != nil {
			t.Fatal(err)
		}
		got, strings, err := mlx.ReadSafetensors(bytes.NewReader(b.Bytes()), int64(b.Len()))
		same("safetensors at offsets", got, err)
		if strings != nil {
			t.Errorf("metadata %v", strings)
		}
		for n := range b.Len() { // every cut is an error
			if _, _, err := mlx.ReadSafetensors(bytes.NewReader(b.Bytes()[:n]), int64(n)); err == nil {
				t.Fatalf("%d of %d bytes: no error", n, b.Len())
			}
		}
	}
}

// TestSaveOverItself: what is read from a file may be saved to it.
func TestSaveOverItself(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.npy")
	if err := mlx.Save(path, mlx.Arange(100_000)); err != nil {
		t.Fatal(err)
	}
	a, err := mlx.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := mlx.Save(path, a.Add(1)); err != nil {
		t.Fatal(err)
	}
	b, err := mlx.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if x, y := mlx.Item[int64](mlx.Sum(a.AsType(mlx.Int64))), mlx.Item[int64](mlx.Sum(b.AsType(mlx.Int64))); y-x != 100_000 {
		t.Errorf("sums %d and %d", x, y)
	}
}

func TestFileErrors(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	write := func(name, text string) string {
		if err := os.WriteFile(path(name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path(name)
	}
	load := func(p string) error { _, err := mlx.Load(p); return err }
	all := func(p string) error { _, _, err := mlx.LoadAll(p); return err }
	one := map[string]*mlx.Array{"w": mlx.NewArray(1.5)}
	wrong := map[string]*mlx.Array{"w": nil}
	for _, c := range []struct {
		err   error
		wants []string
	}{
		{load(path("no.npy")), []string{"no.npy", "no such file"}},
		{load(path("a.npz")), []string{"a.npz", "LoadAll"}},
		{load(write("bad.npy", "hello, hello, hello")), []string{"bad.npy", "no .npy file"}},
		{all(path("no.npz")), []string{"no.npz", "no such file"}},
		{all(write("bad.npz", "hello")), []string{"bad.npz", "no .npz file"}},
		{all(write("x.gguf", "GGUF")), []string{"x.gguf", "cannot be read yet"}},
		{all(path("x.npy")), []string{"x.npy", "Load"}},
		{all(path("x.bin")), []string{"x.bin", "unknown file format"}},
		{mlx.Save(path("no/a.npy"), one["w"]), []string{"no/", "no such file"}},
		{mlx.SaveZ(path("a.npz"), wrong), []string{"a.npz", `"w"`, "nil"}},
		{mlx.SaveSafetensors(path("a"), wrong, nil), []string{"a.safetensors", "nil"}},
		{mlx.SaveSafetensors(path("a"), map[string]*mlx.Array{"w": mlx.NewArray(1.5, mlx.Float64)}, nil), []string{"a.safetensors", `"w"`, "float64"}},
		{mlx.SaveSafetensors(path("a"), map[string]*mlx.Array{"\xff": mlx.NewArray(1)}, nil), []string{"a.safetensors", "UTF-8"}},
	} {
		for _, want := range c.wants {
			if c.err == nil || !strings.Contains(c.err.Error(), want) {
				t.Errorf("%v, want %q", c.err, want)
			}
		}
	}
	for _, name := range []string{"a.npz", "a.safetensors"} {
		if _, err := os.Stat(path(name)); err == nil {
			t.Errorf("%s was left behind", name)
		}
	}
	list, err := os.ReadDir(dir)
	if err != nil || len(list) != 3 {
		t.Errorf("%d files are left, %v", len(list), err)
	}
}

// TestValuesOfFiles: NumPy's own header and a big-endian file.
func TestValuesOfFiles(t *testing.T) {
	text := "{'descr': '>f4', 'fortran_order': True, 'shape': (2, 3), }"
	b := append([]byte("\x93NUMPY\x01\x00"), byte(len(text)), 0)
	b = append(b, text...)
	for i := range 6 {
		bits := math.Float32bits(float32(i) + 0.5)
		b = append(b, byte(bits>>24), byte(bits>>16), byte(bits>>8), byte(bits))
	}
	a, err := mlx.ReadNPY(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if got := mlx.ToSlice[float32](a); !slices.Equal(got, []float32{0.5, 2.5, 4.5, 1.5, 3.5, 5.5}) {
		t.Error(got)
	}
}
