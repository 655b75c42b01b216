package ring

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// The handshake, in bytes, all integers little-endian:
//
//	hello      dialer    magic 8, version 2, flags 2, from 4, to 4, group 8, kind 2, index 2, job 16, nonce 32
//	challenge  acceptor  magic 8, version 2, code 2, nonce 32
//	proof      dialer    HMAC-SHA256(secret, "dial" hello challenge)
//	verdict    acceptor  code 2, HMAC-SHA256(secret, "accept" hello challenge)
//
// Both nonces are fresh, so nothing that was recorded is of use, and the proofs cover
// who talks to whom and what for. The dialer proves itself first: a stranger learns
// nothing but that something listens. Without a secret the key is empty, and the
// handshake tells a process of the job from an accident only.
const (
	magic       = "\x89MLXring"
	version     = 1
	helloLen    = 80
	answerLen   = 44
	proofLen    = sha256.Size
	verdictLen  = 2 + proofLen
	flagSecret  = 1
	maxPatience = 10 * time.Second // for a handshake
)

// A kind is what a connection is for.
type kind uint16

const (
	kindControl kind = iota // signs of life, aborts; index is a host of the acceptor's
	kindEdge                // data with the next of a group's circle; index is the connection
	kindDirect              // data of sends
)

// A channel names a connection: from dialed to. Ranks are the job's.
type channel struct {
	from, to int
	group    uint64
	kind     kind
	index    int
}

// hello is the first message.
type hello struct {
	channel
	secret bool
	job    [16]byte
	nonce  [32]byte
}

func (h *hello) encode() []byte {
	b := append(make([]byte, 0, helloLen), magic...)
	b = binary.LittleEndian.AppendUint16(b, version)
	var flags uint16
	if h.secret {
		flags |= flagSecret
	}
	b = binary.LittleEndian.AppendUint16(b, flags)
	b = binary.LittleEndian.AppendUint32(b, uint32(h.from))
	b = binary.LittleEndian.AppendUint32(b, uint32(h.to))
	b = binary.LittleEndian.AppendUint64(b, h.group)
	b = binary.LittleEndian.AppendUint16(b, uint16(h.kind))
	b = binary.LittleEndian.AppendUint16(b, uint16(h.index))
	b = append(b, h.job[:]...)
	return append(b, h.nonce[:]...)
}

// errAlien is a peer that speaks something else.
var errAlien = errors.New("it does not speak this protocol: is it a Python MLX process? A job cannot mix them")

// decodeHello reads a hello of helloLen bytes; code is for the dialer.
func decodeHello(b []byte) (h hello, c code, err error) {
	if string(b[:8]) != magic {
		return h, codeOK, errAlien
	}
	if v := binary.LittleEndian.Uint16(b[8:]); v != version {
		return h, codeVersion, fmt.Errorf("it speaks version %d of the protocol, this process version %d", v, version)
	}
	h.secret = binary.LittleEndian.Uint16(b[10:])&flagSecret != 0
	h.from = int(binary.LittleEndian.Uint32(b[12:]))
	h.to = int(binary.LittleEndian.Uint32(b[16:]))
	h.group = binary.LittleEndian.Uint64(b[20:])
	h.kind = kind(binary.LittleEndian.Uint16(b[28:]))
	h.index = int(binary.LittleEndian.Uint16(b[30:]))
	copy(h.job[:], b[32:48])
	copy(h.nonce[:], b[48:80])
	return h, codeOK, nil
}

// A code is why an acceptor refuses. The dialer writes the text: what a peer that has
// proved nothing says is not printed.
type code uint16

const (
	codeOK code = iota
	codeVersion
	codeJob
	codeRank
	codeNeedsSecret
	codeNoSecret
	codeProof
	codeTwice
	codeLeaving
)

var codeTexts = map[code]string{
	codeVersion:     "it speaks another version of the protocol: build all processes from one version",
	codeJob:         "it has another hostfile: another job listens there, or the hosts' files differ",
	codeRank:        "it has another rank than the hostfile says",
	codeNeedsSecret: "it has a secret of its job, this process has none",
	codeNoSecret:    "it has no secret of its job, this process has one",
	codeProof:       "it has another secret: it belongs to another job",
	codeTwice:       "it has this connection already",
	codeLeaving:     "it is about to end",
}

func (c code) err() error {
	if text, ok := codeTexts[c]; ok {
		return refusal{text}
	}
	return refusal{fmt.Sprintf("it refuses the connection (code %d)", uint16(c))}
}

