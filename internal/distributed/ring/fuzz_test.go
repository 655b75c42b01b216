package ring

import (
	"bytes"
	"net"
	"testing"
	"time"
)

func FuzzParseHosts(f *testing.F) {
	for _, s := range []string{`[["10.0.0.1:5000"],["[::1]:5001"]]`, `[]`, `[[]]`, `[["a:1","b:2"],["c:3"]]`, `{`, `[[1]]`, ``} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		hosts, err := ParseHosts(data)
		if err != nil {
			return
		}
		cfg := Config{Hosts: hosts}
		if err := cfg.check(); err != nil {
			t.Errorf("%q parses and does not check: %v", data, err)
		}
	})
}

// script is a connection whose other end has said all it will say.
type script struct {
	net.Conn
	in  *bytes.Reader
	out bytes.Buffer
}

func (s *script) Read(p []byte) (int, error)       { return s.in.Read(p) }
func (s *script) Write(p []byte) (int, error)      { return s.out.Write(p) }
func (s *script) SetDeadline(time.Time) error      { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

// Whatever a stranger says, neither side of the handshake takes it for a peer.
func FuzzHandshake(f *testing.F) {
	id := &identity{rank: 1, size: 2, secret: testSecret}
	good := (&hello{channel: channel{from: 0, to: 1}, secret: true}).encode()
	f.Add(good)
	f.Add(append(bytes.Clone(good), make([]byte, proofLen)...))
	f.Add([]byte(magic))
	f.Add(append([]byte(magic+"\x01\x00\x00\x00"), make([]byte, 32+verdictLen)...))
	f.Fuzz(func(t *testing.T, data []byte) {
		if h, _, err := id.receive(&script{in: bytes.NewReader(data)}); err == nil {
			t.Errorf("accepted %+v", h)
		}
		if id.greet(&script{in: bytes.NewReader(data)}, channel{from: 1, to: 0}, time.Second) == nil {
			t.Error("took a stranger for the peer")
		}
		if len(data) >= helloLen {
			if h, _, err := decodeHello(data[:helloLen]); err == nil && data[10]&^flagSecret == 0 && data[11] == 0 && !bytes.Equal(h.encode(), data[:helloLen]) {
				t.Errorf("%x is written as %x", data[:helloLen], h.encode())
			}
		}
	})
}

func FuzzFrames(f *testing.F) {
	h := header{op: opAllReduce, dtype: 11, bytes: 40, length: 40, group: 5, seq: 6, part: 7, lane: 1}
	b := make([]byte, headerLen)
	h.encode(b)
	f.Add(b)
	f.Add([]byte{0xc1, 0x58, 0x4d, 0x4c, 1, 0, 3, 0, 2, 0, 0, 0, 'x', 'y', 'z'})
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) >= headerLen {
			var h header
			if h.decode(data) == nil {
				if mismatch(1, &h, 0, &header{}) == "" {
					t.Error("no text")
				}
				again := bytes.Clone(data[:headerLen])
				clear(again[5:8])
				back := make([]byte, headerLen)
				if h.encode(back); !bytes.Equal(back, again) {
					t.Errorf("%x is written as %x", again, back)
				}
			}
		}
		c := &control{m: &mesh{cfg: Config{Timeout: time.Second}}, conn: &script{in: bytes.NewReader(data)}}
		for {
			if _, _, text, err := c.next(); err != nil {
				break
			} else if len(text) > 4*maxText {
				t.Errorf("%d bytes of text", len(text))
			}
		}
	})
}
