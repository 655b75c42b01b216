package calibrate

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"sort"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/atomicfile"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/cache"
	"github.com/mlxgo/mlx/internal/quant"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/nn"
)

// Dynamic gives the more sensitive layers more bits, as mlx-lm's dynamic_quant: how much
// the divergence from the original grows when a layer has the low bits instead of the high
// ones, by its gradient at the low bits, per million weights.

// Sensitivity is that of the layer at a path. In JSON it is a pair, as in mlx-lm's files.
type Sensitivity struct {
	Path  string
	Value float64
}

// MarshalJSON writes the pair.
func (s Sensitivity) MarshalJSON() ([]byte, error) { return json.Marshal([]any{s.Path, s.Value}) }

// UnmarshalJSON reads the pair.
func (s *Sensitivity) UnmarshalJSON(text []byte) error {
	var pair []json.RawMessage
	if err := json.Unmarshal(text, &pair); err != nil {
		return err
	}
	if len(pair) != 2 || json.Unmarshal(pair[0], &s.Path) != nil || json.Unmarshal(pair[1], &s.Value) != nil {
		return fmt.Errorf("%s is not a pair of a path and a number", text)
	}
	return nil
}

// ReadSensitivities reads a file of an earlier run.
func ReadSensitivities(path string) ([]Sensitivity, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var all []Sensitivity
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("%s: %w", path, llm.JSONError(err))
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s: there are no sensitivities in it", path)
	}
	return all, nil
}

// WriteSensitivities writes the file.
func WriteSensitivities(path string, all []Sensitivity) error {
	text, err := json.Marshal(all)
	if err != nil {
		return err
	}
	return atomicfile.Write(path, false, func(f *os.File) error {
		_, err := f.Write(append(text, '\n'))
		return err
	})
}

// dynamic chooses the bits of each layer and rounds.
func (j *job) dynamic() ([]Sensitivity, error) {
	all := slices.Clone(j.o.Sensitivities)
	if all == nil {
		var err error
		if all, err = j.sensitivities(); err != nil {
			return nil, err
		}
	}
	if err := j.checkSensitivities(all); err != nil {
		return nil, err
	}
	slices.SortStableFunc(all, func(a, b Sensitivity) int { return cmp.Compare(b.Value, a.Value) })
	schemes := func(high int) map[string]quant.Scheme {
		out := map[string]quant.Scheme{}
		for i, s := range all {
			if out[s.Path] = j.o.Scheme; i < high {
				out[s.Path] = j.o.High
			}
		}
		return out
	}
	size := func(high int) float64 { return bitsPerWeight(j.m.Model, schemes(high), j.dtype) }
	if low := size(0); low > j.o.Target+1e-9 {
		return nil, fmt.Errorf("the target of %.3f bits per weight is not reached: all layers at the low %d bits take %.3f", j.o.Target, j.o.Scheme.Bits, low)
	}
	high := sort.Search(len(all), func(n int) bool { return size(n+1) > j.o.Target+1e-9 })
	j.o.Line(fmt.Sprintf("%d of %d layers get %d bits in groups of %d, the others %d in groups of %d: %.3f bits per weight",
		high, len(all), j.o.High.Bits, j.o.High.GroupSize, j.o.Scheme.Bits, j.o.Scheme.GroupSize, size(high)))
	chosen := schemes(high)
	j.roundPlain(func(path string) quant.Scheme { return chosen[path] })
	return all, nil
}

// quantizable are the layers that both schemes can pack, by path.
func (j *job) quantizable(m llm.Model) map[string]**mlx.Array {
	out := map[string]**mlx.Array{}
	for path, l := range nn.Modules(m) {
		if w := weightOf(l); w != nil {
			if n := (*w).Dim(-1); n%j.o.Scheme.GroupSize == 0 && n%j.o.High.GroupSize == 0 {
				out[path] = w
			}
		}
	}
	return out
}

// checkSensitivities refuses those of another model.
func (j *job) checkSensitivities(all []Sensitivity) error {
	layers := j.quantizable(j.m.Model)
	for _, s := range all {
		if layers[s.Path] == nil {
			return fmt.Errorf("the sensitivities name a layer %s, which the model does not have or which groups of %d and %d do not divide", s.Path, j.o.Scheme.GroupSize, j.o.High.GroupSize)
		}
		if math.IsNaN(s.Value) || math.IsInf(s.Value, 0) {
			return fmt.Errorf("the sensitivity of %s is not a number", s.Path)
		}
		delete(layers, s.Path)
	}
	for path := range layers {
		return fmt.Errorf("the sensitivities do not name the layer %s", path)
	}
	return nil
}