// A refusal is an answer that asking again will hardly change.
type refusal struct{ text string }

func (r refusal) Error() string { return r.text }

// identity is what a process brings to handshakes.
type identity struct {
	rank, size int
	job        [16]byte
	secret     []byte
}

func (id *identity) proof(side string, transcript ...[]byte) []byte {
	mac := hmac.New(sha256.New, id.secret)
	mac.Write([]byte(side))
	for _, t := range transcript {
		mac.Write(t)
	}
	return mac.Sum(nil)
}

// greet is the dialer's side.
func (id *identity) greet(c net.Conn, ch channel, patience time.Duration) error {
	c.SetDeadline(time.Now().Add(min(patience, maxPatience)))
	defer c.SetDeadline(time.Time{})
	h := hello{channel: ch, secret: len(id.secret) > 0, job: id.job}
	rand.Read(h.nonce[:])
	first := h.encode()
	if _, err := c.Write(first); err != nil {
		return err
	}
	answer := make([]byte, answerLen)
	if _, err := io.ReadFull(c, answer); err != nil {
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			return fmt.Errorf("it accepts connections but says nothing: is it a Python MLX process? A job cannot mix them")
		}
		return ended(err)
	}
	if string(answer[:8]) != magic {
		return errAlien
	}
	if why := code(binary.LittleEndian.Uint16(answer[10:])); why != codeOK {
		return why.err()
	}
	if _, err := c.Write(id.proof("dial", first, answer)); err != nil {
		return err
	}
	verdict := make([]byte, verdictLen)
	if _, err := io.ReadFull(c, verdict); err != nil {
		return ended(err)
	}
	if why := code(binary.LittleEndian.Uint16(verdict)); why != codeOK {
		return why.err()
	}
	if !hmac.Equal(verdict[2:], id.proof("accept", first, answer)) {
		return refusal{"it cannot prove that it knows the job's secret"}
	}
	return nil
}

// ended says it of a connection that ended in a handshake.
func ended(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("it closed the connection")
	}
	return err
}

// receive is the acceptor's side up to the verdict, which welcome or refuse sends.
func (id *identity) receive(c net.Conn) (h hello, proof []byte, err error) {
	first := make([]byte, helloLen)
	// what is no hello is seen by its first bytes, however few follow
	if _, err := io.ReadFull(c, first[:len(magic)]); err != nil {
		return h, nil, ended(err)
	}
	if string(first[:len(magic)]) != magic {
		return h, nil, errAlien
	}
	if _, err := io.ReadFull(c, first[len(magic):]); err != nil {
		return h, nil, ended(err)
	}
	h, why, err := decodeHello(first)
	if err == nil {
		why, err = id.judge(&h)
	}
	answer := append(make([]byte, 0, answerLen), magic...)
	answer = binary.LittleEndian.AppendUint16(answer, version)
	answer = binary.LittleEndian.AppendUint16(answer, uint16(why))
	answer = answer[:answerLen]
	rand.Read(answer[12:])
	if _, werr := c.Write(answer); err != nil || werr != nil {
		return h, nil, errors.Join(err, werr)
	}
	proof = make([]byte, proofLen)
	if _, err := io.ReadFull(c, proof); err != nil {
		return h, nil, ended(err)
	}
	if !hmac.Equal(proof, id.proof("dial", first, answer)) {
		refuse(c, codeProof)
		return h, nil, errors.New("it has another secret")
	}
	return h, id.proof("accept", first, answer), nil
}

// judge says whether h is for this process.
func (id *identity) judge(h *hello) (code, error) {
	switch {
	case h.job != id.job:
		return codeJob, errors.New("it has another hostfile")
	case h.to != id.rank || h.from == id.rank || h.from >= id.size || h.kind > kindDirect || h.index >= maxLinks:
		return codeRank, fmt.Errorf("it looks for rank %d and says that it is rank %d", h.to, h.from)
	case h.secret && len(id.secret) == 0:
		return codeNoSecret, errors.New("it has a secret of its job, this process has none")
	case !h.secret && len(id.secret) > 0:
		return codeNeedsSecret, errors.New("it has no secret of its job, this process has one")
	}
	return codeOK, nil
}

func refuse(c net.Conn, why code) {
	b := make([]byte, verdictLen)
	binary.LittleEndian.PutUint16(b, uint16(why))
	c.Write(b) // who is refused may be gone
}

func welcome(c net.Conn, proof []byte) error {
	_, err := c.Write(append(make([]byte, 2, verdictLen), proof...))
	return err
}
