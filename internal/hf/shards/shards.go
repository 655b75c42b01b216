// Package shards knows how the files of a model's weights are numbered:
// NAME-00001-of-00003.EXT.
package shards

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var numbered = regexp.MustCompile(`^(.*)-([0-9]{5})-of-([0-9]{5})$`)

// Complete checks that of the files in dir called names, which are sorted, those that are
// numbered before the ending ext (".bin") are all there.
func Complete(dir string, names []string, ext string) error {
	for _, name := range names {
		stem, ok := strings.CutSuffix(name, ext)
		m := numbered.FindStringSubmatch(stem)
		if !ok || m == nil {
			continue
		}
		total, err := strconv.Atoi(m[3])
		if err != nil {
			return fmt.Errorf("%s: %w", filepath.Join(dir, name), err)
		}
		for i := 1; i <= total; i++ {
			want := fmt.Sprintf("%s-%05d-of-%s%s", m[1], i, m[3], ext)
			if _, found := slices.BinarySearch(names, want); !found {
				return fmt.Errorf("%s: the shard is missing, %s is there: the model is incomplete", filepath.Join(dir, want), name)
			}
		}
	}
	return nil
}
