package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path"
	"strings"
	"sync"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/pflag"

	"github.com/mlxgo/mlx/internal/builtin"
	"github.com/mlxgo/mlx/internal/hf/hub"
	"github.com/mlxgo/mlx/internal/llm"
)

const modelUsage = "model directory or .gguf file, org/name on the Hugging Face Hub, or builtin for the model inside the program"

func addRevision(f *pflag.FlagSet) {
	f.String("revision", "", "branch, tag or commit `NAME` of a model from the Hub (default main)")
}

// defaultModel makes the model inside the program of no --model, and says so.
func (s *streams) defaultModel(name *string) {
	if *name == "" {
		s.note("no --model is given: this is the built-in %s", builtin.Name)
		*name = builtinModel
	}
}

// checkModel says what is wrong with a value of --model before anything is read.
func checkModel(name string) error {
	switch name {
	case builtinModel:
		return nil
	case "":
		return usagef("--model is empty")
	}
	info, err := os.Stat(name)
	switch {
	case err == nil && (info.IsDir() || llm.IsGGUF(name)):
		return nil
	case err == nil:
		return fmt.Errorf("the model %s is a file, not a directory or a .gguf file", name)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if strings.Contains(name, "://") {
		return fmt.Errorf("there is no directory %s: a model of the Hub is named org/name, without an address", name)
	}
	if hub.CheckRepo(name) != nil {
		return fmt.Errorf("there is no directory %s", name)
	}
	return nil
}

// findModel turns a value of --model into what loadModel takes: a directory stays,
// and so does the model inside the program; of org/name the files that want asks for
// are fetched into the Hub's cache.
func findModel(ctx context.Context, s *streams, name, revision string, want hub.Want) (string, error) {
	if err := checkModel(name); err != nil {
		return "", err
	}
	if _, err := os.Stat(name); err == nil || name == builtinModel {
		if revision != "" {
			return "", usagef("--revision is for models of the Hub, and %s is none", name)
		}
		return name, nil
	}
	if revision != "" {
		if err := hub.CheckRevision(revision); err != nil {
			return "", usagef("--revision: %w", err)
		}
	}
	v := &fetchView{s: s, repo: name}
	client, err := newHub(v)
	if err != nil {
		return "", err
	}
	snapshot, err := client.Snapshot(ctx, name, revision, want)
	v.end()
	if err != nil {
		var status *hub.StatusError
		if errors.As(err, &status) && (status.Code == http.StatusNotFound || status.Code == http.StatusUnauthorized) {
			return "", fmt.Errorf("there is no directory %s, and on the Hub %w", name, err)
		}
		return "", err
	}
	return snapshot.Dir, nil
}

// newHub is a client by the environment.
func newHub(v hub.Watcher) (*hub.Client, error) {
	c, err := hub.FromEnv(os.Getenv)
	if err != nil {
		return nil, err
	}
	client := hub.New(c, v)
	client.UserAgent = "mlx-go/" + readBuild().Version
	return client, nil
}

// fetchView shows a download on standard error: a bar on a terminal, lines elsewhere.
type fetchView struct {
	s    *streams
	repo string

	mu          sync.Mutex
	bar         *progressbar.ProgressBar
	files, done int
	there       int64
}

func (v *fetchView) Start(files int, bytes int64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.files = files
	if !v.s.errTTY {
		v.s.note("fetching %s: %s, %s", v.repo, plural(files, "file"), hub.Bytes(bytes))
		return
	}
	v.bar = v.s.newBar(path.Base(v.repo), bytes,
		progressbar.OptionShowCount(),
		progressbar.OptionShowBytes(true),
		progressbar.OptionShowTotalBytes(true),
		progressbar.OptionSetPredictTime(true),
	)
}

func (v *fetchView) Add(n int64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.there += n
	if v.bar != nil {
		_ = v.bar.Set64(v.there)
	}
}

func (v *fetchView) File(name string, size int64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.done++
	if v.bar == nil {
		v.s.note("fetched %s, %s, %d of %d", name, hub.Bytes(size), v.done, v.files)
	}
}

func (v *fetchView) Note(text string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.bar != nil {
		_ = v.bar.Clear()
	}
	v.s.note("%s", text)
}

// end takes the bar away.
func (v *fetchView) end() {
	if v.bar != nil {
		_ = v.bar.Clear()
	}
}

// plural is n with a noun.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
