package metal

import (
	"fmt"
	"strconv"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/metal/gpu"
	"github.com/mlxgo/mlx/internal/quant"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/internal/tensor/fast"
)

// A Variant is a kernel that the backend can ask for, or a generated library of them. A
// report of what works compiles them before anybody needs them.
type Variant struct {
	File string // of kernels, without .metal; map for what is generated
	Name string // of the kernel in it
	get  func(c *kernelCache) error
}

// Compile compiles it for the device of the process, as an op that needs it would.
func (v Variant) Compile() error {
	used.Lock()
	b := used.b
	used.Unlock()
	if b == nil {
		_, err := opened()
		return err
	}
	return v.get(&b.kernels)
}

// Variants lists what language models ask for, in float32, float16 and bfloat16, and
// elementwise ops of some more dtypes. A new family of kernels gets a line here.
func Variants() (l []Variant) {
	for _, s := range instances() {
		l = append(l, s.variant())
	}
	return append(l, mapVariants()...)
}

// instances are the variants that come from files.
func instances() (l []specialized) {
	for _, family := range []func() []specialized{
		copyVariants, rowVariants, foldVariants, sortVariants, randomVariants, matmulVariants, quantVariants, quantizeVariants,
		attentionVariants, cacheVariants, indexVariants, attentionVJPVariants, convVariants, fftVariants,
	} {
		l = append(l, family()...)
	}
	return l
}

// specialized is an instance with function constants.
type specialized struct {
	instance
	consts []gpu.Const
}

func (s specialized) variant() Variant {
	name := s.hostName()
	for _, c := range s.consts {
		name += fmt.Sprintf(" %d=%v", c.Index, c.Value)
	}
	return Variant{s.file, name, func(c *kernelCache) error {
		_, err := c.kernel(s.instance, s.consts)
		return err
	}}
}

// floatNames are the dtypes of language models in Metal.
var floatNames = []string{"float", "half", "bfloat"}

// every is an instance of every function for every list of arguments.
func every(file string, functions []string, args ...[]string) (l []specialized) {
	for _, fn := range functions {
		for _, a := range args {
			l = append(l, specialized{instance: instance{file, fn, a}})
		}
	}
	return l
}

// times are n equal arguments for each of the floats, and more after them.
func times(n int, more ...string) (l [][]string) {
	for _, t := range floatNames {
		var a []string
		for range n {
			a = append(a, t)
		}
		l = append(l, append(a, more...))
	}
	return l
}

func copyVariants() []specialized {
	l := every("copy", []string{"copy_rows", "copy_strided", "fill", "store"}, []string{"uchar"}, []string{"ushort"}, []string{"uint"}, []string{"ulong"})
	l = append(l, every("arange", []string{"arange"}, times(1, "0")...)...)
	return append(l, every("arange", []string{"arange"}, []string{"int", "1"}, []string{"uint", "1"}, []string{"long", "1"})...)
}

// rowVariants: norms may have weights of another type than x.
func rowVariants() []specialized {
	l := every("rows", []string{"softmax", "logsumexp"}, times(1)...)
	l = append(l, every("rope", []string{"rope"}, times(1)...)...)
	l = append(l, every("norm", []string{"rms_norm", "norm_vjp"}, times(3)...)...)
	l = append(l, every("norm", []string{"rms_norm"}, []string{"half", "float", "float"}, []string{"bfloat", "float", "float"})...)
	return append(l, every("norm", []string{"layer_norm"}, times(4)...)...)
}

func foldVariants() (l []specialized) {
	kernels := []string{"reduce_thread", "reduce_simd", "reduce_row", "reduce_col"}
	for _, t := range floatNames {
		for _, op := range []string{"Sum", "Mean", "Max", "Min", "Prod"} {
			l = append(l, every("reduce", kernels, []string{op + "<float>", t, t})...)
		}
		for _, op := range []string{"Sum", "Prod", "Max", "Min", "LogAddExp"} {
			l = append(l, every("scan", []string{"scan"}, []string{op + "<float>", t, t})...)
		}
	}
	l = append(l, every("reduce", kernels, []string{"Sum<uint>", "int", "int"}, []string{"Sum<uint>", "boolean", "int"},
		[]string{"Max<int>", "int", "int"}, []string{"All<uint>", "boolean", "boolean"}, []string{"Any<uint>", "boolean", "boolean"})...)
	l = append(l, every("argreduce", []string{"arg_reduce"}, append(times(1), []string{"int"})...)...)
	l = append(l, every("scan", []string{"scan"}, []string{"Sum<uint>", "int", "int"})...)
	return append(l, every("scan", []string{"linear_scan"}, []string{"float", "float"}, []string{"float", "half"}, []string{"float", "bfloat"})...)
}

