package tune_test

import (
	"maps"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/llmtest"
	"github.com/mlxgo/mlx/internal/llm/tune"
	"github.com/mlxgo/mlx/nn"
)

// TestPieces compares loss and gradients of logits that are made in pieces, and of layers
// that are computed again, with those of all at once.
func TestPieces(t *testing.T) {
	for _, o := range []tune.Layers{
		{Kind: tune.LoRA, Num: -1, Rank: 4, Scale: 10},
		{Kind: tune.LoRA, Num: -1, Rank: 4, Scale: 10, Keys: []string{"model.embed_tokens", "self_attn.q_proj"}},
		{Kind: tune.Full, Num: 1},
	} {
		gradients := func() (*mlx.Array, map[string]*mlx.Array) {
			tr, m := setup{layers: o, o: small.o}.newTrainer(t, tune.Hooks{})
			_ = tr
			trained := nn.Named("lora_a", "lora_b")
			if o.Kind == tune.Full {
				trained = nn.Under("model.layers.1")
			}
			b := small.set(t, 4, m).Batch(0, 0, 1)
			return gradientsOf(t, m, b, trained)
		}
		wantLoss, want := gradients()
		for what, change := range map[string]func() func(){
			"pieces":     func() func() { return tune.SetChunkBytes(7 * 4 * 64) },
			"checkpoint": func() func() { checkpoint = true; return func() { checkpoint = false } },
		} {
			restore := change()
			loss, got := gradients()
			restore()
			if d := apart(loss, wantLoss); d > 1e-6 {
				t.Errorf("%s %v: the loss is off by %v", what, o.Kind, d)
			}
			for path, g := range want {
				if d := difference(got[path], g); d > 1e-5 {
					t.Errorf("%s %v: the gradient of %s is off by %.3g", what, o.Kind, path, d)
				}
			}
		}
	}
}

// checkpoint makes gradientsOf compute layers again.
var checkpoint bool

func gradientsOf(t *testing.T, m llm.Model, b tune.Batch, trained nn.Filter) (*mlx.Array, map[string]*mlx.Array) {
	t.Helper()
	if err := m.(llm.Trainable).SetCheckpoint(checkpoint); err != nil {
		t.Fatal(err)
	}
	loss, grads := nn.ValueAndGrad(m, func(m llm.Model) *mlx.Array {
		l, _ := tune.Loss(m, b, false)
		return l
	}, trained)
	if err := mlx.Eval(loss, grads); err != nil {
		t.Fatal(err)
	}
	return loss, maps.Collect(nn.Parameters(grads))
}

// TestCheckpointMemory holds that a step with checkpoints needs less memory.
func TestCheckpointMemory(t *testing.T) {
	peak := func(on bool) int64 {
		s := small
		s.o.Iters, s.o.ValBatches, s.layers.Dropout = 3, 0, 0
		s.config = llmtest.Config{"num_hidden_layers": 8, "intermediate_size": 512}
		tr, m := s.newTrainer(t, tune.Hooks{})
		if err := m.(llm.Trainable).SetCheckpoint(on); err != nil {
			t.Fatal(err)
		}
		mlx.ClearCache()
		mlx.ResetPeakMemory()
		before := mlx.ActiveMemory()
		if err := tr.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		return mlx.PeakMemory() - before
	}
	with, without := peak(true), peak(false)
	t.Logf("peak %d KB with checkpoints, %d KB without", with>>10, without>>10)
	if with > without/2 {
		t.Errorf("with checkpoints %d bytes are needed, without %d", with, without)
	}
}
