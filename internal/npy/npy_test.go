package npy

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/mlxgo/mlx/internal/dtype"
)

// file is a .npy file of a version with this header text and these elements.
func file(version byte, text string, data ...byte) []byte {
	b := append([]byte(magic), version, 0)
	if version == 1 {
		b = binary.LittleEndian.AppendUint16(b, uint16(len(text)))
	} else {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(text)))
	}
	return append(append(b, text...), data...)
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		file    []byte
		dtype   dtype.DType
		shape   []int
		columns bool
		data    []byte
	}{
		{file(1, "{'descr': '<i2', 'fortran_order': False, 'shape': (2,), }   \n", 1, 2, 3, 4), dtype.Int16, []int{2}, false, []byte{1, 2, 3, 4}},
		{file(2, `{"shape":(1,2),"fortran_order":True,"descr":"|b1"}`, 1, 0, 9), dtype.Bool, []int{1, 2}, true, []byte{1, 0}},
		{file(3, "{ 'descr' : '>i2', 'fortran_order' : False , 'shape' : ( ) }", 1, 2), dtype.Int16, []int{}, false, []byte{2, 1}},
		{file(1, "{'descr': '>c8', 'fortran_order': False, 'shape': ()}", 1, 2, 3, 4, 5, 6, 7, 8), dtype.Complex64, []int{}, false, []byte{4, 3, 2, 1, 8, 7, 6, 5}},
		{file(1, "{'descr': '<V2', 'fortran_order': False, 'shape': (0L, 3L)}"), dtype.BFloat16, []int{0, 3}, false, nil},
		{file(1, "{'descr': '=f8', 'fortran_order': False, 'shape': ()}", 0, 0, 0, 0, 0, 0, 0, 1), dtype.Float64, []int{}, false, []byte{0, 0, 0, 0, 0, 0, 0, 1}},
	} {
		whole, err := Parse(c.file)
		stream, err2 := Read(bytes.NewReader(c.file))
		if err != nil || err2 != nil {
			t.Errorf("%q: %v, %v", c.file, err, err2)
			continue
		}
		for _, a := range []Array{whole, stream} {
			if a.DType != c.dtype || !slices.Equal(a.Shape, c.shape) || a.ColumnMajor != c.columns || !bytes.Equal(a.Data, c.data) {
				t.Errorf("%q: %+v", c.file, a)
			}
		}
	}
}

func TestFaults(t *testing.T) {
	good := "{'descr': '<i2', 'fortran_order': False, 'shape': (2,)}"
	with := func(old, new string) []byte { return file(1, strings.Replace(good, old, new, 1), 1, 2, 3, 4) }
	for want, b := range map[string][]byte{
		"too short":                     []byte(magic),
		"does not begin":                []byte("PK\x03\x04......"),
		"version 4.0":                   file(4, good),
		"cut short in its header":       file(1, good)[:30],
		"at most 1048576":               append([]byte(magic), 2, 0, 0xff, 0xff, 0xff, 0x7f),
		"3 bytes of elements":           file(1, good, 1, 2, 3),
		`dtype "<c16" is not supported`: with("<i2", "<c16"),
		`dtype "" is not supported`:     with("<i2", ""),
		"structured dtypes":             with("'<i2'", "[('x', '<i2')]"),
		`"fortran_order": is neither`:   with("False", "0"),
		"is a number in brackets":       with("(2,)", "(2)"),
		"is no tuple":                   with("(2,)", "2"),
		"no number":                     with("(2,)", "(-2,)"),
		"more bytes than":               with("(2,)", "(4611686018427387904, 4)"),
		"more than 32 axes":             with("(2,)", "("+strings.Repeat("1,", 33)+")"),
		`key "shape" is missing`:        with(", 'shape': (2,)", ""),
		`key "descr" is there twice`:    with("{", "{'descr': '<i2', "),
		"the key is unknown":            with("{", "{'x': 1, "),
		"something follows":             with("}", "} 1"),
		"the dict does not end":         with("}", ""),
		"is no dict":                    with("{", "("),
		"a string does not end":         file(1, "{'descr"),
		`key "descr" has no value`:      with("'descr':", "'descr'"),
	} {
		_, err := Parse(b)
		if _, err2 := Read(bytes.NewReader(b)); fmt.Sprint(err) != fmt.Sprint(err2) {
			t.Errorf("%q: whole %v, as a stream %v", b, err, err2)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", b, err, want)
		}
	}
}

