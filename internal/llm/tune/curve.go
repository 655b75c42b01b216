package tune

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/mlxgo/mlx/internal/atomicfile"
)

// A Curve is the losses of a run, to be drawn or written.
type Curve struct {
	steps   []point
	valid   []point
	reports []Report
}

type point struct {
	iter int
	loss float64
}

// Step adds the loss of a batch.
func (c *Curve) Step(iter int, loss float64) { c.steps = append(c.steps, point{iter, loss}) }

// Validated adds that of the validation set.
func (c *Curve) Validated(v Validation) { c.valid = append(c.valid, point{v.Iter, v.Loss}) }

// Report adds a line of numbers.
func (c *Curve) Report(r Report) { c.reports = append(c.reports, r) }

// bounds are the least and greatest of what is drawn.
func (c *Curve) bounds() (from, to int, low, high float64) {
	low, high = math.Inf(1), math.Inf(-1)
	from = math.MaxInt
	for _, l := range [][]point{c.steps, c.valid} {
		for _, p := range l {
			from, to = min(from, p.iter), max(to, p.iter)
			low, high = min(low, p.loss), max(high, p.loss)
		}
	}
	if high-low < 1e-9 {
		low, high = low-0.5, high+0.5
	}
	return from, max(to, from+1), low, high
}

// Text is the curve drawn with letters: a dot for the mean of the batches of a column, a v
// for a validation. It is empty without losses.
func (c *Curve) Text(columns, rows int) string {
	if len(c.steps) == 0 {
		return ""
	}
	const margin = 9
	width := max(columns-margin, 10)
	from, to, low, high := c.bounds()
	grid := make([][]byte, rows)
	for i := range grid {
		grid[i] = []byte(strings.Repeat(" ", width))
	}
	column := func(iter int) int { return min((iter-from)*width/(to-from), width-1) }
	row := func(loss float64) int { return min(int((high-loss)/(high-low)*float64(rows)), rows-1) }
	sums, counts := make([]float64, width), make([]int, width)
	for _, p := range c.steps {
		sums[column(p.iter)] += p.loss
		counts[column(p.iter)]++
	}
	for i, n := range counts {
		if n > 0 {
			grid[row(sums[i]/float64(n))][i] = '.'
		}
	}
	for _, p := range c.valid {
		grid[row(p.loss)][column(p.iter)] = 'v'
	}
	var b strings.Builder
	for i, line := range grid {
		label := ""
		switch i {
		case 0:
			label = fmt.Sprintf("%.3f", high)
		case rows - 1:
			label = fmt.Sprintf("%.3f", low)
		}
		fmt.Fprintf(&b, "%7s |%s\n", label, strings.TrimRight(string(line), " "))
	}
	fmt.Fprintf(&b, "%7s +%s\n%8s %-*d%d\n", "", strings.Repeat("-", width), "", width-len(strconv.Itoa(to)), from, to)
	b.WriteString("         . training loss, v validation loss, by iteration\n")
	return b.String()
}

// Write writes the curve to path, as its name ends: numbers in .csv and .jsonl, a
// picture in .svg, both in .html.
func (c *Curve) Write(path string) error {
	form, ok := map[string]func(io.Writer) error{".csv": c.csv, ".jsonl": c.jsonl, ".svg": c.svg, ".html": c.html}[filepath.Ext(path)]
	if !ok {
		return fmt.Errorf("report %s: the name must end in .html, .svg, .csv or .jsonl", path)
	}
	return atomicfile.Write(path, false, func(f *os.File) error { return form(f) })
}

// table is the numbers, a line for each report and each validation.
func (c *Curve) table() (lines [][]string) {
	number := func(x float64) string { return strconv.FormatFloat(x, 'g', 7, 64) }
	v := 0
	flush := func(before int) {
		for ; v < len(c.valid) && c.valid[v].iter <= before; v++ {
			lines = append(lines, []string{strconv.Itoa(c.valid[v].iter), "", number(c.valid[v].loss), "", "", "", ""})
		}
	}
	for _, r := range c.reports {
		flush(r.Iter)
		lines = append(lines, []string{strconv.Itoa(r.Iter), number(r.Loss), "", number(r.LearningRate), number(r.TokensPerSecond),
			strconv.Itoa(r.TrainedTokens), strconv.FormatInt(r.PeakBytes, 10)})
	}
	flush(math.MaxInt)
	return lines
}

