package metal

// limits are the numbers that depend on the chip. They follow MLX's choices in kind: the
// more a chip computes for a byte that it reads, the later tiles pay, and the more cores
// it has, the more threadgroups it needs.
type limits struct {
	ops    int    // commands of a batch, and
	bytes  int    // what they may write, before it is committed
	groups int    // threadgroups that keep the chip busy: products are cut along K until there are so many
	large  int    // elements of a product from which on its tiles are large
	vector [3]int // rows of x that are multiplied one by one with a packed matrix of up to 2048 x 2048, 4096 x 4096, or more
}

// chips are tried in this order; the last one is any chip.
var chips = []struct {
	name   string
	tiers  string // "": any
	before int    // the first generation that it is not for; 0: none
	limits
}{
	{"phone", "p", 0, limits{20, 40 << 20, 16, 1 << 18, [3]int{18, 12, 10}}},
	{"Max of M1 and M2", "s", 15, limits{50, 50 << 20, 64, 1 << 20, [3]int{14, 10, 6}}},
	{"Max", "s", 0, limits{50, 50 << 20, 64, 1 << 20, [3]int{18, 12, 10}}},
	{"Ultra", "d", 0, limits{50, 50 << 20, 128, 1 << 21, [3]int{32, 18, 12}}},
	{"base or Pro of M1 and M2", "g", 15, limits{40, 40 << 20, 32, 1 << 19, [3]int{14, 10, 6}}},
	{"base or Pro", "", 0, limits{40, 40 << 20, 32, 1 << 19, [3]int{18, 12, 10}}},
}

// chipOf is the place of a device's chip in the table. Generation 13 is M1, 0 unknown.
func chipOf(tier byte, generation int) int {
	for i, c := range chips {
		if c.tiers != "" && (tier == 0 || c.tiers[0] != tier) {
			continue
		}
		if c.before > 0 && (generation == 0 || generation >= c.before) {
			continue
		}
		return i
	}
	return len(chips) - 1
}

// vectorRows is the choice between qmv and qmm for n results and k inputs.
func (l *limits) vectorRows(n, k int) int {
	switch {
	case n <= 2048 && k <= 2048:
		return l.vector[0]
	case n <= 4096 && k <= 4096:
		return l.vector[1]
	}
	return l.vector[2]
}
