package convert

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/mlxgo/mlx/internal/quant"
)

// Rules say how single layers are quantized, by patterns of their paths. The first that
// matches a path decides; what none matches is as if there were no rules.
type Rules struct {
	path  string // of the file, for messages
	rules []*rule
}

// rule is one pattern. Fields that are nil are those of the whole model.
type rule struct {
	pattern string
	match   *regexp.Regexp
	skip    bool

	bits, group *int
	mode        *quant.Mode
	used        bool
}

// ParseRules reads the YAML text of a file: a map from patterns to what is said of the
// layers that they match, {bits: 6, group_size: 32, mode: affine} or skip. In a pattern *
// stands for any letters. Errors name the file and the line.
func ParseRules(text []byte, path string) (*Rules, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("%s: %s", path, strings.Join(strings.Fields(strings.TrimPrefix(err.Error(), "yaml: ")), " "))
	}
	if len(doc.Content) == 0 {
		return nil, fmt.Errorf("%s: there are no patterns in it", path)
	}
	top := doc.Content[0]
	fault := func(n *yaml.Node, err error) error { return fmt.Errorf("%s: line %d: %w", path, n.Line, err) }
	if top.Kind != yaml.MappingNode {
		return nil, fault(top, errors.New("a map from patterns of paths to settings is needed"))
	}
	out := &Rules{path: path}
	for i := 0; i+1 < len(top.Content); i += 2 {
		key, value := top.Content[i], top.Content[i+1]
		if key.Kind != yaml.ScalarNode || key.Value == "" {
			return nil, fault(key, errors.New("a pattern is a text that is not empty"))
		}
		if slices.ContainsFunc(out.rules, func(r *rule) bool { return r.pattern == key.Value }) {
			return nil, fault(key, fmt.Errorf("the pattern %q is there twice", key.Value))
		}
		r, err := newRule(key.Value, value)
		if err != nil {
			return nil, fault(value, fmt.Errorf("%s: %w", key.Value, err))
		}
		out.rules = append(out.rules, r)
	}
	return out, nil
}

func newRule(pattern string, value *yaml.Node) (*rule, error) {
	parts := strings.Split(pattern, "*")
	for i, p := range parts {
		parts[i] = regexp.QuoteMeta(p)
	}
	match, err := regexp.Compile("^(?s:" + strings.Join(parts, ".*") + ")$")
	if err != nil {
		return nil, err
	}
	r := &rule{pattern: pattern, match: match}
	if value.Kind == yaml.ScalarNode && value.Value == "skip" {
		r.skip = true
		return r, nil
	}
	if value.Kind != yaml.MappingNode {
		return nil, errors.New(`"skip" or a map of bits, group_size, mode and skip is needed`)
	}
	for i := 0; i+1 < len(value.Content); i += 2 {
		if err := r.set(value.Content[i].Value, value.Content[i+1]); err != nil {
			return nil, err
		}
	}
	if r.skip && (r.bits != nil || r.group != nil || r.mode != nil) {
		return nil, errors.New("skip and settings do not go together")
	}
	return r, nil
}

// set reads one setting.
func (r *rule) set(key string, value *yaml.Node) error {
	decode := func(to any, kind string) error {
		if value.Kind != yaml.ScalarNode || value.Decode(to) != nil {
			return fmt.Errorf("%s: %q is not %s", key, value.Value, kind)
		}
		return nil
	}
	switch key {
	case "bits":
		r.bits = new(int)
		return decode(r.bits, "a whole number")
	case "group_size":
		r.group = new(int)
		return decode(r.group, "a whole number")
	case "mode":
		r.mode = new(quant.Mode)
		return decode((*string)(r.mode), "a text")
	case "skip":
		return decode(&r.skip, "true or false")
	}
	return fmt.Errorf("unknown setting %q; there are bits, group_size, mode and skip", key)
}

// over is the rule's scheme in a model of the scheme whole.
func (r *rule) over(whole quant.Scheme) quant.Scheme {
	s, _ := r.resolve(whole) // check has found it sound
	return s
}

func (r *rule) resolve(whole quant.Scheme) (quant.Scheme, error) {
	s := whole
	if r.mode != nil && *r.mode != whole.Mode { // with defaults of its own
		s = quant.Scheme{Mode: *r.mode, Rounding: whole.Rounding}
	}
	if r.bits != nil {
		s.Bits = *r.bits
	}
	if r.group != nil {
		s.GroupSize = *r.group
	}
	if r.bits != nil && *r.bits == 0 || r.group != nil && *r.group == 0 {
		return s, errors.New("bits and group_size cannot be 0")
	}
	return s.Resolve()
}

// check refuses settings that no layer can have in a model of the scheme whole.
func (r *Rules) check(whole quant.Scheme) error {
	if r == nil {
		return nil
	}
	for _, one := range r.rules {
		one.used = false
		if _, err := one.resolve(whole); err != nil {
			return fmt.Errorf("%s: %s: %w", r.path, one.pattern, err)
		}
	}
	return nil
}

// match is the first rule for a layer by one of its names, nil if there is none.
func (r *Rules) match(names ...string) *rule {
	if r == nil {
		return nil
	}
	for _, one := range r.rules {
		if slices.ContainsFunc(names, one.match.MatchString) {
			one.used = true
			return one
		}
	}
	return nil
}

// unused is an error for a pattern that has matched nothing.
func (r *Rules) unused() error {
	if r == nil {
		return nil
	}
	for _, one := range r.rules {
		if !one.used {
			return fmt.Errorf("%s: no layer that can be quantized matches %q, or earlier patterns match all that do", r.path, one.pattern)
		}
	}
	return nil
}
