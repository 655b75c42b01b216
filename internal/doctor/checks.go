package doctor

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/metal"
	"github.com/mlxgo/mlx/internal/tensor"
)

// What came of a check.
const (
	OK      = "ok"
	Failed  = "FAIL"
	LeftOut = "left out"
)

// A Result is what came of a check on a device.
type Result struct {
	Device  string   `json:"device"`
	Name    string   `json:"name"`
	DType   string   `json:"dtype,omitempty"` // of the floats, in checks of several
	Status  string   `json:"status"`
	Detail  string   `json:"detail,omitempty"`  // what is wrong, or why it was left out
	Kernels []string `json:"kernels,omitempty"` // that ran on the GPU
	OnCPU   []string `json:"on_cpu,omitempty"`  // ops of a check of the GPU that have no kernel there
}

// Title is the name with the dtype.
func (r *Result) Title() string {
	if r.DType == "" {
		return r.Name
	}
	return r.Name + ", " + r.DType
}

// A check is a call of ops whose results were recorded.
type check struct {
	name    string
	results string // names of the results, for messages and as keys; "" if it is one
	// inputs are float32 and others; floats is what float32 ones are turned into. They are
	// multiples of 1/64 below 4, which all floats hold.
	inputs arrays
	floats []mlx.DType // nil: float32 only
	build  func(in arrays) arrays
	// What is recorded is want of the inputs, or build by the CPU: as it is if same is
	// set, else in float64.
	want func(in arrays) arrays
	same bool
	// golden is the file of testdata/golden that has results of the real MLX: from and keys
	// are the names of the inputs and results there.
	golden     string
	from, keys []string
	tol        tolerance
	only       string // the device that it is for: GPU; "" for any
}

type arrays = []*mlx.Array

// A tolerance is how far a result may be from the recorded one: each of its own size, and
// top of the largest of all. Halves may be one step away, of either.
type tolerance struct{ each, top float64 }

var (
	exact  = tolerance{}
	usual  = tolerance{each: 1e-5, top: 1e-6}
	summed = tolerance{each: 1e-5, top: 1e-5}
	loose  = tolerance{each: 1e-4, top: 1e-4}
)

// stepOf is the distance of numbers of a float, of their size.
func stepOf(d mlx.DType) float64 {
	switch d {
	case mlx.Float16:
		return 0x1p-10
	case mlx.BFloat16:
		return 0x1p-7
	}
	return 0
}

// names are the keys of the results.
func (c *check) names() []string {
	var l []string
	for part := range strings.FieldsSeq(c.results) {
		l = append(l, c.name+"."+part)
	}
	if l == nil {
		l = []string{c.name}
	}
	return l
}

// Checks runs all checks on a device and calls each with what came of them.
func Checks(dev mlx.Device, each func(Result)) error {
	r, err := readRecords()
	if err != nil {
		return err
	}
	checks, err := ready()
	if err != nil {
		return err
	}
	runChecks(checks, r, dev, each)
	return nil
}

// ready is the table with its inputs made, by the CPU.
func ready() (checks []check, err error) {
	before := mlx.DefaultDevice()
	mlx.SetDefaultDevice(mlx.CPU)
	defer mlx.SetDefaultDevice(before)
	if err := mlx.Try(func() { checks = table() }); err != nil {
		return nil, err
	}
	for i := range checks {
		if err := mlx.Eval(checks[i].inputs); err != nil {
			return nil, err
		}
	}
	return checks, nil
}

func runChecks(checks []check, r records, dev mlx.Device, each func(Result)) {
	before := mlx.DefaultDevice()
	mlx.SetDefaultDevice(dev)
	defer mlx.SetDefaultDevice(before)
	for i := range checks {
		c := &checks[i]
		floats := c.floats
		if floats == nil {
			floats = []mlx.DType{mlx.Float32}
		}
		for _, d := range floats {
			each(c.run(r, dev, d))
		}
	}
}

// run is the check in one dtype.
func (c *check) run(r records, dev mlx.Device, d mlx.DType) Result {
	res := Result{Device: NameOf(dev), Name: c.name}
	if c.floats != nil {
		res.DType = d.String()
	}
	if c.only != "" && c.only != res.Device {
		res.Status, res.Detail = LeftOut, "it is for the "+c.only
		return res
	}
	seen := watch()
	err := c.compute(r, d)
	var broken error
	res.Kernels, res.OnCPU, broken = seen()
	if err == nil && broken != nil {
		err = fmt.Errorf("the CPU computed it, since a kernel fails: %w", broken)
	}
	if res.Status = OK; err != nil {
		res.Status, res.Detail = Failed, firstLines(err.Error())
	}
	return res
}

