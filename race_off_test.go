//go:build !race

package mlx_test

const raceEnabled = false