func sortVariants() (l []specialized) {
	for _, t := range append([]string{"int", "uint"}, floatNames...) {
		for _, a := range [][]string{{t, "uint", strconv.Itoa(sortedRuns)}, {t, "uint", strconv.Itoa(sortedIDs)}, {t, t, strconv.Itoa(sortedValues)}} {
			l = append(l, every("sort", []string{"sort_block"}, a)...)
		}
		l = append(l, every("sort", []string{"search_sorted"}, []string{t})...)
	}
	l = append(l, every("sort", []string{"sort_merge"}, []string{"uint"}, []string{"ulong"})...)
	return append(l, every("sort", []string{"permute_row"}, []string{"uchar"}, []string{"ushort"}, []string{"uint"}, []string{"ulong"})...)
}

func randomVariants() []specialized {
	l := every("random", []string{"bits", "bits_words"}, nil)
	return append(l, every("random", []string{"cdf_sums", "cdf_sample"}, times(1)...)...)
}

func matmulVariants() (l []specialized) {
	booleans := []bool{false, true}
	for _, t := range floatNames {
		tiles := [][]string{{t, t, t, "32", "32"}, {t, t, t, "64", "64"}}
		if t != "float" { // parts along K
			tiles = append(tiles, []string{t, t, "float", "32", "32"})
		}
		for _, a := range tiles {
			for _, ta := range booleans {
				for _, tb := range booleans {
					l = append(l, specialized{instance{"matmul", "gemm", a}, []gpu.Const{{Index: 0, Value: ta}, {Index: 1, Value: tb}}})
				}
			}
		}
		for _, packed := range booleans {
			l = append(l, specialized{instance{"matmul", "gemv", []string{t, t, t}}, []gpu.Const{{Index: 2, Value: packed}}})
		}
	}
	l = append(l, every("matmul", []string{"gemv_columns"}, times(3)...)...)
	l = append(l, every("matmul", []string{"gemm_complex"}, []string{"float2", "float2"})...)
	return append(l, every("matmul", []string{"gemm_parts", "product_zero"}, times(1)...)...)
}

// packings are the code's template arguments of every way to pack.
func packings() (l [][]string) {
	for _, bits := range []string{"2", "3", "4", "5", "6", "8"} {
		l = append(l, []string{bits, strconv.Itoa(quantModes[quant.Affine])})
	}
	for _, fp := range []struct {
		bits string
		mode quant.Mode
	}{{"4", quant.MXFP4}, {"8", quant.MXFP8}, {"4", quant.NVFP4}} {
		l = append(l, []string{fp.bits, strconv.Itoa(quantModes[fp.mode])})
	}
	return l
}

func quantVariants() (l []specialized) {
	add := func(fn string, args ...[]string) {
		var all []string
		for _, a := range args {
			all = append(all, a...)
		}
		l = append(l, specialized{instance: instance{"quant", fn, all}})
	}
	for _, code := range packings() {
		for _, t := range floatNames {
			scales := t
			if code[1] != strconv.Itoa(quantModes[quant.Affine]) {
				scales = "uchar"
			}
			product := []string{t, scales, t}
			add("qmv", product, code, []string{"1"})
			add("qmv", product, code, []string{"4"})
			add("qvm", product, code)
			for _, transposed := range []string{"true", "false"} {
				add("qmm", product, []string{"float"}, code, []string{transposed})
				if t == "bfloat" { // with RoundWeights
					add("qmm", product, []string{t}, code, []string{transposed})
				}
			}
			add("qmm_runs", product, []string{"float"}, code)
			if t == "bfloat" {
				add("qmm_runs", product, []string{t}, code)
			}
			add("dequantize", []string{scales, t}, code)
		}
	}
	return l
}

// headSizes are the sizes of heads that models have.
var headSizes = []int{64, 80, 96, 128, 192, 256}

func attentionVariants() (l []specialized) {
	consts := func(mask, ring, partial bool) []gpu.Const {
		return (&attention{p: fast.Attention{Mask: mask, Ring: ring}}).constants(partial)
	}
	for _, d := range []dtype.DType{dtype.Float32, dtype.Float16, dtype.BFloat16} {
		t := floatType(d)
		for _, kv := range []dtype.DType{d, dtype.Float32} { // float32 are packed ones
			u, view := floatType(kv), &View{Spec: tensor.Spec{DType: kv}}
			lanes := map[int]bool{}
			for _, size := range headSizes {
				a := &attention{k: view, v: view, d: size, dv: size}
				if sizes, ok := a.tiles(); ok {
					i := instance{"attention", "attend_tiles", append([]string{t, u, u, t, "uchar", "float"}, sizes...)}
					l = append(l, specialized{i, consts(false, false, false)}, specialized{i, consts(true, false, false)})
				}
				n, _ := atLeast(attentionWidths, (size+simdWidth-1)/simdWidth)
				if lanes[n] {
					continue
				}
				lanes[n] = true
				width := strconv.Itoa(n)
				one := instance{"attention", "attend_row", []string{t, u, u, t, "uchar", "float", width, width}}
				part := instance{"attention", "attend_row", []string{t, u, u, "float", "uchar", "float", width, width}}
				l = append(l, specialized{part, consts(false, false, true)}, specialized{one, consts(false, false, false)}, specialized{one, consts(true, false, false)}, specialized{one, consts(false, true, false)})
			}
			if d == kv && d == dtype.Float32 {
				break
			}
		}
	}
	return append(l, every("attention", []string{"attend_merge"}, times(1)...)...)
}

