//go:build linux

package objcfake

import (
	"fmt"
	"regexp"
	"strings"
	"unsafe"
)

// Constants of Metal's headers.
const (
	language31        = 3<<16 | 1
	modeShared        = 0 << 4
	untracked         = 1 << 8
	dataTypeBool      = 53
	dataTypeInt       = 29
	dataTypeUInt      = 33
	dataTypeFloat     = 3
	compileFailure    = 3
	libraryDomain     = "MTLLibraryErrorDomain"
	bufferDomain      = "MTLCommandBufferErrorDomain"
	statusNotEnqueued = 0
	statusCommitted   = 2
	statusCompleted   = 4
	statusError       = 5
)

// PageSize is that of Apple silicon.
const PageSize = 16384

// CreateSystemDefaultDevice is MTLCreateSystemDefaultDevice: the caller owns the result.
func CreateSystemDefaultDevice() Object {
	r := runtimeInUse()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.config.Device == "" || r.config.NoDefault {
		return Object{}
	}
	return Object{unsafe.Pointer(r.theDevice())}
}

// CopyAllDevices is MTLCopyAllDevices: the caller owns the array.
func CopyAllDevices() Object {
	r := runtimeInUse()
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []*instance
	if r.config.Device != "" {
		list = append(list, r.theDevice())
	}
	return Object{unsafe.Pointer(r.create("NSArray", list))}
}

// theDevice gives a reference to the device.
func (r *Runtime) theDevice() *instance {
	if r.device == nil || r.device.freed {
		r.device = r.create("MTLDevice", nil)
	} else {
		r.retain(r.device)
	}
	return r.device
}

// compileOptions is the value of an MTLCompileOptions; nil is not set.
type compileOptions struct {
	language, math, functions any
	fastMath                  any
}

// library is the value of an MTLLibrary.
type library struct {
	functions map[string]bool // or
	program   Program
}

// function is the value of an MTLFunction and of a pipeline.
type function struct {
	name      string
	constants map[uint64]any
	program   Program // nil if a Go function is to run
	code      Code    // the pipeline's, if there is a program
}

// buffer is the value of an MTLBuffer.
type buffer struct {
	mem []byte
	own bool // it goes with the object
}

func bufferOf(o *instance) *buffer { return o.value.(*buffer) }

func defineMetal(r *Runtime) {
	r.define("MTLDevice", deviceMethods(r.config), nil)
	allocated := method{"Q", func(c *call) any { return uint64(len(bufferOf(c.self).mem)+PageSize-1) / PageSize * PageSize }}
	r.define("MTLBuffer", map[string]method{
		"contents":      {"^", func(c *call) any { return unsafe.Pointer(unsafe.SliceData(bufferOf(c.self).mem)) }},
		"length":        {"Q", func(c *call) any { return uint64(len(bufferOf(c.self).mem)) }},
		"allocatedSize": allocated,
	}, nil).dealloc = func(_ *Runtime, o *instance) {
		if b := bufferOf(o); b.own {
			for i := range b.mem { // who still reads it is to see
				b.mem[i] = 0xa5
			}
		}
		bufferOf(o).mem = nil
	}
	r.define("MTLFence", nil, nil)
	r.define("MTLSharedEvent", map[string]method{
		"signaledValue": {"Q", func(c *call) any { return *c.self.value.(*uint64) }},
		"setSignaledValue:": {"vQ", func(c *call) any {
			*c.self.value.(*uint64) = c.uint(0)
			c.r.changed.Broadcast()
			return nil
		}},
	}, nil)
	defineCompiler(r)
}

