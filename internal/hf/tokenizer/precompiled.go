package tokenizer

import (
	"encoding/base64"
	"encoding/binary"
	"strings"
	"unicode/utf8"

	"github.com/rivo/uniseg"
)

// precompiled is SentencePiece's compiled table of character rules: a double
// array trie (Darts) from bytes to places in a list of texts, each ended by a
// NUL.
type precompiled struct {
	trie  []uint32
	texts string
}

func newPrecompiled(c component) (normalizer, error) {
	var v struct {
		Charsmap string `json:"precompiled_charsmap"`
	}
	if err := c.fill(&v); err != nil {
		return nil, err
	}
	b, err := base64.StdEncoding.DecodeString(v.Charsmap)
	if err != nil {
		return nil, c.errorf("precompiled_charsmap: %w", err)
	}
	if len(b) == 0 {
		return normalizers(nil), nil
	}
	if len(b) < 4 {
		return nil, c.errorf("precompiled_charsmap has %d bytes, want at least 4", len(b))
	}
	size := uint64(binary.LittleEndian.Uint32(b))
	b = b[4:]
	if size > uint64(len(b)) || size%4 != 0 {
		return nil, c.errorf("precompiled_charsmap: trie of %d bytes in a table of %d", size, len(b))
	}
	p := &precompiled{trie: make([]uint32, size/4), texts: string(b[size:])}
	if !utf8.ValidString(p.texts) {
		return nil, c.errorf("precompiled_charsmap: texts are not valid UTF-8")
	}
	for i := range p.trie {
		p.trie[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
	return p, nil
}

// unit reads a node of the trie; a place outside it is a node without children.
func (p *precompiled) unit(at uint32) uint32 {
	if uint64(at) >= uint64(len(p.trie)) {
		return 0
	}
	return p.trie[at]
}

// lookup returns the rule of the shortest start of s that has one.
func (p *precompiled) lookup(s string) (string, bool) {
	// In a unit: bits 10-30 the offset of the children, bit 9 its scale, bit 8
	// whether there is a value, bits 0-7 and 31 the label.
	offset := func(u uint32) uint32 { return u >> 10 << (u & (1 << 9) >> 6) }
	at := offset(p.unit(0))
	for i := 0; i < len(s) && s[i] != 0; i++ {
		at ^= uint32(s[i])
		u := p.unit(at)
		if u&(1<<31|0xff) != uint32(s[i]) {
			return "", false
		}
		at ^= offset(u)
		if u>>8&1 == 1 {
			place := int(p.unit(at) & (1<<31 - 1))
			if place > len(p.texts) {
				return "", false
			}
			text, _, _ := strings.Cut(p.texts[place:], "\x00")
			return text, utf8.ValidString(text)
		}
	}
	return "", false
}

// normalize tries whole grapheme clusters shorter than 6 bytes, then single
// characters.
func (p *precompiled) normalize(s string) string {
	var out strings.Builder
	out.Grow(len(s))
	state := -1
	for len(s) > 0 {
		var cluster string
		cluster, s, _, state = uniseg.FirstGraphemeClusterInString(s, state)
		if len(cluster) < 6 {
			if text, ok := p.lookup(cluster); ok {
				out.WriteString(text)
				continue
			}
		}
		for i, r := range cluster {
			one := cluster[i : i+utf8.RuneLen(r)]
			if text, ok := p.lookup(one); ok {
				out.WriteString(text)
			} else {
				out.WriteString(one)
			}
		}
	}
	return out.String()
}
