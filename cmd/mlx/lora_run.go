package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/hf/hub"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/tune"
	"github.com/mlxgo/mlx/nn"
	"github.com/mlxgo/mlx/random"
)

// checkpointFile is what --resume reads, in --adapter-path.
const checkpointFile = "checkpoint.safetensors"

// historyFile has the curve, beside it.
const historyFile = "history.jsonl"

// loraRun is mlx lora at work.
type loraRun struct {
	s     *streams
	o     *loraOptions
	m     *llm.Loaded
	ranks *tune.Ranks // that train together

	train, valid, test *tune.Set         // nil: none
	kept               map[string]string // see settings
	layers             *tune.Trained
	trainer            *tune.Trainer
	log                *loraLog
}

func runLora(ctx context.Context, s *streams, o *loraOptions) error {
	if err := o.machineOptions.apply(); err != nil {
		return err
	}
	ranks, err := joinRanks(ctx)
	if err != nil {
		return err
	}
	s = s.of(ranks)
	s.defaultModel(&o.Model)
	if o.TrustRemoteCode {
		s.noteTrust()
	}
	r := &loraRun{s: s, o: o, ranks: ranks}
	return endRanks(ranks, r.run(ctx))
}

// run is all of it, on each rank.
func (r *loraRun) run(ctx context.Context) error {
	o := r.o
	if err := r.ranks.Agree(r.divides()); err != nil {
		return err
	}
	if err := r.sameOptions(); err != nil {
		return err
	}
	if err := r.shareCores(); err != nil {
		return err
	}
	if err := r.ranks.Agree(r.ready(ctx)); err != nil {
		return err
	}
	if err := r.sameData(); err != nil {
		return err
	}
	r.log = newLoraLog(r.s, o)
	switch {
	case o.DryRun:
		return r.dryRun()
	case o.Train:
		if err := r.fit(ctx); err != nil {
			return err
		}
	default:
		if err := r.ranks.Agree(r.loadTrained()); err != nil {
			return err
		}
	}
	if o.Test {
		return r.evaluate(ctx)
	}
	return nil
}

// divides checks that each rank has as many rows of a batch.
func (r *loraRun) divides() error {
	if n := r.ranks.Size(); r.o.Train && r.o.BatchSize%n != 0 {
		return usagef("The batch size must be divisible by the number of workers: --batch-size is %d, and there are %d ranks", r.o.BatchSize, n)
	}
	return nil
}

