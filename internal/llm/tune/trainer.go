package tune

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/distributed"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/tree"
	"github.com/mlxgo/mlx/nn"
	"github.com/mlxgo/mlx/optim"
)

// Options say how to train. Counts are above 0 unless they say otherwise.
type Options struct {
	Iters          int // batches, not updates
	Accumulation   int // batches that make an update together
	StepsPerReport int
	StepsPerEval   int
	SaveEvery      int
	ValBatches     int     // below 0: all
	MaxGradNorm    float64 // 0: gradients are not bounded
	MLXLMLoss      bool    // one target of the padding counts, see Loss
	Ranks          *Ranks  // nil: this process alone
	// ClearCacheAbove gives unused memory back after a batch when there is more; 0: never.
	ClearCacheAbove int64
}

// Hooks are what a trainer tells. Nil ones are left out; each rank has its own.
type Hooks struct {
	Report    func(Report)
	Validated func(Validation)
	// Step is called after each batch with its loss.
	Step func(iter int, loss float64)
	// Save writes what was trained; it is called after every SaveEvery iterations and the
	// last.
	Save func(iter int) error
	// Best is called after a validation whose loss is the least so far.
	Best func(iter int, loss float64) error
}

// Report is what happened since the last one.
type Report struct {
	Iter               int
	Loss, LearningRate float64
	ItersPerSecond     float64
	TokensPerSecond    float64
	TrainedTokens      int
	PeakBytes          int64
}

// Validation is the loss over the validation set.
type Validation struct {
	Iter int
	Loss float64
	Took time.Duration
}

// A Trainer trains a model. What it needs to go on is its State. While it runs, what is
// trained is in its hands, see Weights, and the model's own arrays are dead.
type Trainer struct {
	model   llm.Model
	trained *Trained
	opt     *optim.Optimizer
	o       Options
	train   *Set
	valid   *Set // nil: none
	order   Order
	hooks   Hooks

	state State
	sums  *sums
	step  *stepper
	loss  func(b Batch) (loss, count *mlx.Array)
}

// sums are the gradients of the batches of an update so far.
type sums struct {
	Grads map[string]*mlx.Array
}

// State is where a training run is.
type State struct {
	Iter  int `json:"iteration"`
	Iters int `json:"iterations"` // of the run
	// Draws are the sizes of the permutations that were drawn, in order, below 0 those of
	// validations. The last other one is the present epoch, of which Next comes next.
	Draws []int `json:"draws"`
	Next  int   `json:"next"`
	// Losses and Tokens are those since the last report.
	Losses  []float64 `json:"losses"`
	Tokens  int       `json:"tokens"`
	Trained int       `json:"trained_tokens"`
	// Best is the least validation loss so far, 0 before there is one.
	Best     float64 `json:"best_validation_loss"`
	BestIter int     `json:"best_iteration"`
	// Ranks is how many processes train, 0 for one.
	Ranks int `json:"ranks,omitempty"`

	epoch []int
}

// NewTrainer makes a trainer. The order is fresh.
func NewTrainer(m llm.Model, t *Trained, opt *optim.Optimizer, train, valid *Set, order Order, o Options, h Hooks) *Trainer {
	tr := &Trainer{model: m, trained: t, opt: opt, o: o, train: train, valid: valid, order: order, hooks: h, sums: &sums{Grads: map[string]*mlx.Array{}}}
	if n := o.Ranks.Size(); n > 1 {
		tr.state.Ranks = n
	}
	nn.SetTraining(m, true)
	opt.Init(m, t.Filter)
	if o.Accumulation > 1 {
		for path, p := range nn.TrainableParameters(m, t.Filter) {
			tr.sums.Grads[path] = mlx.ZerosLike(p)
		}
	}
	tr.step = newStepper(tr)
	tr.loss = mlx.Compile(func(b Batch) (*mlx.Array, *mlx.Array) { return Loss(tr.model, b, o.MLXLMLoss) }, mlx.Inputs(&tr.model))
	return tr
}

