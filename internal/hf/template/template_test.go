package template

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestParseErrors(t *testing.T) {
	for _, c := range []struct{ src, want string }{
		{"a\nb {{ x", `template line 2: the template ends before "}}"`},
		{"{% if x %}\n\n", `template line 2: the template ends before elif or else or endif`},
		{"{% for x %}", `template line 1: expected "in", got %}`},
		{"\n\n{% foo %}", `template line 3: unknown tag "foo"`},
		{"{{ 'a\\N{DASH}' }}", `template line 1: the escape \N{...} is not supported`},
		{"{{ x | wordwrap }}", `template line 1: the filter "wordwrap" is not supported`},
		{"{{ x |\nnope }}", `template line 2: no filter named "nope"`},
		{"{% import 'x' %}", `template line 1: the tag "import" is not supported in a chat template`},
		{"{{ " + strings.Repeat("(", 300) + strings.Repeat(")", 300) + " }}", "template line 1: nested more than 200 levels deep"},
		{"{{ 1" + strings.Repeat("+1", 3000) + " }}", "template line 1: an expression has more than 1000 parts in a row"},
		{strings.Repeat("{% if 1 %}", 300), "template line 1: nested more than 200 levels deep"},
		{"{{ ] }}", `template line 1: unexpected "]"`},
		{"{# x", "template line 1: a comment has no end mark #}"},
	} {
		_, err := Parse(c.src)
		if err == nil || err.Error() != c.want {
			t.Errorf("%.40q: got %v, want %s", c.src, err, c.want)
		}
		var te *Error
		if !errors.As(err, &te) {
			t.Errorf("%.40q: %T is not *Error", c.src, err)
		}
	}
}

func TestRenderErrors(t *testing.T) {
	_, err := renderAt("a\n{{ 1 }}\n{% if true %}\n{{ raise_exception('no <system> role') }}{% endif %}", NewDict())
	var raised *RaisedError
	var te *Error
	if !errors.As(err, &raised) || raised.Message != "no <system> role" || !errors.As(err, &te) || te.Line != 4 {
		t.Errorf("got %v", err)
	}
	_, err = renderAt("{% macro m(a) %}\n{{ a.b.c }}{% endmacro %}\n{{ m({}) }}", nil)
	if err == nil || err.Error() != "template line 2: 'dict object' has no attribute 'b'" {
		t.Errorf("got %v", err)
	}
	vars := NewDict()
	vars.Set("x", []string{"a"})
	if _, err := renderAt("{{ x }}{{ {x: 1} }}{{ x is sameas x }}", vars); err == nil || !strings.Contains(err.Error(), "[]string is not a template value") {
		t.Errorf("a foreign Go value: %v", err)
	}
}

