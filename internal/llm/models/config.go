package models

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
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