// update is one step on a batch: the gradient, and with apply the optimizer's update by
// the mean gradient of the batches since the last one.
func (t *Trainer) update(b Batch, apply bool) (loss, count, norm *mlx.Array) {
	loss, count, g := t.gradient(b)
	if n := t.o.Accumulation; n > 1 {
		for path, a := range g {
			sum := t.sums.Grads[path].Add(a)
			g[path] = sum.Div(float64(n))
			if apply {
				sum = mlx.ZerosLike(a)
			}
			t.sums.Grads[path] = sum
		}
	}
	bound := t.o.MaxGradNorm
	if bound == 0 {
		bound = math.Inf(1)
	}
	clipped, norm := optim.ClipGradNorm(g, bound)
	if t.o.MaxGradNorm > 0 {
		g = clipped
	}
	if apply {
		t.opt.Update(t.model, g)
	}
	return loss, count, norm
}

// gradient is the loss on a batch, how many targets count, and the gradient by path; with
// several ranks those of all their rows together. Gradients are averaged with every batch,
// not with every update: so rank 0's sums of them are what all ranks need to go on.
func (t *Trainer) gradient(b Batch) (loss, count *mlx.Array, g map[string]*mlx.Array) {
	r := t.o.Ranks
	if r.Size() == 1 {
		loss, count, grads := nn.ValueAndGradAux(t.model, func(m llm.Model) (*mlx.Array, *mlx.Array) {
			return Loss(m, b, t.o.MLXLMLoss)
		}, t.trained.Filter)
		return loss, count, tree.Once(grads)
	}
	mask := b.counted(t.o.MLXLMLoss)
	own := mlx.Sum(mask)
	count = distributed.AllSum(own, r.group)
	// The mean over ranks of their sums by this is the mean over all targets.
	share := mlx.Maximum(count, 1).Div(r.Size())
	if t.o.MLXLMLoss { // the mean of their means
		share = mlx.Maximum(own, 1)
	}
	r.draw(func() {
		var grads llm.Model
		loss, grads = nn.ValueAndGrad(t.model, func(m llm.Model) *mlx.Array { return lossSum(m, b, mask).Div(share) }, t.trained.Filter)
		g = tree.Once(grads)
	})
	return distributed.AllSum(loss, r.group).Div(r.Size()), count, nn.AverageGradients(g, r.group)
}

// ErrNotFinite is a loss or gradient that is no number.
var ErrNotFinite = errors.New("not a finite number")

// Run trains up to the last iteration, or until ctx ends, whose error it returns then;
// the state is that after the last whole batch. Several ranks stop together when the
// context of one ends, and those whose own goes on return context.Canceled.
func (t *Trainer) Run(ctx context.Context) error {
	defer t.step.release()
	began, counted := time.Now(), 0
	before := t.state.Tokens // of the stopped run: no part of this one's speed
	for t.state.Iter < t.o.Iters {
		if err := t.o.Ranks.Agree(ctx.Err()); err != nil {
			return err
		}
		next := t.state.Iter + 1
		if t.validates(next) {
			pause := time.Now()
			if err := t.validate(ctx, next); err != nil {
				return err
			}
			began = began.Add(time.Since(pause))
		}
		if err := t.batch(next); err != nil {
			return err
		}
		counted++
		if next%t.o.StepsPerReport == 0 || next == t.o.Iters {
			t.report(time.Since(began), counted, before)
			began, counted, before = time.Now(), 0, 0
		}
		if next%t.o.SaveEvery == 0 || next == t.o.Iters {
			pause := time.Now()
			if err := t.save(next); err != nil {
				return err
			}
			began = began.Add(time.Since(pause))
		}
	}
	return nil
}

// save calls the hook. What is saved is what all ranks go on with.
func (t *Trainer) save(i int) error {
	err := t.sound()
	if err == nil && t.hooks.Save != nil {
		err = t.hooks.Save(i)
	}
	if err = t.o.Ranks.Agree(err); err != nil {
		return err
	}
	return t.shareArrays()
}

