package tune_test

import (
	"encoding/json"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/models"
	"github.com/mlxgo/mlx/internal/llm/tune"
	"github.com/mlxgo/mlx/nn"
	"github.com/mlxgo/mlx/optim"
)

// shared are recordings of the real trainer; see its README.
const shared = "../../../../shared"

// recording is one of them.
type recording struct {
	meta    map[string]string
	tensors map[string]*mlx.Array
}

// group is the tensors under a prefix.
func (r *recording) group(prefix string) map[string]*mlx.Array {
	out := map[string]*mlx.Array{}
	for name, a := range r.tensors {
		if rest, ok := strings.CutPrefix(name, prefix+"."); ok {
			out[rest] = a
		}
	}
	return out
}

func (r *recording) number(t *testing.T, key string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(r.meta[key], 64)
	if err != nil {
		t.Fatalf("metadata %s: %v", key, err)
	}
	return v
}

// TestRecorded follows recordings of mlx-lm's trainer: gradients at step 0, losses, and
// what is trained at the end.
//
// Adam divides each gradient by its size, so that gradients which are nearly 0 move their
// weights as far as others, by the sign of a rounding error: some recordings leave what
// exact arithmetic gives by far more than their own precision. Where one does, float32
// must leave the run in float64 no further than the recording.
func TestRecorded(t *testing.T) {
	for _, file := range recordings(t) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".safetensors"), func(t *testing.T) { follow(t, file) })
	}
}

// recordings are their files; the test is skipped where there are none.
func recordings(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(shared, "training", "*_*.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Skip("there are no recordings here")
	}
	return files
}

func readRecording(t *testing.T, file string) *recording {
	t.Helper()
	tensors, info, err := mlx.LoadAll(file)
	if err != nil {
		t.Fatal(err)
	}
	r := &recording{map[string]string{}, tensors}
	for key, v := range info {
		r.meta[key], _ = v.(string)
	}
	return r
}

func follow(t *testing.T, file string) {
	r := readRecording(t, file)
	want := run{losses: toDouble(mlx.ToSlice[float32](r.tensors["losses"])), final: r.group("final")}
	got := r.train(t, mlx.Float32, len(want.losses))
	if names := slices.Sorted(maps.Keys(want.final)); !slices.Equal(slices.Sorted(maps.Keys(got.final)), names) {
		t.Fatalf("trained are %q, recorded %q", slices.Sorted(maps.Keys(got.final)), names)
	}
	for name, grad := range r.group("grad0") {
		if d := difference(got.grads[name], grad); d > 1e-4 {
			t.Errorf("the gradient of %s is off by %.3g of its greatest value", name, d)
		}
	}
	for i, n := range mlx.ToSlice[int32](r.tensors["ntoks"]) {
		if got.counts[i] != int(n) {
			t.Errorf("%d targets in step %d, want %d", got.counts[i], i, n)
		}
	}
	const lossTol = 1e-3
	tol := 1e-3
	if r.meta["quantization"] != "" {
		tol = 1e-2
	}
	losses, final := got.from(want)
	if losses <= lossTol && final <= tol || testing.Short() { // a run in float64 takes long
		return
	}
	exact := r.train(t, mlx.Float64, len(want.losses))
	ourLosses, ours := got.from(exact)
	theirLosses, theirs := want.from(exact)
	t.Logf("from float64: losses %.2g, weights %.2g; the recording: %.2g, %.2g", ourLosses, ours, theirLosses, theirs)
	if losses > lossTol && ourLosses > max(2*theirLosses, lossTol) {
		t.Errorf("losses are off by %.3g", losses)
	}
	if final > tol && ours > max(2*theirs, tol) {
		t.Errorf("what was trained is off by %.3g of a tensor's greatest value", final)
	}
}

// run is a training run.
type run struct {
	losses       []float64
	counts       []int
	grads, final map[string]*mlx.Array
}

// from is how far a run is from another: the greatest difference of a loss, and of a
// tensor relative to its greatest value.
func (r run) from(o run) (losses, final float64) {
	for i := range o.losses {
		losses = max(losses, math.Abs(r.losses[i]-o.losses[i]))
	}
	for name, a := range o.final {
		final = max(final, difference(r.final[name], a))
	}
	return losses, final
}

// difference is the greatest one, relative to the greatest absolute value of want; 0
// stands for itself.
func difference(got, want *mlx.Array) float64 {
	if got == nil {
		return math.Inf(1)
	}
	got, want = got.AsType(mlx.Float64), want.AsType(mlx.Float64)
	d, top := mlx.Item[float64](mlx.Max(mlx.Abs(got.Sub(want)))), mlx.Item[float64](mlx.Max(mlx.Abs(want)))
	if d == 0 {
		return 0
	}
	return d / top
}

func toDouble(x []float32) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v)
	}
	return out
}

