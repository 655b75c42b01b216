package tune

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/distributed"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/nn"
	"github.com/mlxgo/mlx/random"
)

// Ranks are the processes that train together: each takes its rows of every batch, and all
// take the same step. All of them call the same methods in the same order; a rank that is
// lost is an error on every other one. A nil *Ranks is one process alone.
type Ranks struct{ group *distributed.Group }

// NewRanks are the processes of a group.
func NewRanks(g *distributed.Group) *Ranks { return &Ranks{g} }

// Size is the number of processes.
func (r *Ranks) Size() int {
	if r == nil {
		return 1
	}
	return r.group.Size()
}

// Rank is the number of this process, from 0.
func (r *Ranks) Rank() int {
	if r == nil {
		return 0
	}
	return r.group.Rank()
}

// Close tells the others that this process is done.
func (r *Ranks) Close() error {
	if r.Size() == 1 {
		return nil
	}
	return r.group.Close()
}

// Await returns when rank 0 has ended. Rank 0 must not call it.
func (r *Ranks) Await() { _ = distributed.Barrier(r.group) }

// An AgreedError is an error with which all ranks end together.
type AgreedError struct {
	Rank int // that has it, the lowest
	Err  error
	mine bool
}

func (e *AgreedError) Error() string {
	if e.mine {
		return e.Err.Error()
	}
	return fmt.Sprintf("rank %d: %v", e.Rank, e.Err)
}

func (e *AgreedError) Unwrap() error { return e.Err }

// How a rank fares, the first byte of what Agree sends; nothing is sent if all is well.
const (
	failedMark  = 'e' // and the error's text
	stoppedMark = 's'
)

// Agree is nil on every rank, or an error on every rank: that of the lowest rank which
// has one, an *AgreedError, or context.Canceled if some were only stopped.
func (r *Ranks) Agree(err error) error {
	if r.Size() == 1 {
		return err
	}
	var mine []byte
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		mine = []byte{stoppedMark}
	case err != nil:
		mine = append([]byte{failedMark}, err.Error()...)
	}
	all, lost := r.gather(mine)
	if lost != nil {
		return errors.Join(err, lost)
	}
	stopped := false
	for rank, theirs := range all {
		switch {
		case len(theirs) == 0:
		case theirs[0] == stoppedMark:
			stopped = true
		case rank == r.Rank():
			return &AgreedError{rank, err, true}
		default:
			return &AgreedError{rank, errors.New(string(theirs[1:])), false}
		}
	}
	if stopped {
		return context.Canceled
	}
	return nil
}

// Same is an error on every rank when the value of a key is another one on some rank than
// on rank 0: what differs makes it of the key and both values.
func (r *Ranks) Same(values map[string]string, differs func(key, mine, first string) error) error {
	if r.Size() == 1 {
		return nil
	}
	text, err := json.Marshal(values)
	if err != nil {
		return err
	}
	all, err := r.gather(text)
	if err != nil {
		return err
	}
	var first map[string]string
	if err := json.Unmarshal(all[0], &first); err != nil {
		return err
	}
	keys := maps.Clone(first)
	maps.Copy(keys, values)
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if values[key] != first[key] {
			return r.Agree(differs(key, values[key], first[key]))
		}
	}
	return r.Agree(nil)
}

// Count is how many ranks give the same text as this one.
func (r *Ranks) Count(text string) (int, error) {
	if r.Size() == 1 {
		return 1, nil
	}
	all, err := r.gather([]byte(text))
	n := 0
	for _, t := range all {
		if string(t) == text {
			n++
		}
	}
	return n, err
}

// gather is the bytes of all ranks, by rank; it is one collective if none has any.
func (r *Ranks) gather(mine []byte) ([][]byte, error) {
	lengths, err := gathered(r, []int32{int32(len(mine))})
	if err != nil {
		return nil, err
	}
	all := make([][]byte, r.Size())
	longest := int(slices.Max(lengths))
	if longest == 0 {
		return all, nil
	}
	bytes, err := gathered(r, append(slices.Clip(mine), make([]byte, longest-len(mine))...))
	if err != nil {
		return nil, err
	}
	for i := range all {
		all[i] = bytes[i*longest:][:lengths[i]]
	}
	return all, nil
}

