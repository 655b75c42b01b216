package ring

import (
	"sync"

	"github.com/mlxgo/mlx/internal/distributed/reduce"
)

// Large arrays are cut into lanes, one for each connection and direction, and each lane
// runs a circle of its own: in every step a process sends one segment on and gets
// another, which it joins with its own or keeps. Segments travel in pieces that are
// passed on one by one, so no process waits for a whole segment, and a goroutine of its
// own writes, so reading never waits for writing. Where the cuts lie follows from the
// size alone, so all processes agree and results do not depend on time.
const (
	// pieceBytes is the length of a piece: long against its header and the calls to the
	// system, short enough to stay in the caches until it is joined.
	pieceBytes = 256 << 10
	// laneBytes is the least that is worth a lane.
	laneBytes = 512 << 10
)

// A plan is what one lane does.
type plan struct {
	steps int // segments that come
	first int // the first segment sent is this many before this process's own
	// segment is where a segment lies, in bytes.
	segment func(i int) (lo, hi int)
	// source is what is sent first.
	source func(lo, hi int) []byte
	// land is where a piece is read to, and take makes of it what is passed on.
	land func(step, lo, hi int) []byte
	take func(step, lo, hi int, p []byte) []byte
	// free has a piece of take back that was sent; nil if nothing is to be done.
	free func(p []byte)
}

// A lane is a circle in one direction over one connection.
type lane struct {
	g          *group
	h          header
	index      int
	send, recv *link
	dir        int
}

