package convert

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"runtime"
	"sync"

	"github.com/mlxgo/mlx/internal/fmap"
)

const (
	// blockBytes is about how much of the source is made into rows at once: blocks and
	// what they become stay in the caches.
	blockBytes = 4 << 20
	// blocksAhead is how many blocks may wait for the disk.
	blocksAhead = 4
	// keepBytes is after how many written bytes the work is brought to the disk, and
	// releaseBytes after how many that were read their pages are let go of.
	keepBytes    = 256 << 20
	releaseBytes = 128 << 20
)

// part is a block on its way to the disk: rows from lo of a step.
type part struct {
	step *step
	lo   int
	out  [][]byte
	mine []byte // the memory of out, to be given back
	view bool   // out are the source's pages
	sums []uint32
}

// writer puts parts at their places in the shards.
type writer struct {
	w     *work
	parts chan *part
	spare chan []byte
	wait  sync.WaitGroup // of parts

	mu    sync.Mutex
	files map[*shard]*os.File
	err   error
}

func newWriter(w *work) *writer {
	o := &writer{w: w, files: map[*shard]*os.File{}, parts: make(chan *part, blocksAhead), spare: make(chan []byte, blocksAhead+2)}
	for range cap(o.spare) {
		o.spare <- nil
	}
	go func() {
		for p := range o.parts {
			if o.failed() == nil {
				if err := o.write(p); err != nil {
					o.fail(err)
				}
			}
			if !p.view {
				o.spare <- p.mine
			}
			o.wait.Done()
		}
	}()
	return o
}

func (o *writer) fail(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil {
		o.err = err
	}
}

func (o *writer) failed() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

// write puts one part in its place, and adds it to the sums of its step.
func (o *writer) write(p *part) error {
	return fmap.Guard(func() error { // out may be the source's pages
		for i, data := range p.out {
			to := p.step.out[i]
			if _, err := o.file(to.shard).WriteAt(data, to.at()+int64(p.lo)*to.row); err != nil {
				return err
			}
			p.sums[i] = crc32.Update(p.sums[i], castagnoli, data)
		}
		return nil
	})
}

// file is the open file of a shard, nil if there is none.
func (o *writer) file(s *shard) *os.File {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.files[s]
}

// open makes the file of a shard, at its size and with its header, while parts of others
// are written.
func (o *writer) open(s *shard) error {
	if o.file(s) != nil {
		return nil
	}
	f, err := os.OpenFile(o.w.path(s.name), os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return err
	}
	o.mu.Lock()
	o.files[s] = f
	o.mu.Unlock()
	if err := f.Truncate(s.plan.Size); err != nil {
		return err
	}
	_, err = f.WriteAt(s.plan.Header, 0)
	return err
}

// flush waits for all parts and brings them to the disk; done are the steps that are.
// Files that get no more are closed.
func (o *writer) flush(done int) error {
	o.wait.Wait()
	err := o.failed()
	for s, f := range o.files {
		if err == nil {
			err = f.Sync()
		}
		if err == nil && s.last < done {
			err = f.Close()
			delete(o.files, s)
		}
	}
	return err
}

func (o *writer) close() {
	o.wait.Wait()
	close(o.parts)
	for _, f := range o.files {
		f.Close()
	}
}

// run makes and writes the steps that are left.
func (w *work) run(ctx context.Context) (err error) {
	o := newWriter(w)
	defer o.close()
	first := len(w.state.Sums)
	done := int64(0)
	for _, s := range w.steps[:first] {
		done += s.read()
	}
	w.o.Progress(done, w.source)
	r := &reader{w: w, o: o, done: done, sums: w.state.Sums}
	if first < len(w.steps) {
		r.shard = w.steps[first].out[0].shard
	}
	for i := first; i < len(w.steps); i++ {
		if err := r.step(ctx, w.steps[i]); err != nil {
			if failed := o.failed(); failed != nil {
				return failed
			}
			if kept := r.keep(context.WithoutCancel(ctx)); kept != nil {
				return kept
			}
			return err
		}
		if r.due(i) {
			if err := r.keep(ctx); err != nil {
				return err
			}
		}
	}
	return r.keep(ctx)
}

