package tune_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/mlxgo/mlx/internal/llm/tune"
)

// fill puts the events of iterations from to to into a history: a validation at each
// even one, a report at each third.
func fill(h *tune.History, from, to int) {
	for i := from; i <= to; i++ {
		if i%2 == 0 {
			h.Validated(tune.Validation{Iter: i, Loss: 10 / float64(i)})
		}
		h.Step(i, 5/float64(i))
		if i%3 == 0 {
			h.Report(tune.Report{Iter: i, Loss: 5.5 / float64(i), LearningRate: 1e-5, TokensPerSecond: 12.5, TrainedTokens: 7 * i, PeakBytes: 1 << 30})
		}
	}
}

// reported is the report of a curve in a format.
func reported(t *testing.T, c *tune.Curve, ending string) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x"+ending)
	if err := c.Write(path); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestHistory: a run that was stopped has the curve of one that was not, whatever was
// written after its checkpoint.
func TestHistory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.jsonl")
	open := func(path string, iter int) *tune.History {
		t.Helper()
		h, err := tune.OpenHistory(path, iter)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { h.Close() })
		return h
	}
	whole := open(filepath.Join(t.TempDir(), "history.jsonl"), 0)
	fill(whole, 1, 12)
	fill(open(path, 0), 1, 9)
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"iteration":10,"lo`); err != nil { // killed
		t.Fatal(err)
	}
	f.Close()
	h := open(path, 7)
	fill(h, 8, 12)
	if err := h.Err(); err != nil {
		t.Fatal(err)
	}
	for _, ending := range []string{".csv", ".jsonl", ".svg", ".html"} {
		if got, want := reported(t, &h.Curve, ending), reported(t, &whole.Curve, ending); !bytes.Equal(got, want) {
			t.Errorf("%s: %s\nwant %s", ending, got, want)
		}
	}
	if a, b := h.Curve.Text(60, 8), whole.Curve.Text(60, 8); a != b || !strings.Contains(a, "v") {
		t.Errorf("%s\nwant\n%s", a, b)
	}
	fresh := open(path, 0)
	if len(fresh.Curve.Text(60, 8)) != 0 {
		t.Error("a new run has the curve of the old one")
	}
	if err := os.WriteFile(path, []byte("{}\nnix\n{}\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := tune.OpenHistory(path, 5); err == nil || !strings.Contains(err.Error(), "history.jsonl:2: ") {
		t.Error(err)
	}
}

// TestReports parses each format.
func TestReports(t *testing.T) {
	h, err := tune.OpenHistory(filepath.Join(t.TempDir(), "history.jsonl"), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	fill(h, 1, 6)
	want := [][3]string{{"2", "", "5"}, {"3", "1.833333", ""}, {"4", "", "2.5"}, {"6", "0.9166667", ""}, {"6", "", "1.666667"}}
	rows, err := csv.NewReader(bytes.NewReader(reported(t, &h.Curve, ".csv"))).ReadAll()
	if err != nil || len(rows) != 1+len(want) || strings.Join(rows[0], " ") != "iteration train_loss val_loss learning_rate tokens_per_second trained_tokens peak_bytes" {
		t.Fatalf("%v, %v", rows, err)
	}
	got := map[[3]string]bool{}
	for _, r := range rows[1:] {
		got[[3]string(r[:3])] = true
	}
	for _, w := range want {
		if !got[w] {
			t.Errorf("no row %v in %v", w, rows)
		}
	}
	d := json.NewDecoder(bytes.NewReader(reported(t, &h.Curve, ".jsonl")))
	for i := 1; ; i++ {
		var m map[string]float64
		if err := d.Decode(&m); errors.Is(err, io.EOF) {
			if i != len(rows) {
				t.Errorf("%d lines of JSON, %d of CSV", i-1, len(rows)-1)
			}
			break
		} else if err != nil {
			t.Fatal(err)
		}
		for k, name := range rows[0] {
			x, ok := m[name]
			if cell, err := strconv.ParseFloat(rows[i][k], 64); ok != (err == nil) || cell != x {
				t.Errorf("row %d: %s is %v and %q", i, name, x, rows[i][k])
			}
		}
	}
	for _, ending := range []string{".svg", ".html"} {
		text := reported(t, &h.Curve, ending)
		at, end := bytes.Index(text, []byte("<svg")), bytes.Index(text, []byte("</svg>"))
		if at < 0 || end < 0 {
			t.Fatalf("%s has no picture", ending)
		}
		lines, circles := 0, 0
		for x := xml.NewDecoder(bytes.NewReader(text[at : end+6])); ; {
			token, err := x.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", ending, err)
			}
			if s, ok := token.(xml.StartElement); ok {
				switch s.Name.Local {
				case "polyline":
					lines++
				case "circle":
					circles++
				}
			}
		}
		if lines != 3 || circles != 3 {
			t.Errorf("%s: %d lines and %d circles, want 3 and 3", ending, lines, circles)
		}
	}
	if n := bytes.Count(reported(t, &h.Curve, ".html"), []byte("<tr>")); n != len(rows) {
		t.Errorf("%d rows of the table, want %d", n, len(rows))
	}
}
