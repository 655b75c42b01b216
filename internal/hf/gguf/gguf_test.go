package gguf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// builder makes headers, also wrong ones.
type builder struct{ b []byte }

func (b *builder) u32(v uint32) *builder {
	b.b = binary.LittleEndian.AppendUint32(b.b, v)
	return b
}

func (b *builder) u64(v uint64) *builder {
	b.b = binary.LittleEndian.AppendUint64(b.b, v)
	return b
}

func (b *builder) text(s string) *builder {
	b.u64(uint64(len(s)))
	b.b = append(b.b, s...)
	return b
}

func (b *builder) raw(p ...byte) *builder {
	b.b = append(b.b, p...)
	return b
}

func start(version uint32, tensors, entries uint64) *builder {
	b := &builder{b: []byte("GGUF")}
	return b.u32(version).u64(tensors).u64(entries)
}

// one is a file with one tensor and the dimensions given, innermost first.
func one(kind Type, offset uint64, dims ...uint64) *builder {
	b := start(3, 1, 0).text("t").u32(uint32(len(dims)))
	for _, d := range dims {
		b.u64(d)
	}
	return b.u32(uint32(kind)).u64(offset)
}

// padded ends the header and adds a body of n bytes.
func (b *builder) padded(n int) []byte {
	for len(b.b)%32 != 0 {
		b.b = append(b.b, 0)
	}
	return append(b.b, make([]byte, n)...)
}

func align(kind uint32, v uint32) []byte {
	return start(3, 0, 1).text(alignmentKey).u32(kind).u32(v).b
}

// two is a file with two tensors of 32 bytes.
func two(name string, second uint64) []byte {
	b := start(3, 2, 0).text("t").u32(1).u64(8).u32(0).u64(0)
	return b.text(name).u32(1).u64(8).u32(0).u64(second).padded(64)
}

