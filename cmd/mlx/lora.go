package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/mlxgo/mlx/internal/llm/tune"
)

// loraOptions are the options of mlx lora, by the flags' names.
type loraOptions struct {
	Model          string `mapstructure:"model"`
	Revision       string `mapstructure:"revision"`
	DType          string `mapstructure:"dtype"`
	machineOptions `mapstructure:",squash"`

	Train        bool   `mapstructure:"train"`
	Test         bool   `mapstructure:"test"`
	Data         string `mapstructure:"data"`
	FineTuneType string `mapstructure:"fine-tune-type"`
	FromScratch  bool   `mapstructure:"from-scratch"`
	Optimizer    string `mapstructure:"optimizer"`
	MaskPrompt   bool   `mapstructure:"mask-prompt"`

	PromptFeature     string `mapstructure:"prompt-feature"`
	CompletionFeature string `mapstructure:"completion-feature"`
	TextFeature       string `mapstructure:"text-feature"`
	ChatFeature       string `mapstructure:"chat-feature"`

	NumLayers           int     `mapstructure:"num-layers"`
	BatchSize           int     `mapstructure:"batch-size"`
	Iters               int     `mapstructure:"iters"`
	Epochs              int     `mapstructure:"epochs"`
	ValBatches          int     `mapstructure:"val-batches"`
	LearningRate        float64 `mapstructure:"learning-rate"`
	StepsPerReport      int     `mapstructure:"steps-per-report"`
	StepsPerEval        int     `mapstructure:"steps-per-eval"`
	Accumulation        int     `mapstructure:"grad-accumulation-steps"`
	SaveEvery           int     `mapstructure:"save-every"`
	TestBatches         int     `mapstructure:"test-batches"`
	MaxSeqLength        int     `mapstructure:"max-seq-length"`
	MaxGradNorm         float64 `mapstructure:"max-grad-norm"`
	GradCheckpoint      bool    `mapstructure:"grad-checkpoint"`
	ClearCacheThreshold string  `mapstructure:"clear-cache-threshold"`
	Seed                uint64  `mapstructure:"seed"`

	AdapterPath       string `mapstructure:"adapter-path"`
	ResumeAdapterFile string `mapstructure:"resume-adapter-file"`
	Resume            bool   `mapstructure:"resume"`
	DryRun            bool   `mapstructure:"dry-run"`
	Report            string `mapstructure:"report"`
	ReportTo          string `mapstructure:"report-to"`
	ProjectName       string `mapstructure:"project-name"`
	MLXLMLoss         bool   `mapstructure:"mlx-lm-loss"`
	MLXLMOrder        bool   `mapstructure:"mlx-lm-order"`
	TrustRemoteCode   bool   `mapstructure:"trust-remote-code"`

	from       sources
	parameters loraParameters
	schedule   *tune.ScheduleConfig
	keywords   map[string]any // of the optimizer
	hubData    []*hubData     // of hf_dataset; nil: --data counts
	hubConfig  any            // hf_dataset as it stood in the file
	clearCache int64
}

const loraLong = `Fine-tune a model: LoRA or DoRA adapters, or its last layers whole, on packed
(quantized) models too.

--data is a directory with train.jsonl, valid.jsonl and test.jsonl, or a dataset of the
Hub with such files: org/name, or org/name@REVISION. A line is an object with text, with
prompt and completion, or with messages and maybe tools. The adapter goes
to --adapter-path, with the number of the iteration every --save-every ones, and that of
the least validation loss as best_adapters.safetensors.

A run that was stopped, also by kill -9, goes on with --resume: losses and files are
those of a run that nobody stopped. Ctrl-C saves before it ends.

Keys of --config are those of mlx-lm's YAML files. lora_parameters (rank, scale, dropout,
keys), lr_schedule, optimizer_config and hf_dataset (path, train_split as train[:80%],
valid_split, test_split, the features, config) stand there only.

Lines are mlx-lm's where standard output is no terminal. The loss counts the tokens of
rows; mlx-lm's counts one of the padding more, which --mlx-lm-loss does too. Rows of like
lengths train together, in an order that --seed gives; --mlx-lm-order takes mlx-lm's.

Several ranks that mlx launch starts train together, each on its part of every batch.`

