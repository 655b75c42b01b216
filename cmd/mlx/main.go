// Command mlx runs language models. See mlx --help, and the files of this package:
// one per command. Computing is the business of internal/llm; here flags become its
// options, and its results become text.
package main

import "os"

func main() { os.Exit(run(os.Args[1:], stdStreams())) }
