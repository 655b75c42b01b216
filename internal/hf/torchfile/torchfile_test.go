package torchfile

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mlxgo/mlx/internal/dtype"
)

// values are a tensor's elements as numbers.
func values(t *testing.T, x Tensor) []float64 {
	t.Helper()
	data, err := x.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(data)) != x.Size() {
		t.Fatalf("%s: %d bytes, not %d", x.Name, len(data), x.Size())
	}
	if view, ok := x.Data(); ok && !bytes.Equal(view, data) {
		t.Errorf("%s: the view is not the copy", x.Name)
	}
	out := []float64{}
	for ; len(data) > 0; data = data[x.DType.Size():] {
		var v float64
		switch x.RawDType {
		case "F32":
			v = float64(math.Float32frombits(binary.LittleEndian.Uint32(data)))
		case "F16":
			v = float64(dtype.F16ToF32(binary.LittleEndian.Uint16(data)))
		case "BF16":
			v = float64(dtype.BF16ToF32(binary.LittleEndian.Uint16(data)))
		case "F64":
			v = math.Float64frombits(binary.LittleEndian.Uint64(data))
		case "I64":
			v = float64(int64(binary.LittleEndian.Uint64(data)))
		case "I32":
			v = float64(int32(binary.LittleEndian.Uint32(data)))
		case "I16":
			v = float64(int16(binary.LittleEndian.Uint16(data)))
		case "I8":
			v = float64(int8(data[0]))
		case "U8", "BOOL":
			v = float64(data[0])
		default:
			t.Fatalf("%s is %s", x.Name, x.RawDType)
		}
		out = append(out, v)
	}
	return out
}

func ramp(n int) []float64 {
	out := []float64{}
	for i := range n {
		out = append(out, float64(i%100))
	}
	return out
}

// at are the numbers of places.
func at(places ...int) []float64 {
	out := []float64{}
	for _, p := range places {
		out = append(out, float64(p))
	}
	return out
}

