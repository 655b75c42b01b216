package doctor

import (
	"bytes"
	"compress/gzip"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
)

var update = flag.Bool("update", false, "write recorded.safetensors.gz")

// goldens reads the files of testdata/golden once each.
type goldens map[string]map[string]*mlx.Array

func (g goldens) get(t *testing.T, file, key string) *mlx.Array {
	t.Helper()
	if g[file] == nil {
		l, _, err := mlx.LoadAll("../../testdata/golden/" + file + ".safetensors")
		if err != nil {
			t.Fatal(err)
		}
		g[file] = l
	}
	a := g[file][key]
	if a == nil {
		t.Fatalf("%s.safetensors has no %q", file, key)
	}
	if file == "fast" && a.NDim() == 4 && a.Dim(3) == 64 { // rows are alike: some are enough
		a = a.Index(mlx.To(1), mlx.To(1))
	}
	return mlx.Contiguous(a, false)
}

// record computes what is recorded of a check.
func (c *check) record(t *testing.T, g goldens) (inputs, results map[string]*mlx.Array) {
	t.Helper()
	inputs, results = map[string]*mlx.Array{}, map[string]*mlx.Array{}
	var out arrays
	if c.golden != "" {
		for _, k := range c.from {
			inputs[c.golden+"/"+k] = g.get(t, c.golden, k)
		}
		for _, k := range c.keys {
			out = append(out, g.get(t, c.golden, k))
		}
	} else {
		err := mlx.Try(func() {
			switch {
			case c.want != nil:
				out = c.want(c.inputs)
			case c.same:
				out = c.build(c.inputs)
			default:
				wide := append(arrays(nil), c.inputs...)
				for i, a := range wide {
					if a.DType() == mlx.Float32 {
						wide[i] = a.AsType(mlx.Float64)
					}
				}
				out = c.build(wide)
			}
		})
		if err == nil {
			err = mlx.Eval(out)
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			return inputs, results
		}
	}
	names := c.names()
	if len(out) != len(names) {
		t.Errorf("%s: %d results, %d names", c.name, len(out), len(names))
		return inputs, results
	}
	for i, a := range out {
		if stepOf(a.DType()) != 0 && !c.same || a.DType() == mlx.Float64 {
			a = a.AsType(mlx.Float32)
		}
		results[names[i]] = mlx.Contiguous(a, false)
	}
	return inputs, results
}

// The recorded numbers are what float64 or the real MLX gives today.
func TestRecorded(t *testing.T) {
	checks, err := ready()
	if err != nil {
		t.Fatal(err)
	}
	mlx.SetDefaultDevice(mlx.CPU)
	all, g := map[string]*mlx.Array{}, goldens{}
	titles := map[string]bool{}
	for i := range checks {
		c := &checks[i]
		if titles[c.name] || strings.Contains(c.name, "/") {
			t.Errorf("the name %q is there twice, or has a slash", c.name)
		}
		titles[c.name] = true
		inputs, results := c.record(t, g)
		for k, a := range inputs {
			all[k] = a
		}
		for k, a := range results {
			all[k] = a
		}
	}
	if t.Failed() {
		return
	}
	if *update {
		var b bytes.Buffer
		z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
		if err := errors.Join(mlx.WriteSafetensors(z, all, nil), z.Close()); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("recorded.safetensors.gz", b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		recorded = b.Bytes()
	}
	if len(recorded) > 200_000 {
		t.Errorf("%d bytes are recorded: that is too much for a program", len(recorded))
	}
	r, err := readRecords()
	if err != nil {
		t.Fatal(err)
	}
	if len(r) != len(all) {
		t.Errorf("%d arrays are recorded, want %d: go test ./internal/doctor -run TestRecorded -update", len(r), len(all))
	}
	for k, a := range all {
		if r[k] == nil {
			t.Errorf("%s is not recorded", k)
		} else if err := differ(a, r[k], usual); err != nil {
			t.Errorf("%s: %v", k, err)
		}
	}
}

// Every check holds on the CPU.
func TestChecksOnCPU(t *testing.T) {
	n := 0
	err := Checks(mlx.CPU, func(r Result) {
		n++
		if r.Status == Failed {
			t.Errorf("%s: %s", r.Title(), r.Detail)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d checks", n)
	if n < 80 {
		t.Errorf("only %d checks", n)
	}
}