var curveColumns = []string{"iteration", "train_loss", "val_loss", "learning_rate", "tokens_per_second", "trained_tokens", "peak_bytes"}

func (c *Curve) csv(w io.Writer) error {
	out := csv.NewWriter(w)
	return out.WriteAll(append([][]string{curveColumns}, c.table()...))
}

func (c *Curve) jsonl(w io.Writer) error {
	for _, line := range c.table() {
		row := map[string]json.Number{}
		for i, v := range line {
			if v != "" {
				row[curveColumns[i]] = json.Number(v)
			}
		}
		text, err := json.Marshal(row)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "%s\n", text); err != nil {
			return err
		}
	}
	return nil
}

// svg is the picture.
func (c *Curve) svg(w io.Writer) error {
	const width, height, left, bottom, top = 800, 400, 60, 40, 20
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", width, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="white"/>`+"\n", width, height)
	if len(c.steps)+len(c.valid) > 0 {
		from, to, low, high := c.bounds()
		x := func(iter int) float64 { return left + float64(iter-from)/float64(to-from)*(width-left-20) }
		y := func(loss float64) float64 { return top + (high-loss)/(high-low)*(height-top-bottom) }
		for i := range 5 {
			v := low + (high-low)*float64(i)/4
			fmt.Fprintf(&b, `<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%.3f</text>`+"\n", left, width-20, y(v), y(v), left-6, y(v)+4, v)
			it := from + (to-from)*i/4
			fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle">%d</text>`+"\n", x(it), height-bottom+18, it)
		}
		line := func(ps []point, color string, wide float64) {
			var at []string
			for _, p := range ps {
				at = append(at, fmt.Sprintf("%.1f,%.1f", x(p.iter), y(p.loss)))
			}
			fmt.Fprintf(&b, `<polyline fill="none" stroke="%s" stroke-width="%g" points="%s"/>`+"\n", color, wide, strings.Join(at, " "))
		}
		line(c.steps, "#9bb8d9", 1)
		var means []point
		for _, r := range c.reports {
			means = append(means, point{r.Iter, r.Loss})
		}
		line(means, "#1f5fa8", 2)
		line(c.valid, "#c23b22", 2)
		for _, p := range c.valid {
			fmt.Fprintf(&b, `<circle cx="%.1f" cy="%.1f" r="3" fill="#c23b22"/>`+"\n", x(p.iter), y(p.loss))
		}
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" fill="#1f5fa8">training loss</text><text x="%d" y="%d" fill="#c23b22">validation loss</text>`+"\n</svg>\n", left, height-6, left+110, height-6)
	_, err := io.WriteString(w, b.String())
	return err
}

// html is the picture and the numbers.
func (c *Curve) html(w io.Writer) error {
	var b strings.Builder
	b.WriteString("<!doctype html>\n<meta charset=\"utf-8\">\n<title>Training loss</title>\n<style>body{font-family:sans-serif;max-width:60em;margin:2em auto}td,th{padding:.1em .8em;text-align:right}</style>\n")
	if err := c.svg(&b); err != nil {
		return err
	}
	b.WriteString("<table>\n<tr>")
	for _, name := range curveColumns {
		fmt.Fprintf(&b, "<th>%s</th>", strings.ReplaceAll(name, "_", " "))
	}
	b.WriteString("</tr>\n")
	for _, line := range c.table() {
		b.WriteString("<tr>")
		for _, v := range line {
			fmt.Fprintf(&b, "<td>%s</td>", v)
		}
		b.WriteString("</tr>\n")
	}
	b.WriteString("</table>\n")
	_, err := io.WriteString(w, b.String())
	return err
}
