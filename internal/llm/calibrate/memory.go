package calibrate

import (
	"fmt"

	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/nn"
)

// checkMemory says what the run takes, and refuses one that does not fit.
func (j *job) checkMemory() error {
	need := j.need()
	have := llm.AvailableMemory()
	if have > 0 && need > have {
		return fmt.Errorf("%s needs about %.2f GB of memory for this model and %d rows of %d tokens, and %.2f GB are available: use fewer or shorter rows, or a smaller model",
			j.o.Method, float64(need)/1e9, len(j.o.Rows), len(j.o.Rows[0]), float64(have)/1e9)
	}
	j.o.Line(fmt.Sprintf("Memory: about %.2f GB for the model, %d rows of %d tokens and what %s computes", float64(need)/1e9, len(j.o.Rows), len(j.o.Rows[0]), j.o.Method))
	return nil
}

// need is about how many bytes the run takes: the weights, those that are made, what
// layers give and the matrices that a method works on.
func (j *job) need() int64 {
	var weights, widest, largest, hidden int64
	for path, l := range nn.Modules(j.m.Model) {
		w := weightOf(l)
		if w == nil {
			continue
		}
		n := int64((*w).Dim(-1))
		if path != "" && hidden == 0 {
			hidden = n // of the embedding, which comes first
		}
		widest = max(widest, n)
		largest = max(largest, int64((*w).Size()))
	}
	for _, a := range nn.Parameters(j.m.Model) {
		weights += int64(a.Size())
	}
	tokens := int64(len(j.o.Rows)) * int64(len(j.o.Rows[0]))
	batch := int64(j.o.Batch) * int64(len(j.o.Rows[0]))
	const f32, f64 = 4, 8
	const measuring = 192 << 20 // logits of the report, in pieces
	if j.o.Method == Dynamic {  // the student, its change and its gradient, and one row's intermediates
		layers := int64(len(j.m.Model.Layout()))
		row := int64(len(j.o.Rows[0]))
		return weights*(int64(j.dtype.Size())+4*f32) + row*layers*f32*(8*hidden+4*widest) + 4*divergenceBytes
	}
	inside := batch * (8*hidden + 6*widest) * f32 // of a layer, one batch
	if j.o.Method == AWQ {                        // beside it what the layer should give, and what is tried
		inside *= 2
	}
	return weights*int64(j.dtype.Size())*2 + 2*tokens*hidden*f32 + inside + 4*widest*widest*f64 + 3*largest*f32 + measuring
}
