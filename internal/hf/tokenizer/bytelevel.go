package tokenizer

import (
	"strings"
	"unicode/utf8"
)

// The byte-level alphabet of GPT-2 writes each byte as one printable character:
// printable Latin-1 bytes stand for themselves, the other 68 are numbered from
// U+0100 on.
var (
	byteRunes [256]rune
	runeBytes [324]int16 // -1: not in the alphabet
)

func init() {
	for i := range runeBytes {
		runeBytes[i] = -1
	}
	next := rune(256)
	for b := range byteRunes {
		r := rune(b)
		if b < '!' || b > '~' && b < 0xa1 || b == 0xad {
			r = next
			next++
		}
		byteRunes[b] = r
		runeBytes[r] = int16(b)
	}
}

// toByteLevel writes the bytes of s in the byte-level alphabet.
func toByteLevel(s string) string {
	var out strings.Builder
	out.Grow(len(s) + len(s)/4)
	for i := 0; i < len(s); i++ {
		out.WriteRune(byteRunes[s[i]])
	}
	return out.String()
}

// appendFromByteLevel appends the bytes that s stands for; it answers false,
// with dst unchanged, if a character of s is not in the alphabet.
func appendFromByteLevel(dst []byte, s string) ([]byte, bool) {
	n := len(dst)
	for _, r := range s {
		if int(r) >= len(runeBytes) || runeBytes[r] < 0 {
			return dst[:n], false
		}
		dst = append(dst, byte(runeBytes[r]))
	}
	return dst, true
}

// badPrefix returns the length of the longest start of b that could begin a
// UTF-8 character, at least 1; complete is false if it ends with b while more
// bytes could make it whole. It is for a b that does not start with a whole
// character.
func badPrefix(b []byte) (n int, complete bool) {
	need, low, high := 0, byte(0x80), byte(0xbf)
	switch c := b[0]; {
	case c >= 0xc2 && c <= 0xdf:
		need = 1
	case c >= 0xe0 && c <= 0xef:
		need = 2
		if c == 0xe0 {
			low = 0xa0 // else overlong
		}
		if c == 0xed {
			high = 0x9f // else a surrogate
		}
	case c >= 0xf0 && c <= 0xf4:
		need = 3
		if c == 0xf0 {
			low = 0x90
		}
		if c == 0xf4 {
			high = 0x8f // else beyond U+10FFFF
		}
	}
	n = 1
	for n <= need && n < len(b) && b[n] >= low && b[n] <= high {
		n++
		low, high = 0x80, 0xbf
	}
	return n, n > need || n < len(b)
}

// appendLossy appends b as valid UTF-8 with one U+FFFD for each maximal part
// that is none (Unicode 3.9, table 3-8; what Rust's from_utf8_lossy does). With
// partial, an unfinished character at the end stays; rest is what stayed.
func appendLossy(dst, b []byte, partial bool) (out, rest []byte) {
	for len(b) > 0 {
		if r, n := utf8.DecodeRune(b); r != utf8.RuneError || n > 1 {
			dst = append(dst, b[:n]...)
			b = b[n:]
			continue
		}
		n, complete := badPrefix(b)
		if partial && !complete {
			return dst, b
		}
		dst = append(dst, "\uFFFD"...)
		b = b[n:]
	}
	return dst, nil
}

// toValid returns s with invalid bytes replaced as by appendLossy.
func toValid(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	out, _ := appendLossy(nil, []byte(s), false)
	return string(out)
}
