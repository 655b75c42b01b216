package tokenizer

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// moreSums are SHA-256 sums of what Hugging Face's Rust library (0.23.2) gives for the
// texts of the references, in the form of moreLine, by the files of tokenizers-more.
var moreSums = map[string]string{
	"bitnet-2b4t":  "c0ffa368ebc162a6b3170f02d119eb5ab64c6de56de179f4220747c7542eecde",
	"gemma3":       "67287ede4df17713f613ab9e2536322860213e014e1da5ea141e6c8112f1c00f",
	"glm-4.7":      "50ef29251de11eabbec56793d4c459485eab5f6df7a8fa5d6293bb263a4dc963",
	"gpt-oss":      "5199d8a1caca034a0a6cffce4042b393aa52908268c36cbe003d7c1ac0fc0fa6",
	"kimi-k2":      "8df73e218e7552b89213db5d77477b9f73e4ccd8946f4c2604d811344f65c28d",
	"mistral-nemo": "5a7b6aaa3241c6dc94aa2a212bb7d1b5c79191f09494267bc8da421a68f074d4",
	"mpt":          "c3cde8d5a5d212f50126551f1cfe3d7fc0da41e4c8506be2790bb6d2630d931a",
	"olmo2":        "f8a61d41c9d0ecd72c9f0a45ebb269c911e6102a3f78d1f41ea09081f74502d0",
	"phi-4-mini":   "c2d58b88d837062f322e3212567bea3cd95f9f9d3b9109c709252e1812d78ad1",
	"qwen3.5":      "6df8b1f677e39fe1344e9581489faea15fb0180575b378e62b74c9ac3508f42a",
	"smollm3":      "cb3bc9bc0385c3ac29b4b824a662b87a747baeef5b21c833a13d57ced234f135",
	"yi":           "577ede3f110498919f23b2016561b0c364320dd5e64266d5f05f38b1f5817b80",
}

// kimiGaps is a text that is left out for kimi-k2: the library numbers added tokens on
// where the file, as the model, has gaps between the ids.
const kimiGaps = "<|start_header_id|>"

func moreLine(ids, withSpecial []int, decoded, withoutSpecial string) string {
	return fmt.Sprintf("%v %v %q %q\n", ids, withSpecial, decoded, withoutSpecial)
}

// TestMoreTokenizers compares with the library by sums, and streaming with whole
// decoding. Unpacking needs the program xz.
func TestMoreTokenizers(t *testing.T) {
	if testing.Short() {
		t.Skip("12 large files")
	}
	if _, err := exec.LookPath("xz"); err != nil {
		t.Skip(err)
	}
	data, err := os.ReadFile(filepath.Join(sharedDir(t, "tokenizers", "gpt2"), "reference.json"))
	if err != nil {
		t.Skip(err)
	}
	var texts []struct {
		Text string `json:"text"`
	}
	if err := json.Unmarshal(data, &texts); err != nil {
		t.Fatal(err)
	}
	dir := sharedDir(t, "tokenizers-more")
	files, err := filepath.Glob(filepath.Join(dir, "*.json.xz"))
	if err != nil || len(files) != len(moreSums) {
		t.Errorf("%d files, %v", len(files), err)
	}
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), ".json.xz")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := exec.Command("xz", "-dc", path).Output()
			if err != nil {
				t.Fatal(err)
			}
			tok, err := Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			sum, same := sha256.New(), 0
			for _, c := range texts {
				if name == "kimi-k2" && strings.Contains(c.Text, kimiGaps) {
					continue
				}
				ids := tok.Encode(c.Text, false)
				decoded, skipped := tok.Decode(ids, false), tok.Decode(ids, true)
				if a, b := streamed(t, tok, ids, false), streamed(t, tok, ids, true); a != decoded || b != skipped {
					t.Errorf("streamed %q and %q, whole %q and %q", a, b, decoded, skipped)
				}
				if decoded == c.Text {
					same++
				}
				sum.Write([]byte(moreLine(ids, tok.Encode(c.Text, true), decoded, skipped)))
			}
			if got := hex.EncodeToString(sum.Sum(nil)); got != moreSums[name] {
				t.Errorf("sum %s", got)
			}
			t.Logf("%d of %d texts come back as they were", same, len(texts))
		})
	}
}
