package hub

import (
	"fmt"
	"path"
	"regexp"
	"strings"
)

// DefaultRevision is the branch that is meant without a revision.
const DefaultRevision = "main"

var (
	repoName   = regexp.MustCompile(`^[\w.-]+/[\w.-]+$`)
	commitName = regexp.MustCompile(`^[0-9a-f]{40}$`)
	sha256Name = regexp.MustCompile(`^[0-9a-f]{64}$`)
	blobName   = regexp.MustCompile(`^[\w][\w.+=-]{0,199}$`)
)

// CheckRepo says what is wrong with the name of a repository; nil for org/name as
// the Hub has them.
func CheckRepo(repo string) error {
	switch {
	case !repoName.MatchString(repo):
		return fmt.Errorf("%q is not org/name", repo)
	case len(repo) > 96:
		return fmt.Errorf("the repository's name %q is longer than 96 characters", repo)
	case strings.Contains(repo, "--") || strings.Contains(repo, ".."):
		return fmt.Errorf("the repository's name %q has two dashes or dots in a row", repo)
	case strings.HasSuffix(repo, ".git"):
		return fmt.Errorf("the repository's name %q ends in .git", repo)
	}
	for part := range strings.SplitSeq(repo, "/") {
		if strings.Trim(part, "-.") != part {
			return fmt.Errorf("in the repository's name %q a part begins or ends with a dash or a dot", repo)
		}
	}
	return nil
}

// CheckRevision says what is wrong with the name of a branch, tag or commit. It
// becomes a path below refs.
func CheckRevision(revision string) error {
	if !localPath(revision) || len(revision) > 250 {
		return fmt.Errorf("%q is not the name of a branch, a tag or a commit", revision)
	}
	return nil
}

// localPath reports whether name is a clean path with slashes that stays below where
// it is put, in plain characters.
func localPath(name string) bool {
	if name == "" || name == "." || path.Clean(name) != name || path.IsAbs(name) || name == ".." || strings.HasPrefix(name, "../") {
		return false
	}
	for _, r := range name {
		if r < ' ' || r == 0x7f || r == '\\' || r == ':' || r == 0xfffd {
			return false
		}
	}
	return true
}

// datasetPrefix stands before org/name where a repository of data is meant: in the Hub's
// addresses, and in the names that this package uses.
const datasetPrefix = "datasets/"

// isDataset reports whether a name is datasets/org/name, and not of an organization that is
// called datasets.
func isDataset(repo string) bool {
	return strings.HasPrefix(repo, datasetPrefix) && strings.Count(repo, "/") == 2
}

// folder is the name of the directory of a repository.
func folder(repo string) string {
	if !isDataset(repo) {
		repo = "models/" + repo
	}
	return strings.ReplaceAll(repo, "/", "--")
}

// repoOf is the repository of a directory of the cache; false for none of models.
func repoOf(folder string) (string, bool) {
	name, ok := strings.CutPrefix(folder, "models--")
	return strings.Replace(name, "--", "/", 1), ok && name != ""
}

// blobOf takes the quotes and the W/ from an ETag; the rest is the name of the blob.
func blobOf(etag string) (string, error) {
	name := strings.Trim(strings.TrimPrefix(strings.TrimSpace(etag), "W/"), `"`)
	if !blobName.MatchString(name) || strings.HasSuffix(name, ".incomplete") {
		return "", fmt.Errorf("the ETag %q is no name of a file", etag)
	}
	return name, nil
}

// Want says which files of a repository are meant.
type Want int

const (
	// Model is all that running a model needs.
	Model Want = iota
	// Text is Model without the weights.
	Text
)

// wanted reports whether a file belongs to want. The patterns are mlx-lm's, for the
// files at the top: nothing below is read.
func wanted(name string, want Want) bool {
	if strings.Contains(name, "/") {
		return false
	}
	switch path.Ext(name) {
	case ".json", ".py", ".tiktoken", ".txt", ".jsonl", ".jinja":
		return true
	case ".safetensors":
		return want == Model && strings.HasPrefix(name, "model")
	}
	return name == "tokenizer.model"
}

// isTorch reports whether a file at the top has weights of PyTorch. They are wanted only
// from a repository without safetensors.
func isTorch(name string) bool {
	return !strings.Contains(name, "/") && strings.HasPrefix(name, "pytorch_model") && strings.HasSuffix(name, ".bin")
}