// validates reports whether the validation set is looked at before iteration i.
func (t *Trainer) validates(i int) bool {
	return t.valid != nil && t.o.ValBatches != 0 && (i == 1 || i%t.o.StepsPerEval == 0 || i == t.o.Iters)
}

// batch is iteration i.
func (t *Trainer) batch(i int) error {
	if t.state.Next == len(t.state.epoch) {
		t.state.epoch, t.state.Next = t.permutation(t.train.Len(), false), 0
	}
	b := t.batchOf(t.train, t.state.epoch[t.state.Next])
	l, count, g, err := t.step.run(b, i%t.o.Accumulation == 0)
	if err != nil {
		return fmt.Errorf("iteration %d: %w", i, err)
	}
	n := int(count)
	if !finite(l) || !finite(g) {
		return t.o.Ranks.Agree(fmt.Errorf("iteration %d: the loss is %v and the norm of the gradient %v: %w%s", i, l, g, ErrNotFinite, t.where()))
	}
	if limit := t.o.ClearCacheAbove; limit > 0 && mlx.CacheMemory() > limit {
		mlx.ClearCache()
	}
	t.state.Iter = i
	t.state.Next++
	t.state.Losses = append(t.state.Losses, l)
	t.state.Tokens += n
	t.state.Trained += n
	if t.hooks.Step != nil {
		t.hooks.Step(i, l)
	}
	return nil
}

// batchOf is this rank's part of batch i of a set.
func (t *Trainer) batchOf(s *Set, i int) Batch { return s.Batch(i, t.o.Ranks.Rank(), t.o.Ranks.Size()) }

// where names a trained tensor that holds something else than numbers.
func (t *Trainer) where() string {
	t.step.release()
	for path, a := range nn.TrainableParameters(t.model, t.trained.Filter) {
		bad := mlx.Any(mlx.IsNaN(a).Add(mlx.IsInf(a)))
		if mlx.Eval(bad) == nil && mlx.Item[bool](bad) {
			return "; so are weights of " + path
		}
	}
	return ""
}

