package main

import (
	"time"

	"github.com/schollz/progressbar/v3"
)

const (
	// barThrottle is the time between two pictures of a bar.
	barThrottle = 100 * time.Millisecond
	// barColumns are what a bar with all its numbers needs of a terminal.
	barColumns = 80
)

// newBar is a bar of total on standard error, with numbers as details say unless the
// terminal is narrow.
func (s *streams) newBar(name string, total int64, details ...progressbar.Option) *progressbar.ProgressBar {
	options := []progressbar.Option{
		progressbar.OptionSetWriter(s.err),
		progressbar.OptionThrottle(barThrottle),
		progressbar.OptionClearOnFinish(),
	}
	letters, width := 22, 12 // so that all fits
	if s.errColumns > 0 && s.errColumns < barColumns {
		letters = max(s.errColumns/3, 3)
		width = max(min(width, s.errColumns-letters-12), 1)
		details = []progressbar.Option{progressbar.OptionSetPredictTime(false), progressbar.OptionSetElapsedTime(false)}
	}
	if r := []rune(name); len(r) > letters {
		name = string(r[:letters-1]) + "…"
	}
	options = append(options, progressbar.OptionSetDescription(name), progressbar.OptionSetWidth(width))
	bar := progressbar.NewOptions64(total, append(options, details...)...)
	// A terminal that cannot be written to is no reason to stop.
	_ = bar.RenderBlank() // its clock starts here
	return bar
}

// progress shows how much of a prompt of total tokens is done, where that takes more
// than one step and there is a terminal; else it is nil.
func (s *streams) progress(total, step int) func(done, total int) {
	if total <= step || !s.errTTY {
		return nil
	}
	bar := s.newBar("prompt", int64(total), progressbar.OptionSetItsString("tok"), progressbar.OptionShowIts(), progressbar.OptionShowCount())
	return func(done, _ int) {
		_ = bar.Set(done)
	}
}