// TestLimits renders hostile templates: each must end soon, in an error.
func TestLimits(t *testing.T) {
	loop := "{% for a in range(99999) %}{% for b in range(99999) %}{{ a }}{% endfor %}{% endfor %}"
	for _, c := range []struct{ src, want string }{
		{"{{ range(10**12) }}", "range too big"},
		{"{{ 'x' * 10**12 }}", "bytes"},
		{"{{ [1] * 10**12 }}", "bytes"},
		{"{{ ([1] * 10**6) * 10**6 }}", "bytes"},
		{"{{ 10**(10**10) }}", "too large"},
		{"{{ 2 ** (2 ** 70) }}", "too large"},
		{"{% set ns = namespace(x=10**4000) %}{% for i in range(99999) %}{% set ns.x = ns.x * ns.x %}{% endfor %}", "too large"},
		{"{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "depth"},
		{"{% macro m(x) %}{% call m(x) %}{% endcall %}{{ caller }}{% endmacro %}{{ m(1) }}", "depth"},
		{"{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}", "depth"},
		{loop, "steps"},
		{"{% set ns = namespace(s='x') %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}", "bytes"},
		{"{% set ns = namespace(s='x') %}{% for i in range(99) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}", "bytes"},
		{"{% set ns = namespace(l=[1]) %}{% for i in range(99) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l }}", "bytes"},
		{"{% set ns = namespace(l=[1]) %}{% for i in range(99) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l | tojson }}", "s"},
		{"{% set ns = namespace(l=[1], m=[1]) %}{% for i in range(99) %}{% set ns.l = [ns.l, ns.l] %}{% set ns.m = [ns.m, ns.m] %}{% endfor %}{{ ns.l == ns.m }}", "steps"},
		{"{% set ns = namespace(l=(1,)) %}{% for i in range(99) %}{% set ns.l = (ns.l, ns.l) %}{% endfor %}{{ {ns.l: 1} }}", "too large to be a key"},
		{"{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}", "depth"},
		{"{% set ns = namespace(l=[]) %}{% for i in range(99999) %}{% set ns.l = [ns.l] %}{% endfor %}{{ ns.l }}", "depth"},
		{"{% set ns = namespace(l=[]) %}{% for i in range(99999) %}{% set ns.l = [ns.l] %}{% endfor %}{{ ns.l | tojson }}", "depth"},
		{"{% set ns = namespace(l=[], m=[]) %}{% for i in range(99999) %}{% set ns.l = [ns.l] %}{% set ns.m = [ns.m] %}{% endfor %}{{ ns.l == ns.m }}", "depth"},
		{"{% set ns = namespace(g=['a']) %}{% for i in range(99999) %}{% set ns.g = ns.g | map('string') %}{% endfor %}{{ ns.g | list }}", "depth"},
		{"{{ 'a' | center(10**12) }}", "bytes"},
		{"{{ '%1000000000d' % 1 }}", "bytes"},
		{"{{ '{:1000000000}'.format(1) }}", "bytes"},
		{"{{ '%.1000000000f' % 1 }}", "bytes"},
		{"{{ 'a'.zfill(10**10) }}", "bytes"},
		{"{{ [1] | batch(10**10, 0) | list }}", "bytes"},
		{"{{ [1] | slice(10**10) | list }}", "bytes"},
		{"{{ ('a' * 10**6).replace('a', 'b' * 10**6) }}", "bytes"},
		{"{{ ('\\n' * 10**6) | indent(10**6, blank=true) }}", "bytes"},
		{"{{ [[1]] | tojson(indent=10**10) }}", "bytes"},
		{"{{ ('b' * 10**6).join(['a'] * 10**6) }}", "bytes"},
		{"{{ ('a' * 10**7) | list | length }}{{ ('a' * 10**7) | list | length }}{{ ('a' * 10**7) | list | length }}{{ ('a' * 10**7) | list | length }}", "bytes"},
	} {
		start := time.Now()
		_, err := renderLimited(c.src, Limits{Steps: 2_000_000, Bytes: 64 << 20})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", c.src, err, c.want)
		}
		if d := time.Since(start); d > 10*time.Second {
			t.Errorf("%s took %v", c.src, d)
		}
	}
	var le *LimitError
	if _, err := renderLimited(loop, Limits{Steps: 100}); !errors.As(err, &le) || le.Limit != 100 || le.What != "steps" {
		t.Errorf("got %v", err)
	}
	if s, err := renderLimited("{{ 'x' * 1000 }}", Limits{Bytes: 4000}); err != nil || len(s) != 1000 {
		t.Errorf("within the limit: %v", err)
	}
}

func renderLimited(src string, l Limits) (string, error) {
	tmpl, err := Parse(src)
	if err != nil {
		return "", err
	}
	return tmpl.Render(nil, Options{Limits: l})
}

func TestClock(t *testing.T) {
	tmpl, err := Parse("{{ strftime_now('%d %b %Y %H:%M') }}{% if not date_string is defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}|{{ date_string }}")
	if err != nil {
		t.Fatal(err)
	}
	instant := time.Date(2026, 3, 1, 2, 30, 0, 0, time.UTC)
	for _, c := range []struct {
		offset int
		want   string
	}{{0, "01 Mar 2026 02:30|01 Mar 2026"}, {-5, "28 Feb 2026 21:30|28 Feb 2026"}, {9, "01 Mar 2026 11:30|01 Mar 2026"}} {
		zone := time.FixedZone("test", c.offset*3600)
		got, err := tmpl.Render(nil, Options{Now: func() time.Time { return instant.In(zone) }})
		if err != nil || got != c.want {
			t.Errorf("zone %+d: got %q, %v; want %q", c.offset, got, err, c.want)
		}
	}
}

