// Package shards knows how the files of what is stored in pieces are numbered:
// NAME-00001-of-00003.EXT.
package shards

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// numbered is greedy: of a name with several numbers the last counts.
var numbered = regexp.MustCompile(`^(.*)-[0-9]{5}-of-([0-9]{5})(.*)$`)

// The numbers of first pieces.
const (
	OfWeights = 1
	OfData    = 0 // of the Hub's datasets
)

// Missing is the first piece that is not among names, where others of the same whole are,
// and one of these; "" if all are there. Pieces are numbered from first on.
func Missing(names []string, first int) (missing, there string) {
	have, seen := make(map[string]bool, len(names)), map[string]bool{}
	for _, name := range names {
		have[name] = true
	}
	for _, name := range names {
		m := numbered.FindStringSubmatch(name)
		if m == nil {
			continue
		}
		piece := func(i int) string { return fmt.Sprintf("%s-%05d-of-%s%s", m[1], i, m[2], m[3]) }
		if seen[piece(first)] {
			continue
		}
		seen[piece(first)] = true
		total, _ := strconv.Atoi(m[2]) // five digits
		for i := range total {
			if want := piece(first + i); !have[want] {
				return want, name
			}
		}
	}
	return "", ""
}

// Complete checks that of the files of weights in dir called names those that are numbered
// before the ending ext (".bin") are all there.
func Complete(dir string, names []string, ext string) error {
	var own []string
	for _, name := range names {
		if stem, ok := strings.CutSuffix(name, ext); ok {
			own = append(own, stem)
		}
	}
	if missing, there := Missing(own, OfWeights); missing != "" {
		return fmt.Errorf("%s: the shard is missing, %s is there: the model is incomplete", filepath.Join(dir, missing+ext), there+ext)
	}
	return nil
}
