package optest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/random"
)

// edgeFile is edge.json: what MLX says to odd calls, and its tables of dtypes.
type edgeFile struct {
	MLX         string          `json:"mlx"`
	Commit      string          `json:"commit"`
	Cases       []edgeCase      `json:"cases"`
	DTypeTables json.RawMessage `json:"dtype_tables"`
}

type edgeCase struct {
	ID    string          `json:"id"`
	Make  string          `json:"make"`
	DType string          `json:"dtype,omitempty"`
	Shape []int           `json:"shape,omitempty"`
	Value json.RawMessage `json:"value,omitempty"`
	Parts []edgeCase      `json:"parts,omitempty"`
	Error string          `json:"error,omitempty"`
	Crash string          `json:"crash,omitempty"` // the signal that MLX died of: an error here
}

func readEdges(t *testing.T, path string) (f edgeFile) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &f); err != nil {
		t.Fatal(err)
	}
	return f
}

func ourEdges(t *testing.T) edgeFile {
	root, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	return readEdges(t, filepath.Join(root, "testdata", "golden", "edge.json"))
}

var (
	nan = math.NaN()
	inf = math.Inf(1)

	negZero = math.Copysign(0, -1)
)

func arr(v any, d ...mlx.CreateOption) *mlx.Array { return mlx.NewArray(v, d...) }
func f(v ...float64) *mlx.Array                   { return mlx.NewArray(v) }
func zeros(shape ...int) *mlx.Array               { return mlx.Zeros(shape) }
func as(a ...*mlx.Array) []*mlx.Array             { return a }
func grid(shape ...int) *mlx.Array                { return mlx.Arange(mlx.Shape(shape).Size()).Reshape(shape...) }
func fgrid(shape ...int) *mlx.Array               { return grid(shape...).AsType(mlx.Float32) }
func key(seed uint64) random.Key                  { return random.NewKey(seed) }

// edges are all recorded calls that have a row here.
var edges = func() map[string]func() []*mlx.Array {
	all := map[string]func() []*mlx.Array{}
	for _, m := range []map[string]func() []*mlx.Array{opEdges, randomEdges, fastEdges, quantEdges, elementwiseEdges,
		arrangeEdges, orderEdges, productEdges, indexEdges, familyEdges, convEdges, ioEdges, linalgEdges, fftEdges, restEdges} {
		maps.Copy(all, m)
	}
	return all
}()

// TestEdges runs each recorded call: an error there is a *mlx.Error here, when the call is
// built, or evaluated if it is so there.
func TestEdges(t *testing.T) {
	seen := 0
	for _, c := range ourEdges(t).Cases {
		build, ok := edges[c.ID]
		if !ok {
			continue
		}
		seen++
		t.Run(c.ID, func(t *testing.T) {
			var out []*mlx.Array
			err := mlx.Try(func() { out = build() })
			var typed *mlx.Error
			switch {
			case c.Error != "" && err == nil && !strings.Contains(c.Error, "::eval_cpu]"):
				t.Errorf("%s\nis built; MLX says %s", c.Make, c.Error)
			case err != nil && (!errors.As(err, &typed) || typed.Op == "" || typed.Err == nil):
				t.Errorf("%s\n%v names no op", c.Make, err)
			case err == nil:
				err = mlx.Eval(out)
			}
			switch {
			case c.Error+c.Crash != "" && err == nil:
				t.Errorf("%s\nno error; MLX says %s", c.Make, c.Error+c.Crash)
			case c.Error+c.Crash != "":
			case err != nil:
				t.Errorf("%s\n%v", c.Make, err)
			default:
				want := c.Parts
				if want == nil {
					want = []edgeCase{c}
				}
				if len(out) != len(want) {
					t.Fatalf("%d results, want %d", len(out), len(want))
				}
				for i, w := range want {
					if err := w.compare(out[i], edgeTol(c.ID)); err != nil {
						t.Errorf("%s\nresult %d %v", c.Make, i, err)
					}
				}
			}
		})
	}
	if seen != len(edges) {
		t.Errorf("%d of %d rows are in edge.json: run TestGoldenFiles with -update", seen, len(edges))
	}
}

// edgeTol: random numbers to one unit in the last place, quantized ones exact, others F32.
func edgeTol(id string) Tol {
	switch {
	case id == "create/arange_f16": // computed in float16 there
		return Tol{Ulps: 1}
	case strings.HasPrefix(id, "random/"):
		return Random
	case strings.HasPrefix(id, "quantize/quantized_matmul"), id == "quantize/gather_qmm_small":
		return Tol{Rel: 1e-5, Abs: 1e-5}
	case strings.HasPrefix(id, "quantize/"):
		return Tol{Abs: 0, Each: 0, Rel: 1e-30} // equal, with either sign of zero
	}
	return F32
}

// compare reads the recorded value as the dtype that it has. What is no array in
// Python, such as a shape, is an array of any dtype here.
func (c edgeCase) compare(got *mlx.Array, tol Tol) error {
	if c.DType == "" { // no array: the name of a dtype, a text (its bytes here), or ints
		var text string
		if json.Unmarshal(c.Value, &text) == nil {
			have, want := got.DType().String(), text
			if name, ok := strings.CutPrefix(text, "mlx.core."); ok {
				want = name
			} else if got.DType() == mlx.Uint8 {
				have = string(got.Bytes())
			}
			if have != want {
				return fmt.Errorf("is %s, want %s", have, want)
			}
			return nil
		}
		c.DType, c.Shape = got.DType().String(), got.Shape()
	}
	if got.DType().String() != c.DType {
		return fmt.Errorf("is %v, want %s", got.DType(), c.DType)
	}
	if !slices.Equal(got.Shape(), c.Shape) && len(got.Shape())+len(c.Shape) > 0 {
		return fmt.Errorf("has shape %v, want %v", got.Shape(), mlx.Shape(c.Shape))
	}
	if c.Value == nil {
		return nil // more than 64 elements
	}
	d := json.NewDecoder(bytes.NewReader(c.Value))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return err
	}
	var flat []float64
	if err := flattenValue(v, &flat); err != nil {
		return err
	}
	if got.DType() == mlx.Complex64 {
		z := make([]complex64, len(flat)/2)
		for i := range z {
			z[i] = complex(float32(flat[2*i]), float32(flat[2*i+1]))
		}
		return Diff(got, mlx.FromSlice(z).Reshape(got.Shape()...), tol)
	}
	want := mlx.FromSlice(flat).Reshape(got.Shape()...)
	if !got.DType().Is(mlx.Floating) {
		return Diff(got.AsType(mlx.Float64), want, Exact) // no recorded integer needs more than 53 bits
	}
	return Diff(got, want.AsType(got.DType()), tol)
}

// flattenValue appends the numbers of a nested list; complex ones are two.
func flattenValue(v any, out *[]float64) error {
	switch x := v.(type) {
	case []any:
		for _, e := range x {
			if err := flattenValue(e, out); err != nil {
				return err
			}
		}
	case map[string]any:
		for _, part := range []string{"re", "im"} {
			if err := flattenValue(x[part], out); err != nil {
				return err
			}
		}
	case bool:
		n := 0.0
		if x {
			n = 1
		}
		*out = append(*out, n)
	case string, json.Number:
		n, err := strconv.ParseFloat(fmt.Sprint(x), 64)
		if err != nil {
			return err
		}
		*out = append(*out, n)
	default:
		return fmt.Errorf("value %v of type %T", v, v)
	}
	return nil
}
