package amxemu

import (
	"errors"
	"fmt"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Result is how a program ended that ran under emulation.
type Result struct {
	Exit  int           // its exit status; 128 plus the signal that killed it
	Count [numOps]int64 // performed instructions by [Op]
}

// thread is a traced thread.
type thread struct {
	tiles   Tiles
	started bool // its first SIGSTOP, which tracing causes, has been seen
}

type tracer struct {
	pid     int
	threads map[int]*thread
	count   [numOps]int64
}

// ErrForbidden says that this system lets no process trace its children.
var ErrForbidden = errors.New("tracing is not allowed here")

// Run runs a program, argv[0] its path, with both outputs going to out, and
// performs the AMX instructions of its threads. Signals pass through. Children
// of the program run as usual, without emulation. Run takes the exits of all
// children that its thread has started, so start no others meanwhile.
func Run(argv, env []string, out uintptr) (Result, error) {
	runtime.LockOSThread() // ptrace and wait4 answer to the thread that started the program
	defer runtime.UnlockOSThread()
	pid, err := syscall.ForkExec(argv[0], argv, &syscall.ProcAttr{
		Env: env, Files: []uintptr{0, out, out}, Sys: &syscall.SysProcAttr{Ptrace: true}})
	switch {
	case errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSYS):
		return Result{}, fmt.Errorf("%w: %w", ErrForbidden, err)
	case err != nil:
		return Result{}, fmt.Errorf("amxemu: %s: %w", argv[0], err)
	}
	t := &tracer{pid: pid, threads: map[int]*thread{pid: {started: true}}}
	exit, err := t.loop()
	if err != nil {
		_ = syscall.Kill(pid, syscall.SIGKILL)
		for e := error(nil); e == nil || e == syscall.EINTR; { // until no thread of it is left
			_, e = syscall.Wait4(-1, nil, syscall.WALL|unix.WNOTHREAD, nil)
		}
		return Result{}, fmt.Errorf("amxemu: %s: %w", argv[0], err)
	}
	return Result{exit, t.count}, nil
}

// loop serves the stops of all threads until the program has ended.
func (t *tracer) loop() (exit int, err error) {
	ready := false // the first stop is that of exec
	for {
		var ws syscall.WaitStatus
		tid, err := syscall.Wait4(-1, &ws, syscall.WALL|unix.WNOTHREAD, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return 0, err
		}
		switch {
		case ws.Exited() || ws.Signaled():
			delete(t.threads, tid)
			if tid != t.pid {
				continue
			}
			if ws.Signaled() {
				return 128 + int(ws.Signal()), nil
			}
			return ws.ExitStatus(), nil
		case !ws.Stopped():
			continue
		}
		sig := ws.StopSignal()
		if !ready {
			ready, sig = true, 0
			if err := t.begin(); err != nil {
				return 0, err
			}
		} else if sig, err = t.stop(tid, sig, ws.TrapCause() > 0); err != nil {
			return 0, err
		}
		if err := syscall.PtraceCont(tid, int(sig)); err != nil && err != syscall.ESRCH { // the stop can end in SIGKILL
			return 0, err
		}
	}
}

// begin prepares for threads to come, and tries whether memory can be read.
func (t *tracer) begin() error {
	if err := syscall.PtraceSetOptions(t.pid, unix.PTRACE_O_TRACECLONE|unix.PTRACE_O_EXITKILL); err != nil {
		return err
	}
	var regs syscall.PtraceRegs
	if err := syscall.PtraceGetRegs(t.pid, &regs); err != nil {
		return err
	}
	if memory(t.pid).code(regs.Rip, make([]byte, 1)) == 0 {
		return fmt.Errorf("%w: process_vm_readv reads nothing", ErrForbidden)
	}
	return nil
}

// stop serves a stopped thread; sig is the signal that it goes on with.
func (t *tracer) stop(tid int, sig syscall.Signal, event bool) (syscall.Signal, error) {
	th := t.threads[tid]
	if th == nil { // seen before or after the event of its creation
		th = &thread{}
		t.threads[tid] = th
	}
	switch {
	case event:
		return 0, nil
	case sig == syscall.SIGSTOP && !th.started:
		th.started = true
		return 0, nil
	case sig == syscall.SIGILL:
		sig, err := t.emulate(tid, th)
		if err == syscall.ESRCH {
			err = nil
		}
		return sig, err
	}
	return sig, nil
}

