package convert

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/mlxgo/mlx/internal/atomicfile"
	"github.com/mlxgo/mlx/internal/hf/safetensors"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/weights"
)

// The work directory beside a result: the plan, a lock, and the result as far as it is
// there. When that is complete it is renamed; it has no config.json until all tensors are
// there.
const (
	workSuffix  = ".partial"
	planName    = "plan.json"
	lockName    = "lock"
	resultName  = "model"
	planVersion = 1
)

// state is the plan file: which conversion this is and how far it is.
type state struct {
	Version  int               `json:"version"`
	Settings map[string]string `json:"settings"` // by the flags' names
	Digest   string            `json:"digest"`   // of the plan
	Model    string            `json:"model"`    // as the user named it
	Dir      string            `json:"dir"`
	Source   []sourceFile      `json:"source"`
	// Sums are the checksums of the tensors of steps that are finished and on the disk, a
	// list for each step from the first on.
	Sums [][]uint32 `json:"sums"`
}

// sourceFile is a file of weights of the source.
type sourceFile struct {
	Path     string `json:"path"`
	Size     int64  `json:"size"`
	Modified int64  `json:"modified"` // nanoseconds of Unix time
	// Removed: what is needed of it is done, and it is gone or about to be.
	Removed bool `json:"removed"`
	// Tensors are what it has, where files are removed.
	Tensors []sourceTensor `json:"tensors,omitempty"`

	last int               // the last step that needs it
	file *safetensors.File // nil: it is gone
}

// sourceTensor is a tensor of a file that may be gone.
type sourceTensor struct {
	Name  string `json:"name"`
	DType string `json:"dtype"`
	Shape []int  `json:"shape"`
}

