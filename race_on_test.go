//go:build race

package mlx_test

const raceEnabled = true