// sound is an error if weights are no numbers: an update can overflow after a finite loss.
func (t *Trainer) sound() error {
	if at := t.where(); at != "" {
		return fmt.Errorf("iteration %d: the loss was finite, and its update is %w%s", t.state.Iter, ErrNotFinite, at)
	}
	return nil
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// permutation draws the next one.
func (t *Trainer) permutation(n int, validation bool) []int {
	d := n
	if validation {
		d = -n
	}
	t.state.Draws = append(t.state.Draws, d)
	return t.order.Epoch(n, validation)
}

// report tells the mean since the last report.
func (t *Trainer) report(took time.Duration, iters, before int) {
	t.step.release()
	s := &t.state
	sum := 0.0
	for _, l := range s.Losses {
		sum += l
	}
	r := Report{
		Iter: s.Iter, Loss: sum / float64(len(s.Losses)), LearningRate: float64(mlx.Item[float32](t.opt.LearningRate())),
		ItersPerSecond: float64(iters) / took.Seconds(), TokensPerSecond: float64(s.Tokens-before) / took.Seconds(),
		TrainedTokens: s.Trained, PeakBytes: mlx.PeakMemory(),
	}
	s.Losses, s.Tokens = nil, 0
	if t.hooks.Report != nil {
		t.hooks.Report(r)
	}
}

// validate looks at the validation set before iteration i.
func (t *Trainer) validate(ctx context.Context, i int) error {
	start, draws := time.Now(), len(t.state.Draws)
	loss, err := t.Evaluate(ctx, t.valid, t.o.ValBatches)
	if err != nil {
		t.state.Draws = t.state.Draws[:draws] // a resumed run draws again
		return fmt.Errorf("validation before iteration %d: %w", i, err)
	}
	if t.hooks.Validated != nil {
		t.hooks.Validated(Validation{Iter: i, Loss: loss, Took: time.Since(start)})
	}
	if s := &t.state; finite(loss) && (s.BestIter == 0 || loss < s.Best) {
		s.Best, s.BestIter = loss, i
		err := t.sound()
		if err == nil && t.hooks.Best != nil {
			err = t.hooks.Best(i-1, loss)
		}
		return t.o.Ranks.Agree(err)
	}
	return nil
}

// A Cost is what training takes.
type Cost struct {
	PeakBytes       int64 // while the batch of the longest rows trains
	TokensPerSecond float64
}

// Measure trains on the batch of the longest rows, twice: the first time compiles. The
// model is changed.
func (t *Trainer) Measure() (Cost, error) {
	longest, at := 0, 0
	for i := range t.train.Len() {
		if b := t.batchOf(t.train, i); b.Tokens.Size() > longest {
			longest, at = b.Tokens.Size(), i
		}
	}
	b := t.batchOf(t.train, at)
	mlx.ResetPeakMemory()
	var c Cost
	for range 2 {
		start := time.Now()
		_, count, _, err := t.step.run(b, true)
		if err != nil {
			return c, err
		}
		c.TokensPerSecond = count / time.Since(start).Seconds()
	}
	c.PeakBytes = mlx.PeakMemory()
	return c, nil
}

// Evaluate is the mean loss over targets of n batches of a set, below 0 of all, without
// dropout.
func (t *Trainer) Evaluate(ctx context.Context, s *Set, n int) (float64, error) {
	t.step.release()
	order := t.permutation(s.Len(), true)
	if n >= 0 && n < len(order) {
		order = order[:n]
	}
	nn.SetTraining(t.model, false)
	defer nn.SetTraining(t.model, true)
	sum, targets, err := t.sumOf(ctx, s, order)
	if err = t.o.Ranks.Agree(err); err != nil {
		return 0, err
	}
	all, err := t.o.Ranks.sums(sum, targets)
	if err != nil {
		return 0, err
	}
	return all[0] / max(all[1], 1), nil
}

// sumOf is the sum of the loss over the targets of this rank's part of some batches, and
// their number.
func (t *Trainer) sumOf(ctx context.Context, s *Set, batches []int) (sum, targets float64, err error) {
	for _, k := range batches {
		if err := ctx.Err(); err != nil {
			return 0, 0, err
		}
		b := t.batchOf(s, k)
		if b.Tokens.Size() == 0 { // fewer rows than ranks
			continue
		}
		var loss, count *mlx.Array
		err := mlx.Try(func() { loss, count = t.loss(b) })
		if err == nil {
			err = mlx.Eval(loss, count)
		}
		if err != nil {
			return 0, 0, err
		}
		c := float64(mlx.Item[float32](count))
		sum += float64(mlx.Item[float32](loss)) * c
		targets += c
	}
	return sum, targets, nil
}

// State is where the run is.
func (t *Trainer) State() State { return t.state }

// Weights are what is trained, by path, until the next step: that writes over them.
func (t *Trainer) Weights() map[string]*mlx.Array {
	t.step.release()
	return maps.Collect(nn.TrainableParameters(t.model, t.trained.Filter))
}

func processes(n int) string {
	if n == 1 {
		return "1 rank"
	}
	return fmt.Sprintf("%d ranks", n)
}

// resume goes on from a state; the order has drawn nothing yet.
func (t *Trainer) resume(s State) error {
	if s.Next < 0 || s.Iter < 0 {
		return errors.New("the state is negative")
	}
	if was, is := max(s.Ranks, 1), t.o.Ranks.Size(); was != is {
		return fmt.Errorf("the run was of %s and this is of %s: start as many as before (mlx launch -n), or begin a new run with its weights", processes(was), processes(is))
	}
	epoch := []int(nil)
	for _, n := range s.Draws {
		if n != t.train.Len() && (t.valid == nil || -n != t.valid.Len()) {
			return fmt.Errorf("it drew a permutation of %d batches, which neither set has now: the data are others", max(n, -n))
		}
		if p := t.order.Epoch(max(n, -n), n < 0); n > 0 {
			epoch = p
		}
	}
	if s.Next > len(epoch) {
		return fmt.Errorf("batch %d of an epoch of %d", s.Next, len(epoch))
	}
	t.state = s
	t.state.epoch = slices.Clone(epoch)
	return nil
}
