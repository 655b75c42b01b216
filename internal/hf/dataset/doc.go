// Package dataset tells which files of a Hub's dataset belong to which split, and which
// rows a slice as train[:80%] stands for, by the rules of Hugging Face's datasets. It
// knows names and numbers only: fetching and reading are done elsewhere.
package dataset
