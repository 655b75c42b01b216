package peft

import (
	"fmt"
	"slices"
	"strings"
)

// prefix begins the names of all tensors.
const prefix = "base_model.model."

// part is what a tensor is to its layer.
type part string

const (
	linearA    part = "lora_A"
	linearB    part = "lora_B"
	embeddingA part = "lora_embedding_A"
	embeddingB part = "lora_embedding_B"
	magnitude  part = "lora_magnitude_vector"
	whole      part = "" // a parameter of the base, trained whole
)

// tensorName is a name taken apart: base_model.model.MODULE.PART[.ADAPTER][.weight].
type tensorName struct {
	module  string // of a whole parameter its own name
	part    part
	adapter string // "" if the name has none, as in files that PEFT saved
}

// parseName reads a tensor's name.
func parseName(name string) (tensorName, error) {
	rest, ok := strings.CutPrefix(name, prefix)
	if !ok {
		return tensorName{}, fmt.Errorf("tensor %q: names of PEFT begin with %s", name, prefix)
	}
	words := strings.Split(rest, ".")
	if slices.Contains(words, "") {
		return tensorName{}, fmt.Errorf("tensor %q: a part of its name is empty", name)
	}
	at := slices.IndexFunc(words, func(w string) bool { return strings.HasPrefix(w, "lora_") })
	if at < 0 {
		return wholeName(name, words)
	}
	n := tensorName{module: strings.Join(words[:at], "."), part: part(words[at])}
	tail := words[at+1:]
	known, weighted := true, false
	switch n.part {
	case linearA, linearB:
		if len(tail) > 0 && tail[len(tail)-1] == "bias" {
			return n, fmt.Errorf("tensor %s: lora_bias: a bias of an adapter has no place in mlx-lm's format", name)
		}
		weighted = len(tail) > 0 && tail[len(tail)-1] == "weight"
		known = weighted
	case magnitude:
		weighted = len(tail) > 0 && tail[len(tail)-1] == "weight"
	case embeddingA, embeddingB:
	default:
		known = false
	}
	if weighted {
		tail = tail[:len(tail)-1]
	}
	if !known || at == 0 || len(tail) > 1 {
		return n, fmt.Errorf("tensor %s is none of PEFT's LoRA or DoRA", name)
	}
	if len(tail) == 1 {
		n.adapter = tail[0]
	}
	return n, nil
}

// wholeName is of a parameter of the base: MODULE[.modules_to_save[.ADAPTER]].weight.
func wholeName(name string, words []string) (tensorName, error) {
	n := tensorName{part: whole}
	last := words[len(words)-1]
	path := words[:len(words)-1]
	if at := slices.Index(path, "modules_to_save"); at >= 0 {
		tail := path[at+1:]
		if len(tail) > 1 {
			return n, fmt.Errorf("tensor %s: modules_to_save: only layers are read, not modules of several", name)
		}
		if len(tail) == 1 {
			n.adapter = tail[0]
		}
		path = path[:at]
	} else if len(path) > 0 && path[len(path)-1] == "base_layer" {
		path = path[:len(path)-1]
	}
	if last != "weight" && last != "bias" || len(path) == 0 {
		return n, fmt.Errorf("tensor %s is none of PEFT's LoRA or DoRA, and no weight or bias", name)
	}
	n.module = strings.Join(path, ".") + "." + last
	return n, nil
}

// String is the name as PEFT saves it: without the adapter's.
func (n tensorName) String() string {
	switch n.part {
	case whole:
		return prefix + n.module
	case linearA, linearB:
		return prefix + n.module + "." + string(n.part) + ".weight"
	}
	return prefix + n.module + "." + string(n.part)
}
