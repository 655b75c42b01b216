package fast

import (
	"fmt"
	"strings"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// metalTypes are the dtypes as Metal spells them; it has neither doubles nor complex
// numbers.
var metalTypes = map[tensor.DType]string{
	dtype.Bool: "bool", dtype.Uint8: "uint8_t", dtype.Uint16: "uint16_t", dtype.Uint32: "uint32_t", dtype.Uint64: "uint64_t",
	dtype.Int8: "int8_t", dtype.Int16: "int16_t", dtype.Int32: "int32_t", dtype.Int64: "int64_t",
	dtype.Float16: "half", dtype.BFloat16: "bfloat", dtype.Float32: "float",
}

func metalType(d tensor.DType) (string, error) {
	if text, ok := metalTypes[d]; ok {
		return text, nil
	}
	return "", fmt.Errorf("there is no type of Metal for %v", d)
}

// attributes are the arguments that Metal gives to a kernel that asks for them (table 5.8
// of the Metal Shading Language Specification), in the order of parameters.
var attributes = []struct{ name, typ string }{
	{"dispatch_quadgroups_per_threadgroup", "uint"},
	{"dispatch_simdgroups_per_threadgroup", "uint"},
	{"dispatch_threads_per_threadgroup", "uint3"},
	{"grid_origin", "uint3"},
	{"grid_size", "uint3"},
	{"quadgroup_index_in_threadgroup", "uint"},
	{"quadgroups_per_threadgroup", "uint"},
	{"simdgroup_index_in_threadgroup", "uint"},
	{"simdgroups_per_threadgroup", "uint"},
	{"thread_execution_width", "uint"},
	{"thread_index_in_quadgroup", "uint"},
	{"thread_index_in_simdgroup", "uint"},
	{"thread_index_in_threadgroup", "uint"},
	{"thread_position_in_grid", "uint3"},
	{"thread_position_in_threadgroup", "uint3"},
	{"threadgroup_position_in_grid", "uint3"},
	{"threadgroups_per_grid", "uint3"},
	{"threads_per_grid", "uint3"},
	{"threads_per_simdgroup", "uint"},
	{"threads_per_threadgroup", "uint3"},
}

// reserved are the words of C++14 and Metal that cannot name a parameter.
var reserved = wordSet(`
alignas alignof and and_eq asm auto bitand bitor bool break case catch char char16_t char32_t class compl const
constexpr const_cast continue decltype default delete do double dynamic_cast else enum explicit export extern false
float for friend goto if inline int long mutable namespace new noexcept not not_eq nullptr operator or or_eq private
protected public register reinterpret_cast return short signed sizeof static static_assert static_cast struct switch
template this thread_local throw true try typedef typeid typename union unsigned using virtual void volatile wchar_t
while xor xor_eq
constant device fragment kernel metal ray_data object_data patch_control_point thread threadgroup
threadgroup_imageblock vertex
bfloat half size_t ptrdiff_t uchar uint ulong ushort
int8_t int16_t int32_t int64_t uint8_t uint16_t uint32_t uint64_t`)

func wordSet(text string) map[string]bool {
	set := map[string]bool{}
	for w := range strings.FieldsSeq(text) {
		set[w] = true
	}
	return set
}

// isIdentifier reports whether w is a name of C++ in ASCII.
func isIdentifier(w string) bool {
	for i := range len(w) {
		if !inWord(w[i]) || i == 0 && isDigit(w[i]) {
			return false
		}
	}
	return w != ""
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func inWord(c byte) bool {
	return c == '_' || isDigit(c) || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// checkNames refuses what the compiler would, in words of the caller.
func checkNames(d Definition, template []TemplateArg) error {
	if !isIdentifier(d.Name) {
		return fmt.Errorf("the kernel's name %q is no identifier", d.Name)
	}
	if len(d.OutputNames) == 0 {
		return fmt.Errorf("%s: OutputNames is empty", d.Name)
	}
	names := claims{}
	for _, a := range attributes {
		names[a.name] = "an attribute of Metal"
	}
	for _, n := range d.InputNames {
		if err := names.claim(n, "an input"); err != nil {
			return fmt.Errorf("%s: %w", d.Name, err)
		}
	}
	for _, n := range d.InputNames {
		for _, fact := range []string{"shape", "strides", "ndim"} {
			if err := names.claim(n+"_"+fact, "the "+fact+" of input "+n); err != nil {
				return fmt.Errorf("%s: %w", d.Name, err)
			}
		}
	}
	for _, n := range d.OutputNames {
		if err := names.claim(n, "an output"); err != nil {
			return fmt.Errorf("%s: %w", d.Name, err)
		}
	}
	for _, a := range template {
		if err := names.claim(a.Name, "a template argument"); err != nil {
			return fmt.Errorf("%s: %w", d.Name, err)
		}
	}
	return nil
}

// claims are the names of a function's parameters and what each is.
type claims map[string]string

func (c claims) claim(name, what string) error {
	switch is, taken := c[name]; {
	case !isIdentifier(name):
		return fmt.Errorf("the name %q of %s is no identifier", name, what)
	case reserved[name]:
		return fmt.Errorf("the name %s of %s is a word of Metal", name, what)
	case taken:
		return fmt.Errorf("%s cannot be the name of %s: it is %s", name, what, is)
	}
	c[name] = what
	return nil
}
