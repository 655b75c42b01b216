package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/mlxgo/mlx/internal/hf/hub"
)

// cachedRevision is a revision as mlx models --json shows it.
type cachedRevision struct {
	Commit string   `json:"revision"`
	Refs   []string `json:"refs"`
	Size   int64    `json:"size"`  // bytes of its files
	Freed  int64    `json:"freed"` // bytes that removing it alone frees
	Files  int      `json:"files"`
	Used   string   `json:"last_used"` // RFC 3339
	Path   string   `json:"path"`
	// Missing are files that the snapshot has as links to nothing.
	Missing []string `json:"missing"`
}

// cachedRepo is a repository as mlx models --json shows it.
type cachedRepo struct {
	Name       string           `json:"repo"`
	Path       string           `json:"path"`
	Size       int64            `json:"size"`       // bytes on disk
	Unfinished int64            `json:"unfinished"` // bytes of these that belong to no revision
	Revisions  []cachedRevision `json:"revisions"`
}

func newModels(s *streams) *cobra.Command {
	var o struct {
		JSON bool `mapstructure:"json"`
	}
	cmd := &cobra.Command{
		Use:   "models",
		Short: "Show or remove the models in the Hub's cache",
		Long: `Show the models in the Hugging Face Hub's cache, which Python tools share: the
repository, the revision with the branches and tags that are at it, the size of its
files, when one was read last, and the directory, which --model takes too.

The cache is the directory HF_HUB_CACHE, else hub in HF_HOME, else
~/.cache/huggingface/hub.`,
		Example: `  mlx models
  mlx models --json`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("unexpected argument %q%s", args[0], didYouMean(args[0], []string{"rm"}, ""))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := bind(cmd, &o); err != nil {
				return err
			}
			return runModels(s, o.JSON)
		},
	}
	cmd.Flags().Bool("json", false, "print a JSON array instead, sizes in bytes")
	addConfig(cmd)
	cmd.AddCommand(newModelsRemove(s))
	return cmd
}

// scanCache reads the cache of the environment.
func scanCache() (string, []*hub.Repo, error) {
	c, err := hub.FromEnv(os.Getenv)
	if err != nil {
		return "", nil, err
	}
	repos, err := hub.Scan(c.Cache)
	return c.Cache, repos, err
}

