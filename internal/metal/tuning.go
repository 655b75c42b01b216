package metal

import "fmt"

// A Setting is a choice that the backend makes for its device: see tune.go.
type Setting struct {
	Family string `json:"family"` // file of kernels, or what else it is about
	Case   string `json:"case"`
	Choice string `json:"choice"`
}

// Tuning lists the choices for the device of the process: what the code that picks kernels
// answers for shapes as they are met.
func Tuning() ([]Setting, error) {
	used.Lock()
	b := used.b
	used.Unlock()
	if b == nil {
		_, err := opened()
		return nil, err
	}
	l := []Setting{{"batch", "commands before a commit", fmt.Sprint(b.limits().ops)}}
	for _, s := range [][2]int{{1024, 1024}, {2048, 2048}, {4096, 4096}, {14336, 4096}, {4096, 14336}, {128256, 4096}} {
		l = append(l, Setting{"quant", fmt.Sprintf("packed [%d, %d]", s[0], s[1]), fmt.Sprintf("qmv up to %d rows, then qmm in tiles of 32 x 32", b.vectorRows(s[0], s[1]))})
	}
	for _, s := range [][3]int{{8, 1024, 4096}, {32, 4096, 4096}, {64, 4096, 4096}, {512, 4096, 4096}, {512, 14336, 4096}, {2048, 2048, 2048}} {
		g := product{batch: 1, m: s[0], n: s[1], k: s[2]}
		tile := g.tileOf()
		l = append(l, Setting{"matmul", fmt.Sprintf("[%d, %d] @ [%d, %d]", g.m, g.k, g.k, g.n), fmt.Sprintf("tiles of %d x %d, K in %d parts", tile, tile, g.parts(tile))})
	}
	l = append(l, Setting{"matmul", "matrix @ vector", fmt.Sprintf("simdgroups share a row along K up to %d rows", shareRows)})
	for _, k := range []int{64, 1024, 4096, 32768} {
		l = append(l, Setting{"rows, norm", fmt.Sprintf("rows of %d", k), fmt.Sprintf("%d threads a row", threadsFor(k, 4, 1024))})
	}
	return append(l,
		Setting{"norm", "gradients of weights", fmt.Sprintf("at most %d threadgroups", normBlocks)},
		Setting{"reduce", "a result alone", fmt.Sprintf("a thread up to %d elements, a simdgroup up to %d, parts of %d from then on", threadMost, simdMost, splitRow)},
		Setting{"reduce", "columns", fmt.Sprintf("parts of %d", splitCol)},
		Setting{"sort", "blocks", fmt.Sprintf("%d elements, merged when rows are longer", sortThreads*sortEach)},
	), nil
}