func newLora(s *streams, runF func(context.Context, *streams, *loraOptions) error) *cobra.Command {
	o := &loraOptions{}
	cmd := &cobra.Command{
		Use:   "lora",
		Short: "Fine-tune a model",
		Long:  loraLong,
		Example: `  mlx lora --model mlx-community/Qwen3-0.6B-4bit --train --data data --iters 20
  mlx lora --model mlx-community/Qwen3-0.6B-4bit --train --data data --iters 40 --resume
  mlx lora --model mlx-community/Qwen3-0.6B-4bit --test --data data
  mlx lora --train --data data --num-layers 4 --dry-run
  mlx lora --config lora.yaml`,
		Args: noArgs(""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			nested := map[string]any{"lora_parameters": nil, "lr_schedule": nil, "optimizer_config": nil, "hf_dataset": nil}
			var err error
			if o.from, err = bindNested(cmd, o, nested); err != nil {
				return err
			}
			if err := o.check(nested); err != nil {
				return err
			}
			return runF(cmd.Context(), s, o)
		},
	}
	addLoraFlags(cmd.Flags())
	cmd.Flags().StringP("config", "c", "", "YAML `FILE` with options by their flags' names")
	return cmd
}

func addLoraFlags(f *pflag.FlagSet) {
	addModelFlags(f)
	addDType(f)
	addMachine(f)
	f.Bool("train", false, "train")
	f.Bool("test", false, "tell the loss on the test set")
	f.String("data", "", "`DIR` with train.jsonl, valid.jsonl and test.jsonl, or org/name of a dataset on the Hub (default "+defaultData+")")
	f.String("fine-tune-type", "lora", "`KIND`: lora, dora or full")
	f.Bool("from-scratch", false, "begin with random weights of the model's shape; needs --fine-tune-type full, and trains all of it")
	f.String("optimizer", "adam", "`NAME`: "+strings.Join(tune.OptimizerNames, ", "))
	f.Bool("mask-prompt", false, "count the last message, or the completion, only")
	f.String("prompt-feature", "prompt", "`KEY` of prompts in rows")
	f.String("completion-feature", "completion", "`KEY` of completions in rows")
	f.String("text-feature", "text", "`KEY` of texts in rows")
	f.String("chat-feature", "messages", "`KEY` of messages in rows")
	f.Int("num-layers", 16, "how many of the last layers are trained; -1 is all")
	f.Int("batch-size", 4, "rows of a batch")
	f.Int("iters", 1000, "batches to train on")
	f.Int("epochs", 0, "passes over the training set, instead of --iters")
	f.Int("val-batches", 25, "batches of a validation; -1 is all")
	f.Float64("learning-rate", 1e-5, "learning rate")
	f.Int("steps-per-report", 10, "iterations between two lines of the training loss")
	f.Int("steps-per-eval", 200, "iterations between two validations")
	f.Int("grad-accumulation-steps", 1, "batches that make one update together")
	f.Int("save-every", 100, "iterations between two files of the adapter")
	f.Int("test-batches", 500, "batches of the test; -1 is all")
	f.Int("max-seq-length", 2048, "most tokens of a row; what is longer is cut off")
	f.Float64("max-grad-norm", 0, "bound of the gradient's norm; 0 is none")
	f.Bool("grad-checkpoint", false, "keep less of each layer and compute it again: slower, in less memory")
	f.String("clear-cache-threshold", "0", "`SIZE` (512M, 4GB) of unused memory from which on it is given back; 0 leaves it to the allocator")
	f.Uint64("seed", 0, "seed of the adapters, dropout and the order of batches")
	f.String("adapter-path", "adapters", "`DIR` of the adapter")
	f.String("resume-adapter-file", "", "`FILE` whose weights a new run begins with")
	f.Bool("resume", false, "go on with the run in --adapter-path that was stopped")
	f.Bool("dry-run", false, "tell what a run would take: memory, tokens, rows that are cut, time; nothing is written")
	f.String("report", "", "`FILE` for the curve and its numbers: .html, .svg, .csv or .jsonl")
	f.String("report-to", "", "not available here: mlx-lm's services; see --report")
	f.String("project-name", "", "of --report-to")
	f.Bool("mlx-lm-loss", false, "count one target of the padding of each row, as mlx-lm does")
	f.Bool("mlx-lm-order", false, "order rows and batches as mlx-lm does")
	addTrust(f)
}
