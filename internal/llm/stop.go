package llm

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// stopStrings are texts that end an answer. Of several the one that is complete
// first counts, of those that end together the longest, so that the result does
// not depend on how the text came in pieces.
type stopStrings []string

// check refuses strings that cannot be meant.
func (s stopStrings) check() error {
	for _, stop := range s {
		if stop == "" {
			return errors.New("a stop string is empty")
		}
		if !utf8.ValidString(stop) {
			return fmt.Errorf("the stop string %q is not valid UTF-8", stop)
		}
	}
	return nil
}

// find returns where in text the first stop string begins, and which it is; -1
// without one.
func (s stopStrings) find(text string) (at int, which string) {
	at = -1
	end := len(text) + 1
	for _, stop := range s {
		i := strings.Index(text, stop)
		if i < 0 {
			continue
		}
		if e := i + len(stop); e < end || e == end && i < at {
			at, end, which = i, e, stop
		}
	}
	return at, which
}

// open returns where the longest suffix of text begins that a stop string could
// go on from; len(text) without one.
func (s stopStrings) open(text string) int {
	longest := 0
	for _, stop := range s {
		for n := min(len(stop)-1, len(text)); n > longest; n-- {
			if strings.HasSuffix(text, stop[:n]) {
				longest = n
				break
			}
		}
	}
	return len(text) - longest
}
