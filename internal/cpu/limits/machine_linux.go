package limits

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// field is the value of the first line "name: value" of a file of /proc.
func field(file, name string) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for s := bufio.NewScanner(bytes.NewReader(data)); s.Scan(); {
		key, value, ok := strings.Cut(s.Text(), ":")
		if ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// cpuModel: x86 has a model name, arm64 mostly numbers of maker and part.
func cpuModel() string {
	const file = "/proc/cpuinfo"
	if name := field(file, "model name"); name != "" {
		if family := field(file, "cpu family"); family != "" {
			name += fmt.Sprintf(" (family %s model %s)", family, field(file, "model"))
		}
		return name
	}
	if maker := field(file, "CPU implementer"); maker != "" {
		return fmt.Sprintf("implementer %s part %s", maker, field(file, "CPU part"))
	}
	return ""
}

// lastCache is the size of the cache of the highest index that the first CPU has.
func lastCache() (size int64) {
	for i := range 8 {
		data, err := os.ReadFile(fmt.Sprintf("/sys/devices/system/cpu/cpu0/cache/index%d/size", i))
		if err != nil {
			break
		}
		text := strings.TrimSpace(string(data))
		unit := int64(1)
		switch {
		case strings.HasSuffix(text, "K"):
			unit = 1 << 10
		case strings.HasSuffix(text, "M"):
			unit = 1 << 20
		}
		if n, err := strconv.ParseInt(strings.TrimRight(text, "KM"), 10, 64); err == nil {
			size = max(size, n*unit)
		}
	}
	return size
}

func memory() int64 {
	var i unix.Sysinfo_t
	if unix.Sysinfo(&i) != nil {
		return 0
	}
	return int64(i.Totalram) * int64(i.Unit)
}

// peakResident is not getrusage's figure: that one remembers the parent's before exec.
func peakResident() int64 {
	kb, err := strconv.ParseInt(strings.TrimSuffix(field("/proc/self/status", "VmHWM"), " kB"), 10, 64)
	if err != nil {
		return 0
	}
	return kb << 10
}

// pin ties the thread to the i-th CPU that the process may use: fresh threads share
// one for milliseconds.
func pin(i int) {
	var all unix.CPUSet
	if unix.SchedGetaffinity(0, &all) != nil || all.Count() == 0 {
		return
	}
	i %= all.Count()
	for cpu := range 64 * len(all) {
		if !all.IsSet(cpu) {
			continue
		}
		if i == 0 {
			var one unix.CPUSet
			one.Set(cpu)
			_ = unix.SchedSetaffinity(0, &one) // unpinned it measures too
			return
		}
		i--
	}
}

func mapPages(size int) ([]byte, error) {
	b, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, err
	}
	_ = unix.Madvise(b, unix.MADV_HUGEPAGE) // worth a few percent where there are any
	return b, nil
}

func unmapPages(b []byte) error { return unix.Munmap(b) }
