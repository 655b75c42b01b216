package tune

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/mlxgo/mlx/internal/atomicfile"
)

// A History is the curve of a run in a file, a line of JSON for each batch, validation and
// report, so that a run that goes on has all of its curve. What it holds of iterations
// after the checkpoint is cut off then: they come again.
type History struct {
	Curve Curve
	file  *os.File
	err   error // the first
}

// event is a line; the keys are those that mlx-lm reports to its services.
type event struct {
	Iter         int      `json:"iteration"`
	Loss         *float64 `json:"loss,omitempty"` // of the batch
	ValLoss      *float64 `json:"val_loss,omitempty"`
	ValTime      float64  `json:"val_time,omitempty"`   // seconds
	TrainLoss    *float64 `json:"train_loss,omitempty"` // the mean since the last report
	LearningRate float64  `json:"learning_rate,omitempty"`
	Iters        float64  `json:"iterations_per_second,omitempty"`
	Tokens       float64  `json:"tokens_per_second,omitempty"`
	Trained      int      `json:"trained_tokens,omitempty"`
	Peak         int64    `json:"peak_bytes,omitempty"`
}

// OpenHistory goes on with the file at path after iteration iter; 0 begins it anew. A last
// line that a kill cut short is left out.
func OpenHistory(path string, iter int) (*History, error) {
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	h := &History{}
	var kept bytes.Buffer
	for n := 1; len(data) > 0; n++ {
		line, rest, whole := bytes.Cut(data, []byte("\n"))
		data = rest
		var e event
		if err := json.Unmarshal(line, &e); err != nil {
			if !whole || iter == 0 {
				break
			}
			return nil, fmt.Errorf("%s:%d: %w; remove the file to go on without the curve of before", path, n, err)
		}
		if e.Iter <= iter {
			h.Curve.add(e)
			kept.Write(append(line, '\n'))
		}
	}
	if err := atomicfile.Write(path, false, func(f *os.File) error {
		_, err := f.Write(kept.Bytes())
		return err
	}); err != nil {
		return nil, err
	}
	h.file, err = os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	return h, err
}

// Step adds the loss of a batch.
func (h *History) Step(iter int, loss float64) { h.put(event{Iter: iter, Loss: &loss}) }

// Validated adds that of the validation set.
func (h *History) Validated(v Validation) {
	if finite(v.Loss) { // JSON has no other numbers
		h.put(event{Iter: v.Iter, ValLoss: &v.Loss, ValTime: v.Took.Seconds()})
	}
}

// Report adds a line of numbers.
func (h *History) Report(r Report) {
	h.put(event{Iter: r.Iter, TrainLoss: &r.Loss, LearningRate: r.LearningRate, Iters: r.ItersPerSecond, Tokens: r.TokensPerSecond, Trained: r.TrainedTokens, Peak: r.PeakBytes})
}

func (h *History) put(e event) {
	h.Curve.add(e)
	line, err := json.Marshal(e)
	if err == nil && h.err == nil {
		_, err = h.file.Write(append(line, '\n'))
	}
	if h.err == nil {
		h.err = err
	}
}

// Err is what kept a line from being written.
func (h *History) Err() error { return h.err }

// Close closes the file.
func (h *History) Close() error { return h.file.Close() }

func (c *Curve) add(e event) {
	switch {
	case e.Loss != nil:
		c.Step(e.Iter, *e.Loss)
	case e.ValLoss != nil:
		c.Validated(Validation{Iter: e.Iter, Loss: *e.ValLoss, Took: time.Duration(e.ValTime * float64(time.Second))})
	case e.TrainLoss != nil:
		c.Report(Report{Iter: e.Iter, Loss: *e.TrainLoss, LearningRate: e.LearningRate, ItersPerSecond: e.Iters, TokensPerSecond: e.Tokens, TrainedTokens: e.Trained, PeakBytes: e.Peak})
	}
}
