package main

import (
	"github.com/spf13/pflag"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/metal"
)

// Flags that several commands have.

func addDType(f *pflag.FlagSet) {
	f.String("dtype", "", "computing `TYPE`: float32, bfloat16 or float16 (default the model's)")
}

func addExact(f *pflag.FlagSet) {
	f.Bool("exact-activations", false, "do not round half precision activations for products with quantized weights: slower")
}

func addMmap(f *pflag.FlagSet) {
	f.Bool("mmap", false, "leave the weights in the mapped files, which processes share, instead of reading them into huge pages, which is faster")
}

// machineOptions say what of this machine computes.
type machineOptions struct {
	Threads int    `mapstructure:"threads"`
	Device  string `mapstructure:"device"`
}

func addMachine(f *pflag.FlagSet) {
	f.Int("threads", 0, "number of threads; 0 is one a core")
	f.String("device", "", "`DEVICE` that computes: cpu or gpu (default gpu where there is one)")
}

// apply makes the choice, for the process.
func (o *machineOptions) apply() error {
	if err := setThreads(o.Threads); err != nil {
		return err
	}
	if o.Device == "" {
		return nil
	}
	if err := metal.Choose(o.Device); err != nil {
		return usagef("--device: %v", err)
	}
	return nil
}

// parseDType reads --dtype; "" is nil, the model's.
func parseDType(name string) (*mlx.DType, error) {
	if name == "" {
		return nil, nil
	}
	for _, d := range []mlx.DType{mlx.Float32, mlx.BFloat16, mlx.Float16} {
		if d.String() == name {
			return &d, nil
		}
	}
	return nil, usagef("--dtype: %q is not float32, bfloat16 or float16", name)
}

func addTrust(f *pflag.FlagSet) {
	f.Bool("trust-remote-code", false, "accepted for mlx-lm's sake: code that comes with a model is never run")
}

// noteTrust says what --trust-remote-code does.
func (s *streams) noteTrust() {
	s.note("--trust-remote-code changes nothing: code that comes with a model is never run")
}
