//go:build (darwin && cgo) || linux

package mtl

import (
	"fmt"
	"math"
	"strings"
	"unsafe"

	"github.com/mlxgo/mlx/internal/metal/gpu"
	"github.com/mlxgo/mlx/internal/metal/mtl/objc"
)

// The language that sources are compiled as. It is always set: the default depends on the
// program that hosts the compiler, and may lack bfloat.
const (
	languageName    = "3.1"
	languageVersion = uint64(3<<16 | 1) // MTLLanguageVersion3_1
)

// Constants of Metal's headers.
const (
	mathFunctionsFast    = int64(0) // MTLMathFloatingPointFunctionsFast
	mathFunctionsPrecise = int64(1)

	dataTypeFloat = uint64(3) // MTLDataTypeFloat
	dataTypeInt   = uint64(29)
	dataTypeUInt  = uint64(33)
	dataTypeBool  = uint64(53)

	errorCompile  = int64(3) // MTLLibraryErrorCompileFailure
	libraryDomain = "MTLLibraryErrorDomain"
)

// simdWidth is how many threads a simdgroup has: kernels are written for it.
const simdWidth = 32

// library is a gpu.Library over an MTLLibrary.
type library struct {
	reference
	name   string
	device *device
}

// Compile compiles Metal source. The error wraps gpu.ErrCompile if the source is at fault.
func (d *device) Compile(name, source string, math gpu.Math) (gpu.Library, error) {
	if err := checkText("the source of "+name, source); err != nil {
		return nil, err
	}
	var lib *library
	var err error
	pooled(func() { lib, err = d.compile(name, source, math) })
	if err != nil {
		return nil, err
	}
	return lib, nil
}

func (d *device) compile(name, source string, math gpu.Math) (*library, error) {
	options := newObject("MTLCompileOptions")
	if options.IsNil() {
		return nil, fmt.Errorf("%s: this system has no Metal compiler", name)
	}
	defer release(options)
	tell(options, "setLanguageVersion:", languageVersion)
	setMath(options, math)
	e := new(errorOut)
	object := ask(d.object, "newLibraryWithSource:options:error:", source, options, e.arg())
	if object.IsNil() {
		return nil, compileError(name, e)
	}
	return &library{reference{object: object}, name, d}, nil // an error beside it is warnings
}

// setMath sets the math mode, whose default is fast. MTLMathMode has gpu.Math's numbers;
// before macOS 15 there is only fast or not.
func setMath(options objc.Object, math gpu.Math) {
	if !responds(options, "setMathMode:") {
		tell(options, "setFastMathEnabled:", math == gpu.Fast)
		return
	}
	functions := mathFunctionsPrecise
	if math != gpu.Safe {
		functions = mathFunctionsFast
	}
	tell(options, "setMathMode:", int64(math))
	tell(options, "setMathFloatingPointFunctions:", functions)
}

// compileError gives the compiler's messages with the name of the source.
func compileError(name string, e *errorOut) error {
	text := strings.ReplaceAll(e.text("no reason given"), "program_source", name)
	if call[string](e.object, "domain") == libraryDomain && call[int64](e.object, "code") == errorCompile {
		return fmt.Errorf("%s: %w:\n%s", name, gpu.ErrCompile, text)
	}
	return fmt.Errorf("%s: Metal's compiler failed: %s", name, text)
}

// kernel is a gpu.Kernel over an MTLComputePipelineState.
type kernel struct {
	reference
	name         string
	maxThreads   int
	staticMemory int // of a threadgroup, declared by the kernel itself, in bytes
}

// Name is the name in the source.
func (k *kernel) Name() string { return k.name }

// MaxThreads is how many threads a threadgroup may have.
func (k *kernel) MaxThreads() int { return k.maxThreads }

// Kernel gives a function of the library, specialized to constants.
func (l *library) Kernel(name string, consts ...gpu.Const) (gpu.Kernel, error) {
	if err := checkText("the name of a kernel of "+l.name, name); err != nil {
		return nil, err
	}
	if l.released.Load() {
		return nil, fmt.Errorf("kernel %s: the library %s %w", name, l.name, errReleased)
	}
	var k *kernel
	var err error
	pooled(func() { k, err = l.kernel(name, consts) })
	if err != nil {
		return nil, fmt.Errorf("kernel %s of %s: %w", name, l.name, err)
	}
	return k, nil
}

func (l *library) kernel(name string, consts []gpu.Const) (*kernel, error) {
	function, err := l.function(name, consts)
	if err != nil {
		return nil, err
	}
	defer release(function)
	e := new(errorOut)
	object := ask(l.device.object, "newComputePipelineStateWithFunction:error:", function, e.arg())
	if object.IsNil() {
		return nil, fmt.Errorf("the GPU driver makes no pipeline: %s", e.text("no reason given"))
	}
	if n := call[uint64](object, "threadExecutionWidth"); n != simdWidth {
		release(object)
		return nil, fmt.Errorf("simdgroups have %d threads on this GPU, not %d", n, simdWidth)
	}
	return &kernel{
		reference:    reference{object: object},
		name:         name,
		maxThreads:   int(call[uint64](object, "maxTotalThreadsPerThreadgroup")),
		staticMemory: int(call[uint64](object, "staticThreadgroupMemoryLength")),
	}, nil
}

// function gives an MTLFunction that the caller releases.
func (l *library) function(name string, consts []gpu.Const) (objc.Object, error) {
	e := new(errorOut)
	var function objc.Object
	if len(consts) == 0 {
		function = ask(l.object, "newFunctionWithName:", name)
	} else {
		values := newObject("MTLFunctionConstantValues")
		defer release(values)
		for _, c := range consts {
			if err := setConstant(values, c); err != nil {
				return function, err
			}
		}
		function = ask(l.object, "newFunctionWithName:constantValues:error:", name, values, e.arg())
	}
	if function.IsNil() {
		return function, fmt.Errorf("the library gives no function: %s", e.text("there is none of that name"))
	}
	return function, nil
}

// setConstant copies the value of a function constant, which Metal reads from memory.
func setConstant(values objc.Object, c gpu.Const) error {
	if c.Index < 0 || c.Index > math.MaxUint16 {
		return fmt.Errorf("function constant %d: indices are 0 to %d", c.Index, math.MaxUint16)
	}
	word := new(uint32)
	var kind uint64
	switch v := c.Value.(type) {
	case bool:
		kind = dataTypeBool
		*(*bool)(unsafe.Pointer(word)) = v
	case int32:
		kind, *word = dataTypeInt, uint32(v)
	case uint32:
		kind, *word = dataTypeUInt, v
	case float32:
		kind, *word = dataTypeFloat, math.Float32bits(v)
	default:
		return fmt.Errorf("function constant %d is a %T: want bool, int32, uint32 or float32", c.Index, c.Value)
	}
	tell(values, "setConstantValue:type:atIndex:", unsafe.Pointer(word), kind, uint64(c.Index))
	return nil
}
