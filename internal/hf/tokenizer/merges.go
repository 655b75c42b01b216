package tokenizer

// merge is what a pair of tokens becomes, and how early.
type merge struct{ rank, id int32 }

// mergeTable maps pairs of ids to merges: a hash table with open addressing,
// less than half full.
type mergeTable struct {
	keys   []uint64 // pair + 1; 0 is free
	values []merge
	shift  uint
}

func newMergeTable(n int) *mergeTable {
	bits := uint(4)
	for 1<<bits < 2*n {
		bits++
	}
	return &mergeTable{make([]uint64, 1<<bits), make([]merge, 1<<bits), 64 - bits}
}

// slot returns the place of a pair, or the free one where it belongs.
func (t *mergeTable) slot(left, right int32) (int, uint64) {
	key := uint64(uint32(left))<<32 | uint64(uint32(right)) + 1
	// Fibonacci hashing, of both halves folded together.
	h := (key ^ key>>29) * 0x9e3779b97f4a7c15 >> t.shift
	for t.keys[h] != 0 && t.keys[h] != key {
		h = (h + 1) & uint64(len(t.keys)-1)
	}
	return int(h), key
}

// put enters a pair; of two equal ones the later counts.
func (t *mergeTable) put(left, right int32, m merge) {
	i, key := t.slot(left, right)
	t.keys[i], t.values[i] = key, m
}

func (t *mergeTable) get(left, right int32) (merge, bool) {
	i, key := t.slot(left, right)
	return t.values[i], t.keys[i] == key
}

// candidate is a possible merge of the symbol at a place with its neighbour.
type candidate struct {
	merge
	at int32
}

// mergeQueue is a binary heap: lowest rank first, then leftmost.
type mergeQueue []candidate

func (q mergeQueue) before(i, j int) bool {
	return q[i].rank < q[j].rank || q[i].rank == q[j].rank && q[i].at < q[j].at
}

func (q mergeQueue) init() {
	for i := len(q)/2 - 1; i >= 0; i-- {
		q.down(i)
	}
}

func (q mergeQueue) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(q) {
			return
		}
		if child+1 < len(q) && q.before(child+1, child) {
			child++
		}
		if !q.before(child, i) {
			return
		}
		q[i], q[child] = q[child], q[i]
		i = child
	}
}

func (q *mergeQueue) push(c candidate) {
	*q = append(*q, c)
	for i := len(*q) - 1; i > 0; {
		parent := (i - 1) / 2
		if !q.before(i, parent) {
			return
		}
		(*q)[i], (*q)[parent] = (*q)[parent], (*q)[i]
		i = parent
	}
}

func (q *mergeQueue) pop() candidate {
	top := (*q)[0]
	last := len(*q) - 1
	(*q)[0] = (*q)[last]
	*q = (*q)[:last]
	q.down(0)
	return top
}
