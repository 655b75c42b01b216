package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"runtime"
	"slices"

	"github.com/spf13/cobra"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/atomicfile"
	"github.com/mlxgo/mlx/internal/cpu"
	"github.com/mlxgo/mlx/internal/hf/hub"
	"github.com/mlxgo/mlx/internal/hf/safetensors"
	"github.com/mlxgo/mlx/internal/llm"
)

// logitsOptions are the options of mlx logits.
type logitsOptions struct {
	Model          string `mapstructure:"model"`
	Revision       string `mapstructure:"revision"`
	Tokens         []int  `mapstructure:"tokens"`
	Out            string `mapstructure:"out"`
	DType          string `mapstructure:"dtype"`
	Exact          bool   `mapstructure:"exact-activations"`
	machineOptions `mapstructure:",squash"`
}

func newLogits(s *streams, runF func(context.Context, *streams, *logitsOptions) error) *cobra.Command {
	o := &logitsOptions{}
	cmd := &cobra.Command{
		Use:   "logits",
		Short: "Write a model's logits to a file",
		Long: `Write the logits after each of some tokens to a safetensors file: float32
[tokens, vocabulary] under the key "logits". The tokens are taken as they are: no
tokenizer is needed, and no BOS is added. The file appears when it is complete.`,
		Example: `  mlx logits --model builtin --tokens 1,426,439 --out logits.safetensors
  mlx logits --model builtin --tokens 1,426,439 --out logits.safetensors --dtype float32`,
		Args: noArgs(""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			from, err := bind(cmd, o)
			if err != nil {
				return err
			}
			for _, name := range []string{"model", "tokens", "out"} {
				if !from.set(name) {
					return usagef("--%s is missing", name)
				}
			}
			return runF(context.WithoutCancel(cmd.Context()), s, o) // a signal just ends it
		},
	}
	f := cmd.Flags()
	f.String("model", "", modelUsage)
	addRevision(f)
	f.IntSlice("tokens", nil, "token `IDS` with commas between them")
	f.String("out", "", "safetensors `FILE` to write")
	addDType(f)
	addExact(f)
	addMachine(f)
	addConfig(cmd)
	return cmd
}

func runLogits(ctx context.Context, s *streams, o *logitsOptions) error {
	dtype, err := parseDType(o.DType)
	if err != nil {
		return err
	}
	if err := o.machineOptions.apply(); err != nil {
		return err
	}
	if err := atomicfile.Check(o.Out); err != nil {
		return ofFlag("out", err)
	}
	dir, err := findModel(ctx, s, o.Model, o.Revision, hub.Model)
	if err != nil {
		return err
	}
	m, err := loadModel(s, dir, llm.LoadOptions{DType: dtype, ExactActivations: o.Exact, MapWeights: true, NoTokenizer: true})
	if err != nil {
		return err
	}
	if err := checkIDs("--tokens", o.Tokens, m.Model.Info().VocabSize); err != nil {
		return err
	}
	logits, err := m.Logits(o.Tokens)
	if err != nil {
		return err
	}
	values := mlx.ToSlice[float32](logits)
	data := make([]byte, 0, 4*len(values))
	for _, v := range values {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
	}
	return safetensors.Write(o.Out, []safetensors.Tensor{{
		Name: "logits", DType: mlx.Float32, Shape: slices.Clone(logits.Shape()), Data: data,
	}}, nil)
}

// checkIDs refuses ids that the model has no row for, and having none at all.
func checkIDs(flag string, ids []int, vocab int) error {
	if len(ids) == 0 {
		return usagef("%s is empty", flag)
	}
	for _, id := range ids {
		if id < 0 || id >= vocab {
			return fmt.Errorf("%s: token %d is outside the vocabulary of %d tokens", flag, id, vocab)
		}
	}
	return nil
}

// maxThreads is more than any machine has cores, and less than Go's runtime bears.
const maxThreads = 1024

// setThreads applies --threads. Results do not depend on it. Go runs as many
// threads at a time as it saw CPUs at the start, so more must be asked for.
func setThreads(n int) error {
	if n < 0 || n > maxThreads {
		return usagef("--threads is %d: it must be between 1 and %d, or 0 for one thread a core", n, maxThreads)
	}
	if n > runtime.GOMAXPROCS(0) {
		runtime.GOMAXPROCS(n)
	}
	cpu.SetWorkers(n)
	return nil
}