// lanes cuts n bytes, and runs a plan for each of the parts [lo, hi) of n/size elements.
func (g *group) lanes(h header, elements int, planOf func(lo, hi int) *plan) error {
	size := h.dtype.Size()
	least := 2 // so that both neighbours see what this process is in
	if g.Size() == 2 {
		least = 1
	}
	count := min(2*len(g.right), max(least, elements*size/laneBytes))
	errs := make([]error, count)
	var wg sync.WaitGroup
	for i := range count {
		l := &lane{g: g, h: h, index: i, send: g.right[i/2], recv: g.left[i/2], dir: 1}
		if i%2 == 1 {
			l.send, l.recv, l.dir = l.recv, l.send, -1
		}
		l.h.lane = uint8(i)
		p := planOf(elements*i/count*size, elements*(i+1)/count*size)
		if i == count-1 {
			errs[i] = l.run(p)
		} else {
			wg.Go(func() { errs[i] = l.run(p) })
		}
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// pieces calls f for the pieces of segment i of p; an empty segment is one piece.
func (l *lane) pieces(p *plan, i int, f func(lo, hi int) error) error {
	lo, hi := p.segment(((i % l.g.Size()) + l.g.Size()) % l.g.Size())
	for at := lo; at < hi || at == lo; at += pieceBytes {
		if err := f(at, min(at+pieceBytes, hi)); err != nil {
			return err
		}
	}
	return nil
}

// count is the pieces of segment i.
func (l *lane) count(p *plan, i int) (n int) {
	l.pieces(p, i, func(int, int) error { n++; return nil })
	return n
}

func (l *lane) run(p *plan) error {
	own := l.g.rank - l.dir*p.first
	total := 0
	for step := range p.steps {
		total += l.count(p, own-l.dir*step)
	}
	queue := make(chan []byte, total) // so that whoever fills it never waits
	written := make(chan error, 1)
	go func() { written <- l.writeAll(p, queue, uint32(l.count(p, own))) }()
	l.pieces(p, own, func(lo, hi int) error { queue <- p.source(lo, hi); return nil })
	part := uint32(0)
	var err error
	for step := 0; step < p.steps && err == nil; step++ {
		err = l.pieces(p, own-l.dir*(step+1), func(lo, hi int) error {
			to := p.land(step, lo, hi)
			h := l.h
			h.length, h.part = uint32(hi-lo), part
			part++
			if err := l.recv.receive(&h, to, true); err != nil {
				return err
			}
			if on := p.take(step, lo, hi, to); step < p.steps-1 {
				queue <- on
			}
			return nil
		})
	}
	close(queue)
	if werr := <-written; err == nil {
		err = werr
	}
	return err
}

// writeAll writes what comes through the queue, the pieces of the source first.
func (l *lane) writeAll(p *plan, queue <-chan []byte, source uint32) error {
	part := uint32(0)
	for piece := range queue {
		h := l.h
		h.length, h.part = uint32(len(piece)), part
		part++
		if err := l.send.write(&h, piece); err != nil {
			return err
		}
		if p.free != nil && part > source {
			p.free(piece)
		}
	}
	return nil
}

// evenly cuts [lo, hi), whole elements of the given size, into n parts.
func evenly(lo, hi, size, n int) func(i int) (int, int) {
	elements := (hi - lo) / size
	return func(i int) (int, int) { return lo + elements*i/n*size, lo + elements*(i+1)/n*size }
}

// reduceLarge joins v in place: segments come around once to be joined, and the results
// once more.
func (g *group) reduceLarge(h header, v []byte) error {
	n := g.Size()
	return g.lanes(h, len(v)/h.dtype.Size(), func(lo, hi int) *plan {
		buf := make([]byte, min(pieceBytes, hi-lo))
		at := func(lo, hi int) []byte { return v[lo:hi] }
		return &plan{steps: 2 * (n - 1), segment: evenly(lo, hi, h.dtype.Size(), n), source: at,
			land: func(step, lo, hi int) []byte {
				if step < n-1 {
					return buf[:hi-lo]
				}
				return v[lo:hi]
			},
			take: func(step, lo, hi int, p []byte) []byte {
				if step < n-1 {
					reduce.Apply(h.reduce, h.dtype, v[lo:hi], p)
				}
				return v[lo:hi]
			}}
	})
}

// gatherLarge fills the blocks of out.
func (g *group) gatherLarge(h header, out []byte) error {
	n := g.Size()
	block := len(out) / n
	at := func(lo, hi int) []byte { return out[lo:hi] }
	return g.lanes(h, block/h.dtype.Size(), func(lo, hi int) *plan {
		return &plan{steps: n - 1, source: at,
			segment: func(i int) (int, int) { return i*block + lo, i*block + hi },
			land:    func(_, lo, hi int) []byte { return out[lo:hi] },
			take:    func(_, lo, hi int, p []byte) []byte { return p }}
	})
}

// scatterLarge joins the blocks of in on their way to where they belong.
func (g *group) scatterLarge(h header, in, out []byte) error {
	n, block := g.Size(), len(out)
	return g.lanes(h, block/h.dtype.Size(), func(lo, hi int) *plan {
		var pool spare
		return &plan{steps: n - 1, first: 1,
			segment: func(i int) (int, int) { return i*block + lo, i*block + hi },
			source:  func(lo, hi int) []byte { return in[lo:hi] },
			land: func(step, lo, hi int) []byte {
				if step == n-2 {
					return out[lo-g.rank*block : hi-g.rank*block]
				}
				return pool.take(hi - lo)
			},
			take: func(_, lo, hi int, p []byte) []byte {
				reduce.Apply(h.reduce, h.dtype, p, in[lo:hi])
				return p
			},
			free: pool.put}
	})
}

// A spare keeps buffers for pieces on their way: as many as are under way at most, since
// waiting for one would be reading that waits for writing.
type spare struct {
	mu   sync.Mutex
	bufs [][]byte
}

func (s *spare) take(n int) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if last := len(s.bufs) - 1; last >= 0 {
		b := s.bufs[last]
		s.bufs = s.bufs[:last]
		return b[:n]
	}
	return make([]byte, n, pieceBytes)
}

// put has b back.
func (s *spare) put(b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bufs = append(s.bufs, b)
}
