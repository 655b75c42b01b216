package main

import (
	"context"

	"github.com/spf13/cobra"
)

func newQuantize(s *streams, runF func(context.Context, *streams, *convertOptions) error) *cobra.Command {
	o := &convertOptions{}
	cmd := &cobra.Command{
		Use:   "quantize",
		Short: "Write a model with weights of few bits, as an MLX directory",
		Long:  "Write a model with weights of few bits, as an MLX directory: mlx convert --quantize.\n\n" + convertLong,
		Example: `  mlx quantize --model mlx-community/Qwen3-0.6B-bf16 --mlx-path qwen3-q4
  mlx quantize --model mlx-community/Qwen3-0.6B-bf16 --mlx-path qwen3-mixed --quant-predicate mixed_3_6
  mlx quantize --model mlx-community/Qwen3-0.6B-bf16 --mlx-path qwen3-mxfp4 --q-mode mxfp4`,
		Args: noArgs("; the model goes into --model"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Quantize = true
			return o.run(cmd, s, runF)
		},
	}
	f := cmd.Flags()
	o.addSource(f)
	o.addQuantize(f)
	o.addTarget(f)
	addConfig(cmd)
	return cmd
}
