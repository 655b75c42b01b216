//go:build linux && metalemu

package examples

const (
	buildTags = "metalemu"
	metalEnv  = "MLX_DEVICE=metal-emu"
)

// hasMetal: programs are built with the emulator.
func hasMetal() bool { return true }
