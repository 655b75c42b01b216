package models

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
)

// integer reads whole numbers also when they are written as floats (64.0, 1e4);
// null leaves it as it is.
type integer int

func (n *integer) UnmarshalJSON(b []byte) error {
	if bytes.Equal(b, []byte("null")) {
		return nil
	}
	var f float64
	if err := json.Unmarshal(b, &f); err != nil || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		kinds := map[byte]string{'"': "string", '[': "array", '{': "object", 't': "bool", 'f': "bool"}
		value := kinds[b[0]]
		if value == "" {
			value = "number " + string(b)
		}
		// The decoder adds the key to an error of this type.
		return &json.UnmarshalTypeError{Value: value, Type: reflect.TypeFor[int]()}
	}
	*n = integer(f)
	return nil
}

// optional is an integer that null removes: it is 0 then, whatever the default.
type optional integer

func (n *optional) UnmarshalJSON(b []byte) error {
	*n = 0
	return (*integer)(n).UnmarshalJSON(b)
}

// within refuses sizes that no model has, before anything is made of them.
func within(key string, n integer, low, high int) error {
	if int(n) < low || int(n) > high {
		return fmt.Errorf("config.json: %s is %d, not between %d and %d", key, n, low, high)
	}
	return nil
}

// firstError is the first of the errors that is not nil.
func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// errZero refuses a divisor.
func errZero(key string) error { return fmt.Errorf("config.json: %s is 0", key) }

// needLayers refuses a list by layer that is too short.
func needLayers(key string, n int, s *spec) error {
	if n < len(s.layers) {
		return fmt.Errorf("config.json: %s has %d entries for %d layers", key, n, len(s.layers))
	}
	return nil
}

func sqrt(n int) float64 { return math.Sqrt(float64(n)) }

// nullable is a number that null removes: it is 0 then, whatever the default.
type nullable float64

func (n *nullable) UnmarshalJSON(b []byte) error {
	*n = 0
	if bytes.Equal(b, []byte("null")) {
		return nil
	}
	return json.Unmarshal(b, (*float64)(n))
}

// widths is one number for all layers, or one for each.
type widths []integer

func (w *widths) UnmarshalJSON(b []byte) error {
	*w = nil
	if b[0] == '[' {
		return json.Unmarshal(b, (*[]integer)(w))
	}
	var n integer
	if err := n.UnmarshalJSON(b); err != nil {
		return err
	}
	*w = widths{n}
	return nil
}

// of is the number of layer i, 0 if there is none.
func (w widths) of(i int) float64 {
	switch {
	case len(w) == 1:
		i = 0
	case i >= len(w):
		return 0
	}
	return float64(w[i])
}

// pattern is sliding_window_pattern: a number n, where every n-th layer is full, or
// letters L (local) and G (global) that repeat.
type pattern struct {
	every   integer
	letters string
}

func patternOf(n integer) pattern { return pattern{every: n} }

func (p *pattern) UnmarshalJSON(b []byte) error {
	*p = pattern{}
	if b[0] == '"' {
		if err := json.Unmarshal(b, &p.letters); err != nil {
			return err
		}
		if strings.Trim(p.letters, "LG") != "" {
			return fmt.Errorf("sliding_window_pattern %q has other letters than L and G", p.letters)
		}
		return nil
	}
	return json.Unmarshal(b, &p.every)
}

// slides reports whether layer i is local.
func (p pattern) slides(i int) bool {
	if p.letters != "" {
		return p.letters[i%len(p.letters)] == 'L'
	}
	return everyNth(int(p.every))(i)
}
