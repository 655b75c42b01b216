package tune

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/mlxgo/mlx"
)

// padStep is what widths of batches are a multiple of, plus 1.
const padStep = 32

// A Set is rows in batches: which rows each batch holds. The rows of a batch are of like
// lengths, or in the order of the file as mlx-lm has them; the last batch is left out when
// it is not full.
type Set struct {
	Rows      []Row
	Truncated int // rows longer than the maximum
	Longest   int // tokens of the longest row

	batches [][]int
	maxLen  int
}

// NewSet makes batches of size rows; longer rows than maxLen keep their beginning. It is
// an error when the rows do not fill a batch.
func NewSet(rows []Row, size, maxLen int, mlxLM bool) (*Set, error) {
	if len(rows) < size {
		return nil, fmt.Errorf("Dataset must have at least batch_size=%d examples but only has %d.", size, len(rows)) //lint:ignore ST1005 mlx-lm's words
	}
	s := &Set{Rows: rows, maxLen: maxLen}
	order := make([]int, len(rows))
	for i, r := range rows {
		order[i] = i
		s.Longest = max(s.Longest, len(r.Tokens))
		if len(r.Tokens) > maxLen {
			s.Truncated++
		}
	}
	slices.SortStableFunc(order, func(a, b int) int {
		if mlxLM { // by the number of JSON keys, so that files keep their order
			return cmp.Compare(rows[a].Keys, rows[b].Keys)
		}
		return cmp.Compare(len(rows[a].Tokens), len(rows[b].Tokens))
	})
	for i := 0; i+size <= len(order); i += size {
		s.batches = append(s.batches, order[i:i+size])
	}
	return s, nil
}

// Len is the number of batches.
func (s *Set) Len() int { return len(s.batches) }

// Tokens is how many targets an epoch counts.
func (s *Set) Tokens() (n int) {
	for _, b := range s.batches {
		for _, i := range b {
			r := s.Rows[i]
			n += max(0, min(len(r.Tokens), s.maxLen)-max(r.Offset, 1))
		}
	}
	return n
}

// String tells the rows apart from others: their number, and a digest of all that training
// sees of them.
func (s *Set) String() string {
	h := sha256.New()
	for _, r := range s.Rows {
		head := []int64{int64(r.Offset), int64(r.Keys), int64(len(r.Tokens))}
		_ = binary.Write(h, binary.LittleEndian, head) // a hash takes everything
		_ = binary.Write(h, binary.LittleEndian, r.Tokens)
	}
	return fmt.Sprintf("%d rows of sum %.6x", len(s.Rows), h.Sum(nil))
}

// Batch is batch i: rows padded on the right with 0 to 1 more than a multiple of 32
// tokens, or to the maximum. Ranks of a group of size n take every n-th row.
func (s *Set) Batch(i, rank, n int) Batch {
	all := s.batches[i]
	longest := 0
	for _, k := range all {
		longest = max(longest, len(s.Rows[k].Tokens))
	}
	width := min(1+padStep*((longest+padStep-1)/padStep), s.maxLen)
	most := (len(all) + n - 1) / n
	tokens, lengths := make([]int32, 0, most*width), make([]int32, 0, 2*most)
	rows := 0
	for j := rank; j < len(all); j += n {
		r := s.Rows[all[j]]
		t := r.Tokens[:min(len(r.Tokens), s.maxLen)]
		tokens = append(tokens, t...)
		tokens = tokens[:len(tokens)+max(0, width-len(t))] // zeros
		lengths = append(lengths, int32(r.Offset), int32(len(t)))
		rows++
	}
	return Batch{mlx.FromSlice(tokens).Reshape(rows, width), mlx.FromSlice(lengths).Reshape(rows, 2)}
}

// An Order gives the batches of one epoch after the other.
type Order interface {
	// Epoch is the next permutation of n batches, of the training or the validation set.
	Epoch(n int, validation bool) []int
}

// seeded is the default order: epoch by epoch from a seed. Validations do not change the
// order of training.
type seeded struct {
	seed   uint64
	epochs [2]uint64
}

// NewOrder is an order that depends on the seed alone.
func NewOrder(seed uint64) Order { return &seeded{seed: seed} }

func (o *seeded) Epoch(n int, validation bool) []int {
	set := 0
	if validation {
		set = 1
	}
	o.epochs[set]++
	return rand.New(rand.NewPCG(o.seed, 2*o.epochs[set]+uint64(set))).Perm(n)
}
