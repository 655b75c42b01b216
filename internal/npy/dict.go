package npy

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// dict reads the Python literal of a header: a dict of a string, a bool and a tuple.
type dict struct{ rest string }

func (p *dict) space() { p.rest = strings.TrimLeft(p.rest, " \t\r\n") }

// next takes c if it comes next.
func (p *dict) next(c byte) bool {
	p.space()
	if p.rest == "" || p.rest[0] != c {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

func (p *dict) text() (string, error) {
	for _, q := range []byte{'\'', '"'} {
		if !p.next(q) {
			continue
		}
		s, rest, ok := strings.Cut(p.rest, string(q))
		if !ok {
			return "", errors.New("a string does not end")
		}
		p.rest = rest
		return s, nil
	}
	return "", errors.New("a string is missing")
}

func (p *dict) bool() (bool, error) {
	p.space()
	for _, word := range []string{"True", "False"} {
		if rest, ok := strings.CutPrefix(p.rest, word); ok {
			p.rest = rest
			return word == "True", nil
		}
	}
	return false, errors.New("is neither True nor False")
}

func (p *dict) shape() ([]int, error) {
	if !p.next('(') {
		return nil, errors.New("is no tuple")
	}
	shape := []int{}
	for !p.next(')') {
		p.space()
		n := 0
		for n < len(p.rest) && p.rest[n] >= '0' && p.rest[n] <= '9' {
			n++
		}
		d, err := strconv.Atoi(p.rest[:n])
		if err != nil {
			return nil, errors.New("has a size that is no number")
		}
		p.rest = strings.TrimPrefix(p.rest[n:], "L") // of Python 2
		if shape = append(shape, d); len(shape) > maxRank {
			return nil, fmt.Errorf("has more than %d axes", maxRank)
		}
		if p.next(')') {
			if len(shape) == 1 {
				return nil, errors.New("is a number in brackets, no tuple")
			}
			break
		}
		if !p.next(',') {
			return nil, errors.New("is no tuple of numbers")
		}
	}
	return shape, nil
}

// value reads the value of a key.
func (p *dict) value(key string, h *Header) (err error) {
	switch key {
	case "descr":
		if p.next('[') {
			return errors.New("structured dtypes are not supported")
		}
		var text string
		if text, err = p.text(); err == nil {
			h.DType, h.Swapped, err = parseDescr(text)
		}
	case "fortran_order":
		h.ColumnMajor, err = p.bool()
	case "shape":
		h.Shape, err = p.shape()
	default:
		return errors.New("the key is unknown")
	}
	return err
}

func parseDict(text string) (h Header, err error) {
	p := dict{text}
	if !p.next('{') {
		return h, errors.New("is no dict")
	}
	seen := map[string]bool{}
	for !p.next('}') {
		key, err := p.text()
		if err != nil {
			return h, err
		}
		if seen[key] {
			return h, fmt.Errorf("key %q is there twice", key)
		}
		seen[key] = true
		if !p.next(':') {
			return h, fmt.Errorf("key %q has no value", key)
		}
		if err := p.value(key, &h); err != nil {
			return h, fmt.Errorf("%.20q: %w", key, err)
		}
		if !p.next(',') {
			if !p.next('}') {
				return h, errors.New("the dict does not end")
			}
			break
		}
	}
	if p.space(); p.rest != "" {
		return h, errors.New("something follows the dict")
	}
	for _, key := range []string{"descr", "fortran_order", "shape"} {
		if !seen[key] {
			return h, fmt.Errorf("key %q is missing", key)
		}
	}
	return h, nil
}
