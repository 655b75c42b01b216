//go:build linux && metalemu && cgo

package whole

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
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

// What is read onto Go's heap is copied, not wrapped: the pages around it have objects that
// the collector frees.
func TestGoHeap(t *testing.T) {
	useFake(t)
	defer debug.SetGCPercent(debug.SetGCPercent(1))
	before := len(fake.Messages())
	var arrays []*mlx.Array
	var sizes []int
	for n := 3; n < 20000; n += n/3 + 1 { // of all size classes of the heap, and larger
		values := make([]float32, n)
		for i := range values {
			values[i] = float32(i)
		}
		var file bytes.Buffer
		if err := mlx.WriteNPY(&file, mlx.NewArray(values)); err != nil {
			t.Fatal(err)
		}
		a, err := mlx.ReadNPY(&file)
		if err != nil {
			t.Fatal(err)
		}
		arrays, sizes = append(arrays, a), append(sizes, n)
	}
	for range 3 {
		for i, a := range arrays {
			runtime.GC()
			got := mlx.ToSlice[float32](mlx.Add(a, a, mlx.GPU))
			if len(got) != sizes[i] {
				t.Fatalf("%d elements, want %d", len(got), sizes[i])
			}
			for j, v := range got {
				if v != float32(2*j) {
					t.Fatalf("%d elements: element %d is %v", sizes[i], j, v)
				}
			}
		}
	}
	for _, m := range fake.Messages()[before:] {
		if strings.Contains(m, "newBufferWithBytesNoCopy") {
			t.Errorf("Go's heap is wrapped: %s", m)
		}
	}
}

// Mapped files are wrapped where they lie, wherever arrays begin in their pages.
func TestMappedFile(t *testing.T) {
	useFake(t)
	path := filepath.Join(t.TempDir(), "a.safetensors")
	saved := map[string]*mlx.Array{}
	for i := range 9 {
		saved[strconv.Itoa(i)] = mlx.Add(mlx.Arange(0, 1000+700*i, 1), i)
	}
	if err := mlx.SaveSafetensors(path, saved, nil); err != nil {
		t.Fatal(err)
	}
	loaded, _, err := mlx.LoadAll(path)
	if err != nil {
		t.Fatal(err)
	}
	before := len(fake.Messages())
	for name, a := range loaded {
		if !mlx.Item[bool](mlx.All(mlx.Equal(mlx.Add(a, 1, mlx.GPU), mlx.Add(saved[name], 1, mlx.CPU)))) {
			t.Errorf("%s differs", name)
		}
	}
	wrapped := 0
	for _, m := range fake.Messages()[before:] {
		if strings.Contains(m, "newBufferWithBytesNoCopy") {
			wrapped++
		}
	}
	if wrapped != len(loaded) {
		t.Errorf("%d of %d arrays are wrapped", wrapped, len(loaded))
	}
}