// reader makes the parts of steps.
type reader struct {
	w       *work
	o       *writer
	done    int64 // bytes of the source that are read
	since   int64 // likewise, since their pages were let go of
	written int64 // bytes of steps that are finished, since the last keep
	shard   *shard
	sums    [][]uint32 // of finished steps, also of those that are not on the disk
}

// due reports whether it is time to bring finished steps to the disk, the last of them
// step i.
func (r *reader) due(i int) bool {
	w := r.w
	last := w.steps[i].out[len(w.steps[i].out)-1].shard
	if r.written >= keepBytes || last != r.shard || last.last == i {
		r.shard = last
		return true
	}
	if w.o.Remove == nil {
		return false
	}
	for _, f := range w.state.Source {
		if f.last == i {
			return true
		}
	}
	return false
}

// keep brings the finished steps to the disk and says so in the plan file.
func (r *reader) keep(ctx context.Context) error {
	if err := r.o.flush(len(r.sums)); err != nil {
		return err
	}
	r.written = 0
	r.w.state.Sums = r.sums
	if err := r.w.save(); err != nil {
		return err
	}
	return r.w.removeSources(ctx)
}

// step makes all rows of a step.
func (r *reader) step(ctx context.Context, s *step) error {
	in := make([][]byte, len(s.in))
	for i, t := range s.in {
		var err error
		if in[i], err = t.Bytes(); err != nil {
			return err
		}
		if int64(len(in[i])) != t.Size() {
			return fmt.Errorf("%s: %d bytes are there, shape %v takes %d", t.Name, len(in[i]), t.Shape, t.Size())
		}
	}
	for _, o := range s.out {
		if err := r.o.open(o.shard); err != nil {
			return err
		}
	}
	read := s.read()
	perRow := max(read/int64(max(s.n, 1)), 1)
	per := int(max(blockBytes/perRow, 1))
	sums := make([]uint32, len(s.out))
	for lo := 0; lo < s.n; lo += per {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := r.o.failed(); err != nil {
			return err
		}
		hi := min(lo+per, s.n)
		p := &part{step: s, lo: lo, sums: sums}
		if err := r.make(p, in, hi); err != nil {
			return fmt.Errorf("%s: %w", s.in[0].Name, err)
		}
		r.o.wait.Add(1)
		r.o.parts <- p
		r.progress(int64(hi-lo) * perRow)
	}
	r.sums = append(r.sums, sums)
	for _, o := range s.out {
		r.written += o.Size()
	}
	return nil
}

// progress counts what was read and lets go of its pages from time to time.
func (r *reader) progress(n int64) {
	r.done += n
	r.w.o.Progress(r.done, r.w.source)
	if r.since += n; r.since >= releaseBytes && r.w.src.Release != nil {
		r.since = 0
		r.w.src.Release()
	}
}

// make makes rows [p.lo, hi) on all cores.
func (r *reader) make(p *part, in [][]byte, hi int) error {
	s := p.step
	n := hi - p.lo
	if s.verbatim() {
		row := int(s.out[0].row)
		p.view, p.out = true, [][]byte{in[0][p.lo*row : hi*row]}
		return nil
	}
	total := 0
	for _, o := range s.out {
		total += n * int(o.row)
	}
	p.mine = <-r.o.spare
	if cap(p.mine) < total {
		p.mine = make([]byte, total)
	}
	p.mine = p.mine[:total]
	rest := p.mine
	for _, o := range s.out {
		size := n * int(o.row)
		p.out = append(p.out, rest[:size:size])
		rest = rest[size:]
	}
	return parallel(n, func(a, b int) {
		out := make([][]byte, len(p.out))
		for i, o := range s.out {
			out[i] = p.out[i][a*int(o.row) : b*int(o.row)]
		}
		s.rows.make(out, in, p.lo+a, p.lo+b)
	})
}

// parallel calls f for parts of n on all cores. A page that cannot be read is an error.
func parallel(n int, f func(a, b int)) error {
	workers := min(runtime.GOMAXPROCS(0), n)
	errs := make([]error, workers)
	var wait sync.WaitGroup
	for i := range workers {
		wait.Go(func() {
			errs[i] = fmap.Guard(func() error {
				f(i*n/workers, (i+1)*n/workers)
				return nil
			})
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}
