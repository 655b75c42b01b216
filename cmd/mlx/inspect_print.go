package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/mlxgo/mlx/internal/hf/hub"
	"github.com/mlxgo/mlx/internal/llm"
)

// table writes lines of a name and what it is.
type table struct{ *tabwriter.Writer }

func newTable(w io.Writer) table { return table{tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)} }

func (t table) line(name, format string, args ...any) {
	fmt.Fprintf(t, "%s\t%s\n", name, visible(fmt.Sprintf(format, args...)))
}

// architectureKeys are the entries of config.json that are shown.
var architectureKeys = []string{"hidden_size", "n_embd", "intermediate_size", "n_inner", "num_hidden_layers", "n_layer",
	"num_attention_heads", "n_head", "num_key_value_heads", "head_dim", "hidden_act", "activation_function",
	"rope_theta", "sliding_window", "tie_word_embeddings"}

func writeInspection(out io.Writer, name string, i *llm.Inspection, all bool) error {
	w := newTable(out)
	w.line("model", "%s", name)
	switch {
	case !i.Supported:
		w.line("model type", "%s, which cannot be run", orNone(i.ModelType))
	case i.Tested:
		w.line("model type", "%s, tested against a reference", i.ModelType)
	default:
		w.line("model type", "%s, not tested against a reference", i.ModelType)
	}
	var parts []string
	for _, key := range architectureKeys {
		if v, ok := i.Architecture[key]; ok && v != nil {
			parts = append(parts, fmt.Sprintf("%s %v", key, v))
		}
	}
	for at, part := range parts {
		w.line(map[bool]string{true: "architecture"}[at == 0], "%s", part)
	}
	w.line("parameters", "%s", grouped(i.Parameters))
	w.line("weights", "%s: %s", hub.Bytes(i.WeightBytes), byDType(i))
	if i.Supported {
		w.line("computing", "%s", i.ComputeType)
		w.line("vocabulary", "%d tokens", i.VocabSize)
		if i.MaxContext > 0 {
			w.line("context", "%d tokens", i.MaxContext)
		} else {
			w.line("context", "config.json does not say")
		}
		writeAttention(w, i.Attention)
	}
	writeForeign(w, i.Foreign)
	writeQuantization(w, i)
	writeText(w, i)
	if i.Supported {
		writeMemory(w, i)
	}
	fmt.Fprintln(w)
	writeTensors(w, i.Tensors, all)
	for _, list := range []struct {
		what  string
		names []string
	}{{"missing", i.Missing}, {"unexpected", i.Unexpected}, {"unused", i.Unused}, {"warning", i.Warnings}, {"problem", i.Problems}} {
		if len(list.names) > 0 {
			fmt.Fprintln(w)
		}
		for _, name := range list.names {
			w.line(list.what, "%s", name)
		}
	}
	return w.Flush()
}

// writeForeign says what becomes of weights in another tool's format.
func writeForeign(w table, f *llm.ForeignFormat) {
	if f == nil {
		return
	}
	w.line("format", "%s: %s packed as they are, %d dequantized", f.Name, plural(len(f.Packed), "layer"), len(f.Dequantized))
	count := map[string]int{}
	for _, l := range f.Dequantized {
		count[l.Why]++
	}
	for _, why := range slices.Sorted(maps.Keys(count)) {
		w.line("", "%s dequantized: %s", plural(count[why], "layer"), why)
	}
}

func orNone(text string) string {
	if text == "" {
		return "none"
	}
	return text
}

// grouped is n with commas: 1,234,567.
func grouped(n int64) string {
	text := fmt.Sprint(n)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}

func byDType(i *llm.Inspection) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(i.DTypes)) {
		parts = append(parts, fmt.Sprintf("%s %s", name, hub.Bytes(i.DTypes[name])))
	}
	return strings.Join(parts, ", ")
}

// writeAttention shows layers that are alike in one line.
func writeAttention(w table, layers []llm.AttentionLayer) {
	var kinds []llm.AttentionLayer
	count := map[llm.AttentionLayer]int{}
	for _, l := range layers {
		if count[l]++; count[l] == 1 {
			kinds = append(kinds, l)
		}
	}
	for _, l := range kinds {
		window := "all positions"
		if l.Window > 0 {
			window = fmt.Sprintf("a window of %d", l.Window)
		}
		dims := fmt.Sprint(l.KeyDim)
		if l.ValueDim != l.KeyDim {
			dims += fmt.Sprintf(" and %d", l.ValueDim)
		}
		w.line("attention", "%s: %d key and value heads of %s over %s", plural(count[l], "layer"), l.Heads, dims, window)
	}
}

