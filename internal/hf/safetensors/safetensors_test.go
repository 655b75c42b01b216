package safetensors

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mlxgo/mlx/internal/dtype"
)

// build makes a file's bytes: the header and n bytes of data 0, 1, 2, ...
func build(header string, n int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	b = append(b, header...)
	for i := range n {
		b = append(b, byte(i))
	}
	return b
}

// tensorJSON is one entry of a header.
func tensorJSON(name, dtype, shape string, begin, end int) string {
	return fmt.Sprintf(`%q:{"dtype":%q,"shape":%s,"data_offsets":[%d,%d]}`, name, dtype, shape, begin, end)
}

func TestParse(t *testing.T) {
	header := `{"__metadata__":{"format":"mlx","a\u00e9\ud83d\ude00\n":"\"\\\/\b\f\r\t"},` +
		tensorJSON("b", "BF16", "[2,3]", 4, 16) + ` , ` +
		tensorJSON("a", "F32", "[]", 0, 4) + "," +
		tensorJSON("empty", "I64", "[0,5]", 16, 16) + `,"later":{"shape":[3],"data_offsets":[16,19],"new":{"x":[1,-2.5e3,true,null,"s"]},"dtype":"F8_E4M3"}}  `
	data := build(header, 19)
	f, err := Parse(data, "x.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	body := data[8+len(header):]
	want := []Tensor{
		{Name: "a", DType: dtype.Float32, RawDType: "F32", Shape: []int{}, Data: body[:4]},
		{Name: "b", DType: dtype.BFloat16, RawDType: "BF16", Shape: []int{2, 3}, Data: body[4:16]},
		{Name: "empty", DType: dtype.Int64, RawDType: "I64", Shape: []int{0, 5}, Data: []byte{}},
		{Name: "later", DType: dtype.Uint8, RawDType: "F8_E4M3", Shape: []int{3}, Data: body[16:]},
	}
	got := f.Tensors()
	if len(got) != len(want) {
		t.Fatalf("%d tensors, want %d", len(got), len(want))
	}
	for i, w := range want {
		g := got[i]
		if !equal(g, w) || g.File != f || g.Shape == nil || g.Data == nil {
			t.Errorf("tensor %d = %+v, want %+v", i, g, w)
		}
		if one, ok := f.Tensor(w.Name); !ok || !equal(one, w) {
			t.Errorf("Tensor(%q) = %+v, %v", w.Name, one, ok)
		}
	}
	if len(want[1].Data) > 0 && &got[1].Data[0] != &body[4] {
		t.Error("the data was copied")
	}
	if _, ok := f.Tensor("absent"); ok {
		t.Error("an absent tensor was found")
	}
	if f.Metadata["format"] != "mlx" || f.Metadata["aé😀\n"] != "\"\\/\b\f\r\t" || len(f.Metadata) != 2 {
		t.Errorf("metadata %q", f.Metadata)
	}
	if f.TotalBytes() != 19 {
		t.Errorf("TotalBytes() = %d", f.TotalBytes())
	}
}

func equal(a, b Tensor) bool {
	return a.Name == b.Name && a.DType == b.DType && a.RawDType == b.RawDType && slices.Equal(a.Shape, b.Shape) && bytes.Equal(a.Data, b.Data)
}

func TestParseAccepts(t *testing.T) {
	for name, data := range map[string][]byte{
		"no tensors":     build(`{}`, 0),
		"null metadata":  build(`{"__metadata__":null}`, 0),
		"empty metadata": build(`{"__metadata__": {} }   `, 0),
		"white space":    build("{\n\t\"a\" :\r\n{\"dtype\":\"U8\",\"shape\":[ 2 ],\"data_offsets\":[0 , 2]}\n}", 2),
	} {
		if f, err := Parse(data, "x"); err != nil {
			t.Errorf("%s: %v", name, err)
		} else if name != "empty metadata" && f.Metadata != nil {
			t.Errorf("%s: metadata %v", name, f.Metadata)
		}
	}
}

func TestEveryDType(t *testing.T) {
	for _, r := range raw {
		n := r.dtype.Size()
		f, err := Parse(build("{"+tensorJSON("t", r.name, "[3]", 0, 3*n)+"}", 3*n), "x")
		if err != nil {
			t.Errorf("%s: %v", r.name, err)
			continue
		}
		if g, _ := f.Tensor("t"); g.DType != r.dtype || g.RawDType != r.name {
			t.Errorf("%s is read as %v, %s", r.name, g.DType, g.RawDType)
		}
	}
	for d := range dtype.DType(dtype.Count) {
		name, err := rawName(d)
		if err != nil {
			t.Errorf("%v cannot be written: %v", d, err)
		}
		if back, err := parseRaw(name); back != d || err != nil {
			t.Errorf("%v is written as %s, which is read as %v, %v", d, name, back, err)
		}
	}
}

func TestParseRejects(t *testing.T) {
	huge := binary.LittleEndian.AppendUint64(nil, 1<<63)
	over := append(binary.LittleEndian.AppendUint64(nil, MaxHeader+1), '{')
	one := func(dtype, shape string, begin, end, data int) []byte {
		return build("{"+tensorJSON("w", dtype, shape, begin, end)+"}", data)
	}
	field := func(body string) []byte { return build(`{"w":{`+body+`}}`, 4) }
	for _, c := range []struct {
		name, want string
		data       []byte
	}{
		{"empty file", "too few", nil},
		{"7 bytes", "too few", []byte("1234567")},
		{"lfs", "Git LFS pointer", []byte("version https://git-lfs.github.com/spec/v1\noid sha256:00\n")},
		{"length 2^63", "exceeds the limit", huge},
		{"length over the cap", "exceeds the limit", over},
		{"length past the file", "exceeds the file's size", build(`{}`, 0)[:9]},
		{"length 0", "begin with '{'", build("", 4)},
		{"space first", "begin with '{'", build(" {}", 0)},
		{"array", "begin with '{'", build("[]", 0)},
		{"open object", "ends", build(`{"a"`, 0)},
		{"after the end", "after the end", build(`{} {}`, 0)},
		{"trailing comma", "needs '\"'", build(`{"__metadata__":{},}`, 0)},
		{"invalid UTF-8", "UTF-8", build("{\"\xff\":1}", 0)},
		{"lone surrogate", "surrogate", build(`{"\ud800":1}`, 0)},
		{"reversed surrogates", "surrogate", build(`{"\udc00\ud800":1}`, 0)},
		{"bad escape", "escape", build(`{"\x":1}`, 0)},
		{"bad hex", "hexadecimal", build(`{"\u+123":1}`, 0)},
		{"control character", "control", build("{\"a\nb\":1}", 0)},
		{"control after escape", "control", build("{\"\\na\nb\":1}", 0)},
		{"open string", "inside a string", build(`{"abc`, 0)},
		{"open escape", "inside a string", build(`{"abc\`, 0)},
		{"open unicode escape", "inside a string", build(`{"\u12`, 0)},
		{"metadata twice", "twice", build(`{"__metadata__":{},"__metadata__":{}}`, 0)},
		{"metadata number", `"a" is not a string`, build(`{"__metadata__":{"a":1}}`, 0)},
		{"metadata object", `"a" is not a string`, build(`{"__metadata__":{"a":{}}}`, 0)},
		{"metadata key twice", `"a" is there twice`, build(`{"__metadata__":{"a":"","a":""}}`, 0)},
		{"metadata string", "__metadata__", build(`{"__metadata__":"a"}`, 0)},
		{"tensor is a number", `tensor "w"`, build(`{"w":1}`, 0)},
		{"tensor is null", `tensor "w"`, build(`{"w":null}`, 0)},
		{"tensor twice", `tensor "w": the name is there twice`, build("{"+tensorJSON("w", "U8", "[1]", 0, 1)+","+tensorJSON("w", "U8", "[1]", 1, 2)+"}", 2)},
		{"tensor twice by escape", `the name is there twice`, build(`{"w":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"\u0077":{}}`, 0)},
		{"dtype twice", `key "dtype" is there twice`, field(`"dtype":"U8","dtype":"U8"`)},
		{"other key twice", `key "x" is there twice`, field(`"x":1,"y":2,"x":3`)},
		{"no dtype", `"dtype" is missing`, field(`"shape":[4],"data_offsets":[0,4]`)},
		{"no shape", `"shape" is missing`, field(`"dtype":"U8","data_offsets":[0,4]`)},
		{"no offsets", `"data_offsets" is missing`, field(`"dtype":"U8","shape":[4]`)},
		{"one offset", "1 offsets", field(`"dtype":"U8","shape":[4],"data_offsets":[4]`)},
		{"three offsets", "more than two", field(`"dtype":"U8","shape":[4],"data_offsets":[0,4,4]`)},
		{"dtype number", "dtype", field(`"dtype":3,"shape":[4],"data_offsets":[0,4]`)},
		{"shape number", "shape", field(`"dtype":"U8","shape":4,"data_offsets":[0,4]`)},
		{"nested shape", "shape", field(`"dtype":"U8","shape":[[4]],"data_offsets":[0,4]`)},
		{"unknown dtype", `tensor "w": dtype: unknown element type "Q4"`, one("Q4", "[4]", 0, 4, 4)},
		{"small dtype", "smaller than a byte", one("F4", "[8]", 0, 4, 4)},
		{"lower case dtype", "unknown element type", one("f32", "[1]", 0, 4, 4)},
		{"negative dimension", "shape: -1 is not a whole number", one("U8", "[-1]", 0, 4, 4)},
		{"negative offset", "data_offsets: -4", one("U8", "[4]", -4, 0, 4)},
		{"float dimension", "4.0 is not a whole number", one("U8", "[4.0]", 0, 4, 4)},
		{"exponent dimension", "4e0 is not a whole number", one("U8", "[4e0]", 0, 4, 4)},
		{"leading zero", "number", one("U8", "[04]", 0, 4, 4)},
		{"dimension 2^64", "18446744073709551616 is not a whole number", one("U8", "[18446744073709551616]", 0, 4, 4)},
		{"dimension 2^63", "9223372036854775808 is not a whole number", one("U8", "[9223372036854775808]", 0, 4, 4)},
		{"product wraps to 4", "more bytes than can be addressed", one("F32", "[4611686018427387904,4]", 0, 0, 0)},
		{"product wraps beside a zero", "more bytes than can be addressed", one("U8", "[4294967296,4294967296,0]", 0, 0, 0)},
		{"many dimensions", "more than 64 dimensions", one("U8", "["+strings.Repeat("1,", 1<<16)+"1]", 0, 1, 1)},
		{"begin after end", "begin 4 is after end 0", one("U8", "[4]", 4, 0, 4)},
		{"past the end", "cut short", one("U8", "[5]", 0, 5, 4)},
		{"size and shape", "span 4 bytes, but shape [3] of U8 takes 3", one("U8", "[3]", 0, 4, 4)},
		{"half an element", "span 3 bytes", one("F16", "[2]", 0, 3, 3)},
		{"gap at the start", "a gap", one("U8", "[3]", 1, 4, 4)},
		{"gap at the end", "the file has 4 bytes of data", one("U8", "[3]", 0, 3, 4)},
		{"gap between", `tensor "b": its bytes begin at 3, but those before end at 2: a gap`,
			build("{"+tensorJSON("a", "U8", "[2]", 0, 2)+","+tensorJSON("b", "U8", "[1]", 3, 4)+"}", 4)},
		{"overlap", `tensor "b": its bytes [1, 4) overlap those of "a"`,
			build("{"+tensorJSON("a", "U8", "[2]", 0, 2)+","+tensorJSON("b", "U8", "[3]", 1, 4)+"}", 4)},
		{"same bytes", "overlap", build("{"+tensorJSON("a", "U8", "[4]", 0, 4)+","+tensorJSON("b", "U8", "[4]", 0, 4)+"}", 4)},
		{"empty tensor inside another", "overlap", build("{"+tensorJSON("a", "U8", "[4]", 0, 4)+","+tensorJSON("b", "U8", "[0]", 2, 2)+"}", 4)},
		{"bytes without tensors", "the file has 4 bytes of data", build(`{}`, 4)},
		{"deep arrays", "nested deeper", field(`"x":` + strings.Repeat("[", 1<<20))},
		{"deep objects", "nested deeper", field(`"x":` + strings.Repeat(`{"x":`, 1<<20))},
		{"bad word", "unknown word", field(`"x":nul`)},
		{"bad number", "number", field(`"x":1.`)},
	} {
		_, err := Parse(c.data, "dir/x.safetensors")
		var e *Error
		switch {
		case err == nil:
			t.Errorf("%s: no error", c.name)
		case !errors.As(err, &e) || e.Path != "dir/x.safetensors" || !strings.HasPrefix(err.Error(), "dir/x.safetensors: "):
			t.Errorf("%s: the error does not name the file: %v", c.name, err)
		case !strings.Contains(err.Error(), c.want):
			t.Errorf("%s: %q does not say %q", c.name, err, c.want)
		case len(err.Error()) > 600:
			t.Errorf("%s: the message has %d bytes", c.name, len(err.Error()))
		}
	}
}

// Whatever is cut from a valid file's end, it is an error.
func TestTruncations(t *testing.T) {
	whole := build("{"+tensorJSON("a", "F32", "[1,2]", 0, 8)+","+tensorJSON("b", "U8", "[3]", 8, 11)+"}", 11)
	if _, err := Parse(whole, "x"); err != nil {
		t.Fatal(err)
	}
	for n := range whole {
		if _, err := Parse(whole[:n], "x"); err == nil {
			t.Errorf("%d of %d bytes gave no error", n, len(whole))
		}
	}
}

func TestOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	header := "{" + tensorJSON("odd", "U8", "[3]", 0, 3) + "," + tensorJSON("w", "F32", "[2]", 3, 11) + "}"
	if err := os.WriteFile(path, build(header, 11), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	w, _ := f.Tensor("w")
	if !bytes.Equal(w.Data, []byte{3, 4, 5, 6, 7, 8, 9, 10}) || f.Path != path {
		t.Errorf("w = %v", w.Data)
	}
	for range 2 {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := Open(filepath.Dir(path)); err == nil {
		t.Error("a directory gave no error")
	}
	if _, err := Open(path + "x"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent file: %v", err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("empty file: %v", err)
	}
}
