package dataset

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

// Rows by datasets' rules: the numbers are those of its ReadInstruction.to_absolute.
func TestRows(t *testing.T) {
	for _, c := range []struct {
		text        string
		n, from, to int
	}{
		{"train", 10, 0, 10}, {"train[:80%]", 10, 0, 8}, {"train[-10%:]", 10, 9, 10}, {"train[:1000]", 10, 0, 10},
		{"train[2:]", 10, 2, 10}, {"train[-3:]", 10, 7, 10}, {"train[-30:]", 10, 0, 10}, {"train[5:2]", 10, 5, 5},
		{"train[:50%]", 5, 0, 2},                                         // 2.5, to the even number
		{"train[:50%]", 7, 0, 4},                                         // 3.5
		{"train[:33%]", 1000, 0, 330}, {"train[33%:67%]", 999, 330, 669}, // 329.67, 669.33
		{"train[-10%:]", 15, 13, 15}, // -1.5
		{"train[-10%:]", 25, 23, 25}, // -2.5
		{"train[10%:40%](pct1_dropremainder)", 250, 20, 80}, {"train[:1_0]", 100, 0, 10}, {"a.b[1:2]", 3, 1, 2}, {"train[10:50%]", 200, 20, 100},
		{"train[:0%]", 10, 0, 0}, {"train[:]", 10, 0, 10}, {"train[:5%](closest)", 30, 0, 2},
	} {
		p, err := ParseParts(c.text)
		if err != nil || len(p) != 1 {
			t.Errorf("%s: %v, %v", c.text, p, err)
			continue
		}
		if from, to, err := p[0].Rows(c.n); from != c.from || to != c.to || err != nil {
			t.Errorf("%s of %d: [%d:%d], %v, want [%d:%d]", c.text, c.n, from, to, err, c.from, c.to)
		}
	}
	sum, err := ParseParts("train[:2] + test")
	if err != nil || len(sum) != 2 || sum[1].Split != "test" {
		t.Errorf("%v, %v", sum, err)
	}
	for text, want := range map[string]string{
		"": "NAME[FROM:TO]", "train[5]": "NAME[FROM:TO]", "train[:101%]": "101%", "train[:5](closest)": "for percents", "train[:5%](up)": `rounding "up"`,
		"train[:80%": "NAME[FROM:TO]", "train[:99999999999999999999]": "whole number", "train[:_]": "whole number",
	} {
		if _, err := ParseParts(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	p, _ := ParseParts("train[:5%](pct1_dropremainder)")
	if _, _, err := p[0].Rows(99); err == nil {
		t.Error("a percent of 99 rows is no whole row")
	}
}

func TestFiles(t *testing.T) {
	type splits = map[string][]string
	for name, c := range map[string]struct {
		names []string
		l     Layout
		want  splits
		err   string
	}{
		"mlx-lm":     {names: []string{"README.md", ".gitattributes", "train.jsonl", "valid.jsonl", "test.jsonl"}, want: splits{"train": {"train.jsonl"}, "validation": {"valid.jsonl"}, "test": {"test.jsonl"}}},
		"below data": {names: []string{"data/train_2.jsonl", "data/train_1.jsonl", "data/dev.json"}, want: splits{"train": {"data/train_1.jsonl", "data/train_2.jsonl"}, "validation": {"data/dev.json"}}},
		"shards":     {names: []string{"data/train-00001-of-00002.jsonl.gz", "data/train-00000-of-00002.jsonl.gz", "data/extra-00000-of-00001.jsonl.gz", "valid.jsonl"}, want: splits{"train": {"data/train-00000-of-00002.jsonl.gz", "data/train-00001-of-00002.jsonl.gz"}, "extra": {"data/extra-00000-of-00001.jsonl.gz"}}},
		"lost shard": {names: []string{"data/train-00001-of-00002.jsonl"}, err: "data/train-00000-of-00002.jsonl is missing"},
		"dirs":       {names: []string{"train/a.jsonl", "my_test/b.jsonl", "valid.jsonl"}, want: splits{"train": {"train/a.jsonl"}, "test": {"my_test/b.jsonl"}}},
		"no names":   {names: []string{"b.json", "a.json", "dataset_infos.json", ".x/c.json", "__y/c.json"}, want: splits{"train": {"a.json", "b.json"}}},
		"no data":    {names: []string{"README.md"}, want: splits{}},
		"contest":    {names: []string{"contest.jsonl"}, want: splits{"train": {"contest.jsonl"}}},
		"parquet":    {names: []string{"data/train-00000-of-00001.parquet", "stats.json"}, err: "files as data/train-00000-of-00001.parquet, and only JSON"},
		"mostly":     {names: []string{"train.jsonl", "train.csv"}, want: splits{"train": {"train.jsonl"}}},
		"patterns": {names: []string{"x/a.jsonl", "x/y/b.jsonl", "c1.json", "c2.json"}, l: Layout{Patterns: Patterns{"train": {"**/b.jsonl", "x/*.jsonl"}, "test": {"c[!1].json"}}},
			want: splits{"train": {"x/y/b.jsonl", "x/a.jsonl"}, "test": {"c2.json"}}},
		"no match": {names: []string{"a.jsonl"}, l: Layout{Patterns: Patterns{"train": {"b.*"}}}, err: `no file of data matches "b.*"`},
		"dir":      {names: []string{"x/train.jsonl", "train.jsonl"}, l: Layout{Dir: "./x/"}, want: splits{"train": {"x/train.jsonl"}}},
	} {
		got, err := Files(c.names, c.l)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %v, want %q", name, err, c.err)
			}
		} else if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, %v, want %v", name, got, err, c.want)
		}
	}
	_, err := Files([]string{"a.parquet"}, Layout{})
	if f, ok := errors.AsType[*FormatError](err); !ok || f.Name != "a.parquet" {
		t.Error(err)
	}
}

