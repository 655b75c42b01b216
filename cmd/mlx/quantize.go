package main

import (
	"context"

	"github.com/spf13/cobra"
)

func newQuantize(s *streams, runF func(context.Context, *streams, *convertOptions) error, runMethod func(context.Context, *streams, *methodOptions) error) *cobra.Command {
	o := &methodOptions{}
	cmd := &cobra.Command{
		Use:   "quantize",
		Short: "Write a model with weights of few bits, as an MLX directory",
		Long: "Write a model with weights of few bits, as an MLX directory: mlx convert --quantize.\n\n" + convertLong + `

With --method the weights are rounded with the help of text, which loses less: awq scales
channels, gptq makes good the error of one column by the next, dynamic gives sensitive
layers more bits. The model is in memory, and the result is compared with plain rounding
on rows of the text that the method has not seen; docs/quantization-methods.md tells more.`,
		Example: `  mlx quantize --model mlx-community/Qwen3-0.6B-bf16 --mlx-path qwen3-q4
  mlx quantize --model mlx-community/Qwen3-0.6B-bf16 --mlx-path qwen3-mixed --quant-predicate mixed_3_6
  mlx quantize --model mlx-community/Qwen3-0.6B-bf16 --mlx-path qwen3-mxfp4 --q-mode mxfp4
  mlx quantize --model story-10m --mlx-path story-gptq --method gptq --q-bits 3 --calibration stories.txt
  mlx quantize --model story-10m --mlx-path story-2.5 --method dynamic --low-bits 2 --high-bits 4 --target-bpw 2.75 --calibration stories.txt`,
		Args: noArgs("; the model goes into --model"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Quantize = true
			from, err := bind(cmd, o)
			if err != nil {
				return err
			}
			if err := o.checkMethod(from); err != nil {
				return err
			}
			if err := o.check(from, cmd.Name()); err != nil {
				return err
			}
			if o.TrustRemoteCode {
				s.noteTrust()
			}
			if o.Method == "" {
				return runF(cmd.Context(), s, &o.convertOptions)
			}
			return runMethod(cmd.Context(), s, o)
		},
	}
	f := cmd.Flags()
	o.addSource(f)
	o.addQuantize(f)
	o.addTarget(f)
	o.addMethod(f)
	addConfig(cmd)
	return cmd
}
