package convert

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// An object is a JSON object whose keys keep their order. Values are object pointers,
// []any, string, json.Number, bool, nil, and Go's integers.
type object struct {
	keys   []string
	values map[string]any
}

func newObject() *object { return &object{values: map[string]any{}} }

// set puts a value at a key: at its place if it is there, else at the end.
func (o *object) set(key string, v any) *object {
	if _, ok := o.values[key]; !ok {
		o.keys = append(o.keys, key)
	}
	o.values[key] = v
	return o
}

func (o *object) get(key string) any { return o.values[key] }

func (o *object) remove(key string) {
	if _, ok := o.values[key]; ok {
		delete(o.values, key)
		o.keys = slices.DeleteFunc(o.keys, func(k string) bool { return k == key })
	}
}

// parseObject reads JSON text that is an object.
func parseObject(text []byte) (*object, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	v, err := parseValue(d, 0)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("there is more after the JSON object")
	}
	o, ok := v.(*object)
	if !ok {
		return nil, errors.New("the JSON is not an object")
	}
	return o, nil
}

// maxDepth bounds nested values.
const maxDepth = 100

func parseValue(d *json.Decoder, depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("the JSON nests more than %d deep", maxDepth)
	}
	token, err := d.Token()
	if err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	switch token {
	case json.Delim('{'):
		o := newObject()
		for d.More() {
			key, err := d.Token()
			if err != nil {
				return nil, err
			}
			v, err := parseValue(d, depth+1)
			if err != nil {
				return nil, err
			}
			o.set(key.(string), v) // the decoder gives nothing else
		}
		_, err := d.Token()
		return o, err
	case json.Delim('['):
		list := []any{}
		for d.More() {
			v, err := parseValue(d, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err := d.Token()
		return list, err
	}
	return token, nil
}

// pythonJSON is v as Python's json.dumps(v, indent=4) writes it.
func pythonJSON(v any) []byte { return appendPython(nil, v, "\n") }

func appendPython(out []byte, v any, newline string) []byte {
	inner := newline + "    "
	switch v := v.(type) {
	case *object:
		if len(v.keys) == 0 {
			return append(out, "{}"...)
		}
		for i, key := range v.keys {
			out = append(out, "{,"[min(i, 1)])
			out = appendASCII(append(out, inner...), key)
			out = appendPython(append(out, ": "...), v.values[key], inner)
		}
		return append(append(out, newline...), '}')
	case []any:
		if len(v) == 0 {
			return append(out, "[]"...)
		}
		for i, e := range v {
			out = append(out, "[,"[min(i, 1)])
			out = appendPython(append(out, inner...), e, inner)
		}
		return append(append(out, newline...), ']')
	case string:
		return appendASCII(out, v)
	case json.Number:
		return append(out, pythonNumber(string(v))...)
	case nil:
		return append(out, "null"...)
	}
	return fmt.Append(out, v) // integers and truth values
}

// appendASCII is a string with all beyond ASCII escaped.
func appendASCII(out []byte, s string) []byte {
	out = append(out, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			out = append(out, '\\', byte(r))
		case r == '\n':
			out = append(out, `\n`...)
		case r == '\r':
			out = append(out, `\r`...)
		case r == '\t':
			out = append(out, `\t`...)
		case r == '\b':
			out = append(out, `\b`...)
		case r == '\f':
			out = append(out, `\f`...)
		case r >= ' ' && r < 0x7f:
			out = append(out, byte(r))
		case r > 0xffff:
			out = fmt.Appendf(out, `\u%04x\u%04x`, 0xd800+(r-0x10000)>>10, 0xdc00+(r-0x10000)&0x3ff)
		case r == 0x7f:
			out = utf8.AppendRune(out, r)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	return append(out, '"')
}

// pythonNumber is a number of JSON text as Python prints what it reads: integers as they
// are, others by their shortest digits.
func pythonNumber(text string) string {
	if !strings.ContainsAny(text, ".eE") {
		return text
	}
	f, err := strconv.ParseFloat(text, 64)
	if math.IsInf(f, 0) {
		return strings.TrimPrefix(strings.Replace("+Infinity", "+", map[bool]string{true: "-", false: ""}[f < 0], 1), "+")
	}
	if err != nil {
		return text
	}
	if exponent := math.Floor(math.Log10(math.Abs(f))); f != 0 && (exponent < -4 || exponent >= 16) {
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}