// gathered are the elements of all ranks one after the other.
func gathered[T mlx.Element](r *Ranks, mine []T) ([]T, error) {
	all := distributed.AllGather(mlx.FromSlice(mine), r.group)
	if err := mlx.Eval(all); err != nil {
		return nil, err
	}
	return mlx.ToSlice[T](all), nil
}

// sums are the sums of x over all ranks, with the same bits on each.
func (r *Ranks) sums(x ...float64) ([]float64, error) {
	if r.Size() == 1 {
		return x, nil
	}
	total := distributed.AllSum(mlx.FromSlice(x), r.group)
	if err := mlx.Eval(total); err != nil {
		return nil, err
	}
	return mlx.ToSlice[float64](total), nil
}

// first is rank 0's array on all ranks, bit by bit; the others give one of its shape and
// dtype.
func (r *Ranks) first(a *mlx.Array) *mlx.Array {
	if a.Size() == 0 {
		return a
	}
	bytes := a.Reshape(a.Size()).View(mlx.Uint8)
	if r.Rank() > 0 {
		bytes = mlx.ZerosLike(bytes)
	}
	return distributed.AllSum(bytes, r.group).View(a.DType()).Reshape(a.Shape()...)
}

// draw runs f, which draws random numbers, with a generator of this rank's own. Before and
// after, the process's generator is the same on all ranks, so that the state of one is
// enough to go on from.
func (r *Ranks) draw(f func()) {
	shared := random.State()
	keys := random.Key{A: shared.A}.SplitN(r.Size() + 1)
	*shared = keys[1+r.Rank()]
	f()
	*shared = keys[0]
}

// Share gives all ranks the state of rank 0: its weights bit by bit, the optimizer's state,
// sums of gradients, the generator and the State. Rank 0 may have resumed; the others must
// be fresh. It is an error when their models differ.
func (t *Trainer) Share() error {
	r := t.o.Ranks
	if r.Size() == 1 {
		return nil
	}
	print, err := t.fingerprint()
	if err = r.Agree(err); err != nil {
		return err
	}
	err = r.Same(map[string]string{"model": print}, func(string, string, string) error {
		return errors.New("the model differs from that of rank 0: every host needs the same one")
	})
	if err != nil {
		return err
	}
	text, err := json.Marshal(t.state)
	if err = r.Agree(err); err != nil {
		return err
	}
	all, err := r.gather(text)
	if err != nil {
		return err
	}
	if r.Rank() > 0 {
		var s State
		if err = json.Unmarshal(all[0], &s); err == nil {
			err = t.resume(s)
		}
	}
	if err = r.Agree(err); err != nil {
		return err
	}
	return t.shareArrays()
}

// shareArrays gives all ranks the arrays of rank 0's checkpoint. Machines of different
// kinds round differently: without it they would drift apart.
func (t *Trainer) shareArrays() error {
	if t.o.Ranks.Size() == 1 {
		return nil
	}
	all := t.arrays()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		a := t.o.Ranks.first(all[name])
		if err := mlx.Eval(a); err != nil {
			return err
		}
		all[name] = a
	}
	return t.set(all)
}

// printed is how many elements of a weight count for a fingerprint.
const printed = 1024

// fingerprint tells models apart: the names, shapes and dtypes of all parameters, and the
// first elements of those that are not trained.
func (t *Trainer) fingerprint() (string, error) {
	trained := t.Weights()
	params := maps.Collect(nn.Parameters(t.model))
	names := slices.Sorted(maps.Keys(params))
	hash := sha256.New()
	for _, name := range names {
		a := params[name]
		fmt.Fprintln(hash, name, a.DType(), a.Shape())
		if trained[name] != nil || a.Size() == 0 {
			continue
		}
		part := tensor.SliceAxis(a.Reshape(a.Size()), 0, 0, min(a.Size(), printed), mlx.Stream{}).View(mlx.Uint8)
		if err := mlx.Eval(part); err != nil {
			return "", err
		}
		hash.Write(mlx.ToSlice[uint8](part))
	}
	return fmt.Sprintf("%x", hash.Sum(nil)), nil
}
