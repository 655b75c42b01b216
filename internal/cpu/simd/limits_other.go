//go:build !amd64 || purego || race

package simd

func peakName() string { return "go" }

func peakRead(b []byte) { readGo(b) }

func peakMultiplyAdd(rounds int) int64 { return multiplyAddGo(rounds) }
