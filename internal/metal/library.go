package metal

import (
	"embed"
	"fmt"
	"strings"
	"sync"

	"github.com/mlxgo/mlx/internal/metal/gpu"
)

//go:embed kernels
var kernelFiles embed.FS

// kernelCache compiles lazily: a library per function and template arguments, so that one
// that does not compile takes no other with it.
type kernelCache struct {
	dev  gpu.Device
	mu   sync.Mutex
	libs map[string]*library
}

type library struct {
	once    sync.Once
	lib     gpu.Library
	err     error
	mu      sync.Mutex
	kernels map[string]gpu.Kernel // by name and constants
}

// instance names function fn of kernels/FILE.metal with template arguments.
type instance struct {
	file, fn string
	args     []string
}

// hostName is the name that the instantiation gets.
func (i instance) hostName() string {
	if len(i.args) == 0 {
		return i.fn
	}
	return i.fn + "_" + strings.NewReplacer(" ", "", "<", "_", ">", "", ",", "_", ":", "", "-", "m").Replace(strings.Join(i.args, "_"))
}

// source is the file and the instantiation.
func (i instance) source() (string, error) {
	text, err := kernelSource(i.file)
	if err != nil || len(i.args) == 0 {
		return text, err
	}
	f := i.fn + "<" + strings.Join(i.args, ", ") + ">"
	return text + fmt.Sprintf("\ntemplate [[host_name(%q)]] [[kernel]] decltype(%s) %s;\n", i.hostName(), f, f), nil
}

// kernelSource is kernels/FILE.metal with the headers that it includes from there.
func kernelSource(file string) (string, error) {
	return expand(file+".metal", map[string]bool{})
}

func expand(file string, seen map[string]bool) (string, error) {
	text, err := kernelFiles.ReadFile("kernels/" + file)
	if err != nil {
		return "", fmt.Errorf("metal: there is no kernel file %s", file)
	}
	seen[file] = true
	var b strings.Builder
	fmt.Fprintf(&b, "#line 1 %q\n", file)
	for n, line := range strings.SplitAfter(string(text), "\n") {
		name, ok := strings.CutPrefix(strings.TrimSpace(line), `#include "`)
		if !ok {
			b.WriteString(line)
			continue
		}
		name = strings.TrimSuffix(name, `"`)
		if !seen[name] {
			inner, err := expand(name, seen)
			if err != nil {
				return "", err
			}
			b.WriteString(inner)
		}
		fmt.Fprintf(&b, "\n#line %d %q\n", n+2, file)
	}
	return b.String(), nil
}

// kernel compiles an instance, once, and specializes it.
func (c *kernelCache) kernel(i instance, consts []gpu.Const) (gpu.Kernel, error) {
	name := i.hostName()
	l := c.library(i.file+"."+name, gpu.Safe, func() (string, error) { return i.source() })
	return l.kernel(name, consts)
}

// generated is kernel for source that was made for key.
func (c *kernelCache) generated(key, name string, math gpu.Math, source func() (string, error), consts []gpu.Const) (gpu.Kernel, error) {
	return c.library(key, math, source).kernel(name, consts)
}

func (c *kernelCache) library(key string, math gpu.Math, source func() (string, error)) *library {
	c.mu.Lock()
	l := c.libs[key]
	if l == nil {
		if c.libs == nil {
			c.libs = map[string]*library{}
		}
		l = &library{}
		c.libs[key] = l
	}
	c.mu.Unlock()
	l.once.Do(func() {
		var text string
		if text, l.err = source(); l.err == nil {
			l.lib, l.err = c.dev.Compile(key, text, math)
		}
	})
	return l
}

func (l *library) kernel(name string, consts []gpu.Const) (gpu.Kernel, error) {
	if l.err != nil {
		return nil, l.err
	}
	key := name
	for _, c := range consts {
		key += fmt.Sprintf(",%d=%v", c.Index, c.Value)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if k := l.kernels[key]; k != nil {
		return k, nil
	}
	k, err := l.lib.Kernel(name, consts...)
	if err != nil {
		return nil, err
	}
	if l.kernels == nil {
		l.kernels = map[string]gpu.Kernel{}
	}
	l.kernels[key] = k
	return k, nil
}