// train repeats the recorded run in dtype d.
func (r *recording) train(t *testing.T, d mlx.DType, steps int) (out run) {
	t.Helper()
	m := r.model(t)
	layers := tune.Layers{Kind: tune.Kind(r.meta["kind"]), Num: int(r.number(t, "num_layers"))}
	if layers.Kind != tune.Full {
		layers.Rank, layers.Scale = int(r.number(t, "rank")), r.number(t, "scale")
	}
	if keys := r.meta["keys"]; keys != "" {
		if err := json.Unmarshal([]byte(keys), &layers.Keys); err != nil {
			t.Fatal(err)
		}
	}
	if d == mlx.Float64 { // there are no packed products of float64
		unpack(m)
	}
	trained, err := tune.Prepare(m, layers)
	if err != nil {
		t.Fatal(err)
	}
	if err := nn.Update(m, maps.All(r.group("init"))); err != nil { // of full it is the model
		t.Fatal(err)
	}
	nn.SetDType(m, d)
	m.SetDType(d)
	opt := optimizer(t, r.meta["optimizer"])
	batch := tune.Batch{Tokens: r.tensors["batch"], Lengths: r.tensors["lengths"]}
	for i := range steps {
		loss, count, grads := nn.ValueAndGradAux(m, func(m llm.Model) (*mlx.Array, *mlx.Array) { return tune.Loss(m, batch, true) }, trained.Filter)
		if i == 0 {
			out.grads = maps.Collect(nn.Parameters(grads))
		}
		opt.Update(m, grads)
		if err := mlx.Eval(m, opt, loss, count); err != nil {
			t.Fatal(err)
		}
		out.losses = append(out.losses, mlx.Item[float64](mlx.AsType(loss, mlx.Float64, mlx.CPU)))
		out.counts = append(out.counts, int(mlx.Item[float32](count)))
	}
	out.final = maps.Collect(nn.TrainableParameters(m, trained.Filter))
	return out
}

// unpack makes packed layers plain ones.
func unpack(m llm.Model) {
	nn.Replace(m, func(_ string, l nn.Layer) nn.Layer {
		dense := func(w, scales, biases *mlx.Array, s mlx.Scheme) *mlx.Array {
			return mlx.Dequantize(mlx.Quantized{Weight: w, Scales: scales, Biases: biases, Scheme: s})
		}
		switch l := l.(type) {
		case *nn.QuantizedLinear:
			return &nn.Linear{Weight: dense(l.Weight, l.Scales, l.Biases, l.Scheme), Bias: l.Bias}
		case *nn.QuantizedEmbedding:
			return &nn.Embedding{Weight: dense(l.Weight, l.Scales, l.Biases, l.Scheme)}
		}
		return l
	})
}

// model is the recording's, in float32, quantized as it was.
func (r *recording) model(t *testing.T) llm.Model {
	t.Helper()
	d := mlx.Float32
	m, err := llm.Load(filepath.Join(shared, "models", r.meta["model"]), llm.LoadOptions{New: models.New, DType: &d, NoTokenizer: true})
	if err != nil {
		t.Fatal(err)
	}
	nn.SetDType(m.Model, mlx.Float32)
	if q := r.meta["quantization"]; q != "" {
		var s struct {
			GroupSize int `json:"group_size"`
			Bits      int
			Mode      string
		}
		if err := json.Unmarshal([]byte(q), &s); err != nil {
			t.Fatal(err)
		}
		nn.Quantize(m.Model, mlx.Scheme{GroupSize: s.GroupSize, Bits: s.Bits, Mode: mlx.Mode(s.Mode), Rounding: mlx.RoundCPU})
	}
	return m.Model
}

// optimizer reads the recorded settings: a name, a rate or schedules one after the
// other, and keywords.
func optimizer(t *testing.T, text string) *optim.Optimizer {
	t.Helper()
	var o map[string]any
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		t.Fatal(err)
	}
	var rate optim.Schedule
	if lr, ok := o["learning_rate"].(float64); ok {
		rate = optim.Constant(lr)
	}
	if s, ok := o["schedule"].(map[string]any); ok {
		rate = schedule(t, s)
	}
	name, _ := o["name"].(string)
	for _, key := range []string{"name", "learning_rate", "schedule"} {
		delete(o, key)
	}
	opt, err := tune.NewOptimizer(name, rate, o)
	if err != nil {
		t.Fatal(err)
	}
	return opt
}

func schedule(t *testing.T, s map[string]any) optim.Schedule {
	t.Helper()
	var all []optim.Schedule
	parts, ok := s["join"].([]any)
	if !ok {
		parts = []any{s}
	}
	for _, p := range parts {
		for name, args := range p.(map[string]any) {
			c := tune.ScheduleConfig{Name: name}
			for _, a := range args.([]any) {
				c.Arguments = append(c.Arguments, a.(float64))
			}
			one, err := c.Schedule()
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, one)
		}
	}
	if !ok {
		return all[0]
	}
	var at []int
	for _, b := range s["boundaries"].([]any) {
		at = append(at, int(b.(float64)))
	}
	return optim.JoinSchedules(all, at)
}
