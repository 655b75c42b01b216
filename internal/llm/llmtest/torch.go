package llmtest

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/hf/safetensors"
)

// WriteTorch writes tensors as PyTorch would: an archive of a pickled OrderedDict and one
// entry for each storage.
func WriteTorch(t testing.TB, dir, name string, tensors []safetensors.Tensor) {
	t.Helper()
	var file bytes.Buffer
	z := zip.NewWriter(&file)
	put := func(name string, data []byte) {
		w, err := z.CreateHeader(&zip.FileHeader{Name: "archive/" + name, Method: zip.Store})
		if err == nil {
			_, err = w.Write(data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	put("data.pkl", torchPickle(tensors))
	for i, x := range tensors {
		put(fmt.Sprintf("data/%d", i), x.Data)
	}
	put("version", []byte("3\n"))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), file.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
}

// torchPickle is the description of the tensors, protocol 2.
func torchPickle(tensors []safetensors.Tensor) []byte {
	var b []byte
	text := func(s string) {
		b = append(binary.LittleEndian.AppendUint32(append(b, 'X'), uint32(len(s))), s...)
	}
	number := func(n int) { b = binary.LittleEndian.AppendUint32(append(b, 'J'), uint32(n)) }
	numbers := func(v []int) {
		b = append(b, '(')
		for _, n := range v {
			number(n)
		}
		b = append(b, 't')
	}
	b = append(b, "\x80\x02ccollections\nOrderedDict\n)R("...)
	for i, x := range tensors {
		text(x.Name)
		b = append(b, "ctorch._utils\n_rebuild_tensor_v2\n(("...)
		text("storage")
		kind := map[mlx.DType]string{mlx.Float32: "Float", mlx.Float16: "Half", mlx.BFloat16: "BFloat16", mlx.Int32: "Int", mlx.Uint8: "Byte"}[x.DType]
		b = append(b, "ctorch\n"+kind+"Storage\n"...)
		text(fmt.Sprint(i))
		text("cpu")
		n := 1
		strides := make([]int, len(x.Shape))
		for k := len(x.Shape) - 1; k >= 0; k-- {
			strides[k] = n
			n *= x.Shape[k]
		}
		number(n)
		b = append(b, "tQK\x00"...)
		numbers(x.Shape)
		numbers(strides)
		b = append(b, "\x89ccollections\nOrderedDict\n)RtR"...)
	}
	return append(b, "u."...)
}
