package doctor

import (
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/mlxgo/mlx/internal/metal"
)

// A Compiled is what came of compiling the kernels of a file.
type Compiled struct {
	File     string  `json:"file"`
	Variants int     `json:"variants"`
	Seconds  float64 `json:"seconds"` // of all that compile at once
	Faults   []Fault `json:"faults,omitempty"`
}

// A Fault is a kernel that does not compile.
type Fault struct {
	Kernel  string `json:"kernel"`
	Message string `json:"message"` // first lines of the compiler's
}

// A variant is a kernel that can be compiled.
type variant struct {
	file, name string
	compile    func() error
}

// Compile compiles the kernels that language models ask for, some at once, and calls each
// with what came of a file's.
func Compile(each func(Compiled)) {
	var l []variant
	for _, v := range metal.Variants() {
		l = append(l, variant{v.File, v.Name, v.Compile})
	}
	compileAll(l, each)
}

func compileAll(l []variant, each func(Compiled)) {
	for len(l) > 0 {
		file := l[0].file
		var mine, rest []variant
		for _, v := range l {
			if v.file == file {
				mine = append(mine, v)
			} else {
				rest = append(rest, v)
			}
		}
		each(compileFile(file, mine))
		l = rest
	}
}

func compileFile(file string, l []variant) Compiled {
	begin := time.Now()
	faults := make([]*Fault, len(l))
	var group sync.WaitGroup
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i, v := range l {
		group.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if err := v.compile(); err != nil {
				faults[i] = &Fault{v.name, firstLines(err.Error())}
			}
		})
	}
	group.Wait()
	c := Compiled{File: file, Variants: len(l), Seconds: time.Since(begin).Seconds()}
	for _, f := range slices.DeleteFunc(faults, func(f *Fault) bool { return f == nil }) {
		c.Faults = append(c.Faults, *f)
	}
	return c
}
