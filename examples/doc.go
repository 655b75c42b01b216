// Package examples is a tour of mlx in small programs, one in each folder. They import
// only what any user of the module can import:
//
//	go run ./examples/mlp
//
// What each prints is in its EXPECTED.txt; a test runs them all.
package examples
