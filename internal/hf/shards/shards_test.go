package shards

import (
	"path/filepath"
	"testing"
)

func TestMissing(t *testing.T) {
	for name, c := range map[string]struct {
		names          []string
		first          int
		missing, there string
	}{
		"nothing":       {},
		"one file":      {names: []string{"model.safetensors"}, first: OfWeights},
		"whole weights": {names: []string{"m-00002-of-00002.bin", "m-00001-of-00002.bin"}, first: OfWeights},
		"last weights":  {names: []string{"m-00001-of-00002.bin"}, first: OfWeights, missing: "m-00002-of-00002.bin", there: "m-00001-of-00002.bin"},
		"whole data":    {names: []string{"data/train-00000-of-00002.jsonl.gz", "data/train-00001-of-00002.jsonl.gz"}},
		"first data":    {names: []string{"data/train-00001-of-00002.jsonl"}, missing: "data/train-00000-of-00002.jsonl", there: "data/train-00001-of-00002.jsonl"},
		"data as of weights": {names: []string{"t-00001-of-00002.json", "t-00002-of-00002.json"},
			missing: "t-00000-of-00002.json", there: "t-00001-of-00002.json"},
		"other endings":   {names: []string{"a-00000-of-00001.json", "a-00000-of-00001.txt"}},
		"two wholes":      {names: []string{"a-00000-of-00001.json", "b-00000-of-00002.json"}, missing: "b-00001-of-00002.json", there: "b-00000-of-00002.json"},
		"the last counts": {names: []string{"a-00000-of-00009-00000-of-00001.json"}},
		"none of zero":    {names: []string{"a-00000-of-00000.json"}},
		"short numbers":   {names: []string{"a-1-of-2.json"}},
	} {
		if missing, there := Missing(c.names, c.first); missing != c.missing || there != c.there {
			t.Errorf("%s: %q beside %q, want %q beside %q", name, missing, there, c.missing, c.there)
		}
	}
}

func TestComplete(t *testing.T) {
	names := []string{"m-00001-of-00002.bin", "m-00002-of-00002.safetensors", "m-00001-of-00002.bin.tmp"}
	want := filepath.Join("dir", "m-00002-of-00002.bin") + ": the shard is missing, m-00001-of-00002.bin is there: the model is incomplete"
	if err := Complete("dir", names, ".bin"); err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	if err := Complete("dir", append(names, "m-00002-of-00002.bin"), ".bin"); err != nil {
		t.Error(err)
	}
}
