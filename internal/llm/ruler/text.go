package ruler

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/mlxgo/mlx/internal/llm"
)

// ReadText reads the documents of a file: the "text" of each line of a .jsonl file, or the
// text of any other file, cut at separator unless that is "". Documents without letters
// are left out. Errors name the file and the line.
func ReadText(path, separator string) ([]string, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no file %s: a text file or .jsonl of lines with \"text\" is needed; a dataset of the Hub must be fetched first (hf download --repo-type dataset %s)", path, path)
	}
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file: a text file or .jsonl of lines with \"text\" is needed", path)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	docs, err := ParseText(data, strings.EqualFold(filepath.Ext(path), ".jsonl"), separator)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return docs, nil
}

// ParseText is ReadText of a file's content.
func ParseText(data []byte, jsonLines bool, separator string) ([]string, error) {
	docs, err := []string{string(data)}, error(nil)
	switch {
	case jsonLines:
		docs, err = parseLines(data)
	case !utf8.Valid(data):
		err = errors.New("the text is not UTF-8")
	case separator != "":
		docs = strings.Split(docs[0], separator)
	}
	if err != nil {
		return nil, err
	}
	docs = slices.DeleteFunc(docs, func(d string) bool { return strings.TrimSpace(d) == "" })
	if separator != "" {
		for i, d := range docs {
			docs[i] = strings.TrimSpace(d)
		}
	}
	if len(docs) == 0 {
		return nil, errors.New("there is no text in it")
	}
	return docs, nil
}

// maxLine bounds a line of a .jsonl file.
const maxLine = 256 << 20

func parseLines(data []byte) (docs []string, err error) {
	s := bufio.NewScanner(bytes.NewReader(data))
	s.Buffer(nil, maxLine)
	for n := 1; s.Scan(); n++ {
		line := bytes.TrimSpace(s.Bytes())
		if len(line) == 0 {
			continue
		}
		var row struct {
			Text *string `json:"text"`
		}
		if err := json.Unmarshal(line, &row); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, llm.JSONError(err))
		}
		if row.Text == nil {
			return nil, fmt.Errorf("line %d: there is no \"text\" in it", n)
		}
		docs = append(docs, *row.Text)
	}
	if s.Err() != nil {
		return nil, fmt.Errorf("a line is longer than %d MB", maxLine>>20)
	}
	return docs, nil
}

// RowsOptions say how text becomes rows of tokens.
type RowsOptions struct {
	Length int // tokens of a row, at least 2
	// Samples is how many rows to take at most, chosen at random by Seed; -1 is all.
	Samples int
	Seed    uint64
}

// Cut encodes documents with the special tokens of the tokenizer, and with an EOS after
// each if there are several, joins them and cuts all into rows that do not overlap; a rest
// is left out. Fewer rows than there are, and several documents, are in an order by the seed.
func Cut(t *llm.Tokenizer, docs []string, o RowsOptions) ([][]int, error) {
	if t == nil {
		return nil, errors.New("the model has no tokenizer.json: text cannot be turned into tokens")
	}
	if o.Length < 2 {
		return nil, fmt.Errorf("rows of %d tokens predict nothing: they need at least 2", o.Length)
	}
	var ids []int
	eos, hasEOS := t.TokenID(t.EOS())
	random := rand.New(rand.NewPCG(o.Seed, 0))
	docs = slices.Clone(docs)
	random.Shuffle(len(docs), func(i, j int) { docs[i], docs[j] = docs[j], docs[i] })
	for _, d := range docs {
		if o.Samples > 0 && len(docs) > 1 && len(ids) >= o.Samples*o.Length {
			break
		}
		ids = append(ids, t.Encode(d, true)...)
		if len(docs) > 1 && hasEOS && ids[len(ids)-1] != eos {
			ids = append(ids, eos)
		}
	}
	n := len(ids) / o.Length
	if n == 0 {
		return nil, fmt.Errorf("the text has %d tokens, fewer than one row of %d", len(ids), o.Length)
	}
	rows := make([][]int, n)
	for i := range rows {
		rows[i] = ids[i*o.Length : (i+1)*o.Length]
	}
	if o.Samples > 0 && n > o.Samples {
		if len(docs) == 1 {
			random.Shuffle(n, func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
		}
		rows = rows[:o.Samples]
	}
	return rows, nil
}