func writeQuantization(w table, i *llm.Inspection) {
	if len(i.Quantized) == 0 {
		w.line("quantization", "none")
		return
	}
	kinds := map[string][]string{}
	for _, q := range i.Quantized {
		kind := fmt.Sprintf("%s, %d bits, groups of %d", q.Mode, q.Bits, q.GroupSize)
		kinds[kind] = append(kinds[kind], q.Path)
	}
	order := slices.SortedFunc(maps.Keys(kinds), func(a, b string) int {
		if n := len(kinds[b]) - len(kinds[a]); n != 0 {
			return n
		}
		return strings.Compare(a, b)
	})
	w.line("quantization", "%.3f bits a weight", i.BitsPerWeight)
	for at, kind := range order {
		where := ""
		if at > 0 { // the exceptions by name
			where = ": " + strings.Join(kinds[kind], ", ")
		}
		w.line("", "%s: %s%s", kind, plural(len(kinds[kind]), "layer"), where)
	}
}

func writeText(w table, i *llm.Inspection) {
	if i.TokenizerSize > 0 {
		chat := "no chat template"
		if i.ChatTemplate {
			chat = "a chat template"
		}
		w.line("tokenizer", "%d tokens, %s", i.TokenizerSize, chat)
	} else {
		w.line("tokenizer", "none")
	}
	if len(i.EOS) == 0 {
		w.line("EOS", "none")
		return
	}
	var parts []string
	for _, e := range i.EOS {
		text := fmt.Sprint(e.ID)
		if e.Text != "" {
			text += " " + e.Text
		}
		parts = append(parts, text)
	}
	w.line("EOS", "%s (%s)", strings.Join(parts, ", "), i.EOSFrom)
}

func writeMemory(w table, i *llm.Inspection) {
	m := i.Memory
	w.line("memory", "%s at %d tokens: weights %s, converted %s, cache %s", hub.Bytes(m.Total), m.Context, hub.Bytes(m.Weights), hub.Bytes(m.Converted), hub.Bytes(m.Cache))
	if m.Available > 0 {
		fits := "enough"
		if m.Total > m.Available {
			fits = "too little"
		}
		w.line("", "%s are available here, which is %s", hub.Bytes(m.Available), fits)
	}
}

// tensorRow is a tensor, or several whose names differ in numbers only.
type tensorRow struct {
	name, dtype, shape string
	n                  int
	bytes              int64
}

// writeTensors lists tensors; unless all is set those of several layers are one row.
func writeTensors(w io.Writer, tensors []llm.TensorInfo, all bool) {
	var rows []*tensorRow
	at := map[[3]string]*tensorRow{}
	for _, t := range tensors {
		key := [3]string{t.Name, t.DType, fmt.Sprint(t.Shape)}
		if !all {
			key[0] = withoutNumbers(t.Name)
		}
		r := at[key]
		if r == nil {
			r = &tensorRow{name: key[0], dtype: key[1], shape: key[2]}
			at[key] = r
			rows = append(rows, r)
		}
		r.n++
		r.bytes += t.Bytes
	}
	fmt.Fprintln(w, "TENSOR\tDTYPE\tSHAPE\tCOUNT\tSIZE")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\n", visible(r.name), r.dtype, r.shape, r.n, hub.Bytes(r.bytes))
	}
}

// withoutNumbers is a name with a star for each part that is a number.
func withoutNumbers(name string) string {
	parts := strings.Split(name, ".")
	for i, part := range parts {
		if part != "" && strings.IndexFunc(part, func(r rune) bool { return !unicode.IsDigit(r) }) < 0 {
			parts[i] = "*"
		}
	}
	return strings.Join(parts, ".")
}

func writeFileReport(out io.Writer, r fileReport, all bool) error {
	w := newTable(out)
	w.line("file", "%s", r.File)
	w.line("tensors", "%d, %s", len(r.Tensors), hub.Bytes(r.Bytes))
	for _, key := range slices.Sorted(maps.Keys(r.Metadata)) {
		w.line("metadata", "%s: %s", key, r.Metadata[key])
	}
	fmt.Fprintln(w)
	writeTensors(w, r.Tensors, all)
	return w.Flush()
}
