package limits

import (
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestBufferSize(t *testing.T) {
	for _, c := range []struct {
		cache, memory, want int64
	}{
		{0, 0, 1 << 30},
		{32 << 20, 24 << 30, 1 << 30},
		{480 << 20, 24 << 30, 1920 << 20},
		{1 << 30, 256 << 30, 2 << 30},
		{32 << 20, 4 << 30, 512 << 20},
		{32 << 20, 1 << 30, 256 << 20},
	} {
		if got := BufferSize(Machine{Cache: c.cache, Memory: c.memory}); got != c.want {
			t.Errorf("cache %d, memory %d: %d, want %d", c.cache, c.memory, got, c.want)
		}
	}
}

// What is measured depends on the machine; that it is a rate of the work does not.
func TestProbe(t *testing.T) {
	p, err := New(8<<20, time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	for _, threads := range []int{1, 2, 3} {
		for name, f := range map[string]func(int) (float64, error){"read": p.Read, "multiply-add": p.MultiplyAdd} {
			if rate, err := f(threads); err != nil || !(rate > 1e3 && rate < 1e16) {
				t.Errorf("%s by %d threads: %g, %v", name, threads, rate, err)
			}
		}
	}
	for _, f := range []func(int) (float64, error){p.Read, p.MultiplyAdd} {
		if _, err := f(0); err == nil {
			t.Error("no threads are no error")
		}
	}
	if _, err := p.Read(1 << 20); err == nil {
		t.Error("parts without a byte are no error")
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Read(1); err == nil {
		t.Error("a closed probe reads")
	}
	if _, err := New(0, time.Second); err == nil || !strings.Contains(err.Error(), "limits: 0 bytes") {
		t.Errorf("an empty buffer: %v", err)
	}
}

func TestHost(t *testing.T) {
	m := Host()
	if m.Cores != runtime.NumCPU() || m.Cache < 0 || m.Memory < 0 {
		t.Errorf("%+v", m)
	}
	if runtime.GOOS != "linux" {
		return
	}
	before := PeakResident()
	if m.Memory < 1<<20 || before < 1<<20 {
		t.Errorf("%+v, peak %d", m, before)
	}
	b, err := mapPages(64 << 20)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(b); i += 4096 {
		b[i] = 1
	}
	if after := PeakResident(); after < before || after < 64<<20 {
		t.Errorf("the peak is %d after 64 MiB, %d before", after, before)
	}
	if err := unmapPages(b); err != nil {
		t.Fatal(err)
	}
}
