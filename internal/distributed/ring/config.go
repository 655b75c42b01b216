package ring

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strconv"
	"time"
)

// Config says who takes part in a group, and which of them this process is.
type Config struct {
	// Rank is the number of this process, an index of Hosts.
	Rank int
	// Hosts are the addresses that each process listens on, "host:port": as many for
	// each, one for each connection between neighbours.
	Hosts [][]string
	// Secret is what all processes of the job know and nobody else. Without one, whoever
	// has one of the addresses may connect.
	Secret []byte
	// Timeout is how long to wait for others at the start, and how long a peer may be
	// silent before it counts as dead. A peer that only computes is not silent. 0 is
	// DefaultTimeout.
	Timeout time.Duration
	// Verbose has progress and refused connections told on Stderr.
	Verbose bool
	// Stderr is where the story goes; nil is os.Stderr.
	Stderr io.Writer
	// Listeners are what listens on Hosts[Rank] already; New opens them if there are none.
	// The group closes them.
	Listeners []net.Listener
	// SendBuffer is what the system holds of what a connection sends, in bytes; 0 leaves it
	// to the system.
	SendBuffer int

	patience time.Duration // for a stranger's handshake; of tests
}

// FromEnv is what a launcher's environment says: MLX_RANK, MLX_HOSTFILE (the path of a
// file with JSON as ParseHosts reads it), MLX_RING_VERBOSE, MLX_RING_TIMEOUT (seconds,
// or as 1m30s) and MLX_RING_SECRET_FILE (the path of a file that only its owner may
// read). ok is false where MLX_RANK or MLX_HOSTFILE is not set: there is no ring.
func FromEnv() (cfg *Config, ok bool, err error) {
	rank, path := os.Getenv("MLX_RANK"), os.Getenv("MLX_HOSTFILE")
	if rank == "" || path == "" {
		return nil, false, nil
	}
	cfg, err = fromEnv(rank, path)
	if err != nil {
		return nil, true, fmt.Errorf("ring: %w", err)
	}
	return cfg, true, nil
}

func fromEnv(rank, path string) (*Config, error) {
	cfg := &Config{Verbose: isOn(os.Getenv("MLX_RING_VERBOSE"))}
	var err error
	if cfg.Rank, err = strconv.Atoi(rank); err != nil || cfg.Rank < 0 {
		return nil, fmt.Errorf("MLX_RANK is %q; it must be a number from 0", rank)
	}
	data, err := readSmall(path)
	if err != nil {
		return nil, fmt.Errorf("MLX_HOSTFILE: %w", err)
	}
	if cfg.Hosts, err = ParseHosts(data); err != nil {
		return nil, fmt.Errorf("MLX_HOSTFILE: %s: %w", path, err)
	}
	if cfg.Rank >= len(cfg.Hosts) {
		return nil, fmt.Errorf("MLX_RANK is %d, but %s lists %d processes", cfg.Rank, path, len(cfg.Hosts))
	}
	if s := os.Getenv("MLX_RING_TIMEOUT"); s != "" {
		if cfg.Timeout, err = parseTimeout(s); err != nil {
			return nil, err
		}
	}
	if s := os.Getenv("MLX_RING_SECRET_FILE"); s != "" {
		if cfg.Secret, err = readSecret(s); err != nil {
			return nil, fmt.Errorf("MLX_RING_SECRET_FILE: %w", err)
		}
	}
	return cfg, nil
}

// isOn is true for what MLX's launcher and people write.
func isOn(s string) bool { return s != "" && s != "0" && s != "false" }

func parseTimeout(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if seconds, e := strconv.ParseFloat(s, 64); e == nil && seconds < 1e9 {
		d, err = time.Duration(seconds*float64(time.Second)), nil
	}
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("MLX_RING_TIMEOUT is %q; it must be seconds above 0, or as 1m30s", s)
	}
	return d, nil
}

// maxFile bounds the files that the environment names.
const maxFile = 16 << 20

func readSmall(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("%s: more than %d bytes", path, maxFile)
	}
	return data, err
}

// minSecret is the least number of bytes that cannot be guessed.
const minSecret = 16

// readSecret reads a secret, without the line's end.
func readSecret(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if mode := info.Mode(); runtime.GOOS != "windows" && mode.IsRegular() && mode.Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s can be read by others (mode %04o): run chmod 600 on it", path, mode.Perm())
	}
	data, err := readSmall(path)
	if err != nil {
		return nil, err
	}
	data = bytes.TrimRight(data, "\r\n")
	if len(data) < minSecret {
		return nil, fmt.Errorf("%s holds %d bytes; a secret has at least %d", path, len(data), minSecret)
	}
	return data, nil
}

// ParseHosts reads the JSON of MLX_HOSTFILE: a list for each process, of the addresses
// that it listens on, "host:port". A file that is empty or lists nobody, which MLX's
// launcher writes for one process, is one process without addresses.
func ParseHosts(data []byte) ([][]string, error) {
	var hosts [][]string
	if len(bytes.TrimSpace(data)) > 0 {
		if err := json.Unmarshal(data, &hosts); err != nil {
			return nil, fmt.Errorf(`want JSON as [["host:port", ...], ...], a list for each process: %w`, err)
		}
	}
	if len(hosts) == 0 {
		hosts = [][]string{nil}
	}
	return hosts, checkHosts(hosts)
}

// maxLinks bounds the addresses of a process.
const maxLinks = 64

func checkHosts(hosts [][]string) error {
	if len(hosts) == 1 && len(hosts[0]) == 0 {
		return nil
	}
	seen := map[string]int{}
	for rank, list := range hosts {
		switch {
		case len(list) == 0:
			return fmt.Errorf("rank %d has no address", rank)
		case len(list) != len(hosts[0]):
			return fmt.Errorf("rank %d has %d addresses, rank 0 has %d: each process needs as many", rank, len(list), len(hosts[0]))
		case len(list) > maxLinks:
			return fmt.Errorf("rank %d has %d addresses; there may be %d", rank, len(list), maxLinks)
		}
		for _, a := range list {
			if err := checkAddress(a); err != nil {
				return fmt.Errorf("rank %d: %w", rank, err)
			}
			if other, ok := seen[a]; ok {
				return fmt.Errorf("%s is listed for rank %d and rank %d", a, other, rank)
			}
			seen[a] = rank
		}
	}
	return nil
}

func checkAddress(a string) error {
	host, port, err := net.SplitHostPort(a)
	if err != nil {
		return fmt.Errorf("%q is no host:port (IPv6 is written [::1]:port)", a)
	}
	if n, err := strconv.ParseUint(port, 10, 16); host == "" || err != nil || n == 0 {
		return fmt.Errorf("%q needs a host and a port from 1 to 65535", a)
	}
	return nil
}

// check completes cfg.
func (c *Config) check() error {
	if len(c.Hosts) == 0 {
		return errors.New("ring: no hosts")
	}
	if err := checkHosts(c.Hosts); err != nil {
		return fmt.Errorf("ring: %w", err)
	}
	if c.Rank < 0 || c.Rank >= len(c.Hosts) {
		return fmt.Errorf("ring: rank %d is none of the %d processes", c.Rank, len(c.Hosts))
	}
	if c.Timeout < 0 {
		return fmt.Errorf("ring: time-out of %v", c.Timeout)
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	if c.Stderr == nil {
		c.Stderr = os.Stderr
	}
	return nil
}
