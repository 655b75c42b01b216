package main

import (
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/mlxgo/mlx/internal/llm/tune"
	"github.com/mlxgo/mlx/optim"
)

// loraParameters is lora_parameters of a configuration file.
type loraParameters struct {
	Rank    int
	Scale   float64
	Dropout float64
	Keys    []string // nil: all
}

// check refuses what cannot be meant, and reads what only the file has.
func (o *loraOptions) check(nested map[string]any) error {
	if !o.Train && !o.Test {
		return usagef("Must provide at least one of --train or --test")
	}
	if o.ReportTo != "" {
		return usagef("--report-to %s is not available here: --report FILE writes the numbers", o.ReportTo)
	}
	for _, c := range []struct {
		flag    string
		n, from int
	}{
		{"batch-size", o.BatchSize, 1}, {"iters", o.Iters, 1}, {"epochs", o.Epochs, 0}, {"val-batches", o.ValBatches, -1}, {"steps-per-report", o.StepsPerReport, 1},
		{"steps-per-eval", o.StepsPerEval, 1}, {"grad-accumulation-steps", o.Accumulation, 1}, {"save-every", o.SaveEvery, 1},
		{"test-batches", o.TestBatches, -1}, {"max-seq-length", o.MaxSeqLength, 2}, {"num-layers", o.NumLayers, -1},
	} {
		if c.n < c.from {
			return usagef("--%s is %d: it must be at least %d", c.flag, c.n, c.from)
		}
	}
	if err := o.checkKinds(); err != nil {
		return err
	}
	if err := o.readNested(nested); err != nil {
		return err
	}
	var err error
	o.clearCache, err = parseSize(o.ClearCacheThreshold)
	return err
}

// checkKinds checks the options that are one of several words.
func (o *loraOptions) checkKinds() error {
	kinds := []string{string(tune.LoRA), string(tune.DoRA), string(tune.Full)}
	switch {
	case !slices.Contains(kinds, o.FineTuneType):
		return usagef("--fine-tune-type %q is not %s", o.FineTuneType, strings.Join(kinds, ", "))
	case !slices.Contains(tune.OptimizerNames, o.Optimizer):
		return usagef("--optimizer %q is not %s", o.Optimizer, strings.Join(tune.OptimizerNames, ", "))
	case o.FromScratch && o.FineTuneType != string(tune.Full):
		return usagef("--from-scratch needs --fine-tune-type full: adapters of random weights teach nothing")
	case o.FromScratch && o.ResumeAdapterFile != "":
		return usagef("--from-scratch and --resume-adapter-file exclude each other")
	case o.Resume && o.ResumeAdapterFile != "":
		return usagef("--resume and --resume-adapter-file exclude each other: the one goes on with a run, the other begins one")
	case !(o.LearningRate > 0) || math.IsInf(o.LearningRate, 0):
		return usagef("--learning-rate is %v: it must be above 0", o.LearningRate)
	case o.MaxGradNorm < 0 || math.IsNaN(o.MaxGradNorm):
		return usagef("--max-grad-norm is %v: it must not be negative", o.MaxGradNorm)
	case o.from.set("epochs") && o.Epochs > 0 && o.from.set("iters"):
		return usagef("--iters and --epochs exclude each other")
	case o.Report != "" && !slices.Contains([]string{".html", ".svg", ".csv", ".jsonl"}, filepath.Ext(o.Report)):
		return usagef("--report %s: the name must end in .html, .svg, .csv or .jsonl", o.Report)
	}
	_, err := parseDType(o.DType)
	return err
}

