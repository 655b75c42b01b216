//go:build !unix

package main

func ignoreTerminalInput() {}
