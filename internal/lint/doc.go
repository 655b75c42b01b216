// Package lint holds the house rules that a compiler does not know, as tests: who
// may import whom (layers_test.go), what must be documented and how long files and
// functions may be (docs_test.go).
//
// It has no code of its own and nothing imports it.
package lint
