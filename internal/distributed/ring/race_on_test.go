//go:build race

package ring

// raceEnabled: the detector makes the whole suite too slow; local runs it.
const raceEnabled = true
