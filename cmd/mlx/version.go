package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/mlxgo/mlx/internal/cpu/simd"
)

// build says what this program was made of.
type build struct {
	Version  string `json:"version"`
	Commit   string `json:"commit"` // "" when the build did not record it
	Modified bool   `json:"modified"`
	Go       string `json:"go"`
	OS       string `json:"os"`
	Arch     string `json:"arch"`
	SIMD     string `json:"simd"`
}

// version can be set by go build -ldflags "-X main.version=v1.2.3".
var version = ""

func newVersion(s *streams) *cobra.Command {
	var o struct {
		JSON bool `mapstructure:"json"`
	}
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Show the version and how the program was built",
		Long:  "Show the version, the commit, Go's version, the platform and which CPU kernels are in use.",
		Example: `  mlx version
  mlx version --json`,
		Args: noArgs(""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := bind(cmd, &o); err != nil {
				return err
			}
			b := readBuild()
			if o.JSON {
				return json.NewEncoder(s.out).Encode(b)
			}
			_, err := fmt.Fprint(s.out, b)
			return err
		},
	}
	cmd.Flags().Bool("json", false, "print a JSON object")
	addConfig(cmd)
	return cmd
}

func (b build) String() string {
	commit := b.Commit
	if commit == "" {
		commit = "unknown"
	} else if b.Modified {
		commit += " and changes"
	}
	return fmt.Sprintf("mlx %s\ncommit %s\n%s %s/%s\nsimd %s\n", b.Version, commit, b.Go, b.OS, b.Arch, b.SIMD)
}

func readBuild() build {
	b := build{Version: version, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH, SIMD: simd.Active()}
	info, ok := debug.ReadBuildInfo()
	if ok && b.Version == "" {
		b.Version = info.Main.Version
	}
	if b.Version == "" {
		b.Version = "(devel)"
	}
	set := buildSettings()
	b.Commit, b.Modified = set["vcs.revision"], set["vcs.modified"] == "true"
	return b
}

// buildSettings are what the program was built with, as go version -m lists it.
func buildSettings() map[string]string {
	set := map[string]string{}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			set[s.Key] = s.Value
		}
	}
	return set
}
