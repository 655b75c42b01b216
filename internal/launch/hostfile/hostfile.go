// Package hostfile reads and writes the hostfiles of mlx.launch and
// mlx.distributed_config: JSON that lists the machines of a job, how ssh calls them and
// by which addresses they reach each other. File is a hostfile, Host one machine of it.
// The package starts nothing and resolves no names.
package hostfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Host is one machine.
type Host struct {
	SSH  string    `json:"ssh"`            // what ssh calls it
	IPs  []string  `json:"ips"`            // addresses that the other hosts connect to
	RDMA []*string `json:"rdma,omitempty"` // the RDMA device towards each host; nil towards itself
}

// File is a hostfile.
type File struct {
	Backend string   // "" is not said
	Envs    []string // variables for all ranks, K=V
	Hosts   []Host   // at least one
}

// Parse reads either form of a hostfile:
//
//	[{"ssh": "host", "ips": ["10.0.0.1"], "rdma": [null, "rdma_en2"]}, ...]
//	{"backend": "ring", "envs": ["K=V"], "hosts": [...]}
//
// All but "ssh" and "hosts" may be missing. Unknown keys, names that ssh could take for
// an option, addresses with blanks and variables that no shell could export are errors.
func Parse(data []byte) (*File, error) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")) // editors of Windows write it
	if !utf8.Valid(data) {
		return nil, errors.New("hostfile: it is not UTF-8 text")
	}
	var f File
	var hosts json.RawMessage
	switch text := bytes.TrimLeft(data, " \t\r\n"); {
	case len(text) == 0:
		return nil, errors.New("hostfile: it is empty")
	case text[0] == '[':
		hosts = data
	case text[0] == '{':
		fields := map[string]any{"backend": &f.Backend, "envs": &f.Envs, "hosts": &hosts}
		if err := object(data, "hostfile", fields); err != nil {
			return nil, err
		}
		if hosts == nil {
			return nil, errors.New(`hostfile: there is no "hosts"`)
		}
	default:
		if err := json.Unmarshal(data, new(any)); err != nil {
			return nil, syntax(data, err)
		}
		return nil, errors.New("hostfile: it must be a list of hosts or an object with the key \"hosts\"")
	}
	for _, e := range f.Envs {
		if err := CheckEnv(e); err != nil {
			return nil, fmt.Errorf("hostfile: envs: %w", err)
		}
	}
	if len(f.Envs) == 0 {
		f.Envs = nil
	}
	var err error
	f.Hosts, err = parseHosts(hosts, data)
	if err != nil {
		return nil, err
	}
	return &f, nil
}

// parseHosts reads the list of hosts, which is part of the file or all of it.
func parseHosts(list json.RawMessage, file []byte) ([]Host, error) {
	var raw []json.RawMessage
	if err := json.Unmarshal(list, &raw); err != nil {
		if _, bad := errors.AsType[*json.SyntaxError](err); bad {
			return nil, syntax(file, err)
		}
		return nil, fmt.Errorf(`hostfile: "hosts" is not a list`)
	}
	if len(raw) == 0 {
		return nil, errors.New("hostfile: it lists no hosts")
	}
	hosts := make([]Host, len(raw))
	for i, r := range raw {
		h := &hosts[i]
		place := fmt.Sprintf("hostfile: host %d", i+1)
		if err := object(r, place, map[string]any{"ssh": &h.SSH, "ips": &h.IPs, "rdma": &h.RDMA}); err != nil {
			return nil, err
		}
		if h.SSH == "" {
			return nil, fmt.Errorf(`%s has no "ssh"`, place)
		}
		if err := CheckHost(h.SSH); err != nil {
			return nil, fmt.Errorf("%s: %w", place, err)
		}
		for _, ip := range h.IPs {
			if err := CheckHost(ip); err != nil {
				return nil, fmt.Errorf("%s (%s): ips: %w", place, h.SSH, err)
			}
		}
		h.IPs, h.RDMA = some(h.IPs), some(h.RDMA)
	}
	return hosts, nil
}

// some is list, nil if it is empty.
func some[T any](list []T) []T {
	if len(list) == 0 {
		return nil
	}
	return list
}

// object reads a JSON object into fields, all of the keys that it may have. place says
// where it stands.
func object(data []byte, place string, fields map[string]any) error {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		if _, bad := errors.AsType[*json.SyntaxError](err); bad {
			return syntax(data, err)
		}
		return fmt.Errorf("%s is not an object", place)
	}
	if raw == nil {
		return fmt.Errorf("%s is not an object", place)
	}
	keys := make([]string, 0, len(raw))
	for key := range raw {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		field, known := fields[key]
		if !known {
			return fmt.Errorf("%s: unknown key %q", place, key)
		}
		if err := json.Unmarshal(raw[key], field); err != nil {
			kind := "a list of strings"
			if _, single := field.(*string); single {
				kind = "a string"
			}
			return fmt.Errorf("%s: %q is not %s", place, key, kind)
		}
	}
	return nil
}

// syntax says in which line the JSON is wrong.
func syntax(data []byte, err error) error {
	s, ok := errors.AsType[*json.SyntaxError](err)
	if !ok {
		return fmt.Errorf("hostfile: %w", err)
	}
	at := min(max(int(s.Offset), 0), len(data))
	return fmt.Errorf("hostfile: line %d: %w", 1+bytes.Count(data[:at], []byte("\n")), err)
}

// CheckHost says why name cannot be the name or address of a host: it is empty, ssh
// would take it for an option, or it has blanks or characters that do not print.
func CheckHost(name string) error {
	switch {
	case name == "":
		return errors.New("a host's name is empty")
	case name[0] == '-':
		return fmt.Errorf("the host %q begins with -, as an option of ssh does", name)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, notInName):
		return fmt.Errorf("the host %q has a blank or a character that does not print", name)
	}
	return nil
}

func notInName(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }

// CheckEnv says why env is no variable K=V: K must be letters, digits and underscores
// and not begin with a digit, V may not have a NUL byte.
func CheckEnv(env string) error {
	name, value, ok := strings.Cut(env, "=")
	if !ok {
		return fmt.Errorf("%q is not K=V", env)
	}
	valid := name != "" && (name[0] < '0' || name[0] > '9')
	for _, c := range []byte(name) {
		valid = valid && (c == '_' || '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z')
	}
	if !valid {
		return fmt.Errorf("%q is no name of a variable: use letters, digits and underscores", name)
	}
	if strings.Contains(value, "\x00") {
		return fmt.Errorf("the value of %s has a NUL byte", name)
	}
	return nil
}

// Encode is the file as JSON that Parse and mlx.launch read: the list alone if there
// is no backend and no variable.
func (f *File) Encode() []byte {
	hosts := slices.Clone(f.Hosts)
	for i := range hosts {
		if hosts[i].IPs == nil {
			hosts[i].IPs = []string{} // mlx.launch reads no null
		}
	}
	var v any = hosts
	if f.Backend != "" || len(f.Envs) > 0 {
		v = struct {
			Backend string   `json:"backend"`
			Envs    []string `json:"envs"`
			Hosts   []Host   `json:"hosts"`
		}{f.Backend, append([]string{}, f.Envs...), hosts}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "    ")
	if err := e.Encode(v); err != nil {
		panic(err) // strings and lists of them always encode
	}
	return b.Bytes()
}
