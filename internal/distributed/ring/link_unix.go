//go:build unix

package ring

import (
	"io"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// read reads some of p: it asks for data again and again for a short time that depends
// on whether that was of use before, and then sleeps until there are any.
func (l *link) read(p []byte, patient bool) (int, error) {
	if l.raw == nil {
		return l.conn.Read(p)
	}
	l.in, l.got, l.inErr = p, 0, nil
	if !patient && l.spin > minSpin {
		return l.readSpinning()
	}
	return l.result(l.raw.Read(l.readFn))
}

// readSpinning keeps the time to spin between two bounds: twice as long when data came,
// half when they did not.
func (l *link) readSpinning() (int, error) {
	start := time.Now()
	for {
		err := l.raw.Control(l.askFn)
		if err != nil || l.asked {
			l.spin = min(2*l.spin, maxSpin)
			return l.result(err)
		}
		if time.Since(start) > l.spin {
			break
		}
		runtime.Gosched()
	}
	l.spin = max(l.spin/2, 2*minSpin)
	return l.result(l.raw.Read(l.readFn))
}

func (l *link) result(err error) (int, error) {
	if err == nil {
		err = l.inErr
	}
	l.in = nil
	return l.got, err
}

// tryRead reads what is there; it reports false if that is nothing.
func (l *link) tryRead(fd uintptr) bool {
	for {
		n, err := unix.Read(int(fd), l.in)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return false
		case err != nil:
			l.inErr = err
		case n == 0:
			l.inErr = io.EOF
		default:
			l.got = n
		}
		return true
	}
}

// writeSome writes what of l.out the system takes at once.
func (l *link) writeSome() (int, error) {
	if l.raw == nil {
		return 0, nil
	}
	l.put, l.outErr = 0, nil
	if err := l.raw.Write(l.writeFn); err != nil {
		return 0, err
	}
	return l.put, l.outErr
}

// tryWrite writes the start of l.out and never waits.
func (l *link) tryWrite(fd uintptr) bool {
	for {
		n, err := unix.Write(int(fd), l.out)
		if err == unix.EINTR {
			continue
		}
		if err == nil {
			l.put = n
		} else if err != unix.EAGAIN {
			l.outErr = err
		}
		return true
	}
}