func TestConcurrentRender(t *testing.T) {
	tmpl, err := Parse("{% set ns = namespace(x=0) %}{% for i in range(n) %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }}")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			vars := NewDict()
			vars.Set("n", int64(n))
			got, err := tmpl.Render(vars, Options{})
			if want := fmt.Sprint(n * (n - 1) / 2); err != nil || got != want {
				t.Errorf("got %q, %v; want %s", got, err, want)
			}
		})
	}
	wg.Wait()
}

func TestDict(t *testing.T) {
	d := NewDict()
	for i := range 30 {
		d.Set(fmt.Sprint("k", 29-i), int64(i))
	}
	d.Set("k5", "again")
	if d.Len() != 30 || d.keys[0] != "k29" || d.keys[24] != "k5" {
		t.Errorf("order lost: %v", d.keys)
	}
	if v, ok := d.Get("k5"); !ok || v != "again" {
		t.Errorf("k5 is %v", v)
	}
	if _, ok := d.Get("none"); ok {
		t.Error("found a missing key")
	}
	d.Set("int", 7)
	d.Set("float", float32(0.5))
	if s, err := encodeJSON(NewList(d.vals[30], d.vals[31], uint64(1<<63))); err != nil || s != "[7, 0.5, 9223372036854775808]" {
		t.Errorf("Go numbers: %s, %v", s, err)
	}
	d = &Dict{keys: d.keys[:30], vals: d.vals[:30]}
	c := d.Clone()
	c.Set("new", true)
	if d.Len() != 30 || c.Len() != 31 {
		t.Error("a clone shares its keys")
	}
	var none *Dict
	if _, ok := none.Get("x"); ok || none.Len() != 0 {
		t.Error("a nil dict is not empty")
	}
}

func TestJSON(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{`{"b":1,"a":[1.0,null,true],"b":2}`, `{"b": 2, "a": [1.0, null, true]}`},
		{`"<é\u2028\n\u0000>"`, "\"<é\u2028\\n\\u0000>\""},
		{`[1e400, -0.0, 1E5, 12345678901234567890123]`, `[Infinity, -0.0, 100000.0, 12345678901234567890123]`},
		{` {} `, `{}`},
	} {
		v, err := DecodeJSON([]byte(c.in))
		if err != nil {
			t.Errorf("%s: %v", c.in, err)
			continue
		}
		if got, err := encodeJSON(v); err != nil || got != c.want {
			t.Errorf("%s: got %s, %v; want %s", c.in, got, err, c.want)
		}
	}
	for _, in := range []string{"", "{", "[1,", `{"a"}`, "1 2", "nul", strings.Repeat("[", 5000), "1" + strings.Repeat("0", 5000)} {
		if v, err := DecodeJSON([]byte(in)); err == nil {
			t.Errorf("%.20q: got %v, want an error", in, v)
		}
	}
}

// The clock aside, a template gives the same text every time.
func TestStrftimePadding(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6007000, time.UTC)
	for f, want := range map[string]string{
		"%-d/%-m %e %_H": "2/1  2  3", "%f": "006007", "%q": "%q", "100%": "100%", "%%": "%", "%^b %p %P %#p": "JAN AM am am",
	} {
		if got := strftime(at, f); got != want {
			t.Errorf("%s: got %q, want %q", f, got, want)
		}
	}
}

// encodeJSON writes a value as the tojson filter does by default: as Python's
// json.dumps with ensure_ascii off.
func encodeJSON(v Value) (string, error) {
	r := &runtime{lim: Limits{}.withDefaults()}
	return r.encodeJSON(v, jsonStyle{itemSep: ", ", keySep: ": "})
}
