package main

import (
	"context"

	"github.com/spf13/pflag"

	"github.com/mlxgo/mlx/internal/hf/hub"
	"github.com/mlxgo/mlx/internal/llm"
)

// modelOptions are the options of the commands that run a model, by the flags' names:
// which one, and how.
type modelOptions struct {
	Model    string `mapstructure:"model"`
	Revision string `mapstructure:"revision"`

	DType           string `mapstructure:"dtype"`
	Exact           bool   `mapstructure:"exact-activations"`
	Mmap            bool   `mapstructure:"mmap"`
	PrefillStepSize int    `mapstructure:"prefill-step-size"`
	TrustRemoteCode bool   `mapstructure:"trust-remote-code"`
	machineOptions  `mapstructure:",squash"`

	AdapterPath string   `mapstructure:"adapter-path"`
	Adapter     []string `mapstructure:"adapter"`
}

// addModelFlags declares which model; help shows it first.
func addModelFlags(f *pflag.FlagSet) {
	f.SortFlags = false
	f.String("model", "", modelUsage+" (default builtin)")
	addRevision(f)
}

// addRunFlags declares how the model runs.
func addRunFlags(f *pflag.FlagSet) {
	addDType(f)
	addExact(f)
	addMmap(f)
	f.Int("prefill-step-size", 512, "most prompt tokens that run at once; Ctrl-C waits for them")
	addMachine(f)
	addTrust(f)
	f.String("adapter-path", "", "`DIR` of an adapter to put over the model, as mlx lora, mlx-lm or PEFT write it")
	addAdapter(f)
}

func addAdapter(f *pflag.FlagSet) {
	f.StringArray("adapter", nil, "`DIR[:STRENGTH]` of an adapter; may be given several times, and strengths add up")
}

// checkRun refuses what cannot be meant.
func (o *modelOptions) checkRun() error {
	if o.PrefillStepSize < 1 {
		return usagef("--prefill-step-size is %d: it must be above 0", o.PrefillStepSize)
	}
	if _, err := o.adapters(); err != nil {
		return err
	}
	_, err := parseDType(o.DType)
	return err
}

// begin applies --threads and says what there is to say before the model is read.
func (o *modelOptions) begin(s *streams) error {
	if err := o.machineOptions.apply(); err != nil {
		return err
	}
	s.defaultModel(&o.Model)
	if err := checkModel(o.Model); err != nil {
		return err
	}
	if o.TrustRemoteCode {
		s.noteTrust()
	}
	return nil
}

// find is where the model's files are; they are fetched if need be.
func (o *modelOptions) find(ctx context.Context, s *streams) (dir string, err error) {
	return findModel(ctx, s, o.Model, o.Revision, hub.Model)
}

// load reads the model that find found.
func (o *modelOptions) load(s *streams, dir string) (*llm.Loaded, error) {
	dtype, err := parseDType(o.DType)
	if err != nil {
		return nil, err
	}
	m, err := loadModel(s, dir, llm.LoadOptions{DType: dtype, ExactActivations: o.Exact, MapWeights: o.Mmap})
	if err != nil {
		return nil, err
	}
	return m, o.adapt(s, m)
}

// open finds and reads the model.
func (o *modelOptions) open(ctx context.Context, s *streams) (*llm.Loaded, error) {
	dir, err := o.find(ctx, s)
	if err != nil {
		return nil, err
	}
	return o.load(s, dir)
}
