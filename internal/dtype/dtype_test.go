package dtype

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// shared is the directory of recorded references, or the test is skipped.
func shared(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv("MLX_SHARED"); dir != "" {
		return dir
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Skip("no go.mod above the test: cannot find ../shared")
		}
		dir = up
	}
	dir = filepath.Join(dir, "..", "shared")
	if _, err := os.Stat(dir); err != nil {
		t.Skip("recorded references are missing: ", err)
	}
	return dir
}

func TestNamesAndSizes(t *testing.T) {
	want := map[DType]int{Bool: 1, Uint8: 1, Uint16: 2, Uint32: 4, Uint64: 8, Int8: 1, Int16: 2, Int32: 4,
		Int64: 8, Float16: 2, BFloat16: 2, Float32: 4, Float64: 8, Complex64: 8}
	for d := range DType(Count) {
		if d.Size() != want[d] {
			t.Errorf("%v.Size() = %d, want %d", d, d.Size(), want[d])
		}
		if back, err := Parse(d.String()); err != nil || back != d {
			t.Errorf("Parse(%q) = %v, %v", d.String(), back, err)
		}
	}
	if d, err := Parse("bool_"); d != Bool || err != nil {
		t.Errorf("Parse(bool_) = %v, %v", d, err)
	}
	if _, err := Parse("float8"); err == nil {
		t.Error("Parse(float8) gave no error")
	}
	if s := DType(200).String(); s != "dtype(200)" || DType(200).Valid() {
		t.Errorf("invalid dtype prints %q", s)
	}
}

func TestCategories(t *testing.T) {
	in := map[Category][]DType{
		Generic:         {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13},
		Number:          {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13},
		Integer:         {1, 2, 3, 4, 5, 6, 7, 8},
		UnsignedInteger: {1, 2, 3, 4},
		SignedInteger:   {5, 6, 7, 8},
		Inexact:         {9, 10, 11, 12, 13},
		Floating:        {9, 10, 11, 12},
		ComplexFloating: {13},
	}
	for c := Generic; c <= ComplexFloating; c++ {
		members := map[DType]bool{}
		for _, d := range in[c] {
			members[d] = true
		}
		for d := range DType(Count) {
			if d.Is(c) != members[d] {
				t.Errorf("%v.Is(%v) = %v", d, c, d.Is(c))
			}
		}
	}
}

// The tables in goldens/edge.json were recorded from MLX.
func TestPromotionIsMLX(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(shared(t), "goldens", "edge.json"))
	if err != nil {
		t.Skip("recorded promotion tables are missing: ", err)
	}
	var edge struct {
		Tables struct {
			Add    map[string]map[string]string `json:"add"`
			Scalar map[string]map[string]string `json:"add_scalar"`
		} `json:"dtype_tables"`
	}
	if err := json.Unmarshal(raw, &edge); err != nil {
		t.Fatal(err)
	}
	if len(edge.Tables.Add) != Count {
		t.Fatalf("%d rows of add, want %d", len(edge.Tables.Add), Count)
	}
	for an, row := range edge.Tables.Add {
		a, _ := Parse(an)
		for bn, want := range row {
			b, _ := Parse(bn)
			if got := Promote(a, b); got.String() != want {
				t.Errorf("Promote(%v, %v) = %v, want %s", a, b, got, want)
			}
			if CanCast(a, b) != (want == b.String()) {
				t.Errorf("CanCast(%v, %v) = %v, promotion is %s", a, b, CanCast(a, b), want)
			}
		}
		for lit, kind := range map[string]Weak{"True": WeakBool, "2": WeakInt, "2.5": WeakFloat, "2j": WeakComplex} {
			if got, want := PromoteWeak(a, kind), edge.Tables.Scalar[an][lit]; got.String() != want {
				t.Errorf("PromoteWeak(%v, %v) = %v, want %s", a, kind, got, want)
			}
		}
	}
}

