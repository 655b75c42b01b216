package msltest

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/mlxgo/mlx/internal/metal/gpu"
)

// fields are the attributes of parameters that are numbers, and where the runtime keeps
// them (abi.h).
var fields = map[string]string{
	"thread_position_in_grid":             "MSL_OF_THREAD(in_grid)",
	"thread_position_in_threadgroup":      "MSL_OF_THREAD(in_group)",
	"thread_index_in_threadgroup":         "MSL_OF_THREAD(index)",
	"thread_index_in_simdgroup":           "MSL_OF_THREAD(lane)",
	"simdgroup_index_in_threadgroup":      "MSL_OF_THREAD(simdgroup)",
	"thread_index_in_quadgroup":           "MSL_OF_THREAD(index % 4)",
	"quadgroup_index_in_threadgroup":      "MSL_OF_THREAD(index / 4)",
	"threadgroup_position_in_grid":        "MSL_OF_GROUP(position)",
	"threads_per_threadgroup":             "MSL_OF_GROUP(threads)",
	"dispatch_threads_per_threadgroup":    "MSL_OF_GROUP(dispatched)",
	"threadgroups_per_grid":               "MSL_OF_GROUP(groups)",
	"threads_per_grid":                    "MSL_OF_GROUP(grid)",
	"simdgroups_per_threadgroup":          "MSL_OF_GROUP(simdgroups)",
	"dispatch_simdgroups_per_threadgroup": "MSL_OF_GROUP(dispatched_simdgroups)",
	"quadgroups_per_threadgroup":          "MSL_OF_GROUP(simdgroups * 8)",
	"dispatch_quadgroups_per_threadgroup": "MSL_OF_GROUP(dispatched_simdgroups * 8)",
	"threads_per_simdgroup":               "MSL_OF_GROUP(simd_width)",
	"thread_execution_width":              "MSL_OF_GROUP(simd_width)",
}

// entryCode is C++ for the kernels that are asked for, all if names is empty: a function
// without parameters for each, and the table msl_kernels.
func (u *unit) entryCode(names []string) string {
	if u.open {
		return "" // the compiler says where
	}
	var out, table strings.Builder
	// Messages about a parameter are to have the kernel's line.
	for n, e := range u.entries {
		if len(names) > 0 && !slices.Contains(names, e.Name) {
			continue
		}
		args, bindings := e.arguments()
		fmt.Fprintf(&out, "\n#line %d\nstatic void msl_run_%d() { ::%s(%s); }", e.line, n, e.expr, strings.Join(args, ", "))
		fmt.Fprintf(&out, "\nstatic const msl_param msl_params_%d[] = {%s{-1, 0, 0, 0, 0}};", n, strings.Join(bindings, ""))
		fmt.Fprintf(&table, "\n{%s, msl_run_%d, msl_params_%d, %d},", strconv.Quote(e.Name), n, n, len(bindings))
	}
	fmt.Fprintf(&out, "\nextern \"C\" __attribute__((visibility(\"default\"))) const msl_kernel msl_kernels[] = {%s\n{0, 0, 0, 0}};\n", &table)
	return out.String()
}

// arguments gives the arguments of the call of a kernel, and the rows of its table.
func (e Entry) arguments() (args, bindings []string) {
	next := 0 // buffer that has no number
	for i, p := range e.Params {
		kind, cast := 0, "msl_pointer"
		if p.reference && !p.pointer {
			cast = "msl_reference"
		}
		switch p.Attribute {
		case "", "buffer":
			if p.Attribute == "" || p.Argument == "" {
				p.Argument = strconv.Itoa(next)
			}
			if n, err := strconv.Atoi(p.Argument); err == nil {
				next = n + 1
			}
			args = append(args, fmt.Sprintf("%s{MSL_BUFFER(%s)}", cast, p.Argument))
		case "threadgroup":
			kind = 1
			args = append(args, fmt.Sprintf("%s{MSL_THREADGROUP_BUFFER(%s)}", cast, p.Argument))
		default:
			args = append(args, fields[p.Attribute])
			continue
		}
		condition := p.Condition
		if condition == "" {
			condition = "true"
		}
		bindings = append(bindings, fmt.Sprintf("\nmsl_bind<%d>(::%s, %d, %s, %s), ", i, e.expr, kind, p.Argument, condition))
	}
	return args, bindings
}

// lintEntries tells of parameters that have no meaning.
func (u *unit) lintEntries() {
	for _, e := range u.entries {
		for _, p := range e.Params {
			switch _, ok := fields[p.Attribute]; {
			case ok, p.Attribute == "buffer", p.Attribute == "threadgroup":
			case p.Attribute == "" && (p.pointer || p.reference):
			case p.Attribute == "":
				u.lint = append(u.lint, fmt.Sprintf("kernel %s: the parameter has no attribute: %s", e.Name, p.Text))
			default:
				u.lint = append(u.lint, fmt.Sprintf("kernel %s: [[%s]] is not known: %s", e.Name, p.Attribute, p.Text))
			}
		}
	}
}

// constantBits gives the type of a value in Metal's words, and its bits.
func constantBits(c gpu.Const) (kind string, bits uint32, err error) {
	switch v := c.Value.(type) {
	case bool:
		if v {
			bits = 1
		}
		return "bool", bits, nil
	case int32:
		return "int", uint32(v), nil
	case uint32:
		return "uint", v, nil
	case float32:
		return "float", math.Float32bits(v), nil
	}
	return "", 0, fmt.Errorf("function constant %d is a %T, not bool, int32, uint32 or float32", c.Index, c.Value)
}
