package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/mlxgo/mlx/internal/builtin"
	"github.com/mlxgo/mlx/internal/hf/hub"
	"github.com/mlxgo/mlx/internal/hf/safetensors"
	"github.com/mlxgo/mlx/internal/hf/torchfile"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/models"
	"github.com/mlxgo/mlx/internal/llm/weights"
)

// inspectOptions are the options of mlx inspect.
type inspectOptions struct {
	Model    string `mapstructure:"model"`
	Revision string `mapstructure:"revision"`
	Context  int    `mapstructure:"context"`
	DType    string `mapstructure:"dtype"`
	Tensors  bool   `mapstructure:"tensors"`
	JSON     bool   `mapstructure:"json"`
}

func newInspect(s *streams, runF func(context.Context, *streams, *inspectOptions) error) *cobra.Command {
	o := &inspectOptions{}
	cmd := &cobra.Command{
		Use:   "inspect",
		Short: "Say what is in a model, and whether it can run here",
		Long: `Say what is in a model, and whether it can run here: architecture, parameters,
shapes, dtypes, the quantization of each layer, the EOS tokens, the memory that it
needs at a context length, tensors that are missing or unexpected, and whether its
model type has been tested against a reference.

Weights are not read, only the headers of their files; of a model of the Hub nothing
else is fetched but the small text files. --model can also be one safetensors file,
then its tensors and metadata are shown, or the directory of an adapter, as mlx lora
writes it: then its kind, rank, scale, base and layers are.

The exit status is 1 if the model cannot be run: the last lines say why.`,
		Example: `  mlx inspect --model builtin
  mlx inspect --model mlx-community/Qwen3-0.6B-4bit --context 32768
  mlx inspect --model builtin --tensors
  mlx inspect --model builtin --json`,
		Args: noArgs("; the model goes into --model"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			from, err := bind(cmd, o)
			if err != nil {
				return err
			}
			if !from.set("model") {
				return usagef("--model is missing")
			}
			if o.Context < 0 {
				return usagef("--context is %d: it must be above 0, or 0 for the model's own", o.Context)
			}
			return runF(context.WithoutCancel(cmd.Context()), s, o) // a signal just ends it
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.String("model", "", modelUsage+", or a safetensors file or an adapter's directory")
	addRevision(f)
	f.Int("context", 0, "`LENGTH` in tokens that the memory is for; 0 is the model's, at most 4096")
	addDType(f)
	f.Bool("tensors", false, "show each tensor, not those of all layers as one")
	f.Bool("json", false, "print a JSON object instead")
	addConfig(cmd)
	return cmd
}

func runInspect(ctx context.Context, s *streams, o *inspectOptions) error {
	dtype, err := parseDType(o.DType)
	if err != nil {
		return err
	}
	if info, err := os.Stat(o.Model); err == nil && info.Mode().IsRegular() && !llm.IsGGUF(o.Model) {
		return o.inspectFile(s)
	}
	if isAdapter(o.Model) {
		return o.inspectAdapter(s)
	}
	i, err := o.inspect(ctx, s, llm.LoadOptions{New: models.New, DType: dtype})
	if err != nil {
		return err
	}
	if o.JSON {
		err = writeJSON(s, i)
	} else {
		err = writeInspection(s.out, o.Model, i, o.Tensors)
	}
	if err == nil && len(i.Problems) > 0 {
		err = fmt.Errorf("%s cannot be run: %s", o.Model, strings.Join(i.Problems, "; "))
	}
	return err
}

func writeJSON(s *streams, v any) error {
	e := json.NewEncoder(s.out)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// inspect finds the model's files and their headers.
func (o *inspectOptions) inspect(ctx context.Context, s *streams, lo llm.LoadOptions) (*llm.Inspection, error) {
	dir, err := findModel(ctx, s, o.Model, o.Revision, hub.Text)
	if err != nil {
		return nil, err
	}
	if dir == builtinModel {
		source, err := builtin.Source()
		if err != nil {
			return nil, err
		}
		return llm.Inspect(source, lo, o.Context)
	}
	if llm.IsGGUF(dir) {
		source, err := llm.OpenGGUF(dir)
		if err != nil {
			return nil, err
		}
		return llm.Inspect(source, lo, o.Context)
	}
	set, err := safetensors.OpenDir(dir)
	if errors.Is(err, safetensors.ErrNoWeights) {
		if source, torch, err := llm.OpenTorch(dir); err == nil {
			defer torch.Close()
			return llm.Inspect(source, lo, o.Context)
		} else if !errors.Is(err, torchfile.ErrNoWeights) {
			return nil, err
		}
	}
	if dir != o.Model && errors.Is(err, safetensors.ErrNoWeights) {
		set, err = remoteHeaders(ctx, o.Model, filepath.Base(dir), dir)
	}
	if err != nil {
		return nil, err
	}
	defer set.Close()
	if len(set.Unindexed) > 0 {
		return nil, fmt.Errorf("%s: %s is not listed in %s", o.Model, strings.Join(set.Unindexed, ", "), safetensors.IndexName)
	}
	return llm.InspectDir(dir, set, lo, o.Context)
}

// headerGuess is what is asked for of a file at first: most headers are shorter.
const headerGuess = 256 << 10

// remoteHeaders reads the headers of a repository's weights at a commit; dir has its
// small files.
func remoteHeaders(ctx context.Context, repo, commit, dir string) (*safetensors.Set, error) {
	client, err := newHub(nil)
	if err != nil {
		return nil, err
	}
	if client.Offline {
		return nil, fmt.Errorf("HF_HUB_OFFLINE is set, and the cache does not have the weights of %s", repo)
	}
	list, err := client.List(ctx, repo, commit)
	if err != nil {
		return nil, err
	}
	files := map[string]hub.File{}
	var names []string
	for _, f := range list.Files {
		files[f.Name] = f
		if !strings.Contains(f.Name, "/") {
			names = append(names, f.Name)
		}
	}
	if !slices.ContainsFunc(names, func(n string) bool { return strings.HasSuffix(n, ".safetensors") }) && slices.ContainsFunc(names, torchfile.IsWeights) {
		return nil, fmt.Errorf("%s has weights of PyTorch only, whose headers are not read over the network: mlx generate fetches them, and then they can be inspected", repo)
	}
	index, err := os.ReadFile(filepath.Join(dir, safetensors.IndexName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return safetensors.OpenFunc(repo, names, index, func(name string) (*safetensors.File, error) {
		f, ok := files[filepath.ToSlash(name)]
		if !ok {
			return nil, fs.ErrNotExist
		}
		return remoteHeader(ctx, client, list, f)
	})
}

func remoteHeader(ctx context.Context, client *hub.Client, list *hub.Listing, f hub.File) (*safetensors.File, error) {
	where := path.Join(list.Repo, f.Name)
	size, err := client.SizeOf(ctx, list, f)
	if err != nil {
		return nil, err
	}
	head, err := client.ReadRange(ctx, list, f.Name, 0, min(headerGuess, max(size, 1)))
	if err != nil {
		return nil, err
	}
	n, err := safetensors.HeaderSize(head)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", where, err)
	}
	if n > int64(len(head)) {
		rest, err := client.ReadRange(ctx, list, f.Name, int64(len(head)), n-int64(len(head)))
		if err != nil {
			return nil, err
		}
		head = append(head, rest...)
	}
	return safetensors.ParseHeader(head, size, filepath.Join(list.Repo, filepath.FromSlash(f.Name)))
}

// fileReport is what --json prints of one file.
type fileReport struct {
	File     string            `json:"file"`
	Metadata map[string]string `json:"metadata"`
	Bytes    int64             `json:"bytes"` // of the tensors
	Tensors  []llm.TensorInfo  `json:"tensors"`
}

func (o *inspectOptions) inspectFile(s *streams) error {
	if o.Revision != "" {
		return usagef("--revision is for models of the Hub, and %s is none", o.Model)
	}
	f, err := safetensors.Open(o.Model)
	if err != nil {
		return err
	}
	defer f.Close()
	r := fileReport{o.Model, f.Metadata, f.TotalBytes(), llm.InspectTensors(weights.Of(f.Tensors()))}
	if o.JSON {
		return writeJSON(s, r)
	}
	return writeFileReport(s.out, r, o.Tensors)
}