func TestReadme(t *testing.T) {
	const two = "---\r\nlicense: mit\r\nconfigs:\r\n- config_name: a\r\n  data_files:\r\n  - split: train\r\n    path: [x/*.jsonl, y.jsonl]\r\n  - split: test\r\n    path: z.jsonl\r\n- config_name: b\r\n  data_dir: bb\r\n---\r\n# Title\r\n"
	for _, c := range []struct {
		text, name string
		want       Layout
		err        string
	}{
		{"# Title", "", Layout{}, ""},
		{"# Title", "x", Layout{}, `no configuration "x"`},
		{two, "a", Layout{Patterns: Patterns{"train": {"x/*.jsonl", "y.jsonl"}, "test": {"z.jsonl"}}}, ""},
		{two, "b", Layout{Dir: "bb"}, ""},
		{two, "c", Layout{}, "there are a, b"},
		{two, "", Layout{}, "configurations a, b"},
		{strings.Replace(two, "_name: b", "_name: default", 1), "", Layout{Dir: "bb"}, ""},
		{strings.Replace(two, "data_dir: bb", "default: true", 1), "", Layout{}, ""},
		{"---\nconfigs:\n- data_files: all.jsonl\n---\n", "", Layout{Patterns: Patterns{"train": {"all.jsonl"}}}, ""},
		{"---\nconfigs:\n- data_files: [{split: a}]\n---\n", "", Layout{}, "is not {split"},
		{"---\nconfigs: 3\n---\n", "", Layout{}, "no YAML that is understood"},
	} {
		got, err := ReadmeLayout([]byte(c.text), c.name)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%q %s: %v, want %q", c.text, c.name, err, c.err)
			}
		} else if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q %s: %v, %v, want %v", c.text, c.name, got, err, c.want)
		}
	}
}

func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		v    any
		want Patterns
	}{
		{nil, nil}, {"a", Patterns{"train": {"a"}}}, {[]any{"a", "b"}, Patterns{"train": {"a", "b"}}},
		{map[string]any{"train": "a", "x": []any{"b", "c"}}, Patterns{"train": {"a"}, "x": {"b", "c"}}},
	} {
		if got, err := ParsePatterns(c.v); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%v: %v, %v", c.v, got, err)
		}
	}
	for _, v := range []any{3, "", []any{}, "https://x/y", map[string]any{"train": 1}, []any{map[string]any{"split": "a", "path": "b"}, map[string]any{"split": "a", "path": "b"}}} {
		if got, err := ParsePatterns(v); err == nil {
			t.Errorf("%v: %v", v, got)
		}
	}
}

// What comes from outside never panics.
func FuzzReadme(f *testing.F) {
	f.Add([]byte("---\nconfigs:\n- config_name: a\n  data_files: x/*.jsonl\n---\n"), "a", "x/y.jsonl")
	f.Add([]byte("---\nconfigs:\n- data_files: [{split: train, path: '[!'}]\n---\n"), "", "data/train-00000-of-00001.json")
	f.Fuzz(func(t *testing.T, readme []byte, name, file string) {
		l, err := ReadmeLayout(readme, name)
		if err != nil {
			return
		}
		splits, err := Files([]string{file}, l)
		if err == nil {
			for split, names := range splits {
				if len(names) != 1 || names[0] != file {
					t.Errorf("%s: %v", split, names)
				}
			}
		}
	})
}

func FuzzParts(f *testing.F) {
	f.Add("train[:80%]+test[-5:]", 17)
	f.Fuzz(func(t *testing.T, text string, n int) {
		n &= 1<<30 - 1
		parts, err := ParseParts(text)
		if err != nil {
			return
		}
		for _, p := range parts {
			if from, to, err := p.Rows(n); err == nil && (from < 0 || to < from || to > n) {
				t.Errorf("%s of %d: [%d:%d]", text, n, from, to)
			}
		}
	})
}
