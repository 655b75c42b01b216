package tune

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"unicode/utf8"

	"github.com/mlxgo/mlx/internal/llm"
)

// A Record is the JSON text of one row, and where it stands, for messages.
type Record struct {
	Place string // file:line, or file and the number of the row in its list
	Text  []byte
}

// ReadRecords reads a file of JSON Lines, or one with a list of objects, as its first
// character tells; .gz is unpacked. Errors name the file and the line.
func ReadRecords(path string) ([]Record, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if filepath.Ext(path) == ".gz" {
		if data, err = gunzip(data); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	return ParseRecords(path, data)
}

// maxUnpacked bounds what a packed file may grow to: a small one can hold more than
// memory does.
const maxUnpacked = 16 << 30

func gunzip(data []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	data, err = io.ReadAll(io.LimitReader(r, maxUnpacked+1))
	if err == nil && len(data) > maxUnpacked {
		err = errors.New("it has more than 16 GB unpacked")
	}
	return data, err
}

var utf8Mark = []byte("\xef\xbb\xbf")

// ParseRecords is ReadRecords for what a file holds. Blank lines are skipped, and so is
// the mark that some programs write before UTF-8.
func ParseRecords(path string, data []byte) ([]Record, error) {
	if bytes.HasPrefix(data, []byte{0xff, 0xfe}) || bytes.HasPrefix(data, []byte{0xfe, 0xff}) {
		return nil, fmt.Errorf("%s is UTF-16: rows are read as UTF-8, so save it as that", path)
	}
	data = bytes.TrimPrefix(data, utf8Mark)
	if first := bytes.TrimLeft(data, " \t\r\n"); len(first) > 0 && first[0] == '[' {
		return parseList(path, data)
	}
	var records []Record
	for n := 1; len(data) > 0; n++ {
		line, rest, _ := bytes.Cut(data, []byte("\n"))
		data = rest
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		r := Record{fmt.Sprintf("%s:%d", path, n), line}
		if err := r.check(); err != nil {
			return nil, err
		}
		records = append(records, r)
	}
	return records, nil
}

// check refuses text that a JSON decoder would change without a word.
func (r Record) check() error {
	if utf8.Valid(r.Text) {
		return nil
	}
	at := 0
	for text := r.Text; ; {
		c, n := utf8.DecodeRune(text)
		if c == utf8.RuneError && n == 1 {
			return fmt.Errorf("%s: byte %d, 0x%02x, is not UTF-8", r.Place, at+1, text[0])
		}
		at, text = at+n, text[n:]
	}
}

// parseList reads a list of rows.
func parseList(path string, data []byte) ([]Record, error) {
	var list []json.RawMessage
	if err := json.Unmarshal(data, &list); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			line := 1 + bytes.Count(data[:min(int(syntax.Offset), len(data))], []byte("\n"))
			return nil, fmt.Errorf("%s:%d: %w", path, line, err)
		}
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var records []Record
	for i, text := range list {
		r := Record{fmt.Sprintf("%s, row %d", path, i+1), text}
		if err := r.check(); err != nil {
			return nil, err
		}
		records = append(records, r)
	}
	return records, nil
}

// ReadSet reads dir's NAME.jsonl; a missing or empty file is no records.
func ReadSet(dir, name string) ([]Record, error) {
	records, err := ReadRecords(filepath.Join(dir, name+".jsonl"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return records, err
}

// ParseRows makes tokens of records. The first one says what all are: text, prompt and
// completion, or a chat, with tools or without. Errors name the place.
func ParseRows(records []Record, t *llm.Tokenizer, o DataOptions) ([]Row, error) {
	o.fill()
	r := rowReader{o: o, t: t}
	rows := make([]Row, 0, len(records))
	for _, record := range records {
		row, err := r.row(record.Text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", record.Place, err)
		}
		rows = append(rows, row)
	}
	return rows, nil
}
