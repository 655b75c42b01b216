package torchfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
)

// The values of a pickle: nil, bool, int64, float64, string, []byte, tuple, *list, *dict,
// global, *storage and *tensor.
type (
	tuple []any
	list  struct{ items []any }
	dict  struct{ entries []pair }
	pair  struct{ key, value any }
	// global is the name of what a pickle calls, as module.name.
	global string
	// mark is on the stack where a sequence begins.
	mark struct{}
)

// kind is a value's type in words.
func kind(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case bool:
		return "a truth value"
	case int64, float64:
		return "a number"
	case string:
		return "a string"
	case []byte:
		return "bytes"
	case tuple:
		return "a tuple"
	case *list:
		return "a list"
	case *dict:
		return "a dictionary"
	case global:
		return "the name " + clip(string(v))
	case *storage:
		return "a storage"
	case *tensor:
		return "a tensor"
	}
	return "something else"
}

// machine runs a pickle. A value costs an instruction, of which there may be maxSteps, and
// none is walked through, so that neither repeats nor nesting cost memory.
type machine struct {
	in      []byte
	at      int
	stack   []any
	memo    map[uint32]any
	archive *archive
	stored  map[string]*storage // by key and type
}

// unpickle is the value of a pickle.
func unpickle(in []byte, a *archive) (any, error) {
	m := &machine{in: in, archive: a, memo: map[uint32]any{}, stored: map[string]*storage{}}
	for range maxSteps {
		op, err := m.byte()
		if err != nil {
			return nil, err
		}
		if op == '.' {
			return m.pop()
		}
		if err := m.step(op); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("data.pkl has more than %d instructions", maxSteps)
}

var errShort = errors.New("data.pkl ends in the middle: the file is damaged")

func (m *machine) take(n uint64) ([]byte, error) {
	if n > uint64(len(m.in)-m.at) {
		return nil, errShort
	}
	b := m.in[m.at : m.at+int(n)]
	m.at += int(n)
	return b, nil
}

func (m *machine) byte() (byte, error) {
	b, err := m.take(1)
	if err != nil {
		return 0, err
	}
	return b[0], nil
}

// number reads an unsigned little-endian number of n bytes.
func (m *machine) number(n uint64) (uint64, error) {
	b, err := m.take(n)
	if err != nil {
		return 0, err
	}
	var wide [8]byte
	copy(wide[:], b)
	return binary.LittleEndian.Uint64(wide[:]), nil
}

// counted reads bytes after their length of n bytes.
func (m *machine) counted(n uint64) ([]byte, error) {
	size, err := m.number(n)
	if err != nil {
		return nil, err
	}
	return m.take(size)
}

// line reads up to a newline.
func (m *machine) line() (string, error) {
	for i := m.at; i < len(m.in); i++ {
		if m.in[i] == '\n' {
			s := string(m.in[m.at:i])
			m.at = i + 1
			return s, nil
		}
	}
	return "", errShort
}

func (m *machine) push(v any) error {
	m.stack = append(m.stack, v)
	return nil
}

var errStack = errors.New("data.pkl takes more from its stack than there is: the file is damaged")

func (m *machine) pop() (any, error) {
	n := len(m.stack) - 1
	if n < 0 {
		return nil, errStack
	}
	v := m.stack[n]
	if _, ok := v.(mark); ok {
		return nil, errStack
	}
	m.stack = m.stack[:n]
	return v, nil
}

// popN takes n values.
func (m *machine) popN(n int) (tuple, error) {
	if n > len(m.stack) {
		return nil, errStack
	}
	from := len(m.stack) - n
	out := append(make(tuple, 0, n), m.stack[from:]...)
	for _, v := range out {
		if _, ok := v.(mark); ok {
			return nil, errStack
		}
	}
	m.stack = m.stack[:from]
	return out, nil
}

// popMark takes the values above the last mark, and that.
func (m *machine) popMark() (tuple, error) {
	for i := len(m.stack) - 1; i >= 0; i-- {
		if _, ok := m.stack[i].(mark); ok {
			out := append(make(tuple, 0, len(m.stack)-i-1), m.stack[i+1:]...)
			m.stack = m.stack[:i]
			return out, nil
		}
	}
	return nil, errStack
}

// step runs one instruction.
func (m *machine) step(op byte) error {
	switch op {
	case 0x80: // PROTO
		v, err := m.byte()
		if err == nil && (v < 2 || v > 5) {
			err = fmt.Errorf("data.pkl is a pickle of protocol %d, only 2 to 5 are supported", v)
		}
		return err
	case 0x95: // FRAME
		_, err := m.take(8)
		return err
	case '(':
		return m.push(mark{})
	case '0': // POP, also of a mark
		if n := len(m.stack) - 1; n >= 0 {
			m.stack = m.stack[:n]
			return nil
		}
		return errStack
	case '1':
		_, err := m.popMark()
		return err
	case '2':
		v, err := m.pop()
		if err != nil {
			return err
		}
		m.stack = append(m.stack, v, v)
		return nil
	case 'q', 'r', 0x94, 'h', 'j':
		return m.remember(op)
	case 'c', 0x93, 'R', 'b', 'Q':
		return m.call(op)
	case 't', ')', 0x85, 0x86, 0x87, ']', 'l', '}', 'd', 'a', 'e', 's', 'u':
		return m.collection(op)
	}
	return m.scalar(op)
}

// remember puts the last value into the memo or takes one out.
func (m *machine) remember(op byte) error {
	width := map[byte]uint64{'q': 1, 'r': 4, 'h': 1, 'j': 4}[op]
	n, err := m.number(width)
	if err != nil {
		return err
	}
	if op == 'h' || op == 'j' {
		v, ok := m.memo[uint32(n)]
		if !ok {
			return fmt.Errorf("data.pkl asks for memo %d, which was never set: the file is damaged", n)
		}
		return m.push(v)
	}
	if op == 0x94 {
		n = uint64(len(m.memo))
	}
	v, err := m.pop()
	if err != nil {
		return err
	}
	m.memo[uint32(n)] = v
	return m.push(v)
}

// scalar reads a value without parts.
func (m *machine) scalar(op byte) error {
	sized := map[byte]uint64{'U': 1, 'T': 4, 0x8c: 1, 'X': 4, 0x8d: 8, 'C': 1, 'B': 4, 0x8e: 8}
	switch op {
	case 'N':
		return m.push(nil)
	case 0x88, 0x89:
		return m.push(op == 0x88)
	case 'K', 'M', 'J':
		n, err := m.number(map[byte]uint64{'K': 1, 'M': 2, 'J': 4}[op])
		if op == 'J' {
			n = uint64(int64(int32(uint32(n))))
		}
		return errors.Join(err, m.push(int64(n)))
	case 0x8a, 0x8b:
		b, err := m.counted(map[byte]uint64{0x8a: 1, 0x8b: 4}[op])
		if err != nil {
			return err
		}
		if len(b) > 8 {
			return fmt.Errorf("data.pkl has a whole number of %d bytes", len(b))
		}
		var wide [8]byte
		if len(b) > 0 && b[len(b)-1]&0x80 != 0 {
			wide = [8]byte{255, 255, 255, 255, 255, 255, 255, 255}
		}
		copy(wide[:], b)
		return m.push(int64(binary.LittleEndian.Uint64(wide[:])))
	case 'G':
		b, err := m.take(8)
		if err != nil {
			return err
		}
		return m.push(math.Float64frombits(binary.BigEndian.Uint64(b)))
	case 'U', 'T', 0x8c, 'X', 0x8d:
		b, err := m.counted(sized[op])
		return errors.Join(err, m.push(string(b)))
	case 'C', 'B', 0x8e:
		b, err := m.counted(sized[op])
		return errors.Join(err, m.push(b))
	}
	return fmt.Errorf("data.pkl has the instruction %#02x at byte %d, which no dictionary of tensors needs: refused", op, m.at-1)
}

// collection makes or fills a tuple, list or dictionary.
func (m *machine) collection(op byte) error {
	var parts tuple
	var err error
	switch op {
	case 't', 'l', 'd', 'e', 'u':
		parts, err = m.popMark()
	case 0x85, 0x86, 0x87:
		parts, err = m.popN(int(op) - 0x84)
	case 'a':
		parts, err = m.popN(1)
	case 's':
		parts, err = m.popN(2)
	}
	if err != nil {
		return err
	}
	switch op {
	case 't', ')', 0x85, 0x86, 0x87:
		return m.push(parts)
	case ']', 'l':
		return m.push(&list{parts})
	case '}':
		return m.push(&dict{})
	case 'd':
		d := &dict{}
		return errors.Join(d.add(parts), m.push(d))
	}
	into, err := m.pop()
	if err != nil {
		return err
	}
	switch v := into.(type) {
	case *list:
		if op == 'a' || op == 'e' {
			v.items = append(v.items, parts...)
			return m.push(v)
		}
	case *dict:
		if op == 's' || op == 'u' {
			return errors.Join(v.add(parts), m.push(v))
		}
	}
	return fmt.Errorf("data.pkl fills %s as if it were a list or a dictionary: the file is damaged", kind(into))
}

// add sets keys and values that follow each other.
func (d *dict) add(parts tuple) error {
	if len(parts)%2 != 0 {
		return errors.New("data.pkl has a key without a value: the file is damaged")
	}
	for i := 0; i < len(parts); i += 2 {
		d.entries = append(d.entries, pair{parts[i], parts[i+1]})
	}
	return nil
}

// allowed are the names that a dictionary of tensors calls, beside storages and dtypes.
var allowed = map[global]bool{
	"collections.OrderedDict": true, "torch._utils._rebuild_tensor_v2": true, "torch._utils._rebuild_tensor_v3": true,
	"torch._utils._rebuild_parameter": true, "torch.Size": true,
}

// named lets a name pass or refuses it.
func (m *machine) named(module, name string) error {
	full := global(module + "." + name)
	_, isStorage := storages[name]
	_, isDType := dtypes[name]
	switch {
	case allowed[full], isStorage && (module == "torch" || module == "torch.storage"), isDType && module == "torch":
		return m.push(full)
	}
	return fmt.Errorf("calls %s: refused, since loading it would run code; only dictionaries of plain tensors are read", clip(string(full)))
}

// call is what concerns names: to push one, to call one, to set an object's state, to
// find a storage.
func (m *machine) call(op byte) error {
	switch op {
	case 'c':
		module, err := m.line()
		if err != nil {
			return err
		}
		name, err := m.line()
		if err != nil {
			return err
		}
		return m.named(module, name)
	case 0x93:
		v, err := m.popN(2)
		if err != nil {
			return err
		}
		module, ok := v[0].(string)
		name, okName := v[1].(string)
		if !ok || !okName {
			return fmt.Errorf("data.pkl names something by %s and %s, not by strings", kind(v[0]), kind(v[1]))
		}
		return m.named(module, name)
	case 'Q':
		v, err := m.pop()
		if err != nil {
			return err
		}
		s, err := m.storage(v)
		if err != nil {
			return err
		}
		return m.push(s)
	}
	v, err := m.popN(2)
	if err != nil {
		return err
	}
	if op == 'b' { // the state of a dictionary (_metadata) is not needed
		if _, ok := v[0].(*dict); !ok {
			return fmt.Errorf("data.pkl sets the state of %s: refused", kind(v[0]))
		}
		return m.push(v[0])
	}
	f, okName := v[0].(global)
	args, okArgs := v[1].(tuple)
	if !okName || !okArgs {
		return fmt.Errorf("data.pkl calls %s with %s: refused", kind(v[0]), kind(v[1]))
	}
	out, err := reduce(f, args)
	if err != nil {
		return err
	}
	return m.push(out)
}

// reduce is a call of an allowed name.
func reduce(f global, args tuple) (any, error) {
	bad := fmt.Errorf("data.pkl calls %s with arguments that it does not have", f)
	arg := func(i int) any {
		if i < len(args) {
			return args[i]
		}
		return nil
	}
	switch f {
	case "collections.OrderedDict":
		if len(args) == 0 {
			return &dict{}, nil
		}
		return orderedDict(args, bad)
	case "torch.Size":
		if size, ok := arg(0).(tuple); ok {
			return size, nil
		}
		if size, ok := arg(0).(*list); ok {
			return tuple(size.items), nil
		}
	case "torch._utils._rebuild_parameter":
		if t, ok := arg(0).(*tensor); ok {
			return t, nil
		}
	case "torch._utils._rebuild_tensor_v2":
		if s, ok := arg(0).(*storage); ok && len(args) >= 4 {
			return rebuild(s, s.kind, args[1], args[2], args[3])
		}
	case "torch._utils._rebuild_tensor_v3":
		s, ok := arg(0).(*storage)
		name, okName := arg(6).(global)
		if ok && okName && len(name) > len("torch.") {
			if k, known := dtypes[string(name)[len("torch."):]]; known {
				return rebuild(s, k, args[1], args[2], args[3])
			}
		}
	}
	return nil, bad
}

// orderedDict is one of a list of pairs.
func orderedDict(args tuple, bad error) (any, error) {
	items, ok := args[0].(*list)
	if !ok || len(args) != 1 {
		return nil, bad
	}
	d := &dict{}
	for _, item := range items.items {
		switch item := item.(type) {
		case tuple:
			if len(item) != 2 {
				return nil, bad
			}
			d.entries = append(d.entries, pair{item[0], item[1]})
		case *list:
			if len(item.items) != 2 {
				return nil, bad
			}
			d.entries = append(d.entries, pair{item.items[0], item.items[1]})
		default:
			return nil, bad
		}
	}
	return d, nil
}

// storage finds the entry of a persistent id: ("storage", type, key, device, elements).
func (m *machine) storage(id any) (*storage, error) {
	t, ok := id.(tuple)
	if !ok || len(t) != 5 || t[0] != "storage" {
		return nil, errors.New("data.pkl refers to something that is not a storage")
	}
	name, okType := t[1].(global)
	key, okKey := t[2].(string)
	n, okCount := t[4].(int64)
	if !okType || !okKey || !okCount || n < 0 {
		return nil, errors.New("data.pkl refers to a storage without type, key or size")
	}
	k, known := storages[string(name)[strings.LastIndexByte(string(name), '.')+1:]]
	if !known {
		return nil, fmt.Errorf("data.pkl refers to a storage of type %s", name)
	}
	if s := m.stored[k.raw+key]; s != nil {
		return s, nil
	}
	data, err := m.archive.entry("data/" + key)
	if err != nil {
		return nil, err
	}
	size := int64(k.dtype.Size())
	if n > int64(len(data))/size {
		return nil, fmt.Errorf("the storage data/%s has %d bytes, too few for %d elements of %s", clip(key), len(data), n, k.raw)
	}
	s := &storage{k, data[: n*size : n*size]}
	m.stored[k.raw+key] = s
	return s, nil
}
