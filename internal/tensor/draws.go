package tensor

import (
	"bytes"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
)

// draws counts the keys that generators gave.
var draws atomic.Uint64

// Drawn marks a leaf, the key of a draw from the generator of the process. It is
// volatile: a transformation that took it for a constant would repeat it.
func Drawn(key *Array) *Array {
	key.n.drawn = draws.Add(1)
	return key
}

// Draws are the keys that one run of a function drew. A function that is run again
// for its derivative must draw the same ones: another dropout mask would give the
// gradient of another function.
type Draws struct{ keys []*Array }

// A scope is a run at work on one goroutine: it records keys, or gives recorded ones.
type scope struct {
	keys   *Draws
	replay bool
	next   int
}

// scopes are the runs at work by goroutine, outer ones first. open counts them, so
// that draws outside of any need not know where they are.
var scopes struct {
	sync.Mutex
	open atomic.Int64
	of   map[uint64][]*scope
}

// Record runs f and notes the keys that it draws on this goroutine.
func (d *Draws) Record(f func()) { (&scope{keys: d}).during(f) }

// Replay runs f, whose draws on this goroutine are those that were recorded; the
// generator gives the ones beyond them.
func (d *Draws) Replay(f func()) { (&scope{keys: d, replay: true}).during(f) }

func (s *scope) during(f func()) {
	id := goroutine()
	scopes.Lock()
	if scopes.of == nil {
		scopes.of = map[uint64][]*scope{}
	}
	outer := scopes.of[id]
	scopes.of[id] = append(outer[:len(outer):len(outer)], s)
	scopes.Unlock()
	scopes.open.Add(1)
	defer func() {
		scopes.open.Add(-1)
		scopes.Lock()
		defer scopes.Unlock()
		if scopes.of[id] = outer; len(outer) == 0 {
			delete(scopes.of, id)
		}
	}()
	f()
}

// Draw is the next key for this goroutine: one that is to be repeated, or fresh().
func Draw(fresh func() *Array) *Array {
	if scopes.open.Load() == 0 {
		return fresh()
	}
	id := goroutine()
	scopes.Lock()
	at := scopes.of[id]
	scopes.Unlock()
	var key *Array
	first := 0 // scopes inside of the one that repeats record what it gives
	for i := len(at) - 1; i >= 0 && key == nil; i-- {
		if s := at[i]; s.replay && s.next < len(s.keys.keys) {
			key, first = s.keys.keys[s.next], i+1
			s.next++
		}
	}
	if key == nil {
		key = fresh()
	}
	for _, s := range at[first:] {
		if !s.replay {
			s.keys.keys = append(s.keys.keys, key)
		}
	}
	return key
}

// goroutine is the number of this goroutine, from the head of its stack's text:
// "goroutine 7 [".
func goroutine() uint64 {
	var b [40]byte
	head := bytes.Fields(b[:runtime.Stack(b[:], false)])
	id, err := strconv.ParseUint(string(head[1]), 10, 64)
	if err != nil {
		panic("the stack's text has no goroutine number: " + string(b[:]))
	}
	return id
}
