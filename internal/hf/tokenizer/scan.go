package tokenizer

import (
	"unicode"
	"unicode/utf8"
)

// The split patterns of GPT-2, Llama 3 and Qwen 2 and most of their heirs.
const (
	patternGPT2   = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
	patternLlama3 = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	patternQwen2  = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
)

// scanners are hand-written equals of regular expressions, five times as fast.
var scanners = map[string]finder{
	patternGPT2:   scanGPT2,
	patternLlama3: scanCL100K(3),
	patternQwen2:  scanCL100K(1),
}

// Classes of characters that the patterns tell apart; 0 is none of them.
const (
	classLetter = 1 << iota
	classNumber
	classSpace
	classEnd // past the end of the text
)

var classTable = func() (table [0x800]uint8) {
	for i := range table {
		table[i] = lookupClass(rune(i))
	}
	return table
}()

func lookupClass(r rune) uint8 {
	switch {
	case unicode.IsLetter(r):
		return classLetter
	case unicode.IsNumber(r):
		return classNumber
	case unicode.IsSpace(r):
		return classSpace
	}
	return 0
}

// classAt returns the character at i, its class and its length.
func classAt(s string, i int) (r rune, class uint8, n int) {
	if i >= len(s) {
		return -1, classEnd, 0
	}
	r, n = rune(s[i]), 1
	if r >= utf8.RuneSelf {
		r, n = utf8.DecodeRuneInString(s[i:])
	}
	if r < rune(len(classTable)) {
		return r, classTable[r], n
	}
	return r, lookupClass(r), n
}

// skipClass returns the end of the run of one class at i.
func skipClass(s string, i int, want uint8) int {
	for {
		_, class, n := classAt(s, i)
		if class != want {
			return i
		}
		i += n
	}
}

// scanSpaces matches \s+(?!\S)|\s+ at i: a run before a word leaves its last
// character to the word, unless it has only one.
func scanSpaces(s string, i int) int {
	end, last := i, i
	for {
		_, class, n := classAt(s, end)
		if class == classEnd {
			return end
		}
		if class != classSpace {
			break
		}
		last = end
		end += n
	}
	if last > i {
		return last
	}
	return end
}

func scanGPT2(s string, found func(start, end int)) {
	for i := 0; i < len(s); {
		end := i
		if s[i] == '\'' {
			end = scanContraction(s, i)
		}
		if end == i {
			j := i
			if s[j] == ' ' {
				j++
			}
			_, class, n := classAt(s, j)
			if class == classEnd || class == classSpace {
				end = scanSpaces(s, i)
			} else {
				end = skipClass(s, j+n, class)
			}
		}
		found(i, end)
		i = end
	}
}

// scanContraction matches 's|'t|'re|'ve|'m|'ll|'d at the apostrophe at i.
func scanContraction(s string, i int) int {
	if i+1 < len(s) {
		switch s[i+1] {
		case 's', 't', 'm', 'd':
			return i + 2
		}
	}
	if i+2 < len(s) {
		switch s[i+1 : i+3] {
		case "re", "ve", "ll":
			return i + 3
		}
	}
	return i
}

// scanAnyContraction is scanContraction under (?i:...); U+017F (long s) folds
// to s.
func scanAnyContraction(s string, i int) int {
	r, _, n := classAt(s, i+1)
	switch r {
	case 's', 'S', 't', 'T', 'm', 'M', 'd', 'D', '\u017f':
		return i + 1 + n
	}
	if i+2 < len(s) {
		a, b := s[i+1]|0x20, s[i+2]|0x20
		if a == 'l' && b == 'l' || (a == 'r' || a == 'v') && b == 'e' {
			return i + 3
		}
	}
	return i
}

// scanCL100K scans the Llama 3 family; numbers are cut after maxDigits.
func scanCL100K(maxDigits int) finder {
	return func(s string, found func(start, end int)) {
		for i := 0; i < len(s); {
			end := i
			if s[i] == '\'' {
				end = scanAnyContraction(s, i)
			}
			if end == i {
				r, class, n := classAt(s, i)
				switch class {
				case classLetter:
					end = skipClass(s, i+n, classLetter)
				case classNumber:
					end = i + n
					for range maxDigits - 1 {
						_, class, n := classAt(s, end)
						if class != classNumber {
							break
						}
						end += n
					}
				default:
					end = scanOther(s, i, r, n)
				}
			}
			found(i, end)
			i = end
		}
	}
}

// scanOther matches at r, which is n bytes at i and neither letter nor number:
// a word with a character before it, else symbols, else white space.
func scanOther(s string, i int, r rune, n int) int {
	if _, class, m := classAt(s, i+n); r != '\r' && r != '\n' && class == classLetter {
		return skipClass(s, i+n+m, classLetter)
	}
	j := i
	if r == ' ' {
		j++
	}
	if _, class, m := classAt(s, j); class == 0 {
		end := skipClass(s, j+m, 0)
		for end < len(s) && (s[end] == '\r' || s[end] == '\n') {
			end++
		}
		return end
	}
	// \s*[\r\n]+ takes a run of white space up to its last line end.
	lineEnd, k := -1, i
	for {
		r, class, m := classAt(s, k)
		if class != classSpace {
			break
		}
		k += m
		if r == '\r' || r == '\n' {
			lineEnd = k
		}
	}
	if lineEnd > 0 {
		return lineEnd
	}
	return scanSpaces(s, i)
}
