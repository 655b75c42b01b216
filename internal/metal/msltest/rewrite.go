// Package mslshim compiles Metal Shading Language compute kernels for a CPU
// (and, as text, for clang's NVPTX target) so that they can be tested without
// a Mac. rewrite.go is the only part that knows MSL's syntax: it takes
// preprocessed MSL and returns C++ plus a table of kernels.
package msltest

import (
	"fmt"
	"sort"
	"strings"
)

type tok struct {
	ws, s string
	line  int
}

func isID(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

func lex(src string) []tok {
	var out []tok
	i, line, n := 0, 1, len(src)
	for i < n {
		st := i
		for i < n { // whitespace, line markers and comments go to ws
			if c := src[i]; c == '\n' {
				line++
				i++
			} else if c == ' ' || c == '\t' || c == '\r' {
				i++
			} else if c == '#' && (i == 0 || strings.TrimRight(src[strings.LastIndexByte(src[:i], '\n')+1:i], " \t") == "") {
				for i < n && src[i] != '\n' {
					i++
				}
			} else if strings.HasPrefix(src[i:], "//") {
				for i < n && src[i] != '\n' {
					i++
				}
			} else if strings.HasPrefix(src[i:], "/*") {
				e := strings.Index(src[i+2:], "*/")
				if e < 0 {
					e = n - i - 4
				}
				line += strings.Count(src[i:i+e+4], "\n")
				i += e + 4
			} else {
				break
			}
		}
		ws := src[st:i]
		if i >= n {
			out = append(out, tok{ws, "", line})
			break
		}
		b := i
		switch c := src[i]; {
		case c >= '0' && c <= '9' || c == '.' && i+1 < n && src[i+1] >= '0' && src[i+1] <= '9':
			for i < n && (isID(src[i]) || src[i] == '.' || (src[i] == '+' || src[i] == '-') && strings.ContainsRune("eEpP", rune(src[i-1])) && !(len(src[b:i]) > 1 && (src[b+1] == 'x') && (src[i-1] == 'e' || src[i-1] == 'E'))) {
				i++
			}
		case isID(c):
			for i < n && isID(src[i]) {
				i++
			}
		case c == '"' || c == '\'':
			for i++; i < n && src[i] != c; i++ {
				if src[i] == '\\' {
					i++
				}
			}
			i++
		default:
			i++
			if i < n && (strings.Contains("::->++--&&||==!=+=-=*=/=|=^=%=", src[b:i+1]) && len(src[b:i+1]) == 2 && strings.Index("::->++--&&||==!=+=-=*=/=|=^=%=", src[b:i+1])%2 == 0) {
				i++
			}
		}
		out = append(out, tok{ws, src[b:i], line})
	}
	return out
}

// Kernel is one entry point as the host sees it.
type Kernel struct {
	Host, Expr string // host name; C++ expression naming the function
	Params     []Param
}
type Param struct {
	Attr, Arg string // "buffer","0" / "thread_position_in_grid","" / ...
	Decl      string
	Ptr, Ref  bool
}
type FuncConst struct{ Type, Name, Index string }
type Unit struct {
	CPP       string
	Kernels   []Kernel
	Consts    []FuncConst
	Lint      []string
	templates map[string][]Param
}

type rw struct {
	t    []tok
	o    strings.Builder
	u    *Unit
	cuda bool
	nvar int
	fc   map[string]string
	tmpl map[string]bool
}

func (r *rw) lint(t tok, f string, a ...any) {
	r.u.Lint = append(r.u.Lint, fmt.Sprintf("%d: ", t.line)+fmt.Sprintf(f, a...))
}

// match returns the index of the bracket closing the one at i (of <>, (), [], {}).
func (r *rw) match(i int) int {
	open := r.t[i].s
	cl := map[string]string{"(": ")", "[": "]", "{": "}", "<": ">"}[open]
	d, par := 0, 0
	for j := i; j < len(r.t); j++ {
		switch s := r.t[j].s; {
		case open == "<" && (s == "(" || s == "["):
			par++
		case open == "<" && (s == ")" || s == "]"):
			par--
		case s == open && par == 0:
			d++
		case s == cl && par == 0:
			if d--; d == 0 {
				return j
			}
		}
	}
	return len(r.t) - 1
}
func (r *rw) attrAt(i int) bool {
	return i+1 < len(r.t) && r.t[i].s == "[" && r.t[i+1].s == "[" && r.t[i+1].ws == ""
}

type attr struct{ name, arg string }

// attrs parses one [[...]] at i, returns its attributes and the index after it.
func (r *rw) attrs(i int) ([]attr, int) {
	e := r.match(i)
	var out []attr
	for j := i + 2; j < e-1; j++ {
		a := attr{name: r.t[j].s}
		if r.t[j+1].s == "(" {
			c := r.match(j + 1)
			a.arg = r.text(j+2, c)
			j = c
		}
		out = append(out, a)
		if r.t[j+1].s == "," {
			j++
		}
	}
	return out, e + 1
}
func (r *rw) text(a, b int) string {
	var s strings.Builder
	for ; a < b; a++ {
		s.WriteString(r.t[a].ws + r.t[a].s)
	}
	return strings.TrimSpace(s.String())
}
func strlits(s string) string { // "a" "b" -> ab
	var o strings.Builder
	for i, p := range strings.Split(s, `"`) {
		if i%2 == 1 {
			o.WriteString(p)
		}
	}
	return o.String()
}

var banned = map[string]string{"double": "no double in Metal", "goto": "no goto", "throw": "no exceptions", "try": "no exceptions", "catch": "no exceptions", "new": "no new", "delete": "no delete", "dynamic_cast": "no RTTI",
	"typeid": "no RTTI", "virtual": "no virtual functions", "thread_local": "no thread_local", "std": "no std:: in Metal", "asm": "no inline asm"}
var vecNames = map[string]string{}

func init() {
	for _, t := range strings.Fields("float half bfloat char uchar short ushort int uint long ulong bool") {
		for _, n := range []string{"2", "3", "4"} {
			vecNames[t+n] = t + "," + n
		}
	}
}

// Rewrite turns preprocessed MSL into C++. cuda selects the NVPTX flavour.
func Rewrite(src string, cuda bool, only ...string) *Unit {
	r := &rw{t: lex(src), u: &Unit{templates: map[string][]Param{}}, cuda: cuda, fc: map[string]string{}, tmpl: map[string]bool{}}
	r.block(0, len(r.t), "")
	if len(only) > 0 {
		keep := map[string]bool{}
		for _, s := range only {
			keep[s] = true
		}
		var ks []Kernel
		for _, k := range r.u.Kernels {
			if keep[k.Host] {
				ks = append(ks, k)
			}
		}
		r.u.Kernels = ks
	}
	r.entries()
	r.u.CPP = r.o.String()
	return r.u
}

func (r *rw) emit(i int) { r.o.WriteString(r.t[i].ws + r.word(i)) }

// word maps one token.
func (r *rw) word(i int) string {
	s := r.t[i].s
	next := ""
	if i+1 < len(r.t) {
		next = r.t[i+1].s
	}
	prev := ""
	if i > 0 {
		prev = r.t[i-1].s
	}
	switch s {
	case "device", "constant", "thread", "threadgroup":
		if (prev == ")" || prev == "const" && i > 1 && r.t[i-2].s == ")") && (next == ":" || next == "{" || next == ";") {
			return "" // address space of a member function's object
		}
		if prev != "::" && prev != "." && prev != "->" {
			return "MSL_" + strings.ToUpper(s)
		}
	case "vec":
		if next == "<" {
			if e := r.match(i + 1); e+1 < len(r.t) && r.t[e+1].s == "(" {
				return "make_vec"
			}
		}
	}
	if v, ok := vecNames[s]; ok && next == "(" && prev != "." && prev != "->" {
		if prev == "::" {
			return "make_vec<" + v + ">"
		}
		return "metal::make_vec<" + v + ">"
	}
	if m, ok := banned[s]; ok && prev != "." && prev != "->" && !(s == "std" && next != "::") && prev != "=" {
		r.lint(r.t[i], "%s (%s)", m, s)
	}
	if c := s; c != "" && (c[0] >= '0' && c[0] <= '9' || c[0] == '.' && len(c) > 1) && !strings.HasPrefix(c, "0x") && strings.ContainsAny(c, ".eE") && !strings.ContainsAny(c, "fFhH") && !strings.HasSuffix(c, "bf") {
		return s + "f" // in MSL an unsuffixed literal is a float
	}
	return s
}

// block emits tokens [i,e); fn is the enclosing function kind: "" namespace scope, "kernel" or "other".
func (r *rw) block(i, e int, fn string) {
	stmt := true // at the start of a declaration or statement
	for i < e {
		t := r.t[i]
		if fn == "" && stmt && (t.s == "template" && r.t[i+1].s == "<" || t.s == "kernel" || r.attrAt(i)) {
			if j := r.kernelDef(i); j > 0 {
				i, stmt = j, true
				continue
			}
		}
		switch {
		case r.attrAt(i):
			_, j := r.attrs(i)
			for k := i; k < j; k++ {
				r.o.WriteString(r.t[k].ws)
			}
			i = j
			continue
		case fn == "" && stmt && t.s == "template" && r.t[i+1].s != "<": // explicit instantiation
			i = r.instantiation(i)
			continue
		case fn == "" && stmt && t.s == "constant":
			if j := r.funcConst(i); j > 0 {
				i = j
				continue
			}
		case fn != "" && stmt && t.s == "threadgroup":
			if j := r.tgVar(i, fn); j > 0 {
				i = j
				continue
			}
		}
		if t.s == "(" && i+3 < e && r.t[i+2].s == ")" && vecNames[r.t[i+1].s] != "" { // (half4)x
			p, n := prevTok(r.t, i), r.t[i+3].s
			if (p == "return" || p == "" || !isID(p[len(p)-1]) && p != ")" && p != "]" && p != ">") && n != "" && (isID(n[0]) || n == "(" || n == "-" || n == "*" || n == "{") {
				if n != "{" {
					r.o.WriteString(t.ws + "metal::vcast<" + vecNames[r.t[i+1].s] + ">() ->* ")
					i += 3
					stmt = false
					continue
				}
			}
		}
		if t.s == "{" {
			c := r.match(i)
			r.emit(i)
			k := fn
			if fn == "" && i > 0 && strings.Contains(" ) const thread device constant threadgroup ", " "+r.t[i-1].s+" ") {
				k = "other"
			}
			r.block(i+1, c, k)
			r.emit(c)
			i, stmt = c+1, true
			continue
		}
		if v := vecNames[prevTok(r.t, i)]; v != "" && fn != "" && i+1 < e && r.t[i+1].s == "(" && isID(t.s[0]) { // short2 a(x, y);
			r.o.WriteString(t.ws + t.s + " = metal::make_vec<" + v + ">")
			i++
			continue
		}
		r.emit(i)
		stmt = t.s == ";" || t.s == "}" || t.s == ":" && fn == ""
		i++
	}
}

func prevTok(t []tok, i int) string {
	if i == 0 {
		return ""
	}
	return t[i-1].s
}

// params parses a parameter list ( at i .. ) and returns it with the C++ text.
func (r *rw) params(i int) ([]Param, string, int) {
	e := r.match(i)
	var ps []Param
	var txt []string
	st, d := i+1, 0
	for j := i + 1; j <= e; j++ {
		switch s := r.t[j].s; {
		case j == e || s == "," && d == 0:
			if j > st {
				p := Param{}
				var o strings.Builder
				as := false
				for k := st; k < j; {
					if r.attrAt(k) {
						at, nk := r.attrs(k)
						for _, a := range at {
							if a.name != "function_constant" {
								p.Attr, p.Arg = a.name, a.arg
							}
						}
						for ; k < nk; k++ {
							o.WriteString(strings.Repeat("\n", strings.Count(r.t[k].ws, "\n")))
						}
						continue
					}
					switch r.t[k].s {
					case "*":
						p.Ptr = true
					case "&":
						p.Ref = true
					case "device", "constant", "threadgroup", "thread":
						as = true
					}
					o.WriteString(r.t[k].ws + r.word(k))
					k++
				}
				p.Decl = strings.TrimSpace(o.String())
				if (p.Ptr || p.Ref) && !as {
					r.lint(r.t[st], "pointer/reference parameter without an address space: %s", p.Decl)
				}
				ps = append(ps, p)
				txt = append(txt, o.String())
			}
			st = j + 1
		case s == "(" || s == "[" || s == "{" || s == "<":
			d++
		case s == ")" || s == "]" || s == "}" || s == ">":
			d--
		}
	}
	return ps, "(" + strings.Join(txt, ",") + ")", e + 1
}

// kernelDef handles [template<...>] {attributes|kernel} void name(params) {body}; 0 if it is not one.
func (r *rw) kernelDef(i int) int {
	j, isT, isK := i, false, false
	head := ""
	if r.t[j].s == "template" {
		c := r.match(j + 1)
		head, isT, j = r.textw(j, c+1), true, c+1
	}
	for j+2 < len(r.t) {
		if r.attrAt(j) {
			at, n := r.attrs(j)
			for _, a := range at {
				isK = isK || a.name == "kernel"
			}
			j = n
		} else if s := r.t[j].s; s == "kernel" || s == "inline" || s == "static" {
			isK = isK || s == "kernel"
			j++
		} else {
			break
		}
	}
	if !isK || j+2 >= len(r.t) || r.t[j].s != "void" || r.t[j+2].s != "(" {
		return 0
	}
	name := r.t[j+1].s
	ps, txt, k := r.params(j + 2)
	if r.t[k].s != "{" {
		return 0
	}
	fnmark := "static "
	if r.cuda {
		fnmark = "static __attribute__((device)) "
	}
	r.o.WriteString(r.t[i].ws + head + " " + fnmark + "void " + name + txt)
	r.u.templates[name] = ps
	if isT {
		r.tmpl[name] = true
	} else {
		r.u.Kernels = append(r.u.Kernels, Kernel{name, name, ps})
	}
	c := r.match(k)
	r.emit(k)
	r.block(k+1, c, "kernel")
	r.emit(c)
	return c + 1
}
func (r *rw) textw(a, b int) string {
	var s strings.Builder
	for ; a < b; a++ {
		s.WriteString(r.t[a].ws + r.word(a))
	}
	return s.String()
}

// instantiation handles template [[host_name("x")]] [[kernel]] (decltype(f<A>) f<A> | void f<A>(...));
func (r *rw) instantiation(i int) int {
	j, host, isK := i+1, "", false
	for {
		if r.attrAt(j) {
			at, n := r.attrs(j)
			for _, a := range at {
				isK = isK || a.name == "kernel"
				if a.name == "host_name" {
					host = strlits(a.arg)
				}
			}
			j = n
		} else if r.t[j].s == "kernel" {
			isK = true
			j++
		} else {
			break
		}
	}
	end := j
	for d := 0; end < len(r.t) && (r.t[end].s != ";" || d > 0); end++ {
		switch r.t[end].s {
		case "(", "{":
			d++
		case ")", "}":
			d--
		}
	}
	if !isK {
		for k := i; k <= end; k++ {
			r.emit(k)
		}
		return end + 1
	}
	if r.t[j].s == "decltype" {
		j = r.match(j+1) + 1
	} else {
		j++ // void
	}
	name := r.t[j].s
	expr := name
	if r.t[j+1].s == "<" {
		c := r.match(j + 1)
		expr = r.textw(j, c+1)
	}
	if host == "" {
		host = name
	}
	if ps, ok := r.u.templates[name]; ok {
		r.u.Kernels = append(r.u.Kernels, Kernel{host, strings.Join(strings.Fields(expr), " "), ps})
	} else {
		r.lint(r.t[i], "instantiation of unknown kernel %s", name)
	}
	for k := i; k <= end; k++ {
		r.o.WriteString(strings.Repeat("\n", strings.Count(r.t[k].ws, "\n")))
	}
	return end + 1
}

// funcConst handles constant T name [[function_constant(i)]];
func (r *rw) funcConst(i int) int {
	j := i
	for ; j < len(r.t) && r.t[j].s != ";" && r.t[j].s != "=" && r.t[j].s != "{" && r.t[j].s != "("; j++ {
		if r.attrAt(j) {
			at, n := r.attrs(j)
			if len(at) == 1 && at[0].name == "function_constant" && r.t[n].s == ";" {
				name, ty := r.t[j-1].s, r.text(i+1, j-1)
				r.u.Consts = append(r.u.Consts, FuncConst{ty, name, at[0].arg})
				fmt.Fprintf(&r.o, "%s\n#ifdef MSL_FC_%s\nstatic constexpr %s %s = (%s)(MSL_FC_%s); static constexpr bool %s_is_defined = true;\n#else\nstatic constexpr %s %s = %s(); static constexpr bool %s_is_defined = false;\n#endif\n",
					r.t[i].ws, at[0].arg, ty, name, ty, at[0].arg, name, ty, name, ty, name)
				return n + 1
			}
		}
	}
	return 0
}

// tgVar handles threadgroup T a[N], b; (a variable, not a pointer to threadgroup memory).
func (r *rw) tgVar(i int, fn string) int {
	e, d, first := i, 0, -1
	for ; r.t[e].s != ";" || d > 0; e++ {
		switch s := r.t[e].s; s {
		case "(", "[", "{":
			if d == 0 && s == "[" && first < 0 && !r.attrAt(e) {
				first = e
			}
			d++
		case ")", "]", "}":
			d--
		case "<":
			if d == 0 && first < 0 {
				e = r.match(e)
			}
		case "*", "&":
			if d == 0 && first < 0 {
				return 0
			}
		case ",", "=":
			if d == 0 && first < 0 {
				first = e
			}
		}
	}
	if first < 0 {
		first = e
	}
	if fn != "kernel" {
		r.lint(r.t[i], "threadgroup variable outside a kernel function")
	}
	name := first - 1
	ty := r.textw(i+1, name)
	r.o.WriteString(r.t[i].ws)
	for st, j, dd := name, name, 0; j <= e; j++ {
		switch s := r.t[j].s; {
		case s == "[" || s == "(" || s == "{":
			dd++
		case s == "]" || s == ")" || s == "}":
			dd--
		case dd == 0 && (s == "," || s == ";"):
			r.nvar++
			n, de := r.t[st].s, j
			for k, b := st, 0; k < j; k++ {
				switch r.t[k].s {
				case "[", "(", "{":
					b++
				case "]", ")", "}":
					b--
				case "=":
					if b == 0 {
						de = min(de, k) // Metal initialises no threadgroup memory
						r.lint(r.t[k], "initialiser of threadgroup variable %s has no effect", n)
					}
				}
			}
			dims := r.textw(st+1, de)
			if r.cuda {
				fmt.Fprintf(&r.o, "static __attribute__((shared)) %s %s%s; ", strings.TrimSpace(ty), n, dims)
			} else {
				fmt.Fprintf(&r.o, "MSL_TG_VAR(typedef %s msl_t%d%s, msl_t%d, %s); ", strings.TrimSpace(ty), r.nvar, dims, r.nvar, n)
			}
			st = j + 1
		}
	}
	return e + 1
}

var ids = map[string]string{"thread_position_in_grid": "tpig", "thread_position_in_threadgroup": "tpitg", "threadgroup_position_in_grid": "tgpig", "threads_per_threadgroup": "tptg", "dispatch_threads_per_threadgroup": "dtptg",
	"threadgroups_per_grid": "tgpg", "threads_per_grid": "tpg", "thread_index_in_threadgroup": "tiitg", "thread_index_in_simdgroup": "lane", "simdgroup_index_in_threadgroup": "sgitg",
	"simdgroups_per_threadgroup": "sgptg", "dispatch_simdgroups_per_threadgroup": "dsgptg", "threads_per_simdgroup": "lanes", "thread_execution_width": "lanes"}

// entries writes one wrapper per kernel, and the table.
func (r *rw) entries() {
	sort.SliceStable(r.u.Kernels, func(i, j int) bool { return r.u.Kernels[i].Host < r.u.Kernels[j].Host })
	o := &r.o
	var tab strings.Builder
	for n, k := range r.u.Kernels {
		var args []string
		maxb, next := -1, 0
		for _, p := range k.Params {
			kind := "ref"
			if p.Ptr {
				kind = "ptr"
			}
			if p.Attr == "" && (p.Ptr || p.Ref) {
				p.Attr, p.Arg = "buffer", fmt.Sprint(next) // implicit index
			}
			switch p.Attr {
			case "buffer":
				args = append(args, fmt.Sprintf("msl_%s{MSL_BUF(%s)}", kind, p.Arg))
				if r.cuda {
					args[len(args)-1] = fmt.Sprintf("msl_%s{(void*)b[%s]}", kind, p.Arg)
				}
				var v int
				fmt.Sscan(p.Arg, &v)
				next = v + 1
				maxb = max(maxb, v)
			case "threadgroup":
				args = append(args, fmt.Sprintf("msl_ptr{MSL_TGBUF(%s)}", p.Arg))
			case "quadgroup_index_in_threadgroup":
				args = append(args, "MSL_QUAD(/)")
			case "thread_index_in_quadgroup":
				args = append(args, "MSL_QUAD(%)")
			default:
				if f, ok := ids[p.Attr]; ok {
					args = append(args, "MSL_ID("+f+")")
				} else {
					r.u.Lint = append(r.u.Lint, fmt.Sprintf("kernel %s: parameter %q has no known attribute [[%s]]", k.Host, p.Decl, p.Attr))
					args = append(args, "0")
				}
			}
		}
		if r.cuda {
			fmt.Fprintf(o, "\nextern \"C\" __attribute__((global)) void %s(msl_args a) { void* const* b = a.b; (void)b; if (!msl_in_grid(a)) return; %s(%s); }", cid(k.Host), k.Expr, strings.Join(args, ", "))
		} else {
			fmt.Fprintf(o, "\nstatic void msl_e%d() { %s(%s); }", n, k.Expr, strings.Join(args, ", "))
			fmt.Fprintf(&tab, "{\"%s\", msl_e%d}, ", k.Host, n)
		}
	}
	if !r.cuda {
		fmt.Fprintf(o, "\nextern \"C\" __attribute__((visibility(\"default\"))) const msl_kernel msl_kernels[] = {%s{0, 0}};\n", tab.String())
	}
}
func cid(s string) string {
	b := []byte(s)
	for i := range b {
		if !isID(b[i]) {
			b[i] = '_'
		}
	}
	return string(b)
}