// cacheVariants are rows of tables and of caches.
func cacheVariants() []specialized {
	words := [][]string{{"uchar"}, {"ushort"}, {"uint"}, {"ulong"}}
	l := append(every("cache", []string{"cache_write", "cache_read"}, words...), every("cache", []string{"ring_mask"}, nil)...)
	for _, w := range words {
		l = append(l, every("take", []string{"take"}, append(w[:1:1], "int"), append(w[:1:1], "uint"), append(w[:1:1], "long"))...)
	}
	return l
}

// indexVariants are gathers, and scatters that set and add.
func indexVariants() []specialized {
	words := [][]string{{"uchar"}, {"ushort"}, {"uint"}, {"ulong"}}
	l := every("gather", []string{"gather", "gather_axis"}, words...)
	l = append(l, every("scatter", []string{"scatter_places", "axis_places"}, nil)...)
	var joins [][]string
	for _, w := range words {
		joins = append(joins, []string{"Last<" + w[0] + ">", w[0]})
	}
	for _, t := range floatNames {
		joins = append(joins, []string{"Sum<float>", t})
	}
	joins = append(joins, []string{"Sum<uint>", "int"})
	return append(l, every("scatter", []string{"scatter_columns", "scatter_axis", "scatter_runs"}, joins...)...)
}

func attentionVJPVariants() []specialized {
	l := every("attention_vjp", []string{"attention_rows"}, times(1)...)
	for _, chunks := range []string{"2", "4", "8"} {
		l = append(l, every("attention_vjp", []string{"attention_keys", "attention_queries"}, times(1, chunks)...)...)
	}
	return l
}

// convVariants are convolutions, and products of segments.
func convVariants() []specialized {
	l := every("conv", []string{"conv_direct"}, times(1)...)
	l = append(l, every("segments", []string{"segmented_mm"}, times(1)...)...)
	return append(l, every("conv", []string{"conv_tiles"}, append(times(1, "32"), times(1, "64")...)...)...)
}

func quantizeVariants() []specialized {
	l := every("quantize", []string{"quantize_affine"}, times(1)...)
	for _, mode := range []quant.Mode{quant.MXFP4, quant.MXFP8, quant.NVFP4} {
		l = append(l, every("quantize", []string{"quantize_fp"}, times(1, strconv.Itoa(quantModes[mode]))...)...)
	}
	return l
}

// mapVariants are the generated libraries of elementwise ops.
func mapVariants() (l []Variant) {
	add := func(ops []mapped) {
		if len(ops) > 0 {
			l = append(l, mapVariant(ops))
		}
	}
	for _, d := range []dtype.DType{dtype.Float32, dtype.Float16, dtype.BFloat16, dtype.Int32, dtype.Uint32, dtype.Int64, dtype.Bool} {
		for g := range len(unaryGroups) - 1 {
			add(unaryGroup(g, d))
		}
		for g := range len(binaryGroups) - 1 {
			add(binaryGroup(g, d))
		}
		add(castGroup(d, true))
		add(castGroup(d, false))
		if classOf(d) == floats {
			add(gateGroup(d))
		}
	}
	for _, d := range []dtype.DType{dtype.Uint8, dtype.Uint16, dtype.Uint32, dtype.Uint64} {
		in, out := []dtype.DType{dtype.Bool, d, d}, []dtype.DType{d}
		_, name, _ := mapLibrary(tensor.Select{}, in, out)
		add([]mapped{{name, tensor.Select{}, in, out}})
	}
	return l
}

func mapVariant(ops []mapped) Variant {
	key, _, _ := mapLibrary(ops[0].prim, ops[0].in, ops[0].out)
	return Variant{"map", key, func(c *kernelCache) error {
		for _, o := range ops {
			for _, layout := range []string{"flat", "strided"} {
				if _, err := c.generated(key, o.name+"_"+layout, gpu.Safe, func() (string, error) { return librarySource(func() []mapped { return ops }) }, nil); err != nil {
					return fmt.Errorf("%s_%s: %w", o.name, layout, err)
				}
			}
		}
		return nil
	}}
}
