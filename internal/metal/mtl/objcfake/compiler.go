//go:build linux

package objcfake

// A Compiler compiles Metal source for the device, in place of Go functions under the
// names of kernels.
type Compiler interface {
	// Compile reads source; math is a number of MTLMathMode. The error's text is the
	// compiler's messages.
	Compile(source string, math int) (Program, error)
}

// A Program is compiled source.
type Program interface {
	Has(name string) bool
	Kernel(name string, constants map[int]any) (Code, error)
	Close()
}

// Code is a kernel that can run.
type Code interface {
	MaxThreads() int
	Run(*Dispatch) error
	Close()
}

// UseCompiler makes c the device's compiler.
func (r *Runtime) UseCompiler(c Compiler) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.compiler = c
}

// compiled makes a library with the compiler.
func compiled(c *call, source string) any {
	math, _ := c.object(1).value.(*compileOptions).math.(int64)
	p, err := c.r.compiler.Compile(source, int(math))
	if err != nil {
		c.fail(2, libraryDomain, compileFailure, err.Error())
		return nil
	}
	return made{c.r.create("MTLLibrary", &library{program: p})}
}

// has says whether a library has a function.
func (l *library) has(name string) bool {
	if l.program != nil {
		return l.program.Has(name)
	}
	return l.functions[name]
}

// codeOf makes a function of a compiled library ready to run.
func codeOf(f *function) (Code, error) {
	constants := map[int]any{}
	for i, v := range f.constants {
		constants[int(i)] = v
	}
	return f.program.Kernel(f.name, constants)
}