// deviceMethods are those of the device that the version of macOS has.
func deviceMethods(config Config) map[string]method {
	quantity := func(n uint64) method { return method{"Q", func(*call) any { return n }} }
	methods := map[string]method{
		"name":                                       {"@", func(c *call) any { return made{c.r.newString(config.Device)} }},
		"hasUnifiedMemory":                           {"B", func(*call) any { return !config.OwnMemory }},
		"maxBufferLength":                            quantity(config.MaxBuffer),
		"recommendedMaxWorkingSetSize":               quantity(config.WorkingSet),
		"maxThreadgroupMemoryLength":                 quantity(32 << 10),
		"newBufferWithLength:options:":               {"@QQ", newBuffer},
		"newFence":                                   {"@", func(c *call) any { return made{c.r.create("MTLFence", new(fence))} }},
		"newSharedEvent":                             {"@", func(c *call) any { return made{c.r.create("MTLSharedEvent", new(uint64))} }},
		"newCommandQueue":                            {"@", func(c *call) any { return made{c.r.create("MTLCommandQueue", &queue{})} }},
		"newLibraryWithSource:options:error:":        {"@@@^", newLibrary},
		"newComputePipelineStateWithFunction:error:": {"@@^", newPipeline},
		"newBufferWithBytesNoCopy:length:options:deallocator:": {"@^QQ^", wrapBuffer},
	}
	if config.major() >= 14 {
		methods["architecture"] = method{"@", func(c *call) any { return c.r.only("MTLArchitecture") }}
	}
	if config.major() >= 15 {
		methods["newResidencySetWithDescriptor:error:"] = method{"@@^", newResidencySet}
	}
	return methods
}

func checkOptions(c *call, options uint64) {
	if options != modeShared|untracked {
		c.fault("a buffer has options %#x: want shared storage without hazard tracking, %#x", options, modeShared|untracked)
	}
}

func newBuffer(c *call) any {
	checkOptions(c, c.uint(1))
	if n := c.uint(0); n == 0 || n > c.r.config.MaxBuffer {
		c.fault("a buffer of %d bytes: Metal takes 1 to %d", n, c.r.config.MaxBuffer)
		return nil
	}
	if c.uint(0) > 1<<30 { // more than the machine of the tests has to spare
		return nil
	}
	return made{c.r.create("MTLBuffer", &buffer{make([]byte, c.uint(0)), true})}
}

func wrapBuffer(c *call) any {
	checkOptions(c, c.uint(2))
	p, n := c.pointer(0), c.uint(1)
	if uintptr(p)%PageSize != 0 || n%PageSize != 0 || n == 0 {
		c.fault("memory at %p of %d bytes is wrapped: Metal takes whole pages", p, n)
		return nil
	}
	if c.pointer(3) != nil {
		c.fault("a deallocator block is given: darwinkit's blocks read freed memory")
	}
	return made{c.r.create("MTLBuffer", &buffer{unsafe.Slice((*byte)(p), n), false})}
}

func defineCompiler(r *Runtime) {
	r.define("MTLArchitecture", map[string]method{
		"name": {"@", func(c *call) any { return made{c.r.newString(c.r.config.Architecture)} }},
	}, nil)
	set := func(letter string, field func(*compileOptions) *any) method {
		return method{"v" + letter, func(c *call) any {
			*field(c.self.value.(*compileOptions)) = c.args[0]
			return nil
		}}
	}
	options := map[string]method{
		"setLanguageVersion:": set("Q", func(o *compileOptions) *any { return &o.language }),
		"setFastMathEnabled:": set("B", func(o *compileOptions) *any { return &o.fastMath }),
	}
	if r.config.major() >= 15 {
		options["setMathMode:"] = set("q", func(o *compileOptions) *any { return &o.math })
		options["setMathFloatingPointFunctions:"] = set("q", func(o *compileOptions) *any { return &o.functions })
	}
	r.define("MTLCompileOptions", options, nil).fresh = func() any { return &compileOptions{} }
	r.define("MTLFunctionConstantValues", map[string]method{
		"setConstantValue:type:atIndex:": {"v^QQ", setConstant},
	}, nil).fresh = func() any { return map[uint64]any{} }
	r.define("MTLLibrary", map[string]method{
		"newFunctionWithName:":                      {"@@", newFunction},
		"newFunctionWithName:constantValues:error:": {"@@@^", newFunction},
	}, nil).dealloc = func(_ *Runtime, o *instance) {
		if p := o.value.(*library).program; p != nil {
			p.Close()
		}
	}
	r.define("MTLFunction", nil, nil)
	r.define("MTLComputePipelineState", map[string]method{
		"maxTotalThreadsPerThreadgroup": {"Q", func(c *call) any { return c.r.maxThreads(c.self) }},
		"threadExecutionWidth":          {"Q", func(c *call) any { return c.r.config.SIMDWidth }},
		"staticThreadgroupMemoryLength": {"Q", func(*call) any { return uint64(0) }},
	}, nil).dealloc = func(_ *Runtime, o *instance) {
		if code := o.value.(*function).code; code != nil {
			code.Close()
		}
	}
}