// readNested reads the keys that only a file has.
func (o *loraOptions) readNested(nested map[string]any) error {
	o.parameters = loraParameters{Rank: 8, Scale: 20}
	if v := nested["lora_parameters"]; v != nil {
		if err := o.parameters.read(v); err != nil {
			return usagef("config: lora_parameters: %w", err)
		}
	}
	if v := nested["lr_schedule"]; v != nil {
		c, err := readSchedule(v)
		if err != nil {
			return usagef("config: lr_schedule: %w", err)
		}
		o.schedule = c
	}
	if v := nested["hf_dataset"]; v != nil {
		if err := o.readHubData(v); err != nil {
			return usagef("config: %w", err)
		}
		o.hubConfig = v
	}
	if v := nested["optimizer_config"]; v != nil {
		all, ok := v.(map[string]any)
		if !ok {
			return usagef("config: optimizer_config is no object")
		}
		for _, name := range sortedKeys(all) {
			if !slices.Contains(tune.OptimizerNames, name) {
				return usagef("config: optimizer_config: unknown key %q%s", name, didYouMean(name, tune.OptimizerNames, ""))
			}
		}
		own, ok := all[o.Optimizer].(map[string]any)
		if !ok && all[o.Optimizer] != nil {
			return usagef("config: optimizer_config: %s is %v: it must be an object", o.Optimizer, all[o.Optimizer])
		}
		o.keywords = own
	}
	if _, err := o.newOptimizer(); err != nil {
		return usagef("config: %w", err)
	}
	return nil
}

func (p *loraParameters) read(v any) error {
	m, ok := v.(map[string]any)
	if !ok {
		return fmt.Errorf("it is no object")
	}
	known := []string{"rank", "scale", "dropout", "keys", "alpha"}
	for _, key := range sortedKeys(m) {
		if !slices.Contains(known, key) {
			return fmt.Errorf("unknown key %q%s", key, didYouMean(key, known, ""))
		}
	}
	number := func(key string, to *float64) error {
		if m[key] == nil {
			return nil
		}
		x, err := strconv.ParseFloat(fmt.Sprint(m[key]), 64)
		if err != nil {
			return fmt.Errorf("%s is %v: it must be a number", key, m[key])
		}
		*to = x
		return nil
	}
	rank := float64(p.Rank)
	for key, to := range map[string]*float64{"rank": &rank, "scale": &p.Scale, "dropout": &p.Dropout} {
		if err := number(key, to); err != nil {
			return err
		}
	}
	if p.Rank = int(rank); float64(p.Rank) != rank || p.Rank < 1 {
		return fmt.Errorf("rank is %v: it must be a whole number above 0", rank)
	}
	if p.Dropout < 0 || p.Dropout >= 1 {
		return fmt.Errorf("dropout is %v: it must be from 0 to below 1", p.Dropout)
	}
	if list, ok := m["keys"].([]any); ok {
		for _, k := range list {
			key, ok := k.(string)
			if !ok {
				return fmt.Errorf("keys: %v is no path of a layer", k)
			}
			p.Keys = append(p.Keys, key)
		}
	} else if m["keys"] != nil {
		return fmt.Errorf("keys is no list")
	}
	return nil
}

func readSchedule(v any) (*tune.ScheduleConfig, error) {
	m, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("it is no object")
	}
	known := []string{"name", "arguments", "warmup", "warmup_init"}
	for _, key := range sortedKeys(m) {
		if !slices.Contains(known, key) {
			return nil, fmt.Errorf("unknown key %q%s", key, didYouMean(key, known, ""))
		}
	}
	c := &tune.ScheduleConfig{Name: fmt.Sprint(m["name"])}
	list, ok := m["arguments"].([]any)
	if !ok {
		return nil, fmt.Errorf("arguments is no list")
	}
	number := func(v any) (float64, error) {
		x, err := strconv.ParseFloat(fmt.Sprint(v), 64)
		if err != nil {
			return 0, fmt.Errorf("%v is not a number", v)
		}
		return x, nil
	}
	warmup := 0.0
	for _, a := range list {
		x, err := number(a)
		if err != nil {
			return nil, fmt.Errorf("arguments: %w", err)
		}
		c.Arguments = append(c.Arguments, x)
	}
	for key, set := range map[string]func(float64){"warmup": func(x float64) { warmup = x }, "warmup_init": func(x float64) { c.WarmupInit = x }} {
		if m[key] == nil {
			continue
		}
		x, err := number(m[key])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		set(x)
	}
	if c.Warmup = int(warmup); float64(c.Warmup) != warmup || c.Warmup < 0 {
		return nil, fmt.Errorf("warmup is %v: it must be a whole number from 0 on", warmup)
	}
	if _, err := c.Schedule(); err != nil {
		return nil, err
	}
	return c, nil
}

