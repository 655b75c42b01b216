package metal

import (
	"fmt"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

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
	c := &chips[chipOf(b.info.Tier, b.info.Generation)].limits
	l := c.products(chipTable(c))
	for _, k := range []int{64, 1024, 4096, 32768} {
		l = append(l, Setting{"rows, norm", fmt.Sprintf("rows of %d", k), fmt.Sprintf("%d threads a row", threadsFor(k, 4, 1024))})
	}
	l = append(l,
		Setting{"norm", "gradients of weights", fmt.Sprintf("at most %d threadgroups", normBlocks)},
		Setting{"reduce", "a result alone", fmt.Sprintf("a thread up to %d elements, a simdgroup up to %d, parts of %d from then on", threadMost, simdMost, splitRow)},
		Setting{"reduce", "columns", fmt.Sprintf("parts of %d", splitCol)},
		Setting{"sort", "blocks", fmt.Sprintf("%d elements, merged when rows are longer", sortThreads*sortEach)},
		Setting{"attention", "queries", fmt.Sprintf("up to %d each by itself, then in tiles of %d", fewQueries, blockRows)},
		Setting{"attention", "keys of a query by itself", fmt.Sprintf("parts of %d, a threadgroup each", partKeys)},
	)
	for _, size := range headSizes {
		view := &View{Spec: tensor.Spec{DType: dtype.Float16}}
		sizes, _ := (&attention{k: view, v: view, d: size, dv: size}).tiles()
		l = append(l, Setting{"attention", fmt.Sprintf("heads of %d, float16", size), fmt.Sprintf("tiles of %d queries and %s keys", blockRows, sizes[2])})
	}
	return l, nil
}

// chipTable is the table of tune.go, with a mark at what is taken.
func chipTable(taken *limits) (l []Setting) {
	for i := range chips {
		c, mark := &chips[i], ""
		if &c.limits == taken {
			mark = " (this one)"
		}
		l = append(l, Setting{"chip", c.name + mark, fmt.Sprintf(
			"batches of %d commands or %d MiB of results; %d threadgroups keep it busy; tiles of 64 x 64 from %d results on; qmv up to %d, %d and %d rows",
			c.ops, c.bytes>>20, c.groups, c.large, c.vector[0], c.vector[1], c.vector[2])})
	}
	return l
}

// products adds what is chosen for shapes of matrices as models have them.
func (c *limits) products(l []Setting) []Setting {
	for _, s := range [][2]int{{1024, 1024}, {2048, 2048}, {4096, 4096}, {14336, 4096}, {4096, 14336}, {128256, 4096}} {
		l = append(l, Setting{"quant", fmt.Sprintf("packed [%d, %d]", s[0], s[1]), fmt.Sprintf("qmv up to %d rows, then qmm in tiles of 32 x 32", c.vectorRows(s[0], s[1]))})
	}
	for _, s := range [][3]int{{8, 1024, 4096}, {32, 4096, 4096}, {64, 4096, 4096}, {512, 4096, 4096}, {512, 14336, 4096}, {2048, 2048, 2048}} {
		g := product{batch: 1, m: s[0], n: s[1], k: s[2]}
		tile := g.tileOf(c)
		l = append(l, Setting{"matmul", fmt.Sprintf("[%d, %d] @ [%d, %d]", g.m, g.k, g.k, g.n), fmt.Sprintf("tiles of %d x %d, K in %d parts", tile, tile, g.parts(tile, c))})
	}
	l = append(l, Setting{"matmul", "matrix @ vector", fmt.Sprintf("simdgroups share a row along K up to %d rows", shareRows)},
		Setting{"conv", "few channels", fmt.Sprintf("without tiles below %d", fewOutput)})
	for _, s := range [][2]int{{56 * 56, 64}, {512 * 512, 128}} {
		tile := convTile(s[0], s[1], c)
		l = append(l, Setting{"conv", fmt.Sprintf("%d places, %d channels", s[0], s[1]), fmt.Sprintf("tiles of %d x %d", tile, tile)})
	}
	return l
}
