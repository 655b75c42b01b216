package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/mlxgo/mlx/internal/hf/hub"
)

// tokenizeOptions are the options of mlx tokenize.
type tokenizeOptions struct {
	Model     string `mapstructure:"model"`
	Revision  string `mapstructure:"revision"`
	Decode    bool   `mapstructure:"decode"`
	NoSpecial bool   `mapstructure:"no-special"`

	text *string // nil: standard input
}

func newTokenize(s *streams, runF func(context.Context, *streams, *tokenizeOptions) error) *cobra.Command {
	o := &tokenizeOptions{}
	cmd := &cobra.Command{
		Use:   "tokenize [TEXT]",
		Short: "Turn text into token ids, or ids into text",
		Long: `Turn text into token ids, or ids into text.

The text is TEXT, or standard input byte for byte: a newline at the end counts.
Bytes that are not UTF-8 count as U+FFFD, the replacement character, since
tokenizers know characters only. Special tokens that the text spells, such as
<s>, become these tokens, and the tokenizer adds its own around the text.

With --decode the input is a JSON array of ids, or ids with commas or spaces
between them. The output is their text and nothing more; on a terminal a newline
follows.

The model needs a tokenizer.json only. Without --model it is the built-in one.`,
		Example: `  mlx tokenize "Once upon a time"
  mlx tokenize --model builtin --no-special "Once upon a time"
  mlx tokenize --decode "[1, 426, 439, 263, 401]"`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("%d arguments instead of one TEXT: put it in quotes", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := bind(cmd, o); err != nil {
				return err
			}
			if len(args) == 1 {
				o.text = &args[0]
			}
			return runF(context.WithoutCancel(cmd.Context()), s, o) // a signal just ends it
		},
	}
	f := cmd.Flags()
	f.String("model", builtinModel, modelUsage)
	addRevision(f)
	f.Bool("decode", false, "turn ids into text")
	f.Bool("no-special", false, "add no special tokens; with --decode leave them out of the text")
	addConfig(cmd)
	return cmd
}

func runTokenize(ctx context.Context, s *streams, o *tokenizeOptions) error {
	dir, err := findModel(ctx, s, o.Model, o.Revision, hub.Text)
	if err != nil {
		return err
	}
	t, err := loadTokenizer(dir)
	if err != nil {
		return err
	}
	text := ""
	if o.text != nil {
		text = *o.text
	} else {
		data, err := io.ReadAll(s.in)
		if err != nil {
			return fmt.Errorf("standard input: %w", err)
		}
		text = string(data)
	}
	if !o.Decode {
		ids, err := json.Marshal(t.Encode(text, !o.NoSpecial))
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(s.out, "%s\n", ids)
		return err
	}
	ids, err := parseIDs(text)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if _, ok := t.Token(id); !ok {
			return fmt.Errorf("token id %d is not in the vocabulary of %d tokens", id, t.VocabSize())
		}
	}
	end := ""
	if s.outTTY {
		end = "\n"
	}
	_, err = io.WriteString(s.out, t.Decode(ids, o.NoSpecial)+end)
	return err
}
