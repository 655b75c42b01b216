//go:build linux && metalemu

package metal_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/llmtest"
	"github.com/mlxgo/mlx/internal/llm/models"
	"github.com/mlxgo/mlx/internal/llm/sample"
)

// residentModel names the directory of the model that a child process runs, residentWarm
// that of a small one like it.
const (
	residentModel = "MLX_TEST_RESIDENT_MODEL"
	residentWarm  = "MLX_TEST_RESIDENT_WARM"
)

// A resident is what a child process saw: bytes of its memory that lay in the machine's.
type resident struct {
	Before int64 // after a small model of the same kernels has run
	Peak   int64 // the most since then
	After  int64
	Active int64 // what the arrays' memory is, weights among them
}

// A mapped model takes its weights' bytes and no more than a tenth of them on top, while it
// reads a prompt and generates. MLX_FULL=1 has a model of 1 GB. What is counted is all resident memory of a process, VmHWM:
// pages of the file that were read, Go's heap, buffers of the emulated GPU, its stacks,
// libraries and kernels; less what was resident after a small model with the same
// kernels had run. Compilers are other processes.
func TestResidentMemory(t *testing.T) {
	llama := llmtest.Tiny("llama").With(llmtest.Config{"torch_dtype": "bfloat16", "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 64})
	warm := llama.With(llmtest.Config{"vocab_size": 512, "hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 1})
	size := llama.With(llmtest.Config{"vocab_size": 8192, "hidden_size": 1024, "intermediate_size": 2816, "num_hidden_layers": 2})
	other := int64(16 << 20)          // caches and Go's heap, which do not grow with the weights
	if os.Getenv("MLX_FULL") == "1" { // 1 GB in bfloat16
		other = 0
		size = llama.With(llmtest.Config{"vocab_size": 32000, "hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 9})
	}
	packed := llmtest.Config{"quantization": llmtest.Config{"bits": 4, "group_size": 64}}
	for _, c := range []struct {
		name   string
		change llmtest.Config
	}{{"bfloat16", nil}, {"4 bits", packed}} {
		t.Run(c.name, func(t *testing.T) {
			if testing.Short() && c.change != nil {
				t.Skip("the larger one is enough")
			}
			small, large := t.TempDir(), t.TempDir()
			llmtest.WriteShards(t, small, warm.With(c.change), 1, 1<<30)
			size := size.With(c.change)
			if c.change != nil {
				size["num_hidden_layers"] = 2 * size["num_hidden_layers"].(int)
			}
			llmtest.WriteShards(t, large, size, 2, 1<<29)
			weights := weightBytes(t, large)
			r := residentIn(t, small, large)
			took := r.Peak - r.Before
			t.Logf("weights of %.1f MB: %.1f MB at the peak (%.3f of them), %.1f MB at the end; before, %.1f MB; active %.1f MB",
				mb(weights), mb(took), float64(took)/float64(weights), mb(r.After-r.Before), mb(r.Before), mb(r.Active))
			if took < weights*8/10 {
				t.Errorf("the weights are not resident: the measurement is wrong")
			}
			if took > weights*11/10+other {
				t.Errorf("%.1f MB are resident for weights of %.1f MB", mb(took), mb(weights))
			}
		})
	}
}

func mb(n int64) float64 { return float64(n) / 1e6 }

func weightBytes(t *testing.T, dir string) (n int64) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		n += info.Size()
	}
	return n
}

// residentIn runs the models in a process of their own.
func residentIn(t *testing.T, small, large string) (r resident) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run", "^TestResidentChild$", "-test.timeout", "30m")
	cmd.Env = append(os.Environ(), residentModel+"="+large, residentWarm+"="+small)
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s%s", err, out.String(), complaints.String())
	}
	line, _, _ := bytes.Cut(out.Bytes(), []byte("\n"))
	if err := json.Unmarshal(line, &r); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	return r
}

// TestResidentChild is the child of TestResidentMemory.
func TestResidentChild(t *testing.T) {
	dir := os.Getenv(residentModel)
	if dir == "" {
		t.Skip("it is run by TestResidentMemory")
	}
	runModel(t, os.Getenv(residentWarm))
	var r resident
	r.Before = memoryStatus(t, "VmRSS")
	// 5 makes the present use the peak.
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		t.Fatal(err)
	}
	r.Active = runModel(t, dir)
	r.Peak, r.After = memoryStatus(t, "VmHWM"), memoryStatus(t, "VmRSS")
	line, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("%s\n", line)
}

// runModel reads a prompt and generates, and gives the active bytes at the end.
func runModel(t *testing.T, dir string) int64 {
	m, err := llm.Load(dir, llm.LoadOptions{New: models.New})
	if err != nil {
		t.Fatal(err)
	}
	prompt := []int{3, 1}
	if os.Getenv("MLX_FULL") == "1" {
		prompt = []int{3, 1, 4, 1, 5}
	}
	g, err := llm.Generate(m, prompt, llm.Options{MaxTokens: 2, IgnoreEOS: true, Sampling: sample.Options{}})
	if err != nil {
		t.Fatal(err)
	}
	for token, err := range g.Tokens(context.Background()) {
		if err != nil || math.IsNaN(float64(token.Logprob)) {
			t.Fatal(err, token.Logprob)
		}
	}
	return mlx.ActiveMemory()
}

// memoryStatus reads a number of kilobytes of /proc/self/status, as bytes.
func memoryStatus(t *testing.T, key string) int64 {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(key + `:\s+(\d+) kB`).FindSubmatch(status)
	if found == nil {
		t.Fatalf("no %s in %s", key, status)
	}
	n, err := strconv.ParseInt(string(found[1]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n << 10
}
