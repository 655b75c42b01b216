package models

import (
	"fmt"
	"slices"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/cache"
	"github.com/mlxgo/mlx/nn"
)

// Layers are the blocks, for who runs them one by one.
func (m *decoder) Layers() ([]llm.Layer, error) {
	s := m.spec
	if m.Inputs != nil || m.Gates != nil {
		return nil, fmt.Errorf("layers of %s take more than the one before gives: they cannot run one by one", s.modelType)
	}
	for _, l := range m.Layout() {
		if l.Shared {
			return nil, fmt.Errorf("layers of %s share keys: they cannot run one by one", s.modelType)
		}
	}
	paths := map[any]string{}
	for path, l := range nn.Modules(m) {
		paths[l] = path
	}
	at := s.caches()
	var out []llm.Layer
	for i, b := range slices.Concat(m.Blocks, m.More) {
		out = append(out, llm.Layer{Path: paths[b], Folds: b.folds(paths), Forward: func(x *mlx.Array, c []cache.KV) *mlx.Array {
			var kv cache.KV
			if at[i] >= 0 {
				kv = c[at[i]]
			}
			return b.finish(b.forward(x, kv, c[0].Last()), nil)
		}})
	}
	return out, nil
}

// folds are the places of a block where channels can be scaled, see llm.Fold.
func (b *block) folds(paths map[any]string) (out []llm.Fold) {
	add := func(f llm.Fold, from nn.Layer, to ...nn.Layer) {
		f.From = paths[from]
		for _, l := range to {
			if l == nil {
				continue
			}
			if _, ok := l.(*nn.Linear); !ok {
				return
			}
			f.To = append(f.To, paths[l])
		}
		if len(f.To) > 0 {
			out = append(out, f)
		}
	}
	a, m := b.Attention, b.MLP
	if a != nil && a.Linear == nil && scalable(b.InputNorm) && !b.parallel {
		add(llm.Fold{}, b.InputNorm, a.Q, a.K, a.V, a.QKV)
	}
	if a != nil && a.foldsValues() {
		add(llm.Fold{Repeat: a.heads / a.kvHeads, HeadDim: a.headDim}, a.V, a.Out)
	}
	if m != nil && m.Linear == nil && scalable(b.PreNorm) && !b.parallel {
		add(llm.Fold{}, b.PreNorm, m.Gate, m.Up, m.GateUp)
	}
	if _, ok := linearOf(m); ok && m.kind == gatedMLP && m.DownNorm == nil {
		add(llm.Fold{}, m.Up, m.Down)
	}
	return out
}

// linearOf is what gives an MLP the factor of its gate.
func linearOf(m *mlp) (*nn.Linear, bool) {
	if m == nil || m.Up == nil {
		return nil, false
	}
	l, ok := m.Up.(*nn.Linear)
	return l, ok
}

// foldsValues reports whether what goes into Out is a mean of values as V gives them.
func (a *attention) foldsValues() bool {
	if a.V == nil || a.K == nil || a.valueNorm != nil || a.OutNorm != nil || a.VStep != nil || a.reuses || a.spec.headsInTurn || a.spec.clipQKV > 0 {
		return false
	}
	_, ok := a.V.(*nn.Linear)
	return ok
}

// scalable reports whether a norm has a weight that can take a factor.
func scalable(l nn.Layer) bool {
	switch l := l.(type) {
	case *nn.RMSNorm:
		return l.Weight != nil
	case *nn.LayerNorm:
		return l.Weight != nil
	}
	return false
}
