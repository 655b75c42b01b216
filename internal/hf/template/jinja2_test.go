package template

import (
	"os"
	"testing"
	"time"
)

// TestJinja2 compares with what Python's jinja2 renders; testdata/record.py
// tells how the file was recorded.
func TestJinja2(t *testing.T) {
	file := "testdata/jinja2.json"
	if f := os.Getenv("JINJA2_CASES"); f != "" { // a larger recording
		file = f
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	v, err := DecodeJSON(data)
	if err != nil {
		t.Fatal(err)
	}
	ctx, _ := v.(*Dict).Get("context")
	cases, _ := v.(*Dict).Get("cases")
	bad := 0
	for _, c := range cases.(*List).Items {
		src, _ := c.(*Dict).Get("src")
		want, wantOK := c.(*Dict).Get("text")
		why, _ := c.(*Dict).Get("error")
		got, err := renderAt(src.(string), ctx.(*Dict))
		if wantOK == (err == nil) && (!wantOK || got == want) {
			continue
		}
		if bad++; bad <= 40 {
			t.Errorf("%q\n got %q, %v\nwant %q, %v", src, got, err, want, why)
		}
	}
	t.Logf("%d cases, %d wrong", len(cases.(*List).Items), bad)
}

func renderAt(src string, ctx *Dict) (string, error) {
	tmpl, err := Parse(src)
	if err != nil {
		return "", err
	}
	return tmpl.Render(ctx, Options{Now: func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }})
}