// ready loads the model and the data, and prepares the layers.
func (r *loraRun) ready(ctx context.Context) error {
	for _, step := range []func(context.Context) error{r.load, r.read, r.prepare} {
		err := step(ctx)
		if ctx.Err() != nil {
			return errors.New("stopped while loading, before anything was written; run the same command again")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// load finds and reads the model. Products must not round activations: their gradients
// do not; weights are rounded in both.
func (r *loraRun) load(ctx context.Context) error {
	dir, err := findModel(ctx, r.s, r.o.Model, r.o.Revision, hub.Model)
	if err != nil {
		return err
	}
	d, err := parseDType(r.o.DType)
	if err != nil {
		return err
	}
	fmt.Fprintln(r.s.err, "Loading pretrained model")
	if r.m, err = loadModel(r.s, dir, llm.LoadOptions{DType: d, ExactActivations: true, RoundWeights: true}); err != nil {
		return err
	}
	if r.m.Tokenizer == nil {
		return fmt.Errorf("model %s has no %s, which rows need", r.o.Model, llm.TokenizerFile)
	}
	return nil
}

// read reads the sets that are needed.
func (r *loraRun) read(ctx context.Context) error {
	o := r.o
	fmt.Fprintln(r.s.err, "Loading datasets")
	all, err := r.readRows(ctx)
	if err != nil {
		return err
	}
	set := func(name, missing string, batch int) (*tune.Set, error) {
		rows := all[name]
		if len(rows) == 0 {
			if missing != "" {
				return nil, errors.New(missing)
			}
			return nil, nil
		}
		if name != "train" { // the others may be smaller than a batch
			batch = min(batch, len(rows))
		}
		s, err := tune.NewSet(rows, batch, o.MaxSeqLength, o.MLXLMOrder)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.o.setName(name), err)
		}
		if s.Truncated > 0 {
			r.s.note("%s: %d of %d rows are longer than %d tokens, the longest has %d: their ends are cut off; --max-seq-length is the limit",
				r.o.setName(name), s.Truncated, len(rows), o.MaxSeqLength, s.Longest)
		}
		return s, nil
	}
	if o.Train {
		if r.train, err = set("train", "Training set not found or empty. Must provide training set for fine-tuning.", o.BatchSize); err != nil {
			return err
		}
		if r.valid, err = set("valid", "", o.BatchSize); err != nil {
			return err
		}
		if r.valid == nil {
			r.s.note("Validation set not found or empty. Training will proceed without validation.")
		}
		if o.Epochs > 0 {
			o.Iters = o.Epochs * r.train.Len()
		}
	}
	if o.Test {
		r.test, err = set("test", "Test set not found or empty. Must provide test set for evaluation.", o.BatchSize)
	}
	return err
}

// prepare puts adapters into the model. The same seed makes the same model, for a fresh
// run and for one that goes on.
func (r *loraRun) prepare(context.Context) error {
	o := r.o
	if !o.Train && r.ranks.Size() == 1 {
		return r.putAdapter()
	}
	random.Seed(o.Seed)
	layers := tune.Layers{Kind: tune.Kind(o.FineTuneType), Num: o.NumLayers, Rank: o.parameters.Rank, Scale: o.parameters.Scale, Dropout: o.parameters.Dropout, Keys: o.parameters.Keys}
	if !o.from.set("num-layers") { // the default is for larger models
		layers.Num = min(layers.Num, tune.Blocks(r.m.Model))
		o.NumLayers = layers.Num
	}
	var err error
	if o.FromScratch {
		r.layers, err = tune.FromScratch(r.m.Model)
	} else {
		r.layers, err = tune.Prepare(r.m.Model, layers)
	}
	if err != nil {
		return err
	}
	if r.layers.Keys != nil {
		o.parameters.Keys = r.layers.Keys
	}
	if o.GradCheckpoint {
		t, ok := r.m.Model.(llm.Trainable)
		if !ok {
			return fmt.Errorf("--grad-checkpoint: models of type %s cannot compute layers again", r.m.Config.ModelType)
		}
		if err := t.SetCheckpoint(true); err != nil {
			return fmt.Errorf("--grad-checkpoint: %w", err)
		}
	}
	if o.ResumeAdapterFile != "" && r.first() {
		if err := r.begin(o.ResumeAdapterFile); err != nil {
			return err
		}
	}
	trained := 0
	for _, a := range nn.TrainableParameters(r.m.Model, r.layers.Filter) {
		trained += a.Size()
	}
	all := tune.NumParameters(r.m.Model)
	fmt.Fprintf(r.s.err, "Trainable parameters: %.3f%% (%.3fM/%.3fM)\n", 100*float64(trained)/float64(all), float64(trained)/1e6, float64(all)/1e6)
	return nil
}

// putAdapter puts what was trained over the model, for a test without training.
func (r *loraRun) putAdapter() error {
	if err := r.haveAdapter(tune.AdapterConfig); err != nil {
		return err
	}
	a, err := tune.OpenAdapter(r.o.AdapterPath)
	if err != nil {
		return err
	}
	fmt.Fprintf(r.s.err, "Loading fine-tuned weights from %s\n", a.WeightsFile())
	if _, err := a.Put(r.m.Model, 1); err != nil {
		return err
	}
	r.s.noteAdapter(a)
	r.layers = &tune.Trained{Filter: func(string) bool { return false }}
	return nil
}

// haveAdapter checks that a file of the adapter is there.
func (r *loraRun) haveAdapter(name string) error {
	if _, err := os.Stat(r.path(name)); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("--test without --train needs an adapter, and %s is not there; --adapter-path says where it is", r.path(name))
	}
	return nil
}

// first reports whether this rank reads and writes adapters; the others get its weights.
func (r *loraRun) first() bool { return r.ranks.Rank() == 0 }