// The same facts without the recorded file: the corners of the table.
func TestPromotionCorners(t *testing.T) {
	for _, c := range [][3]DType{
		{Bool, Int8, Int8}, {Uint8, Int8, Int16}, {Uint16, Int8, Int32}, {Uint32, Int32, Int64}, {Uint64, Int8, Float32},
		{Uint8, Int64, Int64}, {Float16, BFloat16, Float32}, {Int64, Float16, Float16}, {Uint64, BFloat16, BFloat16},
		{Float64, Complex64, Complex64}, {Float32, Float64, Float64}, {Bool, Bool, Bool},
	} {
		if got := Promote(c[0], c[1]); got != c[2] {
			t.Errorf("Promote(%v, %v) = %v, want %v", c[0], c[1], got, c[2])
		}
		if got := Promote(c[1], c[0]); got != c[2] {
			t.Errorf("Promote(%v, %v) = %v, want %v", c[1], c[0], got, c[2])
		}
	}
	if AtLeastFloat(Int64) != Float32 || AtLeastFloat(BFloat16) != BFloat16 || AtLeastFloat(Complex64) != Complex64 {
		t.Error("AtLeastFloat")
	}
	for w, want := range map[Weak]DType{WeakBool: Bool, WeakInt: Int32, WeakFloat: Float32, WeakComplex: Complex64} {
		if w.DType() != want {
			t.Errorf("%v.DType() = %v", w, w.DType())
		}
	}
}

func TestFitsWeakInt(t *testing.T) {
	for _, c := range []struct {
		d    DType
		v    int64
		want bool
	}{
		{Uint8, 255, true}, {Uint8, 256, false}, {Uint8, -1, false}, {Int8, -128, true}, {Int8, 128, false},
		{Uint32, 1<<32 - 1, true}, {Uint32, 1 << 32, false}, {Int32, -1 << 31, true}, {Int32, 1 << 31, false},
		{Uint64, -1, true}, {Int64, 1 << 62, true}, {Float16, 1 << 40, true}, {Bool, 7, true},
	} {
		if got := FitsWeakInt(c.d, c.v); got != c.want {
			t.Errorf("FitsWeakInt(%v, %d) = %v", c.d, c.v, got)
		}
	}
}

func TestInfo(t *testing.T) {
	for d, want := range map[DType]FInfo{
		Float16:   {16, -65504, 65504, 0x1p-10, 0x1p-14, Float16},
		BFloat16:  {16, -0x1.fep127, 0x1.fep127, 0x1p-7, 0x1p-126, BFloat16},
		Float32:   {32, -0x1.fffffep127, 0x1.fffffep127, 0x1p-23, 0x1p-126, Float32},
		Complex64: {32, -0x1.fffffep127, 0x1.fffffep127, 0x1p-23, 0x1p-126, Complex64},
		Float64:   {64, -0x1.fffffffffffffp1023, 0x1.fffffffffffffp1023, 0x1p-52, 0x1p-1022, Float64},
	} {
		if got := d.FInfo(); got != want {
			t.Errorf("%v.FInfo() = %+v, want %+v", d, got, want)
		}
	}
	for d, want := range map[DType]IInfo{
		Uint8: {8, 0, 255, Uint8}, Uint16: {16, 0, 65535, Uint16}, Uint32: {32, 0, 1<<32 - 1, Uint32}, Uint64: {64, 0, 1<<64 - 1, Uint64},
		Int8: {8, -128, 127, Int8}, Int16: {16, -32768, 32767, Int16}, Int32: {32, -1 << 31, 1<<31 - 1, Int32}, Int64: {64, -1 << 63, 1<<63 - 1, Int64},
	} {
		if got := d.IInfo(); got != want {
			t.Errorf("%v.IInfo() = %+v, want %+v", d, got, want)
		}
	}
	for _, f := range []func(){func() { Int32.FInfo() }, func() { Bool.FInfo() }, func() { Float32.IInfo() }, func() { Bool.IInfo() }} {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("info of the wrong category did not panic")
				}
			}()
			f()
		}()
	}
}
