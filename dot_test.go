package mlx_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
)

var updateDot = flag.Bool("update", false, "write testdata/graph.dot again")

func TestExportToDot(t *testing.T) {
	x := mlx.Ones(mlx.Shape{2, 3})
	if err := mlx.Eval(x); err != nil {
		t.Fatal(err)
	}
	y := x.Mul(2)
	z := mlx.Sum(y.Add(mlx.Exp(y)), mlx.Axis(1))
	var b strings.Builder
	if err := mlx.ExportToDot(&b, z, y); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", "graph.dot")
	if *updateDot {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || string(want) != b.String() {
		t.Errorf("%v; got\n%s", err, b.String())
	}

	for range 20_000 {
		y = y.Add(1)
	}
	b.Reset()
	if err := mlx.ExportToDot(&b, y); err != nil || strings.Count(b.String(), "shape=rectangle") < 20_000 {
		t.Errorf("a deep graph: %v, %d bytes", err, b.Len())
	}
	if err := mlx.Eval(y, z); err != nil {
		t.Fatal(err)
	}
	b.Reset()
	if err := mlx.ExportToDot(&b, z); err != nil || strings.Contains(b.String(), "rectangle") {
		t.Errorf("a computed array: %v\n%s", err, b.String())
	}
}
