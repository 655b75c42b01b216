package tokenizer

import (
	"slices"
	"sort"
	"strings"
)

// prefixIndex finds the keys that a text starts with. It is a sorted list that
// a search narrows byte by byte: no more memory than the keys themselves.
type prefixIndex struct {
	keys  []string
	first [257]int32 // keys that start with byte b: first[b] to first[b+1]
}

// newPrefixIndex takes the keys, of which empty and double ones count not.
func newPrefixIndex(keys []string) *prefixIndex {
	keys = slices.Clone(keys)
	slices.Sort(keys)
	keys = slices.Compact(keys)
	if len(keys) > 0 && keys[0] == "" {
		keys = keys[1:]
	}
	x := &prefixIndex{keys: keys}
	for b := range 256 {
		x.first[b+1] = int32(sort.Search(len(keys), func(i int) bool { return int(keys[i][0]) > b }))
	}
	return x
}

// starts reports whether any key starts with b.
func (x *prefixIndex) starts(b byte) bool { return x.first[b] < x.first[int(b)+1] }

// match calls found with the places of the keys that s starts with, the
// shortest first.
func (x *prefixIndex) match(s string, found func(key int)) {
	if s == "" {
		return
	}
	lo, hi := int(x.first[s[0]]), int(x.first[int(s[0])+1])
	for depth := 1; lo < hi; depth++ {
		// All keys in [lo, hi) start with s[:depth].
		if hi-lo == 1 {
			if strings.HasPrefix(s[depth:], x.keys[lo][depth:]) {
				found(lo)
			}
			return
		}
		if len(x.keys[lo]) == depth {
			found(lo)
			lo++
		}
		if depth == len(s) {
			return
		}
		c := s[depth]
		n := hi - lo
		base := lo
		lo = base + sort.Search(n, func(i int) bool { return x.keys[base+i][depth] >= c })
		hi = base + sort.Search(n, func(i int) bool { return x.keys[base+i][depth] > c })
	}
}

// longest returns the longest key that s starts with, -1 if there is none.
func (x *prefixIndex) longest(s string) int {
	best := -1
	x.match(s, func(key int) { best = key })
	return best
}
