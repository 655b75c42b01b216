package doctor

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"fmt"
	"io"

	"github.com/mlxgo/mlx"
)

// recorded has the results of the checks by their names, and the inputs that come from
// testdata/golden as FILE/KEY: see TestRecorded, which makes it. Floats are float32: in
// float64 they differ by less than any tolerance.
//
//go:embed recorded.safetensors.gz
var recorded []byte

type records map[string]*mlx.Array

func readRecords() (records, error) {
	var text []byte
	z, err := gzip.NewReader(bytes.NewReader(recorded))
	if err == nil {
		text, err = io.ReadAll(z)
	}
	var r records
	if err == nil {
		r, _, err = mlx.ReadSafetensors(bytes.NewReader(text), int64(len(text)))
	}
	if err != nil {
		return nil, fmt.Errorf("the recorded results: %w", err)
	}
	return r, nil
}

// of are inputs from a file of testdata/golden.
func (r records) of(file string, keys ...string) []*mlx.Array {
	var l []*mlx.Array
	for _, k := range keys {
		l = append(l, r[file+"/"+k])
	}
	return l
}
