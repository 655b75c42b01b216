package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/mlxgo/mlx/internal/doctor"
)

// doctorPrinter writes the report as it comes.
type doctorPrinter struct {
	out   io.Writer
	quiet bool
	err   error // the first of writing

	group  []doctor.Result // of one check, in several dtypes
	counts map[string]int
}

func (p *doctorPrinter) printf(format string, args ...any) {
	if p.quiet || p.err != nil {
		return
	}
	_, p.err = fmt.Fprintf(p.out, format, args...)
}

// line is a word and what it is about; further lines of the text are indented.
func (p *doctorPrinter) line(word, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	for i, l := range strings.Split(text, "\n") {
		if i > 0 {
			word = ""
		}
		p.printf("%s\n", strings.TrimRight(fmt.Sprintf("%-13s%s", word, visible(strings.ReplaceAll(l, "\t", "    "))), " "))
	}
}

func (p *doctorPrinter) title(text string) { p.printf("\n%s\n", text) }

func (p *doctorPrinter) machine(b doctorBuild, m doctor.Machine) {
	commit := b.Commit
	if commit == "" {
		commit = "unknown"
	} else if b.Modified {
		commit += " and changes"
	}
	tags := ""
	if b.Tags != "" {
		tags = ", tags " + b.Tags
	}
	p.line("mlx", "%s, commit %s, %s %s/%s, cgo %s%s", b.Version, commit, b.Go, b.OS, b.Arch, map[bool]string{true: "on", false: "off"}[b.CGO], tags)
	p.line("system", "%s", m.System)
	p.line("CPU", "%s, %d cores, simd %s, %s of memory", orUnknown(m.CPU), m.Cores, m.SIMD, gib(m.Memory))
	g := m.GPU
	if g == nil {
		p.line("GPU", "none: %s", m.Missing)
		return
	}
	p.line("GPU", "%s", gpuName(g))
	p.line("", "memory %s, working set up to %s, buffers up to %s, pages of %d bytes", gib(g.Memory), gib(g.WorkingSet), gib(g.MaxBuffer), g.PageSize)
	language := "Metal Shading Language " + orUnknown(g.MSL)
	if g.System != "" {
		language += " on " + g.System
	}
	p.line("", "%s", language)
}

// gpuName is what the GPU is, in a line.
func gpuName(g *doctor.GPU) string {
	name := fmt.Sprintf("%s, architecture %s, generation %d", g.Name, orUnknown(g.Architecture), g.Generation)
	if g.Tier != "" {
		name += ", tier " + g.Tier
	}
	if g.Emulated {
		name += ", emulated by the CPU"
	}
	return name
}

func orUnknown(text string) string {
	if text == "" {
		return "unknown"
	}
	return text
}

func gib(n int64) string {
	if n == 0 {
		return "an unknown amount"
	}
	return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
}

func (p *doctorPrinter) compiled(c doctor.Compiled) {
	bad := len(c.Faults)
	if bad == 0 {
		p.line(doctor.OK, "%s: %d compile in %.1f s", c.File, c.Variants, c.Seconds)
		return
	}
	p.line(doctor.Failed, "%s: %d of %d do not compile", c.File, bad, c.Variants)
	for _, f := range c.Faults {
		p.line("", "%s: %s", f.Kernel, f.Message)
	}
}

// check gathers the dtypes of a check, which are a line if all are well.
func (p *doctorPrinter) check(r doctor.Result) {
	if len(p.group) > 0 && p.group[0].Name != r.Name {
		p.flush()
	}
	p.group = append(p.group, r)
}

func (p *doctorPrinter) flush() {
	same := true
	var types []string
	for _, r := range p.group {
		same = same && r.Status == p.group[0].Status && r.Status != doctor.Failed && strings.Join(r.OnCPU, " ") == strings.Join(p.group[0].OnCPU, " ")
		types = append(types, r.DType)
		if p.counts == nil {
			p.counts = map[string]int{}
		}
		p.counts[r.Status]++
	}
	if same && len(p.group) > 0 {
		p.result(p.group[0], strings.TrimSpace(strings.Join(types, " ")))
	} else {
		for _, r := range p.group {
			p.result(r, r.DType)
		}
	}
	p.group = nil
}

func (p *doctorPrinter) result(r doctor.Result, types string) {
	text := r.Name
	if types != "" {
		text += ", " + types
	}
	if len(r.OnCPU) > 0 {
		text += " (on the CPU: " + strings.Join(r.OnCPU, ", ") + ")"
	}
	if r.Detail != "" {
		text += ": " + r.Detail
	}
	if r.Status == doctor.Failed && len(r.Kernels) > 0 {
		text += "\nkernels: " + strings.Join(r.Kernels, ", ")
	}
	p.line(r.Status, "%s", text)
}

func (p *doctorPrinter) endChecks() {
	p.flush()
	p.line("", "%d are ok, %d fail, %d are left out", p.counts[doctor.OK], p.counts[doctor.Failed], p.counts[doctor.LeftOut])
	p.counts = nil
}

func (p *doctorPrinter) measure(m doctor.Measure) {
	if m.Fault != "" {
		p.line(doctor.Failed, "%s: %s: %s", m.Device, m.Name, m.Fault)
		return
	}
	p.line("", "%s: %s: %.4g G%s/s", m.Device, m.Name, m.Rate/1e9, m.Unit)
}
