package ring

import (
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestParseHosts(t *testing.T) {
	for _, c := range []struct {
		in   string
		want [][]string
		err  string
	}{
		{in: `[["10.0.0.1:5000"],["host.local:5001"]]`, want: [][]string{{"10.0.0.1:5000"}, {"host.local:5001"}}},
		{in: `[["[::1]:1","a:2"],["b:3","c:4"]]`, want: [][]string{{"[::1]:1", "a:2"}, {"b:3", "c:4"}}},
		{in: " \n", want: [][]string{nil}},
		{in: `[]`, want: [][]string{nil}},
		{in: `[[]]`, want: [][]string{{}}},
		{in: `[["a:1"],[]]`, err: "rank 1 has no address"},
		{in: `[["a:1"],["b:1","b:2"]]`, err: "rank 1 has 2 addresses, rank 0 has 1"},
		{in: `[["a:1"],["a:1"]]`, err: "a:1 is listed for rank 0 and rank 1"},
		{in: `[["::1:5"],["b:1"]]`, err: `"::1:5" is no host:port`},
		{in: `[["a:0"],["b:1"]]`, err: "a port from 1 to 65535"},
		{in: `[[":5"],["b:1"]]`, err: "needs a host"},
		{in: `{"hosts": 1}`, err: "a list for each process"},
		{in: `[["a:1"]] x`, err: "a list for each process"},
	} {
		got, err := ParseHosts([]byte(c.in))
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: error %v, want %q", c.in, err, c.err)
			}
		} else if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, %v", c.in, got, err)
		}
	}
}

func TestFromEnv(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	hosts := file("hosts", `[["a:1"],["b:1"]]`, 0o644)
	secret := file("secret", strings.Repeat("s", 20)+"\n", 0o600)
	open := file("open", strings.Repeat("s", 20), 0o644)
	short := file("short", "s", 0o600)
	for _, c := range []struct{ rank, hosts, timeout, secret, err string }{
		{rank: "1", hosts: hosts, timeout: "90", secret: secret},
		{rank: "1", hosts: hosts, timeout: "1m30s", secret: secret},
		{rank: "2", hosts: hosts, err: "lists 2 processes"},
		{rank: "-1", hosts: hosts, err: `MLX_RANK is "-1"`},
		{rank: "0", hosts: dir + "/none", err: "MLX_HOSTFILE"},
		{rank: "0", hosts: hosts, timeout: "0", err: "MLX_RING_TIMEOUT"},
		{rank: "0", hosts: hosts, timeout: "soon", err: "MLX_RING_TIMEOUT"},
		{rank: "0", hosts: hosts, secret: open, err: "can be read by others (mode 0644): run chmod 600"},
		{rank: "0", hosts: hosts, secret: short, err: "holds 1 bytes"},
		{rank: "0", hosts: hosts, secret: dir + "/none", err: "MLX_RING_SECRET_FILE"},
	} {
		if c.secret == open && runtime.GOOS == "windows" {
			continue
		}
		t.Setenv("MLX_RANK", c.rank)
		t.Setenv("MLX_HOSTFILE", c.hosts)
		t.Setenv("MLX_RING_TIMEOUT", c.timeout)
		t.Setenv("MLX_RING_SECRET_FILE", c.secret)
		t.Setenv("MLX_RING_VERBOSE", "1")
		cfg, ok, err := FromEnv()
		switch {
		case !ok:
			t.Errorf("%+v: no ring", c)
		case c.err != "":
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%+v: %v", c, err)
			}
		case err != nil || cfg.Rank != 1 || len(cfg.Hosts) != 2 || cfg.Timeout != 90*time.Second || len(cfg.Secret) != 20 || !cfg.Verbose:
			t.Errorf("%+v: %+v, %v", c, cfg, err)
		}
	}
	t.Setenv("MLX_RANK", "")
	if _, ok, err := FromEnv(); ok || err != nil {
		t.Errorf("without MLX_RANK: %v, %v", ok, err)
	}
}
