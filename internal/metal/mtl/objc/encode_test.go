//go:build linux

package objc

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"github.com/mlxgo/mlx/internal/metal/mtl/objcfake"
)

// story is a tape with the messages that it stands for.
type story struct {
	tape Tape
	want []string // with lines of bytes after setBytes
}

func (s *story) say(format string, args ...any) {
	s.want = append(s.want, fmt.Sprintf("MTLComputeCommandEncoder "+format, args...))
}

// tell makes a story of n random commands for pipelines and buffers.
func tell(rng *rand.Rand, n int, pipelines, buffers []Object) *story {
	s := &story{}
	var bound Object
	for range n {
		if rng.IntN(4) == 0 {
			s.tape.Barrier()
			s.say("memoryBarrierWithScope: 1")
			continue
		}
		p := pipelines[rng.IntN(len(pipelines))]
		if p != bound {
			bound = p
			s.say("setComputePipelineState: @%d", address(p))
		}
		args, lengths := rng.IntN(5), rng.IntN(3)
		grid, group := [3]int{1 + rng.IntN(1e6), 1 + rng.IntN(9), 2}, [3]int{1 + rng.IntN(64), 2, 3}
		s.tape.Run(p, args, lengths, grid, group)
		for i := range args {
			s.argument(rng, i, buffers)
		}
		for i := range lengths {
			length := 16 * (1 + rng.IntN(100))
			s.tape.Length(length)
			s.say("setThreadgroupMemoryLength:atIndex: %d %d", length, i)
		}
		s.say("dispatchThreads:threadsPerThreadgroup: {%d %d %d} {%d %d %d}", grid[0], grid[1], grid[2], group[0], group[1], group[2])
	}
	return s
}

func (s *story) argument(rng *rand.Rand, i int, buffers []Object) {
	switch rng.IntN(3) {
	case 0:
		s.tape.None()
	case 1:
		b, offset := buffers[rng.IntN(len(buffers))], rng.IntN(64)
		s.tape.Buffer(b, offset)
		s.say("setBuffer:offset:atIndex: @%d %d %d", address(b), offset, i)
	case 2:
		b := make([]byte, 1+rng.IntN(20))
		for j := range b {
			b[j] = byte(rng.Uint32())
		}
		s.tape.Bytes(b)
		s.say("setBytes:length:atIndex: ^ %d %d", len(b), i)
		s.want = append(s.want, "bytes "+hex.EncodeToString(b))
	}
}

// fakeEncoder gives an encoder, pipelines and buffers of a fake runtime, and its messages
// when f has run.
func fakeEncoder(t *testing.T, f func(encoder Object, pipelines, buffers []Object)) []string {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	r := objcfake.Install(objcfake.M3Max())
	ask := func(o Handle, selector string, args ...any) Object { return Call[Object](o, Sel(selector), args...) }
	var sent []string
	WithAutoreleasePool(func() {
		device := CreateSystemDefaultDevice()
		options := ask(GetClass("MTLCompileOptions"), "new")
		Call[Void](options, Sel("setLanguageVersion:"), uint64(3<<16|1))
		Call[Void](options, Sel("setMathMode:"), int64(0))
		Call[Void](options, Sel("setMathFloatingPointFunctions:"), int64(1))
		lib := ask(device, "newLibraryWithSource:options:error:", "kernel void a( kernel void b(", options, unsafe.Pointer(nil))
		var pipelines, buffers []Object
		for _, name := range []string{"a", "b"} {
			function := ask(lib, "newFunctionWithName:", name)
			pipelines = append(pipelines, ask(device, "newComputePipelineStateWithFunction:error:", function, unsafe.Pointer(nil)))
			buffers = append(buffers, ask(device, "newBufferWithLength:options:", uint64(64), uint64(1<<8)))
		}
		queue := ask(device, "newCommandQueue")
		commands := ask(queue, "commandBufferWithUnretainedReferences")
		encoder := ask(commands, "computeCommandEncoderWithDispatchType:", uint64(1))
		before := len(r.Messages())
		f(encoder, pipelines, buffers)
		sent = r.Messages()[before:]
		Call[Void](encoder, Sel("endEncoding"))
	})
	for _, fault := range r.Close() {
		if !strings.HasPrefix(fault, "leak: ") { // what is above is not released
			t.Error(fault)
		}
	}
	return sent
}

// The fake's Encode and the C of macOS give the messages that were put on the tape.
func TestEncode(t *testing.T) {
	harness := buildHarness(t)
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 0))
		var s *story
		sent := fakeEncoder(t, func(encoder Object, pipelines, buffers []Object) {
			s = tell(rng, 1+int(seed), pipelines, buffers)
			Encode(encoder, &s.tape)
		})
		compare(t, "the fake", sent, withoutBytes(s.want))
		if harness != "" {
			compare(t, "C", runHarness(t, harness, &s.tape), s.want)
		}
	}
	if harness == "" {
		t.Log("encode_darwin.c was not run: there is no C compiler")
	}
}

func withoutBytes(lines []string) (kept []string) {
	for _, l := range lines {
		if !strings.HasPrefix(l, "bytes ") {
			kept = append(kept, l)
		}
	}
	return kept
}

func compare(t *testing.T, who string, got, want []string) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			t.Fatalf("%s: message %d is missing, want %s", who, i, want[i])
		case i >= len(want) || got[i] != want[i]:
			t.Fatalf("%s: message %d is %s, want %v", who, i, got[i], want[min(i, len(want)):min(i+1, len(want))])
		}
	}
}

// buildHarness compiles encode_darwin.c for this system, with the address sanitizer if
// there is one. It gives "" without a compiler.
func buildHarness(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "harness")
	for _, cc := range []string{"clang", "clang-19", "gcc", "cc"} {
		if _, err := exec.LookPath(cc); err != nil {
			continue
		}
		for _, flags := range [][]string{{"-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-sanitize=function"}, nil} {
			args := append([]string{"-std=c11", "-O1", "-o", program, filepath.Join("testdata", "harness.c")}, flags...)
			out, err := exec.Command(cc, args...).CombinedOutput()
			if err == nil {
				return program
			}
			t.Logf("%s %v: %s", cc, flags, out)
		}
	}
	return ""
}

func runHarness(t *testing.T, program string, tape *Tape) []string {
	t.Helper()
	cmd := exec.Command(program)
	cmd.Stdin = strings.NewReader(strings.Trim(fmt.Sprint(tape.Words()), "[]"))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("encode_darwin.c: %v", err)
	}
	out = bytes.TrimSuffix(out, []byte("\n"))
	if len(out) == 0 {
		return nil
	}
	return strings.Split(string(out), "\n")
}

// BenchmarkTape writes what a step of a language model may be: 1000 dispatches of 5
// arguments.
func BenchmarkTape(b *testing.B) {
	var tape Tape
	constant := make([]byte, 16)
	b.ReportAllocs()
	for b.Loop() {
		tape.Reset()
		for range 1000 {
			tape.Run(Object{}, 5, 0, [3]int{4096, 1, 1}, [3]int{64, 1, 1})
			for range 4 {
				tape.Buffer(Object{}, 64)
			}
			tape.Bytes(constant)
			tape.Barrier()
		}
	}
}
