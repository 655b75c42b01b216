package llm

import (
	"bufio"
	"bytes"
	"math"
	"os"
	"strconv"
	"strings"
)

// availableMemory is what the kernel says new work may use, within the control
// group's limit; 0 when it cannot be told. File pages that can be dropped count.
func availableMemory() int64 {
	have := int64(0)
	data, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	for s := bufio.NewScanner(bytes.NewReader(data)); s.Scan(); {
		if f := strings.Fields(s.Text()); len(f) >= 2 && f[0] == "MemAvailable:" {
			kb, _ := strconv.ParseInt(f[1], 10, 64)
			have = kb << 10
		}
	}
	if limit := readNumber("/sys/fs/cgroup/memory.max"); limit > 0 && limit < math.MaxInt64 {
		used := readNumber("/sys/fs/cgroup/memory.current") - groupFileBytes()
		if left := limit - max(used, 0); have == 0 || left < have {
			have = max(left, 1)
		}
	}
	return have
}

func readNumber(path string) int64 {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// groupFileBytes is the group's page cache, which gives way.
func groupFileBytes() int64 {
	data, err := os.ReadFile("/sys/fs/cgroup/memory.stat")
	if err != nil {
		return 0
	}
	for s := bufio.NewScanner(bytes.NewReader(data)); s.Scan(); {
		if f := strings.Fields(s.Text()); len(f) == 2 && f[0] == "file" {
			n, _ := strconv.ParseInt(f[1], 10, 64)
			return n
		}
	}
	return 0
}
