package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"github.com/mlxgo/mlx/distributed"
	"github.com/mlxgo/mlx/internal/llm/tune"
)

// errToldByFirst is an error that rank 0 tells too, so that others need not.
var errToldByFirst = errors.New("rank 0 tells why")

// joinRanks finds the other ranks that mlx launch started; alone, the process is one of
// one.
func joinRanks(ctx context.Context) (*tune.Ranks, error) {
	type joined struct {
		g   *distributed.Group
		err error
	}
	done := make(chan joined, 1)
	go func() {
		g, err := distributed.Init()
		done <- joined{g, err}
	}()
	select {
	case j := <-done:
		return tune.NewRanks(j.g), j.err
	case <-ctx.Done():
		return nil, errors.New("stopped before all ranks were there")
	}
}

// of is s on rank 0; the others are silent.
func (s *streams) of(ranks *tune.Ranks) *streams {
	if ranks.Rank() == 0 {
		return s
	}
	silent := *s
	silent.out, silent.err, silent.outTTY, silent.errTTY = io.Discard, io.Discard, false, false
	return &silent
}

// endRanks is err as this rank tells it. Who knows what rank 0 knows lets it speak, and
// end first: its exit status is that of the job.
func endRanks(ranks *tune.Ranks, err error) error {
	if err == nil {
		return ranks.Close()
	}
	if _, ok := errors.AsType[*tune.AgreedError](err); ok && ranks.Rank() > 0 {
		ranks.Await()
		return errToldByFirst
	}
	return err
}

// sameOptions compares the options of all ranks, but for paths and threads.
func (r *loraRun) sameOptions() error {
	o := r.o
	values := o.settings()
	for _, key := range []string{"model", "data"} { // hosts may have them elsewhere
		delete(values, key)
	}
	for key, v := range map[string]any{
		"train": o.Train, "test": o.Test, "iters": o.Iters, "epochs": o.Epochs, "save_every": o.SaveEvery, "test_batches": o.TestBatches,
		"steps_per_report": o.StepsPerReport, "resume": o.Resume, "dry_run": o.DryRun,
	} {
		values[key] = fmt.Sprint(v)
	}
	return r.ranks.Same(values, func(key, mine, first string) error {
		return fmt.Errorf("%s is %s, and %s on rank 0: all ranks need the same options", key, mine, first)
	})
}

// sameData compares the rows of all ranks.
func (r *loraRun) sameData() error {
	values := map[string]string{}
	for name, set := range map[string]*tune.Set{"train.jsonl": r.train, "valid.jsonl": r.valid, "test.jsonl": r.test} {
		if set != nil {
			values[name] = set.String()
		}
	}
	return r.ranks.Same(values, func(name, _, _ string) error {
		return fmt.Errorf("%s does not have the rows that it has on rank 0: every host needs the same files and the same model", filepath.Join(r.o.Data, name))
	})
}

// shareCores gives each rank of a host its part of the cores, unless --threads says
// otherwise.
func (r *loraRun) shareCores() error {
	host, err := os.Hostname()
	if err = r.ranks.Agree(err); err != nil {
		return err
	}
	n, err := r.ranks.Count(host)
	if err != nil || n == 1 || r.o.Threads > 0 {
		return err
	}
	return setThreads(max(1, runtime.GOMAXPROCS(0)/n))
}
