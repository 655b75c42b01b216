package amxemu

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// machineCode is a function of cfg (AX), c (BX), a (CX), b (DI), the registers
// of Go's first arguments: with tiles tmm1 = a and tmm2 = b it stores the products
// TDPBF16PS, TDPBSSD, TDPBSUD, TDPBUSD and TDPBUUD from zero, 1 KiB each, at c and
// behind them the configuration. NOPs here and there part runs of tile instructions.
const machineCode = "41b840000000c4e2784900c4e27b49c0c4a27b4b0c0190c4a2794b1407c4e26a5cc1c4a27a4b0403c4e27b49c0c4e26b5ec190c4a27a4b840300040000c4e27b49c0c4e26a5ec1c4a27a4b84030008000090c4e27b49c0c4e2695ec1c4a27a4b8403000c0000c4e27b49c090c4e2685ec1c4a27a4b840300100000c4e279498300140000c4e27849c0c3"

const ret, ud2, hlt = "c3", "0f0bc3", "f4c3"

// function makes a function of machine code.
func function(t *testing.T, code string) func(cfg, c, a, b *byte) {
	t.Helper()
	b, err := hex.DecodeString(code)
	if err != nil {
		t.Fatal(err)
	}
	m, err := syscall.Mmap(-1, 0, os.Getpagesize(), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	copy(m, b)
	if err := syscall.Mprotect(m, syscall.PROT_READ|syscall.PROT_EXEC); err != nil {
		t.Fatal(err)
	}
	closure := new(unsafe.Pointer) // a function value points to the address of its code
	*closure = unsafe.Pointer(unsafe.SliceData(m))
	return *(*func(cfg, c, a, b *byte))(unsafe.Pointer(&closure))
}

// one runs the code on random tiles and compares with the model, in memory of
// its own.
func one(t *testing.T, f func(cfg, c, a, b *byte), r *rand.Rand) {
	m, n, k := 1+r.IntN(16), 1+r.IntN(16), 1+r.IntN(16)
	cfg := config([2]int{m, 4 * n}, [2]int{m, 4 * k}, [2]int{k, 4 * n})
	a, b, c := make([]byte, 1024), make([]byte, 1024), make([]byte, 5120+64)
	for i := range a {
		a[i], b[i] = byte(r.Uint32()), byte(r.Uint32())
		if i%2 == 1 {
			a[i], b[i] = a[i]&0x80|0x3f, b[i]&0x80|0x3f // values about 1
		}
	}
	f(&cfg[0], &c[0], &a[0], &b[0])
	var s Tiles
	want := make(ram, len(c))
	do := func(in Inst, addr uint64, m ram) {
		if err := s.Do(in, addr, 64, m); err != nil {
			t.Error(err)
		}
	}
	do(Inst{Op: LDTILECFG}, 0, cfg)
	do(Inst{Op: TILELOADD, Dst: 1}, 0, a)
	do(Inst{Op: TILELOADD, Dst: 2}, 0, b)
	for i, op := range []Op{TDPBF16PS, TDPBSSD, TDPBSUD, TDPBUSD, TDPBUUD} {
		do(Inst{Op: TILEZERO}, 0, nil)
		do(Inst{Op: op, A: 1, B: 2}, 0, nil)
		do(Inst{Op: TILESTORED}, uint64(1024*i), want)
	}
	do(Inst{Op: STTILECFG}, 5120, want)
	if !bytes.Equal(c, want) {
		t.Errorf("%dx%dx%d: the program's results are not those of the model", m, n, k)
	}
}

// Threads have tiles of their own, memory is that of the program, signals come
// through: goroutines on more threads than cores, with collections, that preempt
// them by signals, going on.
func TestTrace(t *testing.T) {
	const threads, rounds = 4, 25
	if !Active() {
		res := Rerun(t, "^TestTrace$")
		for op, n := range res.Count {
			want := int64(threads * rounds)
			switch Op(op) {
			case TILEZERO, TILESTORED:
				want *= 5
			}
			if n != want {
				t.Errorf("%v: %d performed, want %d", Op(op), n, want)
			}
		}
		return
	}
	f := function(t, machineCode)
	stop := make(chan bool)
	var bg, wg sync.WaitGroup
	bg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				runtime.GC()
			}
		}
	})
	for i := range threads {
		wg.Go(func() {
			runtime.LockOSThread()
			r := rand.New(rand.NewPCG(uint64(i), 9))
			for range rounds {
				one(t, f, r)
			}
		})
	}
	wg.Wait()
	close(stop)
	bg.Wait()
}

// How the program ends is handed on: helper is what it does.
func TestExit(t *testing.T) {
	if Active() {
		helper(t, os.Getenv("HELPER"))
		return
	}
	for _, c := range []struct {
		helper string
		exit   int
		out    string
	}{
		{"pass", 0, "PASS"},
		{"fail", 1, "as wished"},
		{"exit", 3, ""},
		{"kill", 128 + 9, ""},
		{"ud2", 2, "SIGILL: illegal instruction"},
		{"hlt", 2, "signal SIGSEGV"},
		{"release", 0, "PASS"},
		{"unconfigured", 2, "SIGILL: illegal instruction"},
		{"palette", 2, "signal SIGSEGV"},
		{"child", 0, "hello from a child"},
	} {
		t.Setenv("HELPER", c.helper)
		res, out := rerun(t, "-test.run=^TestExit$", "-test.v")
		if res.Exit != c.exit || !strings.Contains(string(out), c.out) {
			t.Errorf("%s: exit status %d, want %d with %q:\n%s", c.helper, res.Exit, c.exit, c.out, out)
		}
	}
}

func helper(t *testing.T, what string) {
	var cfg [64]byte
	call := func(code string) { function(t, code)(&cfg[0], &cfg[0], &cfg[0], &cfg[0]) }
	switch what {
	case "pass":
	case "fail":
		t.Error("as wished")
	case "exit":
		os.Exit(3)
	case "kill":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		time.Sleep(time.Minute)
	case "ud2":
		call(ud2)
	case "hlt":
		call(hlt)
	case "release":
		call("c4e27849c0" + ret)
	case "unconfigured": // TILEZERO
		call("c4e27b49c0" + ret)
	case "palette":
		cfg[0] = 2
		call("c4e2784900" + ret)
	case "child":
		out, err := exec.Command("echo", "hello from a child").CombinedOutput()
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s", out)
	default:
		t.Fatalf("no helper %q", what)
	}
}
