//go:build !linux

// Package nettest makes hosts for tests, on Linux.
package nettest