// emulate performs the AMX instructions at the thread's instruction pointer, as
// many as follow each other, and moves it behind them.
func (t *tracer) emulate(tid int, th *thread) (syscall.Signal, error) {
	var regs syscall.PtraceRegs
	if err := syscall.PtraceGetRegs(tid, &regs); err != nil {
		return 0, err
	}
	mem := memory(tid)
	var code [128]byte
	n := mem.code(regs.Rip, code[:])
	var err error
	off := 0
	for off < n {
		in, ok := Decode(code[off:n])
		if !ok {
			break
		}
		addr, stride := in.Addr(&[16]uint64{regs.Rax, regs.Rcx, regs.Rdx, regs.Rbx, regs.Rsp, regs.Rbp, regs.Rsi, regs.Rdi,
			regs.R8, regs.R9, regs.R10, regs.R11, regs.R12, regs.R13, regs.R14, regs.R15}, regs.Rip+uint64(off+in.Len))
		if err = th.tiles.Do(in, addr, stride, mem); err != nil {
			break
		}
		t.count[in.Op]++
		off += in.Len
	}
	if off > 0 { // a fault behind the first instruction comes up again, as the first one
		regs.Rip += uint64(off)
		return 0, syscall.PtraceSetRegs(tid, &regs)
	}
	var page *PageFault
	switch {
	case errors.As(err, &page):
		return syscall.SIGSEGV, setSegv(tid, segvAccErr, page.Addr)
	case err == ErrProtection:
		return syscall.SIGSEGV, setSegv(tid, siKernel, 0)
	case err == nil || err == ErrUndefined:
		return syscall.SIGILL, nil
	}
	return 0, err
}

// Codes of a SIGSEGV.
const (
	segvAccErr = 2    // SEGV_ACCERR
	siKernel   = 0x80 // SI_KERNEL: a general protection fault
)

// setSegv replaces the signal that the thread stopped for by a SIGSEGV.
func setSegv(tid int, code int32, addr uint64) error {
	info := struct {
		signo, errno, code, _ int32
		addr                  uint64
		_                     [104]byte
	}{signo: int32(syscall.SIGSEGV), code: code, addr: addr}
	_, _, e := syscall.Syscall6(syscall.SYS_PTRACE, unix.PTRACE_SETSIGINFO, uintptr(tid), 0, uintptr(unsafe.Pointer(&info)), 0, 0)
	if e != 0 {
		return e
	}
	return nil
}

// memory is that of the program of a thread, with the access rights that it has.
type memory int

// code reads what is there of the instructions at pc.
func (m memory) code(pc uint64, b []byte) int {
	n, err := unix.ProcessVMReadv(int(m), []unix.Iovec{iovec(b)}, []unix.RemoteIovec{{Base: uintptr(pc), Len: len(b)}}, 0)
	if err != nil { // not even the first piece: b may cross into memory that is not there
		b = b[:min(len(b), int(-pc&4095))]
		n, _ = unix.ProcessVMReadv(int(m), []unix.Iovec{iovec(b)}, []unix.RemoteIovec{{Base: uintptr(pc), Len: len(b)}}, 0)
	}
	return max(n, 0)
}

func iovec(b []byte) unix.Iovec {
	v := unix.Iovec{Base: unsafe.SliceData(b)}
	v.SetLen(len(b))
	return v
}

// Rows implements [Memory].
func (m memory) Rows(write bool, addr, stride uint64, rows [][]byte) (int, error) {
	f := unix.ProcessVMReadv
	if write {
		f = unix.ProcessVMWritev
	}
	var local [maxRows]unix.Iovec
	var remote [maxRows]unix.RemoteIovec
	for i, r := range rows {
		local[i] = iovec(r)
		remote[i] = unix.RemoteIovec{Base: uintptr(addr + uint64(i)*stride), Len: len(r)}
	}
	n, err := f(int(m), local[:len(rows)], remote[:len(rows)], 0)
	if err != nil && err != syscall.EFAULT { // the thread is being killed
		return 0, err
	}
	done := max(n, 0) / len(rows[0])
	if done == len(rows) {
		return done, nil
	}
	at := addr + uint64(done)*stride
	if k, _ := f(int(m), []unix.Iovec{iovec(rows[done][:1])}, []unix.RemoteIovec{{Base: uintptr(at), Len: 1}}, 0); k == 1 {
		at = (at + 4095) &^ 4095 // the row begins well
	}
	return done, &PageFault{at, write}
}