// Hostile files are refused with a sentence that says what, in no time and memory.
func TestHostile(t *testing.T) {
	deep := start(3, 0, 1).text("k").u32(uint32(Array))
	for range 10000 {
		deep.u32(uint32(Array)).u64(1)
	}
	tests := map[string]struct {
		data []byte
		want string
	}{
		"empty":               {nil, "no GGUF file"},
		"text":                {[]byte("hello, world"), "no GGUF file"},
		"version 1":           {start(1, 0, 0).b, "version 1 is not supported"},
		"version 99":          {start(99, 0, 0).b, "version 99 is not supported"},
		"big-endian":          {start(3<<24, 0, 0).b, "big-endian"},
		"big-endian magic":    {[]byte("FUGG\x03\x00\x00\x00"), "big-endian"},
		"2^60 tensors":        {start(3, 1<<60, 0).b, "1152921504606846976 tensors"},
		"2^60 entries":        {start(3, 0, 1<<60).b, "1152921504606846976 entries"},
		"entries missing":     {start(3, 0, 60000).b, "cut off"},
		"cut in the counts":   {start(3, 0, 0).b[:20], "cut off"},
		"key of 2^40":         {start(3, 0, 1).u64(1 << 40).b, "1099511627776 bytes"},
		"empty key":           {start(3, 0, 1).text("").u32(0).raw(1).b, "the key is empty"},
		"twice":               {start(3, 0, 2).text("k").u32(0).raw(1).text("k").u32(0).raw(1).b, `"k" is there twice`},
		"string of 2^40":      {start(3, 0, 1).text("k").u32(8).u64(1 << 40).b, "1099511627776 bytes"},
		"string of 2^64-1":    {start(3, 0, 1).text("k").u32(8).u64(math.MaxUint64).b, "the file ends before"},
		"unknown kind":        {start(3, 0, 1).text("k").u32(13).b, "unknown kind 13"},
		"bool 7":              {start(3, 0, 1).text("k").u32(7).raw(7).b, "no bool"},
		"array of 2^61":       {start(3, 0, 1).text("k").u32(9).u32(4).u64(1 << 61).b, "2305843009213693952 elements"},
		"strings of 2^61":     {start(3, 0, 1).text("k").u32(9).u32(8).u64(1 << 61).b, "elements"},
		"cut strings":         {start(3, 0, 1).text("k").u32(9).u32(8).u64(2).text("a").u64(99).b, "element 1"},
		"unknown elements":    {start(3, 0, 1).text("k").u32(9).u32(77).u64(0).b, "unknown kind 77"},
		"deep arrays":         {deep.b, "arrays of arrays"},
		"alignment 0":         {align(4, 0), "general.alignment is 0"},
		"alignment 3":         {align(4, 3), "general.alignment is 3"},
		"alignment 2^30":      {align(4, 1<<30), "general.alignment is 1073741824"},
		"alignment's kind":    {align(5, 32), "general.alignment is a int32, not a uint32"},
		"no dimensions":       {one(F32, 0).padded(64), "0 dimensions"},
		"5 dimensions":        {one(F32, 0, 1, 1, 1, 1, 1).padded(64), "5 dimensions"},
		"10^6 dimensions":     {start(3, 1, 0).text("t").u32(1e6).b, "1000000 dimensions"},
		"dimension 0":         {one(F32, 0, 4, 0).padded(64), "dimension 1 is 0"},
		"product wraps":       {one(F32, 0, 1<<31-1, 1<<31-1, 1<<31-1, 1<<31-1).padded(64), "more than any file"},
		"product wraps to 0":  {one(F32, 0, 1<<30, 1<<30, 1<<30, 4).padded(64), "more than any file"},
		"dimension 2^63":      {one(F32, 0, 1<<63).padded(64), "dimension 0"},
		"unknown type":        {one(99, 0, 32).padded(64), "type 99"},
		"unsupported type":    {one(20, 0, 32).padded(64), "IQ4_NL"},
		"part of a block":     {one(Q4_0, 0, 33).padded(64), "no whole blocks of Q4_0"},
		"offset not aligned":  {one(F32, 4, 1).padded(64), "no multiple of the alignment"},
		"offset past the end": {one(F32, 1<<40, 1).padded(64), "past the end"},
		"offset wraps":        {one(F32, math.MaxUint64-31, 16).padded(64), "past the end"},
		"one byte short":      {one(F32, 0, 16).padded(63), "past the end"},
		"no body":             {one(F32, 0, 16).b, "tensors are missing"},
		"overlap":             {two("u", 0), `"t" and "u" overlap`},
		"tensor twice":        {two("t", 32), `"t" is there twice`},
		"empty name":          {two("", 32), "the name is empty"},
	}
	for name, c := range tests {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Parse(c.data, "x.gguf")
		runtime.ReadMemStats(&after)
		var e *Error
		if !errors.As(err, &e) || !strings.HasPrefix(err.Error(), "x.gguf: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 8<<20 {
			t.Errorf("%s: %d bytes were allocated", name, n)
		}
	}
	if _, err := Parse(two("u", 32), ""); err != nil {
		t.Error(err)
	}
}

// An entry of each kind and tensors of each type that is written come back, at any size.
func TestRoundTrip(t *testing.T) {
	entries := []Entry{
		{"u8", Number(Uint8, 255)}, {"i8", Number(Int8, -3)}, {"u16", Number(Uint16, 65535)}, {"i16", Number(Int16, -300)},
		{"u32", Number(Uint32, 1<<32-1)}, {"i32", Number(Int32, -1<<31)}, {"f32", Number(Float32, 1e-5)}, {"u64", Number(Uint64, 1<<52)},
		{"i64", Number(Int64, -1<<52)}, {"f64", Number(Float64, math.Pi)}, {"yes", Truth(true)}, {"no", Truth(false)}, {"s", Text("grüß\x00")},
		{"none", Text("")}, {"strings", Texts([]string{"", "a", "\xff"})}, {"floats", Numbers(Float32, []float32{1, -0.5})}, {"ints", Numbers(Int32, []int{-7, 3})},
	}
	var outs []Out
	data := map[string][]byte{}
	for i, kind := range Writable {
		name := fmt.Sprint("t", i)
		shape := []int{3, 64}[i%2:]
		x := make([]float32, Tensor{Shape: shape}.Elements())
		for j := range x {
			x[j] = float32(j-17) / 8
		}
		blocks, err := Quantize(nil, kind, x)
		if err != nil {
			t.Fatal(err)
		}
		data[name] = blocks
		outs = append(outs, Out{name, kind, shape, func(w io.Writer) error { _, err := w.Write(blocks); return err }})
	}
	path := filepath.Join(t.TempDir(), "m.gguf")
	if err := Write(path, entries, outs); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if len(f.Keys()) != len(entries) || len(f.Tensors()) != len(outs) {
		t.Fatalf("%d entries and %d tensors came back", len(f.Keys()), len(f.Tensors()))
	}
	for i, e := range entries {
		v, _ := f.Value(f.Keys()[i])
		if f.Keys()[i] != e.Key || v.kind != e.Value.kind || v.elem != e.Value.elem || v.n != e.Value.n || !bytes.Equal(v.data, e.Value.data) {
			t.Errorf("%s came back as %s: %v", e.Key, f.Keys()[i], v)
		}
	}
	for i, o := range f.Tensors() {
		if o.Name != outs[i].Name || o.Type != outs[i].Type || !slices.Equal(o.Shape, outs[i].Shape) || !bytes.Equal(o.Data, data[o.Name]) {
			t.Errorf("%s came back as %s %v %v", outs[i].Name, o.Name, o.Type, o.Shape)
		}
	}
	checkValues(t, f)
}

