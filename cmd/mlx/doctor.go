package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/doctor"
	"github.com/mlxgo/mlx/internal/metal"
)

// doctorOptions are the options of mlx doctor.
type doctorOptions struct {
	machineOptions `mapstructure:",squash"`

	Quick bool `mapstructure:"quick"`
	Tune  bool `mapstructure:"tune"`
	JSON  bool `mapstructure:"json"`
}

const doctorLong = `Tell what of this program works on this machine, as a report to paste into an issue.

It says what the machine and its GPU are, compiles the kernels that language models
need, and runs small calls of the ops on the CPU and on the GPU, in float32, float16
and bfloat16, against recorded numbers: of float64, or of MLX where the name says so.
A line begins with ok, FAIL or left out. What has no kernel on the GPU and ran on the
CPU instead is named. Then memory, products with 4-bit matrices and matrix products
are measured, each at its best of some runs; --quick leaves this out.

The exit status is 1 when anything is wrong, and the last line on standard error names
it. On a Mac, MTL_DEBUG_LAYER=1 and MTL_SHADER_VALIDATION=1 in the environment make
Metal check, too.

--tune prints instead which kernels, tiles and thresholds are chosen for this GPU.`

func newDoctor(s *streams, runF func(*streams, *doctorOptions) error) *cobra.Command {
	o := &doctorOptions{}
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check what works on this machine",
		Long:  doctorLong,
		Example: `  mlx doctor
  mlx doctor --quick --json`,
		Args: noArgs(""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := bind(cmd, o); err != nil {
				return err
			}
			if o.Tune && o.Quick {
				return usagef("--tune measures nothing: leave out --quick")
			}
			return runF(s, o)
		},
	}
	f := cmd.Flags()
	f.Bool("quick", false, "measure nothing")
	f.Bool("tune", false, "print what is chosen for this GPU instead")
	f.Bool("json", false, "print a JSON object instead")
	addMachine(f)
	addConfig(cmd)
	return cmd
}

// doctorBuild is what this program was made of, and how.
type doctorBuild struct {
	build
	Tags string `json:"tags"`
	CGO  bool   `json:"cgo"`
}

func readDoctorBuild() doctorBuild {
	set := buildSettings()
	return doctorBuild{build: readBuild(), Tags: set["-tags"], CGO: set["CGO_ENABLED"] == "1"}
}

// doctorReport is what --json prints.
type doctorReport struct {
	Build doctorBuild `json:"build"`
	doctor.Report
}

func runDoctor(s *streams, o *doctorOptions) error {
	if err := o.apply(); err != nil {
		return err
	}
	if o.Tune {
		return o.tune(s)
	}
	r := doctorReport{Build: readDoctorBuild()}
	r.Machine = doctor.Describe()
	p := &doctorPrinter{out: s.out, quiet: o.JSON}
	p.machine(r.Build, r.Machine)
	devices := doctor.Devices()
	if len(devices) > 1 {
		p.title("Kernels of the GPU")
		doctor.Compile(func(c doctor.Compiled) {
			r.Compiled = append(r.Compiled, c)
			p.compiled(c)
		})
	}
	for _, d := range devices {
		p.title("Checks on the " + doctor.NameOf(d))
		err := doctor.Checks(d, func(c doctor.Result) {
			r.Checks = append(r.Checks, c)
			p.check(c)
		})
		if err != nil {
			return err
		}
		p.endChecks()
	}
	if !o.Quick {
		p.title("Measures")
		for _, d := range devices {
			doctor.Measures(d, func(m doctor.Measure) {
				r.Measures = append(r.Measures, m)
				p.measure(m)
			})
		}
	}
	if o.JSON {
		if err := writeJSON(s, r); err != nil {
			return err
		}
	} else if p.err != nil {
		return p.err
	}
	return r.Err()
}

// tuneReport is what --tune --json prints.
type tuneReport struct {
	GPU      *doctor.GPU     `json:"gpu"`
	Settings []metal.Setting `json:"settings"`
}

func (o *doctorOptions) tune(s *streams) error {
	m := doctor.Describe()
	if m.GPU == nil || mlx.DefaultDevice() == mlx.CPU {
		why := m.Missing
		if m.GPU != nil {
			why = "it was not asked for"
		}
		return fmt.Errorf("--tune is about a GPU that is used, and there is none: %s", why)
	}
	settings, err := metal.Tuning()
	if err != nil {
		return err
	}
	if o.JSON {
		return writeJSON(s, tuneReport{m.GPU, settings})
	}
	w := newTable(s.out)
	w.line("GPU", "%s", gpuName(m.GPU))
	for _, t := range settings {
		w.line(t.Family, "%s: %s", t.Case, t.Choice)
	}
	return w.Flush()
}
