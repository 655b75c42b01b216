// Package doctor tells what of this program works on a machine: what the machine is,
// which kernels of its GPU compile, whether small calls of the ops give the numbers that
// were recorded for them, and how fast the memory and some products are.
//
// It is a report for people who have a machine that the authors have not; it changes
// nothing.
package doctor

import (
	"fmt"
	"runtime"
	"strings"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/cpu/limits"
	"github.com/mlxgo/mlx/internal/cpu/simd"
	"github.com/mlxgo/mlx/internal/metal"
)

// A Machine is what the report is about.
type Machine struct {
	System  string `json:"system"` // and its version
	CPU     string `json:"cpu"`    // "" when the system does not say
	Cores   int    `json:"cores"`
	SIMD    string `json:"simd"`   // kernels in use
	Memory  int64  `json:"memory"` // bytes, 0 when unknown
	GPU     *GPU   `json:"gpu"`
	Missing string `json:"missing,omitempty"` // why there is no GPU
}

// A GPU is what a Metal device says of itself; sizes are bytes.
type GPU struct {
	Name         string `json:"name"`
	Architecture string `json:"architecture"`
	Generation   int    `json:"generation"`
	Tier         string `json:"tier"`
	Memory       int64  `json:"memory"`
	WorkingSet   int64  `json:"working_set"`
	MaxBuffer    int64  `json:"max_buffer"`
	PageSize     int    `json:"page_size"`
	MSL          string `json:"msl"`
	System       string `json:"system"`
	Emulated     bool   `json:"emulated"`
}

// Describe is this machine.
func Describe() Machine {
	h := limits.Host()
	m := Machine{System: system(), CPU: h.CPU, Cores: h.Cores, SIMD: simd.Active(), Memory: h.Memory}
	i, ok := metal.Info()
	if !ok {
		m.Missing = missing()
		return m
	}
	m.GPU = &GPU{Name: i.Name, Architecture: i.Architecture, Generation: i.Generation, Memory: i.Memory, WorkingSet: i.WorkingSet,
		MaxBuffer: i.MaxBuffer, PageSize: i.PageSize, MSL: i.MSL, System: i.System, Emulated: i.Emulated}
	if i.Tier != 0 {
		m.GPU.Tier = string(rune(i.Tier))
	}
	if m.GPU.System != "" && !i.Emulated {
		m.System = m.GPU.System + " " + runtime.GOARCH
	}
	return m
}

// missing says why there is no GPU.
func missing() string {
	if err := metal.Available(); err != nil {
		return err.Error()
	}
	return "it was not asked for"
}

// Devices are what the report is about: the CPU, and the default device if it is another.
func Devices() []mlx.Device {
	if d := mlx.DefaultDevice(); d != mlx.CPU {
		return []mlx.Device{mlx.CPU, d}
	}
	return []mlx.Device{mlx.CPU}
}

// NameOf is a device's name in the report.
func NameOf(d mlx.Device) string {
	if d == mlx.CPU {
		return "CPU"
	}
	return "GPU"
}

// A Report is what was found.
type Report struct {
	Machine  Machine    `json:"machine"`
	Compiled []Compiled `json:"compiled"`
	Checks   []Result   `json:"checks"`
	Measures []Measure  `json:"measures"`
}

// Err names all that is wrong; nil if nothing is.
func (r *Report) Err() error {
	var l []string
	for _, c := range r.Compiled {
		for _, f := range c.Faults {
			l = append(l, fmt.Sprintf("the kernel %s of %s does not compile", f.Kernel, c.File))
		}
	}
	for _, c := range r.Checks {
		if c.Status == Failed {
			l = append(l, fmt.Sprintf("%s on the %s", c.Title(), c.Device))
		}
	}
	for _, m := range r.Measures {
		if m.Fault != "" {
			l = append(l, fmt.Sprintf("%s on the %s cannot be measured", m.Name, m.Device))
		}
	}
	switch len(l) {
	case 0:
		return nil
	case 1:
		return fmt.Errorf("a check fails: %s", l[0])
	}
	const most = 5
	text := strings.Join(l[:min(len(l), most)], "; ")
	if len(l) > most {
		text += fmt.Sprintf("; and %d more", len(l)-most)
	}
	return fmt.Errorf("%d checks fail: %s", len(l), text)
}
