package main

import (
	"bytes"
	"fmt"
	"math"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/tune"
)

// adapterChoice is an adapter and how strongly it counts.
type adapterChoice struct {
	dir      string
	strength float64
}

// adapters are those of --adapter-path and --adapter.
func (o *modelOptions) adapters() ([]adapterChoice, error) {
	return adapterChoices(o.AdapterPath, o.Adapter)
}

// adapterChoices are the adapter in path, if that is not "", and those of --adapter.
func adapterChoices(path string, more []string) ([]adapterChoice, error) {
	var all []adapterChoice
	if path != "" {
		all = append(all, adapterChoice{path, 1})
	}
	for _, text := range more {
		a, err := parseAdapter(text)
		if err != nil {
			return nil, err
		}
		all = append(all, a)
	}
	return all, nil
}

// parseAdapter reads DIR or DIR:STRENGTH.
func parseAdapter(text string) (adapterChoice, error) {
	a := adapterChoice{text, 1}
	if at := strings.LastIndexByte(text, ':'); at >= 0 && filepath.VolumeName(text) == "" {
		x, err := strconv.ParseFloat(text[at+1:], 64)
		if err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
			return a, usagef("--adapter %s: %q is no strength; it is DIR or DIR:NUMBER", text, text[at+1:])
		}
		a = adapterChoice{text[:at], x}
	}
	if a.dir == "" {
		return a, usagef("--adapter %q names no directory", text)
	}
	return a, nil
}

// noteAdapter tells what the user should know of an adapter that is in its place.
func (s *streams) noteAdapter(a *tune.Adapter) {
	for _, note := range a.Notes {
		s.note("adapter %s: %s", a.Dir, note)
	}
}

// adapt puts the adapters over a model.
func (o *modelOptions) adapt(s *streams, m *llm.Loaded) error {
	all, err := o.adapters()
	if err != nil || len(all) == 0 {
		return err
	}
	var what bytes.Buffer
	for _, c := range all {
		a, err := tune.OpenAdapter(c.dir)
		if err != nil {
			return err
		}
		if _, err := a.Put(m.Model, c.strength); err != nil {
			return err
		}
		s.noteAdapter(a)
		sum, err := a.Sum()
		if err != nil {
			return err
		}
		fmt.Fprintf(&what, "%v %x\n", c.strength, sum)
	}
	m.Adapted(what.Bytes())
	return nil
}