func checkValues(t *testing.T, f *File) {
	t.Helper()
	for key, want := range map[string]float64{"u8": 255, "i8": -3, "u16": 65535, "i16": -300, "u32": 1<<32 - 1, "i32": -1 << 31,
		"f32": float64(float32(1e-5)), "u64": 1 << 52, "i64": -1 << 52, "f64": math.Pi} {
		v, _ := f.Value(key)
		if got, err := v.Float(); err != nil || got != want {
			t.Errorf("%s is %v (%v), want %v", key, got, err, want)
		}
	}
	v, _ := f.Value("s")
	if s, err := v.Text(); err != nil || s != "grüß\x00" {
		t.Errorf("s is %q (%v)", s, err)
	}
	if _, err := v.Int(); err == nil {
		t.Error("a string is a number")
	}
	if v, _ = f.Value("i8"); true {
		if _, err := v.Int(); err == nil {
			t.Error("-3 is a count")
		}
	}
	v, _ = f.Value("strings")
	texts, err := v.Texts()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range texts {
		got = append(got, string(s))
	}
	if !slices.Equal(got, []string{"", "a", "\xff"}) {
		t.Errorf("strings are %q", got)
	}
	v, _ = f.Value("ints")
	if x, err := v.Floats(); err != nil || !slices.Equal(x, []float64{-7, 3}) {
		t.Errorf("ints are %v (%v)", x, err)
	}
}

// A tensor that fails leaves what was at the path, and no other file.
func TestWriteFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "m.gguf")
	if err := os.WriteFile(path, []byte("before"), 0o666); err != nil {
		t.Fatal(err)
	}
	short := Out{"t", F32, []int{4}, func(w io.Writer) error { _, err := w.Write(make([]byte, 15)); return err }}
	broken := Out{"t", F32, []int{4}, func(io.Writer) error { return errors.New("no more") }}
	for want, o := range map[string]Out{"15 bytes were written": short, "tensor t: no more": broken} {
		if err := Write(path, nil, []Out{o}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if err := Write(path, nil, []Out{{"t", Q4_0, []int{31}, nil}}); err == nil {
		t.Error("31 elements were written as Q4_0")
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "before" {
		t.Errorf("%q %v", data, err)
	}
	if list, _ := os.ReadDir(dir); len(list) != 1 {
		t.Errorf("files are left: %v", list)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(two("u", 32))
	f.Add(one(Q4_0, 0, 32).padded(32))
	f.Add(align(4, 32))
	f.Add(start(2, 0, 3).text("a").u32(9).u32(8).u64(2).text("x").text("").text("b").u32(6).u32(0x3f800000).text("c").u32(9).u32(0).u64(2).raw(1, 2).b)
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse(data, "f")
		if err != nil {
			return
		}
		for key, v := range file.Entries() {
			_, _ = v.Float()
			_, _ = v.Int()
			_, _ = v.Text()
			if x, err := v.Floats(); err == nil && len(x) != v.Len() {
				t.Fatal(key)
			}
			if seq, err := v.Texts(); err == nil {
				n := 0
				for range seq {
					n++
				}
				if n != v.Len() {
					t.Fatal(key)
				}
			}
		}
		for _, x := range file.Tensors() {
			if x.Elements() <= 1<<16 {
				Dequantize(make([]float32, x.Elements()), x.Type, x.Data)
			}
		}
	})
}
