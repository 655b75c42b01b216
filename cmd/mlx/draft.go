package main

import (
	"context"
	"fmt"

	"github.com/spf13/pflag"

	"github.com/mlxgo/mlx/internal/hf/hub"
	"github.com/mlxgo/mlx/internal/llm"
)

// draftOptions say which model guesses tokens, by the flags' names.
type draftOptions struct {
	DraftModel     string `mapstructure:"draft-model"`
	NumDraftTokens int    `mapstructure:"num-draft-tokens"`
}

func addDraftFlags(f *pflag.FlagSet) {
	f.String("draft-model", "", "a smaller `MODEL` with the same vocabulary, given as --model, that guesses tokens for the other to judge: faster, the same tokens")
	f.Int("num-draft-tokens", 3, "tokens that --draft-model guesses at once")
}

// check refuses what cannot be meant. A cache of maxKVSize positions rotates.
func (o *draftOptions) check(from sources, maxKVSize int) error {
	switch {
	case o.NumDraftTokens < 1 || o.NumDraftTokens > llm.MaxDraftTokens:
		return usagef("--num-draft-tokens is %d: it must be from 1 to %d", o.NumDraftTokens, llm.MaxDraftTokens)
	case o.DraftModel == "" && from["num-draft-tokens"] == fromFlag:
		return usagef("--num-draft-tokens needs --draft-model")
	case o.DraftModel != "" && maxKVSize > 0:
		return usagef("--draft-model and --max-kv-size exclude each other: after a wrong guess the cache goes back, which one that rotates cannot")
	}
	return nil
}

// begin says what is wrong with --draft-model before anything is read.
func (o *draftOptions) begin() error {
	if o.DraftModel == "" {
		return nil
	}
	if err := checkModel(o.DraftModel); err != nil {
		return fmt.Errorf("--draft-model: %w", err)
	}
	return nil
}

// load reads the draft model for m, nil for none, to run as run says.
func (o *draftOptions) load(ctx context.Context, s *streams, m *llm.Loaded, run modelOptions) (*llm.Loaded, error) {
	if o.DraftModel == "" {
		return nil, nil
	}
	dir, err := findModel(ctx, s, o.DraftModel, "", hub.Model)
	if err != nil {
		return nil, err
	}
	run.AdapterPath, run.Adapter = "", nil // they are the model's
	draft, err := run.load(s, dir)
	if err != nil {
		return nil, err
	}
	if err := m.SameVocabulary(draft); err != nil {
		return nil, fmt.Errorf("--draft-model %s: %w", o.DraftModel, err)
	}
	return draft, nil
}

// draftText tells how many guesses were right.
func draftText(d *llm.DraftStatistics) string {
	return fmt.Sprintf("%d of %s accepted, rate %.3f", d.Accepted, plural(d.Tokens, "token"), d.Rate)
}
