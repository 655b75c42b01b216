package hostfile

import (
	"reflect"
	"strings"
	"testing"
)

func ref(s string) *string { return &s }

func TestParse(t *testing.T) {
	two := []Host{
		{SSH: "me@mac1.local", IPs: []string{"10.0.0.1", "fe80::1%en0"}, RDMA: []*string{nil, ref("rdma_en2")}},
		{SSH: "mac2"},
	}
	list := `[{"ssh": "me@mac1.local", "ips": ["10.0.0.1", "fe80::1%en0"], "rdma": [null, "rdma_en2"]}, {"ssh": "mac2", "ips": []}]`
	for name, c := range map[string]struct {
		text string
		want File
	}{
		"list":        {list, File{Hosts: two}},
		"mark":        {"\xef\xbb\xbf \n" + list, File{Hosts: two}},
		"object":      {`{"backend": "ring", "envs": ["A=1", "B=x=y z"], "hosts": ` + list + `}`, File{"ring", []string{"A=1", "B=x=y z"}, two}},
		"hosts alone": {`{"hosts": [{"ssh": "a"}]}`, File{Hosts: []Host{{SSH: "a"}}}},
		"empty":       {`{"backend": "", "envs": [], "hosts": [{"ssh": "a", "rdma": []}]}`, File{Hosts: []Host{{SSH: "a"}}}},
	} {
		got, err := Parse([]byte(c.text))
		if err != nil || !reflect.DeepEqual(*got, c.want) {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, c.want)
		}
	}
}

func TestParseFaults(t *testing.T) {
	for text, want := range map[string]string{
		"":                              "hostfile: it is empty",
		" \n":                           "hostfile: it is empty",
		"\xff":                          "hostfile: it is not UTF-8 text",
		"10.0.0.1":                      "hostfile: line 1: invalid character",
		"3":                             "hostfile: it must be a list of hosts or an object",
		"[]":                            "hostfile: it lists no hosts",
		"{}":                            `hostfile: there is no "hosts"`,
		`{"hosts": 3}`:                  `hostfile: "hosts" is not a list`,
		`{"hosts": null}`:               "hostfile: it lists no hosts",
		"[\n{\"ssh\": \"a\"},\n}":       "hostfile: line 3: invalid character",
		"{\n\"hosts\"\n[]}":             "hostfile: line 3: invalid character",
		`["a"]`:                         "hostfile: host 1 is not an object",
		`[null]`:                        "hostfile: host 1 is not an object",
		`[{"ssh": "a"}, {}]`:            `hostfile: host 2 has no "ssh"`,
		`[{"ssh": 3}]`:                  `hostfile: host 1: "ssh" is not a string`,
		`[{"ssh": "a", "ips": "b"}]`:    `hostfile: host 1: "ips" is not a list of strings`,
		`[{"ssh": "a", "ip": []}]`:      `hostfile: host 1: unknown key "ip"`,
		`[{"SSH": "a"}]`:                `hostfile: host 1: unknown key "SSH"`,
		`{"host": []}`:                  `hostfile: unknown key "host"`,
		`[{"ssh": "-oProxyCommand=x"}]`: "begins with -",
		`[{"ssh": "a b"}]`:              "has a blank",
		`[{"ssh": "a\nb"}]`:             "has a blank",
		`[{"ssh": "a", "ips": ["-1"]}]`: "hostfile: host 1 (a): ips:",
		`{"envs": ["A"], "hosts": [{"ssh":"a"}]}`:   `hostfile: envs: "A" is not K=V`,
		`{"envs": ["1=2"], "hosts": [{"ssh":"a"}]}`: `hostfile: envs: "1" is no name of a variable`,
		`[{"ssh": "a"}] []`:                         "hostfile: line 1: invalid character",
	} {
		if f, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %+v, %v; want %q", text, f, err, want)
		}
	}
}

// The two forms as mlx.launch reads them.
func TestEncode(t *testing.T) {
	f := File{Hosts: []Host{{SSH: "a", RDMA: []*string{nil, ref("rdma_en2")}}, {SSH: "b", IPs: []string{"10.0.0.2"}}}}
	want := `[
    {
        "ssh": "a",
        "ips": [],
        "rdma": [
            null,
            "rdma_en2"
        ]
    },
    {
        "ssh": "b",
        "ips": [
            "10.0.0.2"
        ]
    }
]
`
	if got := string(f.Encode()); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	f = File{Backend: "ring", Hosts: []Host{{SSH: "a"}}}
	want = `{
    "backend": "ring",
    "envs": [],
    "hosts": [
        {
            "ssh": "a",
            "ips": []
        }
    ]
}
`
	if got := string(f.Encode()); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestCheckEnv(t *testing.T) {
	for env, ok := range map[string]bool{
		"A=": true, "_a1=\n\"'": true, "A=\xff": true,
		"": false, "=": false, "A": false, "a-b=1": false, "é=1": false, "1A=2": false, "A=\x00": false,
	} {
		if err := CheckEnv(env); (err == nil) != ok {
			t.Errorf("%q: %v", env, err)
		}
	}
}

// What is read is fit for ssh, and is the same when written and read again.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`[{"ssh": "a", "ips": ["10.0.0.1"], "rdma": [null, "rdma_en2"]}]`))
	f.Add([]byte(`{"backend": "ring", "envs": ["A=1"], "hosts": [{"ssh": "a"}]}`))
	f.Add([]byte(`[{"ssh": "-a"}]`))
	f.Add([]byte(`{"hosts": null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse(data)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "hostfile: ") {
				t.Fatalf("%q", err)
			}
			return
		}
		if len(file.Hosts) == 0 {
			t.Fatal("no hosts")
		}
		for _, h := range file.Hosts {
			if h.SSH == "" || h.SSH[0] == '-' || strings.ContainsAny(h.SSH, " \n\t\x00") {
				t.Fatalf("host %q", h.SSH)
			}
		}
		again, err := Parse(file.Encode())
		if err != nil || !reflect.DeepEqual(again, file) {
			t.Fatalf("%+v, %v; want %+v", again, err, file)
		}
	})
}
