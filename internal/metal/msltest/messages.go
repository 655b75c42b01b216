package msltest

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/mlxgo/mlx/internal/metal/gpu"
)

// A message is one of the compiler's.
type message struct {
	file, line, kind, text string
}

var messageLine = regexp.MustCompile(`^(.*?):(\d+):(?:\d+:)? (fatal error|error|note|warning): (.*)$`)

func parseMessages(s string) (list []message) {
	for line := range strings.Lines(s) {
		if m := messageLine.FindStringSubmatch(strings.TrimRight(line, "\n")); m != nil {
			list = append(list, message{m[1], m[2], m[3], m[4]})
		}
	}
	return list
}

// inLibrary says whether a file is one of ours and not of the source.
func inLibrary(file string) bool {
	base := filepath.Base(file)
	return strings.HasPrefix(base, "msl") && strings.HasSuffix(base, ".h") || base == "abi.h" || strings.HasPrefix(file, "<")
}

// translate makes an error of the compiler's into one about the user's source, with its
// lines and in Metal's words. keep chooses among the errors.
func translate(err error, keep func(m message, notes []message) bool) error {
	var ce *compileError
	if !errors.As(err, &ce) {
		return err
	}
	list := parseMessages(ce.messages)
	var lines []string
	known := false
	for i := 0; i < len(list); {
		m := list[i]
		n := i + 1
		for n < len(list) && list[n].kind == "note" {
			n++
		}
		notes := list[i+1 : n]
		i = n
		if m.kind != "error" && m.kind != "fatal error" {
			continue
		}
		known = true
		if keep != nil && !keep(m, notes) {
			continue
		}
		lines = append(lines, describe(m, notes)...)
	}
	if !known { // a crash, or of the linker
		return err
	}
	if len(lines) == 0 {
		return nil
	}
	return fmt.Errorf("%w\n%s", gpu.ErrCompile, strings.Join(lines, "\n"))
}

// describe gives an error and the notes that are about the source. An error in our headers
// is moved to the first line of the source that led there.
func describe(m message, notes []message) (lines []string) {
	if inLibrary(m.file) {
		for i, n := range notes {
			if !inLibrary(n.file) {
				m.file, m.line = n.file, n.line
				notes = notes[i+1:]
				break
			}
		}
	}
	m.text = withTypes(m.text, notes)
	lines = append(lines, fmt.Sprintf("%s:%s: error: %s", m.file, m.line, inMetal(m.text)))
	for _, n := range notes {
		if inLibrary(n.file) || strings.Contains(n.text, "msl_run_") || strings.Contains(n.text, "msl_bind") {
			continue
		}
		lines = append(lines, fmt.Sprintf("%s:%s: note: %s", n.file, n.line, inMetal(n.text)))
	}
	return lines
}

var fromType = regexp.MustCompile(`no known conversion from ('[^']*'(?: \(aka '[^']*'\))?) to '(?:const )?bfloat'`)

// withTypes names the types of an assignment that bfloat, which is a class when it is
// checked, does not take.
func withTypes(text string, notes []message) string {
	if !strings.Contains(text, "no viable overloaded '='") {
		return text
	}
	for _, n := range notes {
		if m := fromType.FindStringSubmatch(n.text); m != nil {
			return "assigning to 'bfloat' from incompatible type " + m[1]
		}
	}
	return text
}

var words = []struct {
	pattern *regexp.Regexp
	metal   string
}{
	{regexp.MustCompile(`'[^']*msl_t\d+[^']*' \(aka ('[^']*')\)`), "$1"},
	{regexp.MustCompile(`MSL_DEVICE`), "device"},
	{regexp.MustCompile(`MSL_CONSTANT`), "constant"},
	{regexp.MustCompile(`MSL_THREADGROUP`), "threadgroup"},
	{regexp.MustCompile(`MSL_THREAD ?`), ""},
	{regexp.MustCompile(`static assertion failed(?: due to requirement '.*')?: `), ""},
	{regexp.MustCompile(`(?:const )?__attribute__\(\(address_space\(1\)\)\)`), "device"},
	{regexp.MustCompile(`(?:const )?__attribute__\(\(address_space\(2\)\)\)`), "constant"},
	{regexp.MustCompile(`(?:const )?__attribute__\(\(address_space\(3\)\)\)`), "threadgroup"},
	{regexp.MustCompile(`__bf16`), "bfloat"},
	{regexp.MustCompile(`_Float16`), "half"},
	{regexp.MustCompile(`unsigned (char|short|int|long)\b`), "u$1"},
	{regexp.MustCompile(`\b(u?(?:float|half|bfloat|char|short|int|long|bool)) __attribute__\(\(ext_vector_type\((\d)\)\)\)`), "$1$2"},
	{regexp.MustCompile(`(?:metal::)?make_vec<(\w+), ?(\d)(?:, [^>']*)?>`), "$1$2"},
	{regexp.MustCompile(`(?:metal::)?construct_<(\w+)(?:, [^>']*)?>`), "$1"},
	{regexp.MustCompile(`metal::atomic_<`), "atomic<"},
	{regexp.MustCompile(`metal::`), ""},
	{regexp.MustCompile(`'(\w+)' \(aka '(\w+)'\)`), "'$1'"},
}

// inMetal says a message of the compiler's in the words of Metal.
func inMetal(s string) string {
	for _, w := range words {
		s = w.pattern.ReplaceAllString(s, w.metal)
	}
	return s
}

// mixesSpaces chooses the errors of a check of address spaces. What else that check
// refuses (copies of structs and calls of their methods) is right in Metal, and all that is
// wrong otherwise has been found before.
func mixesSpaces(m message, notes []message) bool {
	for _, n := range notes {
		if strings.Contains(n.text, "'this' argument") || strings.Contains(n.text, "candidate constructor") {
			return false
		}
	}
	return !strings.Contains(m.text, "no viable overloaded '='") && !strings.Contains(m.text, "no matching constructor") &&
		!strings.Contains(m.text, "'this' argument")
}
