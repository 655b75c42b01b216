package dataset

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// A Part is some of the rows of a split.
type Part struct {
	Split string

	from, to *int // nil: an end of the split
	percent  bool
	whole    bool // each percent is the same number of rows, the rest is left out
}

var (
	partForm = regexp.MustCompile(`^(\w+(?:\.\w+)*)(?:\[(?:(-?[\d_]+)(%)?)?:(?:(-?[\d_]+)(%)?)?\])?(?:\(([^)]*)\))?$`)
	plusForm = regexp.MustCompile(`\s*\+\s*`)
)

// ParseParts reads train, train[:80%], train[-10%:], train[:1000] and sums of these with
// +; (pct1_dropremainder) may follow percents, (closest) is the default.
func ParseParts(text string) ([]Part, error) {
	var parts []Part
	for _, one := range plusForm.Split(strings.TrimSpace(text), -1) {
		p, err := parsePart(one)
		if err != nil {
			return nil, fmt.Errorf("%q is no split, as train[:80%%] is: %w", text, err)
		}
		parts = append(parts, p)
	}
	return parts, nil
}

func parsePart(text string) (Part, error) {
	m := partForm.FindStringSubmatch(text)
	if m == nil {
		return Part{}, fmt.Errorf("%q is not NAME[FROM:TO]", text)
	}
	p := Part{Split: m[1], percent: m[3] != "" || m[5] != ""}
	for at, to := range map[int]**int{2: &p.from, 4: &p.to} {
		if m[at] == "" {
			continue
		}
		n, err := strconv.Atoi(strings.ReplaceAll(m[at], "_", ""))
		if err != nil {
			return Part{}, fmt.Errorf("%q is not a whole number", m[at])
		}
		if p.percent && (n < -100 || n > 100) {
			return Part{}, fmt.Errorf("%d%% is not from -100%% to 100%%", n)
		}
		*to = &n
	}
	switch m[6] {
	case "", "closest":
	case "pct1_dropremainder":
		p.whole = true
	default:
		return Part{}, fmt.Errorf("the rounding %q is not closest or pct1_dropremainder", m[6])
	}
	if m[6] != "" && !p.percent {
		return Part{}, fmt.Errorf("the rounding %q is for percents", m[6])
	}
	return p, nil
}

// Rows are the first row and the one after the last of a split of n rows. Percents are
// rounded to the nearest row, halves to the even one, as Python rounds; negative numbers
// count from the end; what reaches beyond an end stops there.
func (p Part) Rows(n int) (from, to int, err error) {
	if p.percent && p.whole && n < 100 {
		return 0, 0, fmt.Errorf("pct1_dropremainder takes no row of the %d of split %s: it needs 100", n, p.Split)
	}
	at := func(v *int, fallback int) int {
		if v == nil {
			return fallback
		}
		x := *v
		switch {
		case p.percent && p.whole:
			x *= n / 100
		case p.percent:
			x = int(math.RoundToEven(float64(x) * float64(n) / 100))
		}
		if x < 0 {
			x = max(n+x, 0)
		}
		return min(x, n)
	}
	from, to = at(p.from, 0), at(p.to, n)
	return from, max(from, to), nil
}