func (c *check) compute(r records, d mlx.DType) error {
	var out arrays
	err := mlx.Try(func() { out = c.build(castFloats(c.given(r), d)) })
	if err == nil {
		err = mlx.Eval(out)
	}
	if err != nil {
		return err
	}
	names := c.names()
	if len(out) != len(names) {
		return fmt.Errorf("%d results, want %d", len(out), len(names))
	}
	for i, name := range names {
		want, ok := r[name]
		if !ok {
			return fmt.Errorf("no result of %s was recorded", name)
		}
		// What is on the GPU is compared on the CPU: no more kernels run.
		if err := differ(out[i], want, c.tol); err != nil {
			if len(names) > 1 {
				err = fmt.Errorf("%s: %w", strings.TrimPrefix(name, c.name+"."), err)
			}
			return err
		}
	}
	return nil
}

// given are the inputs.
func (c *check) given(r records) arrays {
	if c.golden != "" {
		return r.of(c.golden, c.from...)
	}
	return c.inputs
}

// castFloats turns float32 inputs into another float.
func castFloats(in arrays, d mlx.DType) arrays {
	out := slices.Clone(in)
	for i, a := range in {
		if a != nil && a.DType() == mlx.Float32 && d != mlx.Float32 {
			out[i] = mlx.AsType(a, d, mlx.CPU)
		}
	}
	return out
}

// watch notes what runs where until the function that it returns is called.
func watch() func() (kernels, onCPU []string, broken error) {
	var mu sync.Mutex
	var kernels, onCPU []string
	var broken error
	note := func(l *[]string, names ...string) {
		mu.Lock()
		defer mu.Unlock()
		for _, n := range names {
			if !slices.Contains(*l, n) {
				*l = append(*l, n)
			}
		}
	}
	metal.ObserveKernels(func(_ tensor.Primitive, names []string) { note(&kernels, names...) })
	metal.Observe(func(p tensor.Primitive, _, _ []tensor.View, err error) {
		if errors.Is(err, tensor.ErrUnsupported) {
			note(&onCPU, p.Name())
		}
		if metal.Broken(err) {
			mu.Lock()
			defer mu.Unlock()
			broken = err
		}
	})
	return func() ([]string, []string, error) {
		metal.ObserveKernels(nil)
		metal.Observe(nil)
		mu.Lock()
		defer mu.Unlock()
		return kernels, onCPU, broken
	}
}

// firstLines are the lines of a message that are shown: a compiler writes many.
func firstLines(text string) string {
	const most = 6
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if len(lines) > most {
		lines = append(lines[:most], fmt.Sprintf("(%d more lines)", len(lines)-most))
	}
	return strings.Join(lines, "\n")
}

// differ says where got is not what was recorded: nil if nowhere.
func differ(got, want *mlx.Array, tol tolerance) error {
	if !slices.Equal(got.Shape(), want.Shape()) {
		return fmt.Errorf("the shape is %v, expected %v", got.Shape(), want.Shape())
	}
	d := got.DType()
	inexact := want.DType() == mlx.Float32 || want.DType() == mlx.Complex64
	if inexact && stepOf(d) == 0 && d != want.DType() || !inexact && d != want.DType() {
		return fmt.Errorf("the dtype is %v, expected %v", d, want.DType())
	}
	g, w := numbers(got), numbers(want)
	if !inexact {
		tol = exact
	}
	top := 0.0
	for _, v := range w {
		if a := math.Abs(v); !math.IsInf(a, 0) && a > top {
			top = a
		}
	}
	step := stepOf(d)
	worst, at, bad := -1.0, 0, 0
	for i := range w {
		limit := (tol.each+step)*math.Abs(w[i]) + (tol.top+step*tol.top/loose.top)*top
		diff := math.Abs(g[i] - w[i])
		switch {
		case g[i] == w[i], g[i] != g[i] && w[i] != w[i]:
			continue
		case math.IsInf(w[i], 0) || diff != diff:
			diff = math.Inf(1)
		case diff <= limit:
			continue
		}
		if bad++; diff-limit > worst {
			worst, at = diff-limit, i
		}
	}
	if bad == 0 {
		return nil
	}
	return fmt.Errorf("element %v is %v, expected %v; %d of %d are wrong", place(at*want.Size()/len(w), want.Shape()), g[at], w[at], bad, len(w))
}

// place is where element i of a row-major array is.
func place(i int, shape mlx.Shape) []int {
	at := make([]int, len(shape))
	for a := len(shape) - 1; a >= 0; a-- {
		at[a], i = i%shape[a], i/shape[a]
	}
	return at
}

// numbers are the elements; complex ones are two.
func numbers(a *mlx.Array) []float64 {
	var l []float64
	switch {
	case a.DType() == mlx.Complex64:
		for _, z := range mlx.ToSlice[complex64](a) {
			l = append(l, float64(real(z)), float64(imag(z)))
		}
	case a.DType() == mlx.Int64 || a.DType() == mlx.Uint64: // halves, which float64 holds
		for _, v := range mlx.ToSlice[int64](mlx.View(mlx.Contiguous(a, false, mlx.CPU), mlx.Int64, mlx.CPU)) {
			l = append(l, float64(v>>32), float64(uint32(v)))
		}
	default:
		l = mlx.ToSlice[float64](mlx.AsType(a, mlx.Float64, mlx.CPU))
	}
	return l
}