func runModels(s *streams, asJSON bool) error {
	cache, repos, err := scanCache()
	if err != nil {
		return err
	}
	if asJSON {
		return modelsJSON(s.out, repos)
	}
	var total, unfinished int64
	var old []*hub.Revision
	w := tabwriter.NewWriter(s.out, 0, 8, 2, ' ', 0)
	if len(repos) > 0 {
		fmt.Fprintln(w, "MODEL\tREVISION\tSIZE\tLAST USED\tPATH")
	}
	for _, r := range repos {
		total, unfinished = total+r.Size, unfinished+r.Unfinished
		old = append(old, r.Old()...)
		for _, v := range r.Revisions {
			name := strings.Join(append(slices.Clone(v.Refs), v.Commit[:min(8, len(v.Commit))]), " ")
			size := hub.Bytes(v.Size)
			if len(v.Missing) > 0 {
				size += " (incomplete)"
			}
			used := "never"
			if !v.Used.IsZero() {
				used = v.Used.Format(time.DateOnly)
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", r.Name, name, size, used, v.Path)
		}
		if r.Unfinished > 0 {
			fmt.Fprintf(w, "%s\t(unfinished)\t%s\t\t%s\n", r.Name, hub.Bytes(r.Unfinished), r.Path)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	s.note("%s in %s; mlx models rm NAME removes a model", hub.Bytes(total), cache)
	if len(old) > 0 {
		s.note("no branch or tag is at %s any more, as %s@%s: mlx models rm NAME@REVISION removes one", plural(len(old), "revision"), old[0].Repo, old[0].Commit[:min(8, len(old[0].Commit))])
	}
	if unfinished > 0 {
		s.note("%s are of unfinished downloads: the same command goes on with them, mlx models rm --unfinished removes them", hub.Bytes(unfinished))
	}
	return nil
}

func modelsJSON(out io.Writer, repos []*hub.Repo) error {
	list := []cachedRepo{}
	for _, r := range repos {
		c := cachedRepo{Name: r.Name, Path: r.Path, Size: r.Size, Unfinished: r.Unfinished, Revisions: []cachedRevision{}}
		for _, v := range r.Revisions {
			c.Revisions = append(c.Revisions, cachedRevision{
				Commit: v.Commit, Refs: append([]string{}, v.Refs...), Size: v.Size, Freed: r.Freed(v), Files: v.Files,
				Used: v.Used.UTC().Format(time.RFC3339), Path: v.Path, Missing: append([]string{}, v.Missing...),
			})
		}
		list = append(list, c)
	}
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	return e.Encode(list)
}

// removeOptions are the options of mlx models rm.
type removeOptions struct {
	Yes        bool `mapstructure:"yes"`
	Unfinished bool `mapstructure:"unfinished"`

	names []string
}

func newModelsRemove(s *streams) *cobra.Command {
	o := &removeOptions{}
	cmd := &cobra.Command{
		Use:   "rm NAME...",
		Short: "Remove models from the Hub's cache",
		Long: `Remove models from the Hub's cache. NAME is org/name for all that there is of it, or
org/name@REVISION with a branch, a tag, a commit or the first digits of one: files
that another revision has too stay then. With --unfinished what downloads left that
did not end goes, of all models or of those that are named.

On a terminal it asks first.`,
		Example: `  mlx models rm --yes mlx-community/Qwen3-0.6B-4bit
  mlx models rm --yes mlx-community/Qwen3-0.6B-4bit@main
  mlx models rm --yes --unfinished`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := bind(cmd, o); err != nil {
				return err
			}
			if o.names = args; len(args) == 0 && !o.Unfinished {
				return usagef("there is no NAME of a model to remove; mlx models shows them")
			}
			return runModelsRemove(s, o)
		},
	}
	cmd.Flags().BoolP("yes", "y", false, "do not ask")
	cmd.Flags().Bool("unfinished", false, "remove what unfinished downloads left")
	addConfig(cmd)
	return cmd
}

func runModelsRemove(s *streams, o *removeOptions) error {
	_, repos, err := scanCache()
	if err != nil {
		return err
	}
	plan, err := o.plan(repos)
	if err != nil {
		return err
	}
	if len(plan) == 0 {
		s.note("there is nothing to remove")
		return nil
	}
	var total int64
	var shown error // that nobody reads is no reason to keep what shall go
	for _, m := range plan {
		total += m.Freed
		what := plural(len(m.Revisions), "revision")
		switch {
		case m.Unfinished:
			what = "unfinished downloads"
		case m.All:
			what = "all of it, " + what
		}
		if _, err := fmt.Fprintf(s.out, "%s: %s, %s\n", m.Repo.Name, what, hub.Bytes(m.Freed)); err != nil {
			shown = err
		}
	}
	if !o.Yes {
		if shown != nil {
			return shown
		}
		if ok, err := s.confirm(fmt.Sprintf("Remove this and free %s?", hub.Bytes(total))); err != nil || !ok {
			return err
		}
	}
	for _, m := range plan {
		if err := m.Remove(); err != nil {
			return err
		}
	}
	s.note("%s are free", hub.Bytes(total))
	return shown
}

// plan is what the options mean.
func (o *removeOptions) plan(repos []*hub.Repo) ([]*hub.Removal, error) {
	if !o.Unfinished {
		return hub.PlanRemoval(repos, o.names)
	}
	for _, name := range o.names {
		if !slices.ContainsFunc(repos, func(r *hub.Repo) bool { return r.Name == name }) {
			return nil, fmt.Errorf("the cache has no %s", name)
		}
	}
	var plan []*hub.Removal
	for _, r := range repos {
		if m := hub.PlanUnfinished(r); m != nil && (len(o.names) == 0 || slices.Contains(o.names, r.Name)) {
			plan = append(plan, m)
		}
	}
	return plan, nil
}

// confirm asks a question on the terminal.
func (s *streams) confirm(question string) (bool, error) {
	if f, ok := s.in.(*os.File); !ok || !term.IsTerminal(int(f.Fd())) {
		return false, usagef("standard input is not a terminal, so nobody can be asked: --yes removes without")
	}
	fmt.Fprintf(s.err, "%s [y/N] ", question)
	line, err := bufio.NewReader(s.in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("standard input: %w", err)
	}
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes":
		return true, nil
	}
	s.note("nothing is removed")
	return false, nil
}
