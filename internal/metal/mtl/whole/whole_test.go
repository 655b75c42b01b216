//go:build linux && metalemu && cgo

package whole

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/builtin"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/models"
	"github.com/mlxgo/mlx/internal/llm/sample"
	"github.com/mlxgo/mlx/internal/metal"
	"github.com/mlxgo/mlx/internal/metal/gpu"
	"github.com/mlxgo/mlx/internal/metal/msltest"
	"github.com/mlxgo/mlx/internal/metal/mtl"
	"github.com/mlxgo/mlx/internal/metal/mtl/objcfake"
)

// msl compiles for the fake device.
type msl struct{}

func (msl) Compile(source string, math int) (objcfake.Program, error) {
	p, err := msltest.Parse("program_source", source)
	if err != nil {
		return nil, err
	}
	if lint := p.Lint(); len(lint) > 0 {
		return nil, errors.New(strings.Join(lint, "\n"))
	}
	return &program{Program: p, math: gpu.Math(math)}, nil
}

type program struct {
	*msltest.Program
	math   gpu.Math
	loaded []*msltest.Library
}

func (p *program) Has(name string) bool {
	return slices.ContainsFunc(p.Entries(), func(e msltest.Entry) bool { return e.Name == name })
}

func (p *program) Kernel(name string, constants map[int]any) (objcfake.Code, error) {
	lib, err := p.Load(p.math, name)
	if err != nil {
		return nil, err
	}
	p.loaded = append(p.loaded, lib)
	var consts []gpu.Const
	for i, v := range constants {
		consts = append(consts, gpu.Const{Index: i, Value: v})
	}
	k, err := lib.Kernel(name, consts...)
	if err != nil {
		return nil, err
	}
	return code{k}, nil
}

func (p *program) Close() {
	for _, lib := range p.loaded {
		lib.Close()
	}
}

type code struct{ *msltest.Kernel }

func (c code) MaxThreads() int { return c.Kernel.MaxThreads }

func (c code) Run(d *objcfake.Dispatch) error {
	l := msltest.Launch{Grid: d.Grid, Group: d.Group, Seed: 1}
	for i, b := range d.Args {
		l.Buffers = append(l.Buffers, make([]unsafe.Pointer, max(0, i+1-len(l.Buffers)))...)
		l.Buffers[i] = unsafe.Pointer(unsafe.SliceData(b))
	}
	for i, n := range d.Threadgroup {
		l.Threadgroup = append(l.Threadgroup, make([]int, max(0, i+1-len(l.Threadgroup)))...)
		l.Threadgroup[i] = n
	}
	report, err := c.Kernel.Run(l)
	if err != nil {
		return err
	}
	return report.Err()
}

var fake *objcfake.Runtime

// useFake makes the fake the GPU of the process, once.
func useFake(t *testing.T) {
	t.Helper()
	if fake == nil {
		fake = objcfake.Install(objcfake.M3Max())
		fake.UseCompiler(msl{})
		dev, err := mtl.Open()
		if err != nil {
			t.Fatal(err)
		}
		if err := metal.Use(dev); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		for _, fault := range fake.Faults() {
			t.Error(fault)
		}
	})
}

// The first tokens of the built-in model are those of the CPU.
func TestStory(t *testing.T) {
	useFake(t)
	tell := func(device mlx.Device) (tokens []int32) {
		mlx.SetDefaultDevice(device)
		m, err := builtin.Load(llm.LoadOptions{New: models.New})
		if err != nil {
			t.Fatal(err)
		}
		prompt, err := m.Tokenizer.Prompt(llm.PromptOptions{Text: "Once upon a time", IgnoreChatTemplate: true})
		if err != nil {
			t.Fatal(err)
		}
		g, err := llm.Generate(m, prompt, llm.Options{MaxTokens: 12, Sampling: sample.Options{}})
		if err != nil {
			t.Fatal(err)
		}
		for tok, err := range g.Tokens(context.Background()) {
			if err != nil {
				t.Fatal(err)
			}
			tokens = append(tokens, int32(tok.ID))
		}
		return tokens
	}
	defer mlx.SetDefaultDevice(mlx.GPU)
	cpu, gpu := tell(mlx.CPU), tell(mlx.GPU)
	if len(cpu) != 12 || !slices.Equal(cpu, gpu) {
		t.Errorf("on the CPU %v, on the GPU %v", cpu, gpu)
	}
	dispatches := 0
	for _, m := range fake.Messages() {
		if strings.HasPrefix(m, "MTLComputeCommandEncoder dispatchThreads:") {
			dispatches++
		}
	}
	if dispatches < 100 {
		t.Errorf("%d dispatches", dispatches)
	}
	t.Logf("%d dispatches, tokens %v", dispatches, gpu)
}

// Ops on both devices in one graph: each waits for the other's by shared events.
func TestStreams(t *testing.T) {
	useFake(t)
	x := mlx.NewArray([]float32{1, 2, 3, 4, 5, 6}).Reshape(2, 3)
	for range 10 {
		x = mlx.Contiguous(mlx.Transpose(x, mlx.GPU), false, mlx.GPU)
		x = mlx.Add(x, x, mlx.CPU)
		x = mlx.Contiguous(mlx.Transpose(x, mlx.GPU), false, mlx.GPU)
		x = mlx.Multiply(x, 0.5, mlx.GPU)
	}
	for i, v := range mlx.ToSlice[float32](x) {
		if v != float32(i+1) {
			t.Errorf("element %d is %v", i, v)
		}
	}
	sent := strings.Join(fake.Messages(), "\n")
	for _, m := range []string{"encodeWaitForEvent:value:", "encodeSignalEvent:value:", "setSignaledValue:"} {
		if !strings.Contains(sent, m) {
			t.Errorf("no %s", m)
		}
	}
}
