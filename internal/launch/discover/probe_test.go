package discover

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// serveProbe starts a server on the loopback and gives its address, its input and its end.
func serveProbe(t *testing.T, token string) (addr string, in io.WriteCloser, end <-chan error) {
	t.Helper()
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- ServeProbe(context.Background(), "127.0.0.1", inR, outW) }()
	t.Cleanup(func() { inW.Close() })
	if _, err := io.WriteString(inW, token+"\n"); err != nil {
		t.Fatal(err)
	}
	port, err := readPort(outR)
	if err != nil {
		t.Fatal(err)
	}
	return net.JoinHostPort("127.0.0.1", port), inW, done
}

func TestProbe(t *testing.T) {
	token := rand.Text()
	addr, _, end := serveProbe(t, token)
	dial := func(hello string) net.Conn {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.WriteString(c, hello); err != nil {
			t.Fatal(err)
		}
		return c
	}
	// One that says nothing, and ones that know no token, do not stop the one that does.
	silent := dial("")
	for _, hello := range []string{"GET / HTTP/1.1\r\nHost: a.example.org\r\n\r\n", probeMagic + rand.Text(), strings.Repeat("\x00", 1000)} {
		if n, err := dial(hello).Read(make([]byte, 1)); n > 0 || err == nil {
			t.Errorf("%q was answered", hello)
		}
	}
	var out bytes.Buffer
	if err := RunProbe(context.Background(), addr, strings.NewReader(token+"\n"), &out); err != nil {
		t.Fatal(err)
	}
	var s Speed
	if err := json.Unmarshal(out.Bytes(), &s); err != nil || s.Latency <= 0 || s.Latency > time.Second || s.Bandwidth < 1e6 {
		t.Errorf("%s, %v", out.String(), err)
	}
	if err := <-end; err != nil {
		t.Errorf("the server ended with %v", err)
	}
	if n, err := silent.Read(make([]byte, 1)); n > 0 || err == nil {
		t.Error("the silent one was answered")
	}
}

func TestProbeFaults(t *testing.T) {
	token := rand.Text()
	addr, in, end := serveProbe(t, token)
	if err := RunProbe(context.Background(), addr, strings.NewReader(rand.Text()+"\n"), io.Discard); err == nil || !strings.Contains(err.Error(), "is no probe of this run") {
		t.Error(err)
	}
	in.Close() // the launcher is gone
	if err := <-end; err == nil {
		t.Error("the server ended well without its input")
	}
	if err := RunProbe(context.Background(), addr, strings.NewReader(token+"\n"), io.Discard); err == nil {
		t.Error("a server that is gone was measured")
	}
	for _, text := range []string{"", "x\n", strings.Repeat("x", 100)} {
		if err := RunProbe(context.Background(), addr, strings.NewReader(text), io.Discard); err == nil || !strings.Contains(err.Error(), "no token") {
			t.Errorf("%q: %v", text, err)
		}
		if err := ServeProbe(context.Background(), "127.0.0.1", strings.NewReader(text), io.Discard); err == nil || !strings.Contains(err.Error(), "no token") {
			t.Errorf("%q: %v", text, err)
		}
	}
	if err := ServeProbe(context.Background(), "192.0.2.77", strings.NewReader(token+"\n"), io.Discard); err == nil || !strings.Contains(err.Error(), "192.0.2.77") {
		t.Error(err)
	}
}

// Who knows the token may still say nonsense.
func FuzzServe(f *testing.F) {
	f.Add([]byte("pping"))
	f.Add([]byte("b\x00\x00\x00\x00\x00\x00\x00\x04abcdp1234"))
	f.Add([]byte("b\xff\xff\xff\xff\xff\xff\xff\xff"))
	f.Add([]byte("x"))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, b := net.Pipe()
		done := make(chan error, 1)
		go func() {
			done <- serve(a)
			a.Close()
		}()
		answers := make(chan int, 1)
		go func() {
			n, _ := io.Copy(io.Discard, bufio.NewReader(b))
			answers <- int(n)
		}()
		b.SetDeadline(time.Now().Add(5 * time.Second))
		b.Write(data)
		b.Close()
		<-done
		if n := <-answers; n > 1+len(data) {
			t.Errorf("%d bytes for %d", n, len(data))
		}
	})
}
