// Command randommodel writes a model with random weights in the shape of a real one,
// to measure speed with: as an MLX directory, and as a GGUF file for llama.cpp with as
// many bits a weight. Its vocabulary is made up, so feed token ids.
//
//	randommodel -shape llama1b -bits 4 -mlx DIR -gguf FILE
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
)

// shape is the sizes of a model of the llama family whose output is tied to its
// embeddings.
type shape struct {
	modelType string // of config.json, and the architecture of GGUF
	layers    int
	hidden    int
	inner     int
	heads     int
	kvHeads   int
	headDim   int
	vocab     int
	context   int
	ropeBase  float64
	eps       float64
	qkNorm    bool // each head's queries and keys are normalized
}

// shapes: those of Llama-3.2-1B (without the scaling of its RoPE), Qwen3-0.6B, the
// built-in model, and one for tests.
var shapes = map[string]shape{
	"llama1b":  {"llama", 16, 2048, 8192, 32, 8, 64, 128256, 131072, 500000, 1e-5, false},
	"qwen06":   {"qwen3", 28, 1024, 3072, 16, 8, 128, 151936, 40960, 1000000, 1e-6, true},
	"story10m": {"llama", 6, 384, 1024, 6, 2, 64, 2048, 512, 10000, 1e-5, false},
	"tiny":     {"qwen3", 2, 128, 192, 4, 2, 32, 320, 64, 10000, 1e-6, true},
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("randommodel: ")
	if err := run(os.Args[1:]); err != nil {
		log.Fatal(err)
	}
}

func run(args []string) error {
	f := flag.NewFlagSet("randommodel", flag.ContinueOnError)
	name := f.String("shape", "llama1b", strings.Join(slices.Sorted(maps.Keys(shapes)), ", "))
	bits := f.Int("bits", 4, "bits of a weight: 4 and 8 (affine in groups of 64, and Q4_0 and Q8_0), 16 (bfloat16)")
	dir := f.String("mlx", "", "directory to write an MLX model to")
	file := f.String("gguf", "", "file to write a GGUF model to")
	if err := f.Parse(args); err != nil {
		return err
	}
	s, ok := shapes[*name]
	switch {
	case !ok:
		return fmt.Errorf("-shape %s: there are %s", *name, strings.Join(slices.Sorted(maps.Keys(shapes)), ", "))
	case *bits != 4 && *bits != 8 && *bits != 16:
		return fmt.Errorf("-bits %d: there are 4, 8 and 16", *bits)
	case f.NArg() > 0:
		return fmt.Errorf("unexpected argument %q", f.Arg(0))
	case *dir == "" && *file == "":
		return errors.New("neither -mlx nor -gguf says what to write")
	}
	if *dir != "" {
		if err := writeMLX(*dir, s, *bits); err != nil {
			return err
		}
	}
	if *file != "" {
		return writeGGUF(*file, s, *bits, "random-"+*name)
	}
	return nil
}

// firstWord is the id after those of the special tokens and the 256 bytes.
const firstWord = 3 + 256

// vocabulary is n made-up tokens: three special ones, bytes, words.
func vocabulary(n int) []string {
	tokens := []string{"<unk>", "<s>", "</s>"}
	for i := range 256 {
		tokens = append(tokens, fmt.Sprintf("<0x%02X>", i))
	}
	for i := firstWord; i < n; i++ {
		tokens = append(tokens, fmt.Sprintf("t%d", i))
	}
	return tokens
}

// scale4 and scale8 are what a step of a code stands for: random codes then have a
// deviation of about 0.02.
const (
	scale4 = 0.0043
	scale8 = 0.00027
)

// noise is a stream of random blocks. It is a reused megabyte, begun elsewhere for
// each tensor: what matters is that no two reads meet the same memory.
type noise struct {
	rng   *rand.Rand
	units []byte
	size  int // of a block
}

// newNoise makes blocks of size bytes by fill.
func newNoise(size int, fill func(rng *rand.Rand, block []byte)) *noise {
	n := &noise{rng: rand.New(rand.NewPCG(1, uint64(size))), size: size}
	n.units = make([]byte, (1<<20)/size*size)
	for at := 0; at < len(n.units); at += size {
		fill(n.rng, n.units[at:at+size])
	}
	return n
}

// write writes so many bytes, whole blocks.
func (n *noise) write(w io.Writer, bytes int) error {
	at := n.rng.IntN(len(n.units)/n.size) * n.size
	for bytes > 0 {
		part := n.units[at:min(len(n.units), at+bytes)]
		if _, err := w.Write(part); err != nil {
			return err
		}
		bytes -= len(part)
		at = 0
	}
	return nil
}

// randomBytes fills b.
func randomBytes(rng *rand.Rand, b []byte) {
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
}

// randomBF16 fills b with bfloat16 values between -0.035 and 0.035.
func randomBF16(rng *rand.Rand, b []byte) {
	for i := 0; i+1 < len(b); i += 2 {
		h := bf16((rng.Float32() - 0.5) * 0.07)
		b[i], b[i+1] = byte(h), byte(h>>8)
	}
}
