package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// postProcessor adds special tokens to the ids of a text.
type postProcessor interface {
	process(ids []int) []int
}

// frame puts ids before and behind those of the text.
type frame struct {
	before, after []int
	text          bool // whether the text itself stays
}

func (f frame) process(ids []int) []int {
	if !f.text {
		ids = nil
	}
	return slices.Concat(f.before, ids, f.after)
}

// postProcessors run one after the other.
type postProcessors []postProcessor

func (p postProcessors) process(ids []int) []int {
	for _, each := range p {
		ids = each.process(ids)
	}
	return ids
}

func parsePostProcessor(raw json.RawMessage) (postProcessor, error) {
	c, ok, err := parseComponent(raw)
	if err != nil || !ok {
		return nil, err
	}
	list, err := buildPostProcessors(c, 0)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return postProcessors(list), nil
}

func buildPostProcessors(c component, depth int) ([]postProcessor, error) {
	switch c.kind {
	case "Sequence":
		var v struct {
			List []json.RawMessage `json:"processors"`
		}
		if err := c.fill(&v); err != nil {
			return nil, err
		}
		return buildAll(v.List, depth, buildPostProcessors)
	case "ByteLevel":
		return nil, nil // it moves offsets only
	case "TemplateProcessing":
		return newTemplate(c)
	case "BertProcessing", "RobertaProcessing":
		return newBertProcessing(c)
	}
	return nil, fmt.Errorf("post-processor type %q is not known", clip(c.kind))
}

func newTemplate(c component) ([]postProcessor, error) {
	type name struct {
		ID string `json:"id"`
	}
	var v struct {
		Single []struct {
			Sequence     *name
			SpecialToken *name
		} `json:"single"`
		Special map[string]struct {
			IDs []int64 `json:"ids"`
		} `json:"special_tokens"`
	}
	if err := c.fill(&v); err != nil {
		return nil, err
	}
	var f frame
	for i, item := range v.Single {
		switch {
		case item.SpecialToken != nil:
			token, ok := v.Special[item.SpecialToken.ID]
			if !ok {
				return nil, c.errorf("single names %q, which is not in special_tokens", clip(item.SpecialToken.ID))
			}
			for _, id := range token.IDs {
				if id < 0 || id > maxID {
					return nil, c.errorf("special token %q has id %d, want one in [0, %d]", clip(item.SpecialToken.ID), id, maxID)
				}
				if f.text {
					f.after = append(f.after, int(id))
				} else {
					f.before = append(f.before, int(id))
				}
			}
		case item.Sequence != nil:
			if item.Sequence.ID != "A" || f.text {
				return nil, c.errorf("single wants sequence %q; one sequence A is supported", clip(item.Sequence.ID))
			}
			f.text = true
		default:
			return nil, c.errorf("item %d of single is neither Sequence nor SpecialToken", i)
		}
	}
	return []postProcessor{f}, nil
}

func newBertProcessing(c component) ([]postProcessor, error) {
	var v struct {
		Sep []json.RawMessage `json:"sep"`
		Cls []json.RawMessage `json:"cls"`
	}
	if err := c.fill(&v); err != nil {
		return nil, err
	}
	id := func(pair []json.RawMessage) (int, error) {
		if len(pair) != 2 {
			return 0, errors.New("want [token, id]")
		}
		var id int64
		if err := json.Unmarshal(pair[1], &id); err != nil {
			return 0, err
		}
		if id < 0 || id > maxID {
			return 0, fmt.Errorf("id %d is outside [0, %d]", id, maxID)
		}
		return int(id), nil
	}
	cls, err := id(v.Cls)
	if err != nil {
		return nil, c.errorf("cls: %w", err)
	}
	sep, err := id(v.Sep)
	if err != nil {
		return nil, c.errorf("sep: %w", err)
	}
	return []postProcessor{frame{before: []int{cls}, after: []int{sep}, text: true}}, nil
}