// maxThreads is how many threads a threadgroup of a pipeline has at most.
func (r *Runtime) maxThreads(pipeline *instance) uint64 {
	if code := pipeline.value.(*function).code; code != nil {
		return uint64(code.MaxThreads())
	}
	return r.config.MaxThreads
}

func setConstant(c *call) any {
	p, constants := c.pointer(0), c.self.value.(map[uint64]any)
	switch kind := c.uint(1); kind {
	case dataTypeBool:
		constants[c.uint(2)] = *(*bool)(p)
	case dataTypeInt:
		constants[c.uint(2)] = *(*int32)(p)
	case dataTypeUInt:
		constants[c.uint(2)] = *(*uint32)(p)
	case dataTypeFloat:
		constants[c.uint(2)] = *(*float32)(p)
	default:
		c.fault("a function constant has the type %d", kind)
	}
	return nil
}

var kernelName = regexp.MustCompile(`kernel\s+void\s+(\w+)\s*\(`)

// newLibrary finds the names of kernels. Its compiler knows one error: the line
// #error MESSAGE.
func newLibrary(c *call) any {
	checkCompileOptions(c)
	source := c.text(0)
	if c.r.compiler != nil {
		return compiled(c, source)
	}
	for i, line := range strings.Split(source, "\n") {
		if message, ok := strings.CutPrefix(line, "#error "); ok {
			c.fail(2, libraryDomain, compileFailure, fmt.Sprintf("program_source:%d:2: error: %q\n%s\n ^\n", i+1, message, line))
			return nil
		}
	}
	lib := &library{functions: map[string]bool{}}
	for _, m := range kernelName.FindAllStringSubmatch(source, -1) {
		lib.functions[m[1]] = true
	}
	return made{c.r.create("MTLLibrary", lib)}
}

func checkCompileOptions(c *call) {
	if c.object(1) == nil {
		c.fault("source is compiled without options")
		return
	}
	o := c.object(1).value.(*compileOptions)
	if o.language != uint64(language31) {
		c.fault("the language version is %v, not 3.1: bfloat may be missing", o.language)
	}
	switch newer := c.r.config.major() >= 15; {
	case newer && (o.math == nil || o.functions == nil):
		c.fault("the math mode and the kind of functions are left to their defaults, which are fast")
	case !newer && o.fastMath == nil:
		c.fault("fast math is left to its default, which is on")
	}
}

func newFunction(c *call) any {
	name := c.text(0)
	f := &function{name: name, constants: map[uint64]any{}}
	if len(c.args) > 1 && c.object(1) != nil {
		for i, v := range c.object(1).value.(map[uint64]any) {
			f.constants[i] = v
		}
	}
	lib := c.self.value.(*library)
	f.program = lib.program
	if lib.has(name) {
		return made{c.r.create("MTLFunction", f)}
	}
	if len(c.args) > 1 {
		c.fail(2, libraryDomain, 5, "Function "+name+" was not found in the library")
	}
	return nil
}

func newPipeline(c *call) any {
	f := c.object(0).value.(*function)
	if strings.HasPrefix(f.name, "refused") { // as Metal does when registers do not suffice
		c.fail(1, "AGXMetalG15S", 3, "Compiler encountered an internal error")
		return nil
	}
	p := *f
	if f.program != nil {
		var err error
		if p.code, err = codeOf(f); err != nil {
			c.fail(1, "MTLComputePipelineErrorDomain", 1, err.Error())
			return nil
		}
	}
	return made{c.r.create("MTLComputePipelineState", &p)}
}
