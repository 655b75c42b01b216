//go:build race

package ring

// raceEnabled: the detector makes the whole suite and large arrays too slow.
const raceEnabled = true
