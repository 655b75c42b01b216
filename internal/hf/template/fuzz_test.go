package template

import (
	"os"
	"strings"
	"testing"
	"time"
)

// seeds are the templates of testdata/jinja2.json.
func seeds(f *testing.F) *Dict {
	data, err := os.ReadFile("testdata/jinja2.json")
	if err != nil {
		f.Fatal(err)
	}
	v, err := DecodeJSON(data)
	if err != nil {
		f.Fatal(err)
	}
	cases, _ := v.(*Dict).Get("cases")
	for _, c := range cases.(*List).Items {
		src, _ := c.(*Dict).Get("src")
		f.Add(src.(string))
	}
	ctx, _ := v.(*Dict).Get("context")
	return ctx.(*Dict)
}

func FuzzParse(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, src string) {
		if tmpl, err := Parse(src); err != nil && (tmpl != nil || err.Error() == "") {
			t.Errorf("a template and an error: %v", err)
		}
	})
}

// FuzzRender finds panics, and templates that run long within small limits.
func FuzzRender(f *testing.F) {
	ctx := seeds(f)
	before, err := encodeJSON(ctx)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, src string) {
		tmpl, err := Parse(src)
		if err != nil {
			return
		}
		start := time.Now()
		_, err = tmpl.Render(ctx, Options{Limits: Limits{Steps: 100_000, Bytes: 8 << 20}})
		if d := time.Since(start); d > 2*time.Second {
			t.Errorf("took %v (%v)", d, err)
		}
		if after, _ := encodeJSON(ctx); after != before {
			t.Error("the template changed its input")
		}
	})
}

func FuzzDecodeJSON(f *testing.F) {
	for _, s := range []string{`{"a":[1,2.5,null,true,"x"]}`, `[[[]]]`, `1e999`, `-12345678901234567890`, `"\ud800"`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := DecodeJSON(data)
		if err != nil {
			return
		}
		s, err := encodeJSON(v)
		if err != nil {
			t.Fatalf("cannot be written again: %v", err)
		}
		if _, err := DecodeJSON([]byte(s)); err != nil && !strings.Contains(s, "Infinity") {
			t.Fatalf("%q cannot be read again: %v", s, err)
		}
	})
}