// begin sets what is trained from a file of an adapter.
func (r *loraRun) begin(path string) error {
	fmt.Fprintf(r.s.err, "Loading fine-tuned weights from %s\n", path)
	tensors, _, err := mlx.LoadAll(path)
	if err != nil {
		return err
	}
	if tensors, err = tune.InModel(r.m.Model, tensors); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	known := maps.Collect(nn.TrainableParameters(r.m.Model, r.layers.Filter))
	for _, name := range sortedNames(tensors) {
		if known[name] == nil {
			return fmt.Errorf("%s: tensor %s is none of those that are trained: other layers, keys or kind", path, name)
		}
	}
	if len(tensors) < len(known) {
		return fmt.Errorf("%s has %d tensors, and %d are trained: other layers, keys or kind", path, len(tensors), len(known))
	}
	if err := nn.Update(r.m.Model, maps.All(tensors)); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// fit trains, or goes on.
func (r *loraRun) fit(ctx context.Context) error {
	o := r.o
	opt, err := o.newOptimizer()
	if err != nil {
		return err
	}
	order := tune.NewOrder(o.Seed)
	if o.MLXLMOrder {
		order = tune.NewTwister(uint32(o.Seed))
	}
	r.trainer = tune.NewTrainer(r.m.Model, r.layers, opt, r.train, r.valid, order, r.options(), r.hooks())
	if err := r.ranks.Agree(r.start()); err != nil {
		return err
	}
	if err := r.trainer.Share(); err != nil {
		return err
	}
	if at := r.trainer.State().Iter; at >= o.Iters {
		r.s.note("the run ended after iteration %d, so nothing is left to do; a larger --iters goes on", at)
	}
	if err := r.ranks.Agree(r.startLog()); err != nil {
		return err
	}
	if r.first() {
		defer r.log.history.Close()
	}
	err = r.trainer.Run(ctx)
	r.log.end()
	return r.ended(err)
}

// startLog opens the curve on the rank that tells.
func (r *loraRun) startLog() error {
	if !r.first() {
		return nil
	}
	return r.log.start(r.trainer.State().Iter, r.path(historyFile), func() int { return r.trainer.State().Trained })
}

// stopped saves what there is.
func (r *loraRun) stopped() error {
	if !r.first() {
		return nil
	}
	return errors.Join(r.checkpoint(), r.log.write())
}

// ended tells how training ended.
func (r *loraRun) ended(err error) error {
	switch {
	case err == nil:
		fmt.Fprintf(r.log.out, "Saved final weights to %s.\n", r.path(tune.AdapterFile))
		if r.first() {
			err = r.log.finish(r.trainer.State())
		}
		return r.ranks.Agree(err)
	case errors.Is(err, context.Canceled):
		if err := r.ranks.Agree(r.stopped()); err != nil {
			return r.notFinite(err)
		}
		return r.ranks.Agree(fmt.Errorf("stopped after iteration %d of %d; the same command with --resume goes on", r.trainer.State().Iter, r.o.Iters))
	case errors.Is(err, tune.ErrNotFinite):
		return r.notFinite(err)
	case r.ranks.Size() > 1:
		return fmt.Errorf("%w; the same command with --resume goes on from the last checkpoint", err)
	}
	return err
}

// notFinite adds to an error of numbers that are none what is left and what to do.
func (r *loraRun) notFinite(err error) error {
	if !errors.Is(err, tune.ErrNotFinite) {
		return err
	}
	return fmt.Errorf("%w; %s and the numbered adapters are those of before: try a lower --learning-rate or --max-grad-norm 1, with --resume-adapter-file", err, r.path(checkpointFile))
}

// options are those of the trainer.
func (r *loraRun) options() tune.Options {
	o := r.o
	return tune.Options{Iters: o.Iters, Accumulation: o.Accumulation, StepsPerReport: o.StepsPerReport, StepsPerEval: o.StepsPerEval,
		SaveEvery: o.SaveEvery, ValBatches: o.ValBatches, MaxGradNorm: o.MaxGradNorm, MLXLMLoss: o.MLXLMLoss, Ranks: r.ranks, ClearCacheAbove: o.clearCache}
}

func (r *loraRun) path(name string) string { return filepath.Join(r.o.AdapterPath, name) }

// start goes on with a stopped run, or begins one: the first checkpoint is there before
// the first step.
func (r *loraRun) start() error {
	if !r.first() {
		return nil
	}
	_, err := os.Stat(r.path(checkpointFile))
	there := err == nil
	if r.o.Resume {
		if !there {
			return fmt.Errorf("--resume: %s is not there: nothing was stopped", r.path(checkpointFile))
		}
		if err := r.trainer.Resume(r.path(checkpointFile), r.settings()); err != nil {
			return err
		}
		r.s.note("going on after iteration %d", r.trainer.State().Iter)
		if err := r.removeParts(); err != nil {
			return err
		}
		return tune.WriteAdapterConfig(r.o.AdapterPath, r.o.adapterConfig()) // --iters may be another
	}
	if there {
		if at, of, ok := tune.Unfinished(r.path(checkpointFile)); ok {
			return fmt.Errorf("%s holds a run that was stopped after iteration %d of %d: --resume goes on with it; remove it, or give another --adapter-path, to begin anew", r.o.AdapterPath, at, of)
		}
	}
	if err := os.MkdirAll(r.o.AdapterPath, 0o777); err != nil {
		return err
	}
	if err := r.removeParts(); err != nil {
		return err
	}
	if err := tune.WriteAdapterConfig(r.o.AdapterPath, r.o.adapterConfig()); err != nil {
		return err
	}
	return r.checkpoint()
}

// removeParts removes what a run that was killed left of files that it was writing.
func (r *loraRun) removeParts() error {
	for _, name := range []string{"*" + tune.AdapterFile, tune.AdapterConfig, checkpointFile, historyFile} {
		parts, err := filepath.Glob(filepath.Join(globQuote(r.o.AdapterPath), "."+name+".*.tmp"))
		if err != nil {
			return err
		}
		for _, part := range parts {
			if err := os.Remove(part); err != nil {
				return err
			}
		}
	}
	return nil
}

// globQuote makes a path stand for itself in a pattern.
func globQuote(path string) string {
	return strings.NewReplacer("*", "[*]", "?", "[?]", "[", "[[]").Replace(path)
}

// checkpoint writes what --resume reads.
func (r *loraRun) checkpoint() error {
	if !r.first() {
		return nil
	}
	return r.trainer.SaveCheckpoint(r.path(checkpointFile), r.settings())
}

// hooks are what the trainer tells.
func (r *loraRun) hooks() tune.Hooks {
	if !r.first() {
		return tune.Hooks{}
	}
	return tune.Hooks{
		Report: r.log.report, Validated: r.log.validated, Step: r.log.step,
		Save: r.save,
		Best: func(iter int, _ float64) error { return r.saveAs("best_" + tune.AdapterFile) },
	}
}

// save writes the adapter under both names of mlx-lm, and then the checkpoint: a run that
// is killed in between writes the same files again.
func (r *loraRun) save(iter int) error {
	numbered := fmt.Sprintf("%07d_%s", iter, tune.AdapterFile)
	for _, name := range []string{tune.AdapterFile, numbered} {
		if err := r.saveAs(name); err != nil {
			return err
		}
	}
	if err := errors.Join(r.log.history.Err(), r.checkpoint()); err != nil {
		return err
	}
	r.log.saved(iter, r.path(tune.AdapterFile), r.path(numbered))
	return nil
}

func (r *loraRun) saveAs(name string) error {
	return mlx.SaveSafetensors(r.path(name), tune.InFiles(r.m.Model, r.trainer.Weights()), nil)
}

// loadTrained reads the adapter for a test without training on several ranks: the first
// has it, and the options say for all which layers it is for.
func (r *loraRun) loadTrained() error {
	if r.ranks.Size() == 1 || !r.first() {
		return nil
	}
	if err := r.haveAdapter(tune.AdapterFile); err != nil {
		return err
	}
	return r.begin(r.path(tune.AdapterFile))
}

// evaluate tells the loss on the test set.
func (r *loraRun) evaluate(ctx context.Context) error {
	t := r.trainer
	if t == nil {
		opt, err := r.o.newOptimizer()
		if err != nil {
			return err
		}
		t = tune.NewTrainer(r.m.Model, r.layers, opt, r.test, nil, tune.NewOrder(r.o.Seed), r.options(), tune.Hooks{})
		if err := t.Share(); err != nil {
			return err
		}
	}
	loss, err := t.Evaluate(ctx, r.test, r.o.TestBatches)
	if ctx.Err() != nil {
		return errors.New("stopped during the test; --test without --train tests what is saved")
	}
	if err != nil {
		return err
	}
	return r.log.tested(loss)
}

// dryRun tells what the run would take.
func (r *loraRun) dryRun() error {
	o := r.o
	if r.train == nil { // on all ranks
		return r.ranks.Agree(usagef("--dry-run is about training: give --train"))
	}
	opt, err := o.newOptimizer()
	if err != nil {
		return err
	}
	t := tune.NewTrainer(r.m.Model, r.layers, opt, r.train, r.valid, tune.NewOrder(o.Seed), r.options(), tune.Hooks{})
	weights, trained := 0, 0
	for _, a := range nn.Parameters(r.m.Model) {
		weights += a.NBytes()
	}
	for _, a := range t.Weights() {
		trained += a.NBytes()
	}
	c, err := t.Measure()
	if err != nil {
		return err
	}
	tokens, epochs := r.train.Tokens(), float64(o.Iters)/float64(r.train.Len())
	first := r.train.Rows[0].Tokens
	w := r.s.out
	fmt.Fprintf(w, "rows                 %d in %d batches of %d, %d of them cut at %d tokens\n", len(r.train.Rows), r.train.Len(), o.BatchSize, r.train.Truncated, o.MaxSeqLength)
	fmt.Fprintf(w, "tokens per epoch     %d\n", tokens)
	fmt.Fprintf(w, "iterations           %d, %.2f epochs\n", o.Iters, epochs)
	fmt.Fprintf(w, "layers with changes  %d\n", len(r.layers.Changed))
	fmt.Fprintf(w, "memory               model %s, of which trained %s; at most %s beside it while the longest rows train\n", hub.Bytes(int64(weights)), hub.Bytes(int64(trained)), hub.Bytes(c.PeakBytes))
	fmt.Fprintf(w, "speed                %.0f tokens/s on the longest rows\n", c.TokensPerSecond)
	fmt.Fprintf(w, "time                 about %s, without validations\n", time.Duration(epochs*float64(tokens)/c.TokensPerSecond*float64(time.Second)).Round(time.Second))
	_, err = fmt.Fprintf(w, "first row            %v\n", first[:min(len(first), 32)])
	return err
}