// sensitivities are those of all layers, in the order of their paths in the model.
func (j *job) sensitivities() ([]Sensitivity, error) {
	student, err := j.load()
	if err != nil {
		return nil, err
	}
	layers := j.quantizable(student.Model)
	change := map[string]*mlx.Array{} // of each weight, from high to low
	for path, w := range layers {
		low := roundTo(*w, j.o.Scheme, j.dtype)
		change[path] = low.Sub(roundTo(*w, j.o.High, j.dtype))
		*w = low
		if err := mlx.Eval(low, change[path]); err != nil {
			return nil, err
		}
	}
	filter := nn.Filter(func(path string) bool {
		layer := path[:max(0, len(path)-len(".weight"))]
		return layers[layer] != nil && path == layer+".weight"
	})
	sums := map[string]float64{}
	for at, row := range j.o.Rows {
		if err := j.ctx.Err(); err != nil {
			return nil, err
		}
		j.o.Progress("sensitivities", at, len(j.o.Rows))
		tokens := mlx.FromSlice(int32s(row), 1, len(row))
		_, grads := nn.ValueAndGrad(student.Model, func(m llm.Model) *mlx.Array { return divergence(j.m.Model, m, tokens) }, filter)
		aligned, paths := []*mlx.Array{}, []string{}
		for path, g := range nn.Parameters(grads) {
			layer := path[:len(path)-len(".weight")]
			paths, aligned = append(paths, layer), append(aligned, mlx.Sum(g.AsType(mlx.Float32).Mul(change[layer])))
		}
		if err := mlx.Eval(aligned); err != nil {
			return nil, err
		}
		for i, path := range paths {
			sums[path] += float64(mlx.ToSlice[float32](aligned[i])[0])
		}
	}
	j.o.Progress("sensitivities", len(j.o.Rows), len(j.o.Rows))
	var all []Sensitivity
	for path, l := range nn.Modules(j.m.Model) {
		if w := weightOf(l); w != nil && layers[path] != nil {
			all = append(all, Sensitivity{path, sums[path] / float64(len(j.o.Rows)) / (float64((*w).Size()) / 1e6)})
		}
	}
	return all, nil
}

func int32s(row []int) []int32 {
	out := make([]int32, len(row))
	for i, id := range row {
		out[i] = int32(id)
	}
	return out
}

// divergenceBytes is about how large the logits of a piece may be.
const divergenceBytes = 32 << 20

// divergence is the mean over tokens [1, L] of the divergence of the student's
// distribution from the teacher's. Logits are made a piece at a time.
func divergence(teacher, student llm.Model, tokens *mlx.Array) *mlx.Array {
	L := tokens.Dim(1)
	kv := func(m llm.Model) []cache.KV { return cache.Fresh(m.Layout(), 1, L) }
	logProbs := func(x *mlx.Array) *mlx.Array {
		x = x.AsType(mlx.Float32)
		return x.Sub(mlx.LogSumExp(x, mlx.Axis(-1), mlx.KeepDims(true)))
	}
	kl := func(a, b *mlx.Array) *mlx.Array {
		a, b = mlx.StopGradient(logProbs(a)), logProbs(b)
		p := mlx.Exp(a)
		return mlx.Sum(mlx.Where(p.Eq(0), 0, p.Mul(a.Sub(b))))
	}
	t, ok := teacher.(llm.Trainable)
	s, both := student.(llm.Trainable)
	if !ok || !both {
		return kl(teacher.Forward(tokens, nil, kv(teacher)), student.Forward(tokens, nil, kv(student))).Div(float64(L))
	}
	x, y := t.Hidden(tokens, kv(teacher)).Reshape(L, -1), s.Hidden(tokens, kv(student)).Reshape(L, -1)
	step := max(1, divergenceBytes/(8*student.Info().VocabSize))
	var total *mlx.Array
	for from := 0; from < L; from += step {
		rows := func(a *mlx.Array) *mlx.Array { return tensor.SliceAxis(a, 0, from, min(from+step, L), mlx.Stream{}) }
		a := rows(x)
		part := mlx.Checkpoint(func(y *mlx.Array) *mlx.Array { return kl(t.Outputs(a), s.Outputs(y)) })(rows(y))
		if total == nil {
			total = part
		} else {
			total = total.Add(part)
		}
	}
	return total.Div(float64(L))
}

// plainSchemes are those of the smallest plain rounding that is not smaller than the
// target, else the largest: what a user would take instead.
func (j *job) plainSchemes(m *llm.Loaded) map[string]quant.Scheme {
	var best map[string]quant.Scheme
	least := math.Inf(1)
	for _, bits := range []int{2, 3, 4, 5, 6, 8} {
		for _, group := range []int{32, 64, 128} {
			schemes := map[string]quant.Scheme{}
			for path, l := range nn.Modules(m.Model) {
				if w := weightOf(l); w != nil && (*w).Dim(-1)%group == 0 {
					schemes[path] = quant.Scheme{Mode: quant.Affine, Bits: bits, GroupSize: group}
				}
			}
			if size := bitsPerWeight(m.Model, schemes, j.dtype); size >= j.o.Target-0.005 && size < least {
				best, least = schemes, size
			}
		}
	}
	if best == nil {
		best = j.bits
	}
	return best
}