// work is a conversion at work in its directory.
type work struct {
	*plan
	out, dir string
	lock     *os.File
	state    state
	checked  int // steps whose sums have been held against the disk
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// settings are the options that make a difference, by the flags' names.
func (p *plan) settings() map[string]string {
	o := p.o
	s := map[string]string{"dequantize": strconv.FormatBool(o.Dequantize), "quantize": strconv.FormatBool(o.Quantize), "dtype": "the model's"}
	if o.DType != nil {
		s["dtype"] = o.DType.String()
	}
	if o.Quantize {
		s["q-mode"], s["q-bits"], s["q-group-size"] = string(p.scheme.Mode), strconv.Itoa(p.scheme.Bits), strconv.Itoa(p.scheme.GroupSize)
		s["q-rounding"], s["quant-predicate"] = p.scheme.Rounding.String(), "none"
		if o.Recipe != "" {
			s["quant-predicate"] = o.Recipe
		}
	}
	return s
}

// openWork makes or finds the work directory of a result.
func openWork(ctx context.Context, out string, p *plan) (*work, error) {
	w := &work{plan: p, out: out, dir: out + workSuffix}
	if err := os.MkdirAll(filepath.Dir(out), 0o777); err != nil {
		return nil, err
	}
	if err := os.Mkdir(w.dir, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	var err error
	if w.lock, err = lock(filepath.Join(w.dir, lockName)); err != nil {
		return nil, err
	}
	if err = w.begin(ctx); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

// begin takes up what an earlier run left.
func (w *work) begin(ctx context.Context) (err error) {
	if w.state, err = w.fresh(); err != nil {
		return err
	}
	old, err := readState(w.dir)
	switch {
	case errors.Is(err, fs.ErrNotExist): // it was killed before it began, if it was there
	case err != nil:
		return err
	default:
		if err := w.resume(ctx, old); err != nil {
			return err
		}
	}
	return w.clean()
}

// clean makes the result's directory, and removes from it all but shards: small files, of
// which a run that was killed may have left parts, and what Complete made.
func (w *work) clean() error {
	dir := filepath.Join(w.dir, resultName)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if slices.ContainsFunc(w.shards, func(s *shard) bool { return s.name == e.Name() }) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// readState reads the plan file of a work directory.
func readState(dir string) (*state, error) {
	path := filepath.Join(dir, planName)
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var s state
	if err := json.Unmarshal(text, &s); err != nil || s.Version != planVersion {
		return nil, fmt.Errorf("%s is of no conversion that this program knows; remove %s", path, dir)
	}
	return &s, nil
}

// fresh is the state of a conversion that has not begun.
func (p *plan) fresh() (state, error) {
	s := state{Version: planVersion, Settings: p.settings(), Digest: p.digest(), Model: p.o.Model, Dir: p.o.Dir}
	files := map[*safetensors.File]*sourceFile{}
	for _, t := range p.src.Tensors {
		f := t.File
		if f == nil || !f.Mapped() && !f.Gone() {
			continue
		}
		one := files[f]
		if one == nil {
			one = &sourceFile{Path: f.Path, last: -1, file: f}
			files[f] = one
		}
		if p.o.Remove != nil {
			one.Tensors = append(one.Tensors, sourceTensor{t.Name, t.RawDType, t.Shape})
		}
	}
	for i, step := range p.steps {
		for _, t := range step.in {
			if one := files[t.File]; one != nil {
				one.last = max(one.last, i)
			}
		}
	}
	for _, one := range files {
		s.Source = append(s.Source, *one)
	}
	if err := s.addFiles(p.o.Dir); err != nil {
		return s, err
	}
	if p.o.File != "" {
		s.Source = append(s.Source, sourceFile{Path: p.o.File, last: -1})
	}
	slices.SortFunc(s.Source, func(a, b sourceFile) int { return strings.Compare(a.Path, b.Path) })
	for i := range s.Source {
		f := &s.Source[i]
		if f.file != nil && f.file.Gone() {
			continue
		}
		info, err := os.Stat(f.Path)
		if err != nil {
			return s, err
		}
		f.Size, f.Modified = info.Size(), info.ModTime().UnixNano()
	}
	return s, nil
}

// addFiles adds the files of weights in dir that no tensor names as its own: other
// formats are read from them.
func (s *state) addFiles(dir string) error {
	if dir == "" {
		return nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		known := slices.ContainsFunc(s.Source, func(f sourceFile) bool { return f.Path == path })
		if known || !slices.Contains([]string{".safetensors", ".bin", ".gguf", ".pt", ".pth"}, filepath.Ext(path)) {
			continue
		}
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			s.Source = append(s.Source, sourceFile{Path: path, last: -1})
		}
	}
	return nil
}

// resume goes on with what an earlier run left, if that is the same conversion.
func (w *work) resume(ctx context.Context, old *state) error {
	for _, name := range slices.Sorted(maps.Keys(w.state.Settings)) {
		if a, b := old.Settings[name], w.state.Settings[name]; a != b && a != "" {
			return fmt.Errorf("%s has an unfinished conversion with --%s %s, not %s: go on with its options, or remove it to start anew", w.dir, name, a, b)
		}
	}
	if !slices.EqualFunc(old.Source, w.state.Source, same) {
		return fmt.Errorf("%s has an unfinished conversion of other weights than those of %s now: remove it to start anew", w.dir, w.src.Name)
	}
	if old.Digest != w.state.Digest {
		return fmt.Errorf("%s has an unfinished conversion with other options or files of %s: remove it to start anew", w.dir, w.src.Name)
	}
	w.state.Sums = old.Sums[:min(len(old.Sums), len(w.steps))]
	for i := range w.state.Source {
		w.state.Source[i].Removed = old.Source[i].Removed
		w.state.Source[i].Size, w.state.Source[i].Modified = old.Source[i].Size, old.Source[i].Modified
	}
	return w.check(ctx)
}

// same reports whether two runs saw the same file.
func same(old, now sourceFile) bool {
	return old.Path == now.Path && (old.Removed || old.Size == now.Size && old.Modified == now.Modified)
}

// check holds the finished steps that have not been held against the disk: what does not
// agree there is done again.
func (w *work) check(ctx context.Context) error {
	files := map[*shard]*os.File{}
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	buf := make([]byte, 1<<20)
	for ; w.checked < len(w.state.Sums); w.checked++ {
		if err := ctx.Err(); err != nil {
			return &Interrupted{w.dir, w.bytesDone(), w.bytes, err}
		}
		if !w.holds(w.checked, files, buf) {
			break
		}
	}
	if w.checked == len(w.state.Sums) {
		return nil
	}
	for _, f := range w.state.Source {
		if f.Removed && f.last >= w.checked {
			return fmt.Errorf("%s is damaged, and %s, of which it was made, is removed: remove the directory and fetch the model again", w.dir, f.Path)
		}
	}
	w.o.Note(fmt.Sprintf("%s: what is there from %s on is not what was written; it is written again", w.dir, w.steps[w.checked].out[0].Name))
	w.state.Sums = w.state.Sums[:w.checked]
	return nil
}

// holds reports whether the tensors of a step are on the disk with their checksums.
func (w *work) holds(step int, files map[*shard]*os.File, buf []byte) bool {
	s := w.steps[step]
	if len(s.out) != len(w.state.Sums[step]) {
		return false
	}
	for i, o := range s.out {
		f := files[o.shard]
		if f == nil {
			var err error
			if f, err = os.Open(w.path(o.shard.name)); err != nil {
				return false
			}
			files[o.shard] = f
		}
		sum := crc32.New(castagnoli)
		n, err := io.CopyBuffer(sum, io.NewSectionReader(f, o.at(), o.Size()), buf)
		if err != nil || n != o.Size() || sum.Sum32() != w.state.Sums[step][i] {
			return false
		}
	}
	return true
}

// at is where a tensor's bytes begin in its shard.
func (o output) at() int64 { return o.shard.plan.At[o.Name] }

// path is where a file of the result is for now.
func (w *work) path(name string) string { return filepath.Join(w.dir, resultName, name) }

// save writes how far the conversion is; what it names must be on the disk.
func (w *work) save() error {
	text, err := json.Marshal(&w.state)
	if err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(w.dir, planName), true, func(f *os.File) error {
		_, err := f.Write(text)
		return err
	})
}

// bytesDone is how many bytes of tensors are finished.
func (w *work) bytesDone() (n int64) {
	for _, s := range w.steps[:len(w.state.Sums)] {
		for _, o := range s.out {
			n += o.Size()
		}
	}
	return n
}

// room refuses a result for which the disk has no room.
func (w *work) room() error {
	free, err := w.o.free(w.dir)
	if err != nil {
		return err
	}
	need := w.bytes - w.bytesDone()
	for _, f := range w.files {
		need += int64(len(f.data))
	}
	if w.o.Remove != nil { // sources make room as it goes on
		for _, f := range w.state.Source {
			if !f.Removed {
				free += f.Size
			}
		}
	}
	if need > free {
		return fmt.Errorf("%s: no space left for the result: it needs %s, and %s are free", w.out, size(need), size(free))
	}
	return nil
}

// removeSources removes the files of the source of which nothing more is needed. What
// was made of them is read again first.
func (w *work) removeSources(ctx context.Context) error {
	if w.o.Remove == nil {
		return nil
	}
	var done []*sourceFile
	for i := range w.state.Source {
		if f := &w.state.Source[i]; f.file != nil && !f.file.Gone() && f.last < len(w.state.Sums) {
			done = append(done, f)
		}
	}
	if len(done) == 0 {
		return nil
	}
	if err := w.check(ctx); err != nil {
		return err
	}
	for _, f := range done {
		if f.last >= len(w.state.Sums) {
			return fmt.Errorf("%s: the disk does not give back what was written to it", w.dir)
		}
		f.Removed = true
	}
	if err := w.save(); err != nil {
		return err
	}
	for _, f := range done {
		if err := f.file.Close(); err != nil { // a mapping would keep its blocks
			return err
		}
		f.file = nil
		if err := w.o.Remove(f.Path); err != nil {
			return err
		}
		w.o.Note("removed " + f.Path + ": all of it is converted")
	}
	return nil
}

// finish writes the small files and gives the result its name.
func (w *work) finish() error {
	for _, f := range w.files {
		err := atomicfile.Write(w.path(f.name), true, func(to *os.File) error {
			_, err := to.Write(f.data)
			return err
		})
		if err != nil {
			return err
		}
	}
	if err := CheckOut(w.out); err != nil {
		return err
	}
	if w.o.Complete != nil {
		if err := w.o.Complete(filepath.Join(w.dir, resultName)); err != nil {
			return err
		}
	}
	syncDir(filepath.Join(w.dir, resultName))
	if err := os.Rename(filepath.Join(w.dir, resultName), w.out); err != nil {
		return err
	}
	syncDir(filepath.Dir(w.out))
	w.close()
	if err := os.RemoveAll(w.dir); err != nil {
		w.o.Note(err.Error()) // the result is there all the same
	}
	return nil
}

// leave is what Run returns after err: what is finished stays, and without it nothing.
func (w *work) leave(err error) error {
	if len(w.state.Sums) > 0 {
		return &Interrupted{w.dir, w.bytesDone(), w.bytes, err}
	}
	w.close()
	return errors.Join(err, os.RemoveAll(w.dir))
}

func (w *work) close() {
	if w.lock != nil {
		w.lock.Close()
		w.lock = nil
	}
}

// Left is what a conversion to a place left before its end.
type Left struct {
	Model, Dir string // of the source: as the user named it, and where it was
	Removed    bool   // some of its files were removed
	state      *state
	files      []*safetensors.File
}

// Unfinished is what there is in the work directory of out; nil if there is nothing to go
// on with.
func Unfinished(out string) *Left {
	s, err := readState(filepath.Clean(out) + workSuffix)
	if err != nil {
		return nil
	}
	l := &Left{Model: s.Model, Dir: s.Dir, state: s}
	for _, f := range s.Source {
		l.Removed = l.Removed || f.Removed
	}
	return l
}

// Open is the source. Its removed files are known by what the plan says: their tensors
// have no Data, and nothing of them is needed. Close l in the end.
func (l *Left) Open() (src llm.Source, err error) {
	src = llm.Source{Name: l.Dir, Read: func(name string) ([]byte, error) { return os.ReadFile(filepath.Join(l.Dir, name)) }}
	for _, s := range l.state.Source {
		if s.Tensors == nil {
			continue // none of a model's
		}
		var f *safetensors.File
		if s.Removed {
			list := make([]safetensors.Tensor, len(s.Tensors))
			for i, t := range s.Tensors {
				list[i] = safetensors.Tensor{Name: t.Name, RawDType: t.DType, Shape: t.Shape}
			}
			f, err = safetensors.NewGone(s.Path, list)
		} else {
			f, err = safetensors.Open(s.Path)
		}
		if err != nil {
			return src, errors.Join(err, l.Close())
		}
		l.files = append(l.files, f)
		src.Tensors = append(src.Tensors, weights.Of(f.Tensors())...)
	}
	src.Release = func() {
		for _, f := range l.files {
			f.Release()
		}
	}
	return src, nil
}

// Close closes the files of the source.
func (l *Left) Close() error {
	var errs []error
	for _, f := range l.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