// TestKinds: files that PyTorch wrote, with every element type, views and shared storages.
func TestKinds(t *testing.T) {
	turned := []int{}
	for c := range 4 {
		for r := range 6 {
			turned = append(turned, 4*r+c)
		}
	}
	cube := []int{}
	for k := range 4 {
		for i := range 6 {
			cube = append(cube, 4*i+k)
		}
	}
	want := []struct {
		name, raw string
		shape     []int
		values    []float64
		view      bool
	}{
		{"f32", "F32", []int{3, 5}, ramp(15), true}, {"f16", "F16", []int{2, 2}, ramp(4), true}, {"bf16", "BF16", []int{4}, ramp(4), true},
		{"f64", "F64", []int{2}, ramp(2), true}, {"i64", "I64", []int{3}, ramp(3), true}, {"i32", "I32", []int{3}, ramp(3), true},
		{"i16", "I16", []int{3}, ramp(3), true}, {"i8", "I8", []int{3}, ramp(3), true}, {"u8", "U8", []int{3}, ramp(3), true},
		{"bool", "BOOL", []int{3}, at(1, 0, 1), true}, {"scalar", "F32", []int{}, []float64{2.5}, true}, {"empty", "F32", []int{0, 3}, at(), true},
		{"turned", "F32", []int{4, 6}, at(turned...), false}, {"part", "F32", []int{2, 2}, at(9, 10, 13, 14), false},
		{"shared", "F32", []int{6, 4}, ramp(24), true}, {"column", "F32", []int{6}, at(1, 5, 9, 13, 17, 21), false},
		{"cube", "F32", []int{4, 2, 3}, at(cube...), false}, {"parameter", "F32", []int{2}, ramp(2), true},
	}
	for _, file := range []string{"kinds.bin", "kinds4.bin", "dict.bin"} {
		f, err := Open(filepath.Join("testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if len(f.Tensors()) != len(want) {
			t.Fatalf("%s: %d tensors", file, len(f.Tensors()))
		}
		for i, w := range want {
			x := f.Tensors()[i]
			if x.Name != w.name || x.RawDType != w.raw || !slices.Equal(x.Shape, w.shape) {
				t.Errorf("%s: %s %s %v, not %v", file, x.Name, x.RawDType, x.Shape, w)
				continue
			}
			if _, view := x.Data(); view != w.view {
				t.Errorf("%s: %s is a view: %v", file, x.Name, view)
			}
			if got := values(t, x); !slices.Equal(got, w.values) {
				t.Errorf("%s: %s is %v, not %v", file, x.Name, got, w.values)
			}
		}
	}
	f, err := Open("testdata/state_dict.bin") // an OrderedDict with a state of its own
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if x := f.Tensors(); len(x) != 1 || x[0].Name != "weight" || !slices.Equal(values(t, x[0]), ramp(6)) {
		t.Errorf("state_dict.bin has %v", x)
	}
}

// TestRefused: other files that PyTorch wrote.
func TestRefused(t *testing.T) {
	for file, want := range map[string]string{
		"legacy.bin":    "testdata/legacy.bin: is in the format of PyTorch before 1.6, which is not supported: load it with torch.load",
		"quantized.bin": "testdata/quantized.bin: calls torch._utils._rebuild_qtensor: refused",
		"module.bin":    "testdata/module.bin: calls __main__.Linear: refused",
		"nested.bin":    `testdata/nested.bin: tensor "model": is a dictionary: only dictionaries of tensors (state_dict) are read`,
		"expanded.bin":  "testdata/expanded.bin: shape [2 3] repeats the 1 elements of its storage: save a copy (clone)",
		"make.py":       "testdata/make.py: is not a PyTorch checkpoint: it is no zip archive",
	} {
		_, err := Open(filepath.Join("testdata", file))
		if err == nil || !strings.HasPrefix(filepath.ToSlash(err.Error()), want) {
			t.Errorf("%v\nis not: %s", err, want)
		}
	}
}

// packed is an archive of entries, name and content in turn.
func packed(t testing.TB, method uint16, entries ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := 0; i < len(entries); i += 2 {
		w, err := z.CreateHeader(&zip.FileHeader{Name: entries[i], Method: method})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, entries[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// parts of pickles
const (
	proto = "\x80\x02"
	key   = "X\x01\x00\x00\x00x"
	store = "(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04tQ" // 4 elements of data/0
	call2 = "ctorch._utils\n_rebuild_tensor_v2\n("
	rest2 = "\x89ccollections\nOrderedDict\n)RtR" // requires_grad, hooks
)

// one is a dictionary of one tensor with this offset, size and stride.
func one(place string) string { return proto + "}" + key + call2 + store + place + rest2 + "s." }

// TestHostile: each is one sentence, in no time and memory.
func TestHostile(t *testing.T) {
	floats := strings.Repeat("\x00\x00\x80\x3f", 4)
	file := func(pickle string) []byte {
		return packed(t, zip.Store, "a/data.pkl", pickle, "a/data/0", floats, "a/version", "3\n")
	}
	if f, err := Parse(file(one("K\x01K\x02\x85K\x02\x85")), "x.bin"); err != nil || !slices.Equal(values(t, f.Tensors()[0]), at(1, 1)) {
		t.Fatalf("a sound one: %v", err)
	}
	long := func(n int64) string { return "\x8a\x08" + string(binary.LittleEndian.AppendUint64(nil, uint64(n))) }
	for i, c := range []struct {
		data []byte
		want string
	}{
		{file(proto + "cos\nsystem\nX\x02\x00\x00\x00ls\x85R."), "x.bin: calls os.system: refused"},
		{file(proto + "\x8c\x08builtins\x8c\x04eval\x93."), "x.bin: calls builtins.eval: refused"},
		{file(proto + "ctorch\nload\n."), "x.bin: calls torch.load: refused"},
		{file(proto + "cnumpy.core.multiarray\n_reconstruct\n."), "x.bin: calls numpy.core.multiarray._reconstruct: refused"},
		{file(proto + "(ios\nsystem\n."), "instruction 0x69 at byte 3, which no dictionary of tensors needs: refused"},
		{file(proto + "ccollections\nOrderedDict\n)\x81."), "instruction 0x81"},
		{file(proto + "Pos.system\n."), "instruction 0x50"},
		{file(proto + "ctorch\nFloatStorage\n)R."), "calls torch.FloatStorage with arguments that it does not have"},
		{file(proto + "K\x01)R."), "calls a number with a tuple: refused"},
		{file(proto + "ccollections\nOrderedDict\n}b."), "sets the state of the name collections.OrderedDict: refused"},
		{file(proto + strings.Repeat("]", 1000) + strings.Repeat("a", 999) + "."), "holds a list, not a dictionary of tensors"},
		{file(proto + "}" + key + strings.Repeat("(", 100000) + strings.Repeat("t", 100000) + "s."), `tensor "x": is a tuple`},
		{file(proto + "N" + strings.Repeat("2", maxSteps) + "."), "more than 8388608 instructions"},
		{file(proto + "N" + strings.Repeat("\x86", 3)), "takes more from its stack"},
		{file(proto + "N" + strings.Repeat("2\x86", 100) + "."), "holds a tuple"},
		{file(proto + "}r\xff\xff\xff\xffj\xff\xff\xff\xff."), ""}, // a large place of the memo costs nothing
		{file(proto + "h\x05."), "asks for memo 5, which was never set"},
		{file(proto + "X\xff\xff\xff\x7fabc."), "ends in the middle"},
		{file(proto + "\x8d\xff\xff\xff\xff\xff\xff\xff\xffabc."), "ends in the middle"},
		{file("\x80\x07."), "pickle of protocol 7"},
		{file(proto + "."), "takes more from its stack"},
		{file(proto), "ends in the middle"},
		{file(proto + "}K\x01K\x02s."), "a tensor's name is a number, not a string"},
		{file(proto + "}" + key + "us."), "takes more from its stack"},
		{file(proto + "}" + key + "K\x07s."), `tensor "x": is a number`},
		{file(one("K\x01K\x04\x85K\x01\x85")), "shape [4] with strides [1] from element 1 on needs 5 elements, but its storage has 4"},
		{file(one("K\x00" + long(1<<40) + "\x85K\x00\x85")), "repeats the 4 elements of its storage"},
		{file(one("K\x00" + long(1<<40) + long(1<<40) + "\x86K\x00K\x00\x86")), "has more elements than can be addressed"},
		{file(one("K\x00K\x02\x85" + long(1<<62) + "\x85")), "reach beyond what can be addressed"},
		{file(one("J\xff\xff\xff\xffK\x02\x85K\x01\x85")), "a tensor has offset -1"},
		{file(one("K\x00J\xff\xff\xff\xff\x85K\x01\x85")), "a tensor has offset 0, size a tuple"},
		{file(one("K\x00K\x02\x85K\x01K\x01\x86")), "size [2] and stride [1 1]"},
		{file(strings.Replace(one("K\x00K\x02\x85K\x01\x85"), "K\x04tQ", "K\x05tQ", 1)), "the storage data/0 has 16 bytes, too few for 5 elements of F32"},
		{file(strings.Replace(one("K\x00K\x02\x85K\x01\x85"), "\x000X\x03", "\x001X\x03", 1)), "the archive has no data/1"},
		{packed(t, zip.Deflate, "a/data.pkl", strings.Repeat(" ", 1000)), "data.pkl is compressed or encrypted"},
		{packed(t, zip.Store, "a/data.pkl", proto+"}.", "b/data.pkl", proto+"}."), "more than one data.pkl"},
		{packed(t, zip.Store, "a/data.pkl", proto+"}.", "a/data.pkl", proto+"}."), `has "a/data.pkl" twice`},
		{packed(t, zip.Store, "a/x", ""), "the archive has no data.pkl"},
		{packed(t, zip.Store, "a/data.pkl", proto+"}.", "a/byteorder", "big"), `in the byte order "big", only little is supported`},
		{file(proto + "}.")[:60], "is no sound zip archive, or is cut short"},
		{[]byte("version https://git-lfs.github.com/spec/v1\n"), "is a Git LFS pointer"},
		{nil, "it is no zip archive"},
	} {
		_, err := Parse(c.data, "x.bin")
		switch {
		case c.want == "" && err == nil:
		case c.want == "" || err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "x.bin: "):
			t.Errorf("%d: %v\nis not: %s", i, err, c.want)
		}
	}
}

// TestSet: shards by an index and by their numbers.
func TestSet(t *testing.T) {
	floats := strings.Repeat("\x00\x00\x80\x3f", 4)
	shard := func(name string) []byte {
		return packed(t, zip.Store, "a/data.pkl", strings.ReplaceAll(one("K\x00K\x04\x85K\x01\x85"), key, "X\x01\x00\x00\x00"+name), "a/data/0", floats)
	}
	write := func(files map[string]string) string {
		dir := t.TempDir()
		for name, data := range files {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	first, second := "pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"
	index := func(b string) string {
		return fmt.Sprintf(`{"metadata": {}, "weight_map": {"a": %q, "b": %q}}`, first, b)
	}
	for _, files := range []map[string]string{
		{first: string(shard("a")), second: string(shard("b"))},
		{first: string(shard("a")), second: string(shard("b")), IndexName: index(second), "training_args.bin": "x"},
	} {
		s, err := OpenDir(write(files))
		if err != nil {
			t.Fatal(err)
		}
		if len(s.Tensors) != 2 || s.Tensors[1].Name != "b" || !slices.Equal(values(t, s.Tensors[1]), at(1, 1, 1, 1)) {
			t.Errorf("%v", s.Tensors)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	for want, files := range map[string]map[string]string{
		"no PyTorch weights found":     {"training_args.bin": "x"},
		"the shard is missing":         {first: string(shard("a"))},
		"it is in " + first + ", too":  {first: string(shard("a")), second: string(shard("a"))},
		"which is missing":             {first: string(shard("a")), IndexName: index(second)},
		"does not put it in this file": {first: string(shard("b")), second: string(shard("a")), IndexName: index(second)},
		"which does not have it":       {first: string(shard("a")), second: string(packed(t, zip.Store, "a/data.pkl", proto+"}.")), IndexName: index(second)},
		"is not a name inside":         {IndexName: index("../x.bin")},
		"weight_map is missing":        {IndexName: "{}"},
	} {
		if _, err := OpenDir(write(files)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nis not: %s", err, want)
		}
	}
}

// FuzzPickle: no pickle crashes or takes long.
func FuzzPickle(f *testing.F) {
	f.Add([]byte(one("K\x00K\x02\x85K\x01\x85")))
	f.Add([]byte(proto + "cos\nsystem\nX\x02\x00\x00\x00ls\x85R."))
	f.Add([]byte(proto + "](K\x01\x88NGaaaaaaaae0(12}q\x00h\x00."))
	for _, name := range []string{"kinds.bin", "kinds4.bin", "state_dict.bin"} {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		a, err := openArchive(data)
		if err != nil {
			f.Fatal(err)
		}
		pickle, err := a.entry("data.pkl")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(pickle)
	}
	floats := strings.Repeat("\x00\x00\x80\x3f", 4)
	f.Fuzz(func(t *testing.T, pickle []byte) {
		var entries []string
		for i := range 16 {
			entries = append(entries, fmt.Sprintf("a/data/%d", i), floats)
		}
		x, err := Parse(packed(t, zip.Store, append(entries, "a/data.pkl", string(pickle))...), "x.bin")
		if err != nil {
			return
		}
		for _, y := range x.Tensors() {
			if data, err := y.Bytes(); err != nil || int64(len(data)) != y.Size() {
				t.Errorf("%s: %d bytes, not %d: %v", y.Name, len(data), y.Size(), err)
			}
		}
	})
}

// FuzzFile: no archive crashes.
func FuzzFile(f *testing.F) {
	for _, name := range []string{"state_dict.bin", "legacy.bin", "nested.bin"} {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		x, err := Parse(data, "x.bin")
		if err != nil {
			return
		}
		for _, y := range x.Tensors() {
			if _, err := y.Bytes(); err != nil {
				t.Error(err)
			}
		}
	})
}