func TestLongHeader(t *testing.T) {
	h := Header{DType: dtype.Uint8, Shape: slices.Repeat([]int{1}, 30_000)}
	b, err := AppendHeader(nil, h)
	if err != nil || b[6] != 2 {
		t.Fatalf("version %d, %v", b[6], err)
	}
	if _, _, err := ReadHeader(bytes.NewReader(b)); err == nil || !strings.Contains(err.Error(), "more than 32 axes") {
		t.Error(err)
	}
}

func zipped(t testing.TB, compress bool, all ...Named) []byte {
	var b bytes.Buffer
	z := NewZipWriter(&b, compress)
	for _, a := range all {
		if err := z.Add(a.Name, a.Array); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func named(name string) Named {
	return Named{name, Array{Header{DType: dtype.Int16, Shape: []int{3}}, []byte{1, 2, 3, 4, 5, 6}}}
}

func TestZip(t *testing.T) {
	for _, compress := range []bool{false, true} {
		b := zipped(t, compress, named("b"), named("a.x"))
		all, err := ParseZip(b)
		if err != nil || len(all) != 2 || all[0].Name != "b" || all[1].Name != "a.x" || !bytes.Equal(all[1].Data, named("").Data) {
			t.Errorf("%+v, %v", all, err)
		}
		if !bytes.Equal(b, zipped(t, compress, named("b"), named("a.x"))) {
			t.Error("equal arrays make other bytes")
		}
	}
	if _, err := ParseZip(zipped(t, true, named("a"), named("a"))); err == nil || !strings.Contains(err.Error(), `"a.npy" is there twice`) {
		t.Error(err)
	}
	if _, err := ParseZip([]byte("no zip")); err == nil || !strings.Contains(err.Error(), "no .npz file") {
		t.Error(err)
	}
	b := zipped(t, true, named("a"))
	b[bytes.Index(b, []byte("a.npy"))+10] ^= 0xff
	if _, err := ParseZip(b); err == nil || !strings.Contains(err.Error(), `entry "a.npy"`) {
		t.Errorf("a broken entry: %v", err)
	}
	z := bytes.ReplaceAll(zipped(t, false, named("a")), []byte("a.npy"), []byte("a.txt"))
	if _, err := ParseZip(z); err == nil || !strings.Contains(err.Error(), "no .npy file") {
		t.Error(err)
	}
}

// FuzzParse: what is accepted holds together, and survives being written.
func FuzzParse(f *testing.F) {
	f.Add(file(1, "{'descr': '<i2', 'fortran_order': False, 'shape': (2,), }", 1, 2, 3, 4))
	f.Add(file(2, "{'descr': '>c8', 'fortran_order': True, 'shape': (1, 1)}", 1, 2, 3, 4, 5, 6, 7, 8))
	f.Add(file(3, "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 9223372036854775807)}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		before := slices.Clone(b)
		a, err := Parse(b)
		s, err2 := Read(bytes.NewReader(b))
		if !bytes.Equal(b, before) {
			t.Fatal("the input was changed")
		}
		if (err == nil) != (err2 == nil) {
			t.Fatalf("whole %v, as a stream %v", err, err2)
		}
		if err != nil {
			return
		}
		if n, err := a.Bytes(); err != nil || n != len(a.Data) || !bytes.Equal(a.Data, s.Data) {
			t.Fatalf("%v: %d bytes, %v", a.Header, len(a.Data), err)
		}
		a.Swapped = false
		var out bytes.Buffer
		if err := Write(&out, a); err != nil {
			t.Fatal(err)
		}
		again, err := Parse(out.Bytes())
		if err != nil || fmt.Sprint(again) != fmt.Sprint(a) {
			t.Fatalf("%v became %v, %v", a, again, err)
		}
	})
}

// FuzzParseZip: no input makes it panic, and arrays have their bytes.
func FuzzParseZip(f *testing.F) {
	f.Add(zipped(f, false, named("a")))
	f.Add(zipped(f, true, named("a"), named("b")))
	f.Fuzz(func(t *testing.T, b []byte) {
		all, err := ParseZip(b)
		for _, a := range all {
			if n, bad := a.Bytes(); err == nil && (bad != nil || n != len(a.Data)) {
				t.Fatalf("%v: %d bytes, %v", a.Header, len(a.Data), bad)
			}
		}
	})
}