// newOptimizer is the optimizer with its rate: a schedule replaces --learning-rate.
func (o *loraOptions) newOptimizer() (*optim.Optimizer, error) {
	rate := optim.Constant(o.LearningRate)
	if o.schedule != nil {
		var err error
		if rate, err = o.schedule.Schedule(); err != nil {
			return nil, err
		}
	}
	return tune.NewOptimizer(o.Optimizer, rate, o.keywords)
}

// parseSize reads 512M or 4.1GB, decimal, as mlx-lm does.
func parseSize(text string) (int64, error) {
	units := map[string]float64{"": 1, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
	t := strings.TrimSuffix(strings.ToUpper(strings.TrimSpace(text)), "B")
	unit := strings.TrimLeft(t, "0123456789.")
	x, err := strconv.ParseFloat(strings.TrimSuffix(t, unit), 64)
	scale, ok := units[unit]
	if err != nil || !ok || x*scale > math.MaxInt64/2 {
		return 0, usagef("--clear-cache-threshold %q is no size, as 512M or 4GB is", text)
	}
	return int64(x * scale), nil
}

// adapterConfig is what adapter_config.json has: all options by mlx-lm's names.
func (o *loraOptions) adapterConfig() map[string]any {
	p := map[string]any{"rank": o.parameters.Rank, "scale": o.parameters.Scale, "dropout": o.parameters.Dropout}
	if o.parameters.Keys != nil {
		p["keys"] = o.parameters.Keys
	}
	keywords := map[string]any{}
	for _, name := range tune.OptimizerNames {
		keywords[name] = map[string]any{}
	}
	if o.keywords != nil {
		keywords[o.Optimizer] = maps.Clone(o.keywords)
	}
	c := map[string]any{
		"model": o.Model, "train": o.Train, "test": o.Test, "data": o.Data, "fine_tune_type": o.FineTuneType, "optimizer": o.Optimizer,
		"optimizer_config": keywords, "mask_prompt": o.MaskPrompt, "num_layers": o.NumLayers, "batch_size": o.BatchSize, "iters": o.Iters,
		"val_batches": o.ValBatches, "learning_rate": o.LearningRate, "steps_per_report": o.StepsPerReport, "steps_per_eval": o.StepsPerEval,
		"grad_accumulation_steps": o.Accumulation, "save_every": o.SaveEvery, "test_batches": o.TestBatches, "max_seq_length": o.MaxSeqLength,
		"grad_checkpoint": o.GradCheckpoint, "seed": o.Seed, "adapter_path": o.AdapterPath, "resume_adapter_file": nil, "lora_parameters": p,
		"lr_schedule": nil, "config": nil,
	}
	if o.ResumeAdapterFile != "" {
		c["resume_adapter_file"] = o.ResumeAdapterFile
	}
	if o.hubConfig != nil {
		c["hf_dataset"] = o.hubConfig
	}
	if o.schedule != nil {
		c["lr_schedule"] = map[string]any{"name": o.schedule.Name, "arguments": o.schedule.Arguments, "warmup": o.schedule.Warmup, "warmup_init": o.schedule.WarmupInit}
	}
	return c
}

// settings are the options that a run must keep to go on exactly.
func (o *loraOptions) settings() map[string]string {
	out := map[string]string{}
	for key, v := range o.adapterConfig() {
		switch key {
		case "data", "hf_dataset", "train", "test", "iters", "save_every", "test_batches", "adapter_path", "resume_adapter_file", "config", "steps_per_report", "grad_checkpoint":
			continue // they change nothing that was computed; rows count themselves
		}
		out[key] = fmt.Sprint(v)
	}
	for key, v := range map[string]any{"max_grad_norm": o.MaxGradNorm, "mlx_lm_loss": o.MLXLMLoss, "mlx_lm_order": o.MLXLMOrder, "from_scratch": o.FromScratch, "dtype": o.DType} {
		out[key] = fmt.Sprint(v)
	}
	return out
}
